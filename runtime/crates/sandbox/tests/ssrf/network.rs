//! A network that tests can tell what to be: names, a dialler that writes down what it was asked for, receivers, a canary.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flowcell_core::capability::{HttpCapability, HttpGrant, Origin, Rights, StepScope, UrlScope};
use flowcell_core::ports::Clock;
use flowcell_core::time::Timestamp;
use flowcell_sandbox::egress::{
    Budget, CallPass, Dial, Door, EgressConfig, Network, OutboundRequest, OutboundResponse, Resolve, SendError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A clock that stands still: deadlines in tests are counted from it.
pub struct StoppedClock(pub AtomicU64);

#[async_trait]
impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
    async fn sleep_until(&self, _: Timestamp) {
        std::future::pending::<()>().await;
    }
}

pub const NOW: Timestamp = Timestamp::from_millis(1_764_000_000_000);

/// Names and their answers: the first answer first, the last one for ever.
#[derive(Default)]
pub struct Names(Mutex<HashMap<String, Vec<Vec<IpAddr>>>>);

impl Names {
    pub fn set(&self, name: &str, answers: &[&[&str]]) {
        let answers = answers.iter().map(|answer| answer.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        self.0.lock().unwrap().insert(name.to_owned(), answers);
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if host == "localhost" {
            return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
        }
        let mut names = self.0.lock().unwrap();
        let answers = names.get_mut(host).ok_or_else(|| io::Error::other("no such name"))?;
        Ok(if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() })
    }
}

/// Writes down every address it is asked to dial. Public ones lead to the receiver; all others are dialled for real, so that a hole would be seen.
pub struct Recorder {
    pub dialled: Mutex<Vec<SocketAddr>>,
    pub receiver: SocketAddr,
}

#[async_trait]
impl Dial for Recorder {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.dialled.lock().unwrap().push(address);
        let public = flowcell_sandbox::egress::address::classify(address.ip())
            == flowcell_sandbox::egress::address::Class::Global;
        TcpStream::connect(if public { self.receiver } else { address }).await
    }
}

/// A door, its names, and what it dialled.
pub struct Lab {
    pub door: Door,
    pub names: Arc<Names>,
    pub recorder: Arc<Recorder>,
}

impl Lab {
    pub fn new(config: EgressConfig, receiver: SocketAddr) -> Self {
        let names = Arc::new(Names::default());
        let recorder = Arc::new(Recorder { dialled: Mutex::default(), receiver });
        let network = Network { resolve: names.clone(), dial: recorder.clone() };
        let clock = Arc::new(StoppedClock(AtomicU64::new(NOW.as_millis())));
        Self { door: Door::with_network(config, clock, network), names, recorder }
    }

    /// A door that may reach loopback, where the tests' receivers are.
    pub fn on_loopback(config: EgressConfig) -> Self {
        let config = EgressConfig { allow_addresses: vec!["127.0.0.0/8".parse().unwrap()], ..config };
        Self::new(config, SocketAddr::from(([127, 0, 0, 1], 9)))
    }

    pub async fn get(&self, url: &str) -> Result<OutboundResponse, SendError> {
        self.door.send(&pass_to(url), get(url)).await
    }
}

pub fn get(url: &str) -> OutboundRequest {
    OutboundRequest { method: "GET".into(), url: url.into(), ..OutboundRequest::default() }
}

pub fn post(url: &str, body: &'static [u8]) -> OutboundRequest {
    OutboundRequest {
        method: "POST".into(),
        url: url.into(),
        body: Bytes::from_static(body),
        ..OutboundRequest::default()
    }
}

pub fn rights(asked: &[&str], from_input: Option<&str>, granted: &[&str]) -> Arc<Rights> {
    Arc::new(Rights {
        plugin: "acme/probe".parse().unwrap(),
        asked: vec![HttpCapability {
            reason: "tests".into(),
            from_input: from_input.map(str::to_owned),
            hosts: asked.iter().map(|rule| rule.parse().unwrap()).collect(),
        }],
        granted: granted.iter().map(|grant| grant.parse::<HttpGrant>().unwrap()).collect(),
        services: flowcell_core::capability::ServiceRights::default(),
    })
}

/// A pass with everything a step can have to reach `url`, and a minute.
pub fn pass_to(url: &str) -> CallPass {
    pass_with(url, Budget::default())
}

