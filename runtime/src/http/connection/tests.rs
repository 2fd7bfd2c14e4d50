use super::*;
use crate::clock::SystemClock;
use crate::entropy::SystemEntropy;
use crate::http::serve::with_fallbacks;
use axum::{Router, routing};
use http_body_util::{BodyExt, Empty, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Short enough to wait for, and long enough for a busy machine. Here time itself is what is tested.
const FIRST_REQUEST: Duration = Duration::from_millis(300);
const IDLE: Duration = Duration::from_millis(200);
const NEVER: Duration = Duration::from_hours(1);

fn edge(connection_idle: Duration) -> Edge {
    let routes = Router::new()
        .route("/fine", routing::get(async || "fine"))
        .route("/slow", routing::get(async || tokio::time::sleep(FIRST_REQUEST * 2).await))
        .route("/never", routing::get(async || std::future::pending::<()>().await))
        .route("/large", routing::get(async || vec![0; 64 * 1024 * 1024]))
        .route("/length", routing::post(async |body: bytes::Bytes| body.len().to_string()))
        .route("/unread", routing::post(async || "unread"));
    let limits = crate::config::Config::default().http.limits();
    let limits = Limits { header_timeout: FIRST_REQUEST, connection_idle, h2_abandoned_max: 10, ..limits };
    Edge::new(with_fallbacks(routes), limits, Arc::new(SystemClock), Arc::new(SystemEntropy))
}

/// A client's end, and the server's work on the other one.
#[expect(clippy::disallowed_methods, reason = "the client of this test is no plugin")]
async fn connected(connection_idle: Duration) -> (TcpStream, impl Future<Output = ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let edge = Arc::new(edge(connection_idle));
    let served = async move {
        serve_connection((server, None), &protocol(&edge.limits), edge, CancellationToken::new()).await;
    };
    (client, async { tokio::time::timeout(Duration::from_mins(1), served).await.expect("the connection ends") })
}

/// Reads until the answer ends with `end`.
async fn read_to(client: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        let mut piece = [0; 4096];
        let count = client.read(&mut piece).await.unwrap();
        assert_ne!(count, 0, "cut off after {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn a_connection_outlives_the_limit_for_its_first_request() {
    let (mut client, served) = connected(IDLE).await;
    let talk = async {
        for _ in 0..2 {
            client.write_all(b"GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
            let answer = read_to(&mut client, "\r\n\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        drop(client);
    };
    tokio::join!(served, talk);
}

#[tokio::test]
async fn a_body_that_takes_longer_than_the_first_request_is_read() {
    let (mut client, served) = connected(NEVER).await;
    let talk = async {
        client.write_all(b"POST /length HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n01234").await.unwrap();
        tokio::time::sleep(FIRST_REQUEST * 2).await;
        client.write_all(b"56789").await.unwrap();
        read_to(&mut client, "\r\n\r\n10").await;
        drop(client);
    };
    tokio::join!(served, talk);
}

#[tokio::test]
async fn a_connection_that_never_asks_is_closed() {
    let (mut client, served) = connected(NEVER).await;
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    served.await;
}

#[tokio::test]
async fn an_http2_connection_on_which_nothing_is_asked_is_closed() {
    let (client, served) = connected(IDLE).await;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client));
    let talk = async {
        let (mut sender, client) = handshake.await.unwrap();
        let slow = Request::get("http://test/slow").body(Empty::<bytes::Bytes>::new()).unwrap();
        let ask = async {
            assert_eq!(sender.send_request(slow).await.unwrap().status(), 200, "a request in flight is not idle");
            sender
        };
        // The sender is kept: it is the server that ends the connection.
        let (_sender, closed) = tokio::join!(ask, client);
        closed.unwrap();
    };
    tokio::join!(served, talk);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let (mut client, served) = connected(IDLE).await;
    client.write_all(b"GET /large HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    served.await;
    drop(client);
}

/// Sends, reads all there is, and returns it; the server ends the connection.
async fn exchange(connection_idle: Duration, request: &str) -> String {
    let (mut client, served) = connected(connection_idle).await;
    let talk = async {
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        drop(client);
        answer
    };
    tokio::join!(served, talk).1
}

#[tokio::test]
async fn what_hyper_would_settle_is_refused_and_ends_the_connection() {
    for (framing, body, status) in [
        ("content-length: 3\r\ncontent-length: 4", "abc", "400"),
        ("content-length: 3\r\ncontent-length: 3", "abc", "400"),
        ("content-length: 4\r\ntransfer-encoding: chunked", "3\r\nabc\r\n0\r\n\r\n", "400"),
        ("x: y\ncontent-length: 3", "abc", "400"),
        ("transfer-encoding: gzip, chunked", "3\r\nabc\r\n0\r\n\r\n", "501"),
    ] {
        let next = "POST /length HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\nabc";
        let request = format!("POST /length HTTP/1.1\r\nhost: test\r\n{framing}\r\n\r\n{body}{next}");
        let answer = exchange(NEVER, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{framing}: {answer}");
        assert!(answer.contains("connection: close") && answer.contains("application/problem+json"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "nothing behind it is answered: {answer}");
    }
}

#[tokio::test]
async fn a_refusal_comes_after_the_answers_of_the_requests_before_it() {
    let good = "POST /length HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\nabc";
    let slow = "GET /slow HTTP/1.1\r\nhost: test\r\nupgrade: h2c\r\n\r\n";
    let answer = exchange(NEVER, &format!("{slow}{good}GET / HTTP/1.1\r\n\r\n{good}")).await;
    let statuses: Vec<_> = answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{answer}");
    assert!(answer.contains("no Host header"), "{answer}");
}

#[tokio::test]
async fn a_head_that_is_not_there_in_time_is_answered_with_408() {
    let answer = exchange(NEVER, "POST /length HTTP/1.1\r\nhost: te").await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("300 ms"), "{answer}");
    // The second one of a connection, too; and waiting for it does not count.
    let (mut client, served) = connected(NEVER).await;
    let talk = async {
        client.write_all(b"GET /fine HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
        read_to(&mut client, "fine").await;
        tokio::time::sleep(FIRST_REQUEST * 2).await;
        client.write_all(b"GET /fi").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        drop(client);
    };
    tokio::join!(served, talk);
    // Nothing at all is answered with nothing.
    assert_eq!(exchange(NEVER, "").await, "");
}

#[tokio::test]
async fn a_chunk_that_lies_breaks_its_body_off() {
    for chunks in ["3\r\nabcd\r\n0\r\n\r\n", "3\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\nhost: y\r\n\r\n"] {
        let head = "POST /length HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
        let answer = exchange(NEVER, &format!("{head}{chunks}GET /fine HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{chunks:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn an_answer_is_not_lost_because_its_request_still_comes() {
    let (mut client, served) = connected(NEVER).await;
    let talk = async {
        let (mut reading, mut writing) = client.split();
        let send = async {
            writing.write_all(b"POST /unread HTTP/1.1\r\nhost: test\r\ncontent-length: 4000000\r\n\r\n").await.unwrap();
            // The server closes its half in the middle of this, and may be gone before the end.
            let _ = writing.write_all(&vec![b'x'; 4_000_000]).await;
            let _ = writing.shutdown().await;
        };
        let read = async {
            let mut answer = String::new();
            reading.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let (answer, ()) = tokio::join!(read, send);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("unread"), "{answer}");
        drop(client);
    };
    tokio::join!(served, talk);
}

#[tokio::test]
async fn a_long_body_passes_whole() {
    let (mut client, served) = connected(NEVER).await;
    let talk = async {
        let body = vec![b'x'; 1_000_000];
        client.write_all(b"POST /length HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        client.write_all(format!("{:x}\r\n", body.len()).as_bytes()).await.unwrap();
        client.write_all(&body).await.unwrap();
        client.write_all(b"\r\n0\r\n\r\n").await.unwrap();
        read_to(&mut client, "\r\n\r\n1000000").await;
        drop(client);
    };
    tokio::join!(served, talk);
}

#[tokio::test]
async fn a_client_that_takes_back_what_it_asks_is_cut_off() {
    let (client, served) = connected(NEVER).await;
    let (mut sender, client) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
    let talk = async {
        let request =
            |path: &str| Request::get(format!("http://test{path}")).body(Empty::<bytes::Bytes>::new()).unwrap();
        let mut refused = false;
        for _ in 0..1_000 {
            // Long enough for the server to begin with it; then it is dropped, which resets its stream.
            let asked = tokio::time::timeout(Duration::from_millis(2), sender.send_request(request("/never"))).await;
            refused |= matches!(asked, Ok(Err(_)));
            if refused {
                break;
            }
        }
        assert!(refused, "the connection goes on after a thousand of them");
    };
    let client = async {
        let _ = client.await;
    };
    tokio::join!(served, talk, client);
}

#[tokio::test]
async fn http2_passes_through_the_gate() {
    let (client, served) = connected(IDLE).await;
    let (mut sender, client) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
    let talk = async {
        let body = Full::new(bytes::Bytes::from(vec![b'x'; 1_000_000]));
        let answer = sender.send_request(Request::post("http://test/length").body(body).unwrap()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "1000000");
    };
    let ((), (), ended) = tokio::join!(served, talk, client);
    ended.unwrap();
}
