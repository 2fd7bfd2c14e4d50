//! Whether a request may have reached its peer without an answer: what decides that a step is not simply repeated.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use flowcell_sandbox::egress::{Dial, Door, EgressConfig, Network, OutboundRequest, SendErrorCode};
use tokio::net::TcpStream;

use crate::network::{Answer, Lab, NOW, Names, Receiver, StoppedClock, pass_to, post};

/// A network in which every connection is refused, or none is ever made.
struct Nowhere {
    is_refused: bool,
}

#[async_trait]
impl Dial for Nowhere {
    async fn dial(&self, _: SocketAddr) -> io::Result<TcpStream> {
        if self.is_refused { Err(io::ErrorKind::ConnectionRefused.into()) } else { std::future::pending().await }
    }
}

/// How a POST ends, and whether it may have arrived.
async fn outcome(door: &Door, url: &str) -> (Option<SendErrorCode>, bool) {
    let pass = pass_to(url);
    let impatient = OutboundRequest { timeout: Some(Duration::from_millis(100)), ..post(url, b"pay") };
    let code = door.send(&pass, impatient).await.err().map(|error| error.code);
    let exchange = pass.take_exchanges().0.remove(0);
    assert_eq!(exchange.is_uncertain(), exchange.possibly_sent);
    (code, exchange.possibly_sent)
}

#[tokio::test]
async fn a_request_without_a_whole_answer_may_have_arrived() {
    let cases = [
        (Answer::Silence, Some(SendErrorCode::Timeout), true),
        (Answer::then_close(""), Some(SendErrorCode::Connect), true),
        (Answer::bytes("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), Some(SendErrorCode::Timeout), true),
        (Answer::then_close("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), Some(SendErrorCode::Connect), true),
        (Answer::Ok, None, false),
        (Answer::bytes("HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n"), None, false),
    ];
    for (number, (answer, code, possibly_sent)) in cases.into_iter().enumerate() {
        let receiver = Receiver::start(answer).await;
        let lab = Lab::on_loopback(EgressConfig::default());
        assert_eq!(outcome(&lab.door, &receiver.url("/")).await, (code, possibly_sent), "case {number}");
    }
}

#[tokio::test]
async fn what_was_refused_or_never_connected_has_not_arrived() {
    let clock = || Arc::new(StoppedClock(AtomicU64::new(NOW.as_millis())));
    let config = || EgressConfig { allow_addresses: vec!["127.0.0.0/8".parse().unwrap()], ..EgressConfig::default() };
    let url = "http://127.0.0.1:9/";
    for (is_refused, code) in [(true, SendErrorCode::Connect), (false, SendErrorCode::Timeout)] {
        let network = Network { resolve: Arc::new(Names::default()), dial: Arc::new(Nowhere { is_refused }) };
        let door = Door::with_network(config(), clock(), network);
        assert_eq!(outcome(&door, url).await, (Some(code), false));
    }
    let strict = Lab::on_loopback(EgressConfig::default());
    assert_eq!(outcome(&strict.door, "http://10.0.0.1/").await, (Some(SendErrorCode::AddressDenied), false));
}
