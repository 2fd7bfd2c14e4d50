//! Budgets, sizes, and peers that stall: in each phase the request ends, soon, with the right name.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flowcell_core::capability::StepScope;
use flowcell_sandbox::egress::{Budget, CallPass, Dial, Door, EgressConfig, Network, OutboundRequest, SendErrorCode};
use http_body::{Body, Frame};
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::network::{Answer, Lab, NOW, Names, Receiver, StoppedClock, get, pass_to, pass_with, post, rights};

const SHORT: Duration = Duration::from_millis(60);

async fn code_of(config: EgressConfig, answer: impl Into<Vec<u8>>) -> SendErrorCode {
    let receiver = Receiver::start(Answer::bytes(answer.into())).await;
    let error = Lab::on_loopback(config).get(&receiver.url("/")).await.unwrap_err();
    assert!(error.message.len() > 20, "{}", error.message);
    error.code
}

#[tokio::test]
async fn a_call_has_a_budget_of_requests_and_bytes() {
    let receiver = Receiver::start(Answer::Ok).await;
    let lab = Lab::on_loopback(EgressConfig::default());
    let url = receiver.url("/");
    let large = Budget::default();
    for (budget, passes) in [
        (Budget { requests: 2, ..large }, 2),
        (Budget { bytes_out: 10, ..large }, 2),
        (Budget { bytes_in: 5, ..large }, 2),
        (Budget { requests: 0, ..large }, 0),
    ] {
        let pass = pass_with(&url, budget);
        for at in 0..4 {
            let outcome =
                lab.door.send(&pass, post(&url, b"12345")).await.map_err(|error| (error.code, error.retryable));
            let expected = if at < passes { Ok(200) } else { Err((SendErrorCode::Budget, false)) };
            assert_eq!(outcome.map(|response| response.status), expected, "{budget:?}, request {at}");
        }
        assert_eq!(pass.take_exchanges().0.len(), 4);
    }
}

#[tokio::test]
async fn denials_in_a_loop_leave_a_bounded_record() {
    let lab = Lab::on_loopback(EgressConfig::default());
    let pass = pass_with("http://10.0.0.1/", Budget { requests: 3, ..Budget::default() });
    for _ in 0..100 {
        lab.door.send(&pass, get("http://elsewhere.example/")).await.unwrap_err();
    }
    let (exchanges, dropped) = pass.take_exchanges();
    assert_eq!((exchanges.len(), dropped), (23, 77));
}

#[tokio::test]
async fn responses_larger_than_allowed_are_cut_off() {
    let config = || EgressConfig { response_bytes_max: 1000, ..EgressConfig::default() };
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n";
    assert_eq!(code_of(config(), announced).await, SendErrorCode::TooLarge);
    let chunk = format!("190\r\n{}\r\n", "x".repeat(400));
    let chunked = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", chunk.repeat(3));
    assert_eq!(code_of(config(), chunked).await, SendErrorCode::TooLarge);
    let fits = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(2));
    let receiver = Receiver::start(Answer::bytes(fits)).await;
    assert_eq!(Lab::on_loopback(config()).get(&receiver.url("/")).await.unwrap().body.len(), 800);
}

#[tokio::test]
async fn floods_of_headers_are_cut_off() {
    let many = "x-a: y\r\n".repeat(5000);
    let wide = format!("x-wide: {}\r\n", "y".repeat(70 * 1024));
    let endless = "x".repeat(200 * 1024);
    for flood in [many, wide, endless] {
        let answer = format!("HTTP/1.1 200 OK\r\n{flood}\r\n\r\n");
        assert_eq!(code_of(EgressConfig::default(), answer).await, SendErrorCode::TooLarge);
    }
}

#[tokio::test]
async fn requests_larger_than_allowed_are_not_sent() {
    let receiver = Receiver::start(Answer::Ok).await;
    let lab = Lab::on_loopback(EgressConfig { request_bytes_max: 4, ..EgressConfig::default() });
    let url = receiver.url("/");
    let wide = OutboundRequest { headers: vec![("x-wide".into(), "y".repeat(70 * 1024))], ..get(&url) };
    let many = OutboundRequest { headers: vec![("x-a".to_owned(), "y".to_owned()); 101], ..get(&url) };
    for request in [post(&url, b"12345"), wide, many] {
        assert_eq!(lab.door.send(&pass_to(&url), request).await.unwrap_err().code, SendErrorCode::TooLarge);
    }
    assert!(receiver.heads.lock().unwrap().is_empty());
}

