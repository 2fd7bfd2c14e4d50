use super::*;
use crate::clock::SystemClock;
use crate::entropy::SystemEntropy;
use axum::routing;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn edge() -> Edge {
    let routes = Router::new()
        .route("/fine", routing::get(async || "fine"))
        .route("/panics", routing::get(async || -> &'static str { panic!("on purpose, with a secret") }))
        .route("/fails", routing::get(async || Problem::internal()))
        .route("/hooks/{token}", routing::post(async || std::future::pending::<()>().await));
    let limits = crate::config::Config::default().http.limits();
    let limits = Limits { connections_max: 4, connections_per_client_max: 2, requests_max: 4, ..limits };
    Edge::new(with_fallbacks(routes), limits, Arc::new(SystemClock), Arc::new(SystemEntropy))
}

async fn get(edge: &Edge, method: &str, path: &str) -> (u16, http::HeaderMap, Value) {
    let request = Request::builder().method(method).uri(path).header("host", "test").body(Body::empty()).unwrap();
    let response = edge.answer(request, None).await;
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn every_failure_is_a_problem_document_with_the_requests_id() {
    let edge = edge();
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("POST", "/fine", 405),
        ("TRACE", "/fine", 405),
        ("GET", "/panics", 500),
        ("GET", "/fails", 500),
    ] {
        let (got, headers, document) = get(&edge, method, path).await;
        assert_eq!(got, status, "{method} {path}");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(document["status"], status);
        assert_eq!(document["instance"].as_str().unwrap().as_bytes(), headers["x-request-id"].as_bytes());
        assert!(!document.to_string().contains("secret"));
    }
    for path in ["/", "/nowhere", "/a//b/"] {
        assert_eq!(get(&edge, "GET", path).await.2["detail"], format!("There is nothing at `{path}`."));
    }
    let (_, headers, _) = get(&edge, "POST", "/fine").await;
    assert!(headers["allow"].to_str().unwrap().contains("GET"));
    assert_eq!(get(&edge, "GET", "/fine").await.0, 200);
}

#[test]
fn tokens_in_trigger_urls_stay_out_of_the_log() {
    assert_eq!(loggable_path("/hooks/secret/rest"), "/hooks/…");
    assert_eq!(loggable_path("/api/v2/runs"), "/api/v2/runs");
}

#[tokio::test]
async fn the_api_is_refused_while_deliveries_are_still_taken() {
    let edge = edge();
    // Two of four places: their handlers never end.
    let deliveries = [get(&edge, "POST", "/hooks/a"), get(&edge, "POST", "/hooks/b")];
    let mut deliveries = deliveries.map(Box::pin);
    for delivery in &mut deliveries {
        assert!(futures_poll(delivery.as_mut()).is_pending());
    }
    let (status, headers, document) = get(&edge, "GET", "/fine").await;
    assert_eq!((status, &headers["retry-after"]), (503, &HeaderValue::from(1)));
    assert_eq!(document["type"], "https://flowcell.dev/problems/overloaded");
    let mut third = Box::pin(get(&edge, "POST", "/hooks/c"));
    assert!(futures_poll(third.as_mut()).is_pending(), "a delivery has a place");
    drop((deliveries, third));
    assert_eq!(get(&edge, "GET", "/fine").await.0, 200, "places of clients that left are free");
}

fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

/// Reads all there is to read on a new connection, after having sent what is to be sent.
#[expect(clippy::disallowed_methods, reason = "the client of this test is no plugin")]
async fn talk(address: std::net::SocketAddr, request: &[u8]) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"fine") && !answer.ends_with(b"}") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await.unwrap() {
            0 => break,
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    (stream, String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_answered_and_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let served = serve(listener, Arc::new(edge()), stop.clone(), Duration::from_secs(30));
    let clients = async {
        let get = b"GET /fine HTTP/1.1\r\nhost: test\r\n\r\n";
        let (first, second) = (talk(address, get).await, talk(address, get).await);
        assert!(first.1.starts_with("HTTP/1.1 200") && second.1.starts_with("HTTP/1.1 200"), "{first:?} {second:?}");
        let (mut third, answer) = talk(address, get).await;
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(answer.contains("\r\nretry-after: 1\r\n") && answer.contains("connections_per_client_max"), "{answer}");
        assert_eq!(third.read(&mut [0]).await.unwrap(), 0, "it is closed");
        drop(first);
        // The server learns in its own time that a client has gone.
        while !talk(address, get).await.1.starts_with("HTTP/1.1 200") {}
        stop.cancel();
    };
    tokio::join!(served, clients);
}
