//! A build server's stand-in: takes any request on a loopback port, answers 201, and hands the request over to be shown.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver as Inbox, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result};

#[derive(Debug)]
pub(crate) struct Receiver {
    origin: String,
    inbox: Inbox<String>,
}

impl Receiver {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no loopback port is free for the receiver")?;
        let origin = format!("http://{}", listener.local_addr()?);
        let (outbox, inbox) = sync_channel(16);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let outbox = outbox.clone();
                std::thread::spawn(move || serve(connection, &outbox));
            }
        });
        Ok(Self { origin, inbox })
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The next request as text, or `None` after 30 seconds.
    pub(crate) fn wait(&self) -> Option<String> {
        self.inbox.recv_timeout(Duration::from_secs(30)).ok()
    }
}

/// Answers the requests of one connection until it closes.
fn serve(connection: TcpStream, outbox: &SyncSender<String>) {
    let Ok(mut answer) = connection.try_clone() else { return };
    let mut input = BufReader::new(connection);
    while let Some(request) = read(&mut input) {
        let _ = outbox.try_send(request);
        let body = r#"{"build": 4711, "state": "queued"}"#;
        let length = body.len();
        let head =
            format!("HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        if answer.write_all(head.as_bytes()).and_then(|()| answer.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}

/// One request: its line, the headers worth showing, its body.
fn read(input: &mut impl BufRead) -> Option<String> {
    let mut text = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        text.push_str(line);
        text.push('\n');
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice::<serde_json::Value>(&body)
        .and_then(|json| serde_json::to_string_pretty(&json))
        .unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned());
    Some(format!("{text}\n{body}"))
}