/// A network in which no connection is ever made.
struct Unreachable;

#[async_trait]
impl Dial for Unreachable {
    async fn dial(&self, _: SocketAddr) -> io::Result<TcpStream> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_peer_that_stalls_in_any_phase_is_left() {
    let config = || EgressConfig {
        allow_addresses: vec!["127.0.0.0/8".parse().unwrap()],
        connect_timeout: SHORT,
        first_byte_timeout: SHORT,
        idle_body_timeout: SHORT,
        ..EgressConfig::default()
    };
    let timed_out = |phase: &str, outcome: Result<_, flowcell_sandbox::egress::SendError>| {
        let error = outcome.map(|_: flowcell_sandbox::egress::OutboundResponse| ()).unwrap_err();
        assert_eq!((error.code, error.retryable), (SendErrorCode::Timeout, true), "{phase}: {}", error.message);
        error.message
    };
    let clock = || Arc::new(StoppedClock(AtomicU64::new(NOW.as_millis())));

    let nowhere = Door::with_network(
        config(),
        clock(),
        Network { resolve: Arc::new(Names::default()), dial: Arc::new(Unreachable) },
    );
    let url = "http://127.0.0.1:9/";
    assert!(timed_out("connect", nowhere.send(&pass_to(url), get(url)).await).contains("no connection"));

    let silent = Receiver::start(Answer::Silence).await;
    let lab = Lab::on_loopback(config());
    assert!(timed_out("TLS", lab.get(&silent.url("/").replace("http:", "https:")).await).contains("TLS"));
    assert!(timed_out("first byte", lab.get(&silent.url("/")).await).contains("no response began"));

    let mid_head = Receiver::start(Answer::bytes("HTTP/1.1 200 OK\r\nx-a: ")).await;
    assert!(timed_out("mid headers", lab.get(&mid_head.url("/")).await).contains("no response began"));

    let mid_body = Receiver::start(Answer::bytes("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")).await;
    let pass = pass_to(&mid_body.url("/"));
    assert!(timed_out("mid body", lab.door.send(&pass, get(&mid_body.url("/"))).await).contains("stalled"));
    let response = pass.take_exchanges().0.remove(0).response.unwrap();
    assert_eq!((response.status, response.body.text.as_deref()), (200, Some("half")), "what came is on record");

    // The guest's own timeout and the call's deadline end it before those of the configuration.
    let lab = Lab::on_loopback(EgressConfig::default());
    let impatient = OutboundRequest { timeout: Some(SHORT), ..get(&silent.url("/")) };
    timed_out("the guest's timeout", lab.door.send(&pass_to(&silent.url("/")), impatient).await);
    let authority = format!("http://{}", silent.address);
    let late =
        CallPass::new(rights(&[&authority], None, &[&authority]), StepScope::default(), NOW + SHORT, Budget::default());
    timed_out("the call's deadline", lab.door.send(&late, get(&silent.url("/"))).await);
    let over = CallPass::new(rights(&[&authority], None, &[&authority]), StepScope::default(), NOW, Budget::default());
    let seen = silent.heads.lock().unwrap().len();
    timed_out("a deadline that has passed", lab.door.send(&over, get(&silent.url("/"))).await);
    assert_eq!(silent.heads.lock().unwrap().len(), seen, "nothing was sent");
}

/// A byte now and then is no stall, so no timeout of a phase ends it: the call's deadline does.
#[tokio::test]
async fn a_peer_that_drips_its_body_is_left_at_the_calls_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // An answer before the question would be none.
        let _ = stream.read(&mut [0; 1024]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    });
    let lab = Lab::on_loopback(EgressConfig { idle_body_timeout: Duration::from_mins(1), ..EgressConfig::default() });
    let rights = rights(&[&authority], None, &[&authority]);
    let pass = CallPass::new(rights, StepScope::default(), NOW + SHORT * 25, Budget::default());
    let error = lab.door.send(&pass, get(&format!("{authority}/"))).await.unwrap_err();
    assert_eq!((error.code, error.retryable), (SendErrorCode::Timeout, true), "{}", error.message);
    let response = pass.take_exchanges().0.remove(0).response.unwrap();
    assert!(response.status == 200 && response.body.bytes > 0, "what came is on record: {response:?}");
}

