//! A token endpoint on loopback: raw HTTP/1.1, one request a connection, answers as told, at the moment it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

pub(super) type Form = BTreeMap<String, String>;
type Answering = dyn Fn(usize, &Form) -> (u16, Value) + Send + Sync;

pub(super) struct Fake {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Form>>>,
    count: watch::Receiver<usize>,
    held: watch::Sender<bool>,
}

impl Fake {
    /// The first answer has `a1` and `r1`, and so on.
    pub(super) async fn numbered(lifetime_s: u64) -> Self {
        Self::answering(move |number, _| {
            (200, json!({ "access_token": format!("a{number}"), "refresh_token": format!("r{number}"), "expires_in": lifetime_s }))
        })
        .await
    }

    /// `answer` gets the number of the request, from 1.
    pub(super) async fn answering(answer: impl Fn(usize, &Form) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let (held, hold) = watch::channel(false);
        let answer: Arc<Answering> = Arc::new(answer);
        let kept = Arc::clone(&seen);
        let tasks = TaskTracker::new();
        tasks.clone().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, counted, answer, mut hold) =
                    (Arc::clone(&kept), counted.clone(), Arc::clone(&answer), hold.clone());
                tasks.spawn(async move {
                    let (form, mut stream) = read(stream).await;
                    let number = {
                        let mut kept = kept.lock().unwrap();
                        kept.push(form.clone());
                        kept.len()
                    };
                    let (status, body) = answer(number, &form);
                    counted.send_replace(number);
                    hold.wait_for(|held| !held).await.unwrap();
                    let body = body.to_string();
                    let answer = format!(
                        "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\nconnection: close\r\nlocation: /elsewhere\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                });
            }
        });
        Self { address, seen, count, held }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    pub(super) fn requests(&self) -> Vec<Form> {
        self.seen.lock().unwrap().clone()
    }

    /// Answers wait from now on.
    pub(super) fn hold(&self) {
        self.held.send_replace(true);
    }

    pub(super) fn release(&self) {
        self.held.send_replace(false);
    }

    /// Until so many requests have come.
    pub(super) async fn until(&self, count: usize) {
        self.count.clone().wait_for(|seen| *seen >= count).await.unwrap();
    }
}

async fn read(mut stream: TcpStream) -> (Form, TcpStream) {
    let mut bytes = Vec::new();
    loop {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the request is cut off");
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            assert!(head.starts_with("post /token "), "{head}");
            return (url::form_urlencoded::parse(body.as_bytes()).into_owned().collect(), stream);
        }
    }
}
