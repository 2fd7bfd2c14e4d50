//! A real HTTP server on loopback that keeps what it gets and answers as told.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::eventually;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What to answer, and after how long.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub after: Duration,
    /// The connection ends instead.
    is_cut: bool,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: br#"{"ok":true}"#.to_vec(), after: Duration::ZERO, is_cut: false }
    }
    /// No answer: the connection ends once the request is there.
    pub fn cut() -> Self {
        Self { is_cut: true, ..Self::status(500) }
    }
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }
}

type Answering = Arc<dyn Fn(usize, &Request) -> Reply + Send + Sync>;

/// Runs until dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Receiver {
    /// Answers 200 to everything.
    pub fn start() -> Self {
        Self::answering(|_, _| Reply::status(200).header("content-type", "application/json"))
    }

    /// Answers as `answer` says; it gets the number of requests seen before this one.
    pub fn answering(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer: Answering = Arc::new(answer);
        runtime.spawn(accept(listener, Arc::clone(&seen), answer));
        Self { address, seen, _runtime: runtime }
    }

    /// `http://127.0.0.1:port`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for at least `count` requests and returns all there are.
    pub fn wait_for(&self, count: usize) -> Vec<Request> {
        eventually(&format!("{count} requests at the receiver"), Duration::from_secs(30), || {
            let seen = self.requests();
            (seen.len() >= count).then_some(seen)
        })
    }
}

async fn accept(listener: tokio::net::TcpListener, seen: Arc<Mutex<Vec<Request>>>, answer: Answering) {
    while let Ok((stream, _)) = listener.accept().await {
        let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
        let service = service_fn(move |request| serve(request, Arc::clone(&seen), Arc::clone(&answer)));
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve(
    request: hyper::Request<Incoming>,
    seen: Arc<Mutex<Vec<Request>>>,
    answer: Answering,
) -> Result<hyper::Response<Full<Bytes>>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|whole| whole.to_bytes().to_vec()).unwrap_or_default();
    let request = Request {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body,
    };
    let number = {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(request.clone());
        seen.len() - 1
    };
    let reply = answer(number, &request);
    if !reply.after.is_zero() {
        tokio::time::sleep(reply.after).await;
    }
    if reply.is_cut {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let mut response = hyper::Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(Bytes::from(reply.body))).unwrap())
}