#[tokio::test]
async fn failures_of_the_peer_have_their_own_names() {
    let lab = Lab::on_loopback(EgressConfig::default());
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let lost = Receiver::start(Answer::then_close("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")).await;
    let empty = Receiver::start(Answer::then_close("")).await;
    let mail = Receiver::start(Answer::then_close("502 Command not implemented\r\n")).await;
    let greeting = Receiver::start(Answer::greeting("220 mail.example ESMTP ready to serve you\r\n")).await;
    for (url, code, retryable) in [
        (closed, SendErrorCode::Connect, true),
        ("http://nowhere.invalid/".to_owned(), SendErrorCode::Dns, true),
        (mail.url("/"), SendErrorCode::Protocol, false),
        (lost.url("/"), SendErrorCode::Connect, true),
        (empty.url("/"), SendErrorCode::Connect, true),
        (greeting.url("/").replace("http:", "https:"), SendErrorCode::Tls, false),
    ] {
        let pass = pass_to(&url);
        let error = lab.door.send(&pass, get(&url)).await.unwrap_err();
        assert_eq!((error.code, error.retryable), (code, retryable), "{url}: {}", error.message);
        let exchange = pass.take_exchanges().0.remove(0);
        assert_eq!(exchange.error.unwrap().code, code.as_str());
        assert_eq!(
            exchange.address.is_some(),
            matches!(code, SendErrorCode::Connect | SendErrorCode::Protocol),
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_head_request_has_no_body_whatever_is_announced() {
    let receiver = Receiver::start(Answer::bytes("HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n")).await;
    let request = OutboundRequest { method: "HEAD".into(), ..get(&receiver.url("/")) };
    let response =
        Lab::on_loopback(EgressConfig::default()).door.send(&pass_to(&receiver.url("/")), request).await.unwrap();
    assert_eq!((response.status, response.body.len()), (200, 0));
}

#[tokio::test]
async fn requests_of_the_http_crate_take_the_same_door() {
    let receiver = Receiver::start(Answer::Ok).await;
    let lab = Lab::on_loopback(EgressConfig { request_bytes_max: 8, ..EgressConfig::default() });
    let url = receiver.url("/x?y");
    let request = |uri: &str, body: &'static str| {
        http::Request::post(uri).header("x-a", "b").body(Full::new(Bytes::from(body))).unwrap()
    };
    let response = lab.door.send_http(&pass_to(&url), request(&url, "12345678"), None).await.unwrap();
    assert_eq!((response.status(), response.body().as_ref()), (http::StatusCode::OK, &b"ok"[..]));
    assert!(
        receiver.last_head().starts_with("POST /x?y HTTP/1.1\r\n")
            && receiver.last_head().contains("content-length: 8\r\n")
    );

    let code =
        async |uri: &str, body| lab.door.send_http(&pass_to(uri), request(uri, body), None).await.unwrap_err().code;
    assert_eq!(code(&url, "123456789").await, SendErrorCode::TooLarge);
    assert_eq!(code("http://169.254.169.254/", "").await, SendErrorCode::AddressDenied);
    assert_eq!(code("http://a@b.example/", "").await, SendErrorCode::Denied);

    // Clients of wasi:http announce a length: the true one is sent once, another one is refused.
    for (length, sent) in [("2", true), ("3", false), ("0", false), ("2, 2", false), ("x", false)] {
        let mut announced = request(&url, "ab");
        announced.headers_mut().insert(http::header::CONTENT_LENGTH, length.parse().unwrap());
        let outcome = lab.door.send_http(&pass_to(&url), announced, None).await.map(|_| ()).map_err(|error| error.code);
        assert_eq!(outcome, if sent { Ok(()) } else { Err(SendErrorCode::InvalidRequest) }, "{length}");
    }
    assert_eq!(receiver.last_head().matches("content-length").count(), 1);

    // A guest that never finishes its body does not outlive its call.
    let endless = http::Request::post(&url).body(Unfinished).unwrap();
    let authority = format!("http://{}", receiver.address);
    let pass =
        CallPass::new(rights(&[&authority], None, &[&authority]), StepScope::default(), NOW + SHORT, Budget::default());
    assert_eq!(lab.door.send_http(&pass, endless, None).await.unwrap_err().code, SendErrorCode::Timeout);
    assert_eq!(pass.take_exchanges().0.remove(0).error.unwrap().code, "timeout");
}

/// A body that never comes.
struct Unfinished;

impl Body for Unfinished {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_closed_door_has_no_connections() {
    let receiver = Receiver::start(Answer::Ok).await;
    let lab = Lab::on_loopback(EgressConfig::default());
    lab.get(&receiver.url("/")).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), lab.door.close()).await.expect("nothing lingers");
}
