//! The ceiling of the benchmark: the main job without a sandbox and without a store. A POST comes in, four fields are mapped,
//! a POST goes out over a pooled connection, the answer follows.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark's peer, kept as small as it can be"
)]

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

type Outbound = Client<HttpConnector, Full<Bytes>>;

async fn forward(
    client: Outbound,
    target: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let Ok(order) = serde_json::from_slice::<Value>(&body) else {
        return Ok(answer(StatusCode::BAD_REQUEST));
    };
    let mapped = json!({
        "order": order["order_id"], "email": order["customer"]["email"], "total": order["amount"], "source": "bench",
    });
    let outbound = Request::post(target)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(mapped.to_string())))
        .unwrap();
    let delivered = match client.request(outbound).await {
        Ok(response) => response.status().is_success() && response.into_body().collect().await.is_ok(),
        Err(_) => false,
    };
    Ok(answer(if delivered { StatusCode::OK } else { StatusCode::BAD_GATEWAY }))
}

fn answer(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"ok\":true}")));
    *response.status_mut() = status;
    response
}

/// Arguments: the port, and the URL to forward to.
#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap().parse().unwrap();
    let target = arguments.next().unwrap();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Outbound = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(256).build(connector);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = stream.set_nodelay(true);
        let (client, target) = (client.clone(), target.clone());
        let service = service_fn(move |request| forward(client.clone(), target.clone(), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