pub fn pass_with(url: &str, budget: Budget) -> CallPass {
    let origin = url::Url::parse(url).ok().and_then(|url| Origin::of(&url));
    let urls = origin.map(|origin| ("url".to_owned(), UrlScope::Fixed { origin })).into_iter().collect();
    CallPass::new(rights(&[], Some("url"), &["from-input"]), StepScope { urls }, NOW + Duration::from_mins(1), budget)
}

/// A listener on loopback that must see nothing.
pub struct Canary {
    pub port: u16,
    pub seen: Arc<AtomicUsize>,
}

impl Canary {
    pub async fn start() -> Self {
        let seen = Arc::new(AtomicUsize::new(0));
        let v4 = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = v4.local_addr().unwrap().port();
        // Machines without IPv6 have no such door to leave open.
        let v6 = TcpListener::bind(("::1", port)).await.ok();
        for listener in [Some(v4), v6].into_iter().flatten() {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                while listener.accept().await.is_ok() {
                    seen.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Self { port, seen }
    }

    /// Knocks itself, so that everything that came before has been counted; returns what others did.
    pub async fn visits(&self) -> usize {
        let before = self.seen.load(Ordering::SeqCst);
        let _knock = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        while self.seen.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
        self.seen.fetch_sub(1, Ordering::SeqCst) - 1
    }
}

/// What a receiver does with each connection after the first request's headers arrived.
#[derive(Clone)]
pub enum Answer {
    /// Writes these bytes and keeps the connection open.
    Bytes(Arc<[u8]>),
    /// Writes these bytes and closes.
    ThenClose(Arc<[u8]>),
    /// Answers 200 to every request on the connection.
    Ok,
    /// Writes these bytes at once, before it is asked: not HTTP.
    Greeting(Arc<[u8]>),
    /// Never answers.
    Silence,
    /// Writes what this makes of the request's head, and keeps the connection open.
    To(Arc<Reply>),
}

type Reply = dyn Fn(&str) -> Vec<u8> + Send + Sync;

impl Answer {
    pub fn bytes(text: impl AsRef<[u8]>) -> Self {
        Self::Bytes(text.as_ref().into())
    }
    pub fn greeting(text: impl AsRef<[u8]>) -> Self {
        Self::Greeting(text.as_ref().into())
    }
    pub fn to(reply: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::To(Arc::new(reply))
    }
    /// 200 with `head` (lines with their ends) and a body of the right length.
    pub fn page(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
        let body = body.as_ref();
        [format!("HTTP/1.1 200 OK\r\n{head}content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
    }
    pub fn then_close(text: impl AsRef<[u8]>) -> Self {
        Self::ThenClose(text.as_ref().into())
    }
}

/// A raw HTTP/1.1 peer on loopback; keeps the heads of the requests it saw.
pub struct Receiver {
    pub address: SocketAddr,
    pub heads: Arc<Mutex<Vec<String>>>,
    pub connections: Arc<AtomicUsize>,
}

impl Receiver {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (kept, counted) = (Arc::clone(&heads), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, answer.clone(), Arc::clone(&kept)));
            }
        });
        Self { address, heads, connections }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn last_head(&self) -> String {
        self.heads.lock().unwrap().last().cloned().unwrap()
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, heads: Arc<Mutex<Vec<String>>>) {
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    if let Answer::Greeting(bytes) = &answer {
        stream.write_all(bytes).await.unwrap();
        // Until the other side has had enough: closing over unread bytes would reset the connection.
        while stream.read(&mut chunk).await.is_ok_and(|read| read > 0) {}
        return;
    }
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(read) => buffer.extend_from_slice(&chunk[..read]),
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
        let whole = end + length.unwrap_or(0);
        while buffer.len() < whole {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(read) => buffer.extend_from_slice(&chunk[..read]),
            }
        }
        buffer.drain(..whole);
        let made = if let Answer::To(reply) = &answer { reply(&head) } else { Vec::new() };
        heads.lock().unwrap().push(head);
        let reply: &[u8] = match &answer {
            Answer::To(_) => &made,
            Answer::Ok => b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            Answer::Bytes(bytes) | Answer::ThenClose(bytes) => bytes,
            Answer::Silence | Answer::Greeting(_) => b"",
        };
        if stream.write_all(reply).await.is_err() || matches!(answer, Answer::ThenClose(_)) {
            return;
        }
    }
}
