//! Serves HTTP/1.1 and HTTP/2 on one port: accepts, checks the head, calls the routes, renders problems, and drains.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use flowcell_core::ports::{Clock, Entropy};
use http::{HeaderValue, Method, Request, Uri};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::http::limits::{Limits, check_head};
use crate::http::problem::{Kind, Problem};
use crate::http::request_id::{self, RequestId};

/// Streams one HTTP/2 connection may have open; RFC 9113 asks for no fewer than 100.
const H2_STREAMS_MAX: u32 = 128;

/// Streams a client may open and reset before the connection is closed ("rapid reset", CVE-2023-44487).
const H2_PENDING_RESETS_MAX: usize = 32;

/// How often a silent HTTP/2 connection is asked whether it is alive, and how long it may take to say so.
const H2_PING: Duration = Duration::from_secs(20);

/// After a failed `accept` (mostly: no file descriptors left) the next try waits this long, so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The edge: the routes and what every request passes before and after them.
pub(crate) struct Edge {
    pub(crate) routes: Router,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// Adds what answers when no route does.
pub(crate) fn with_fallbacks(routes: Router) -> Router {
    routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed)
}

pub(crate) async fn not_found(uri: Uri) -> Problem {
    Problem::new(Kind::NotFound, format!("There is nothing at `{}`.", uri.path()))
}

pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(Kind::MethodNotAllowed, format!("`{}` does not answer to {method}.", uri.path()))
}

/// Serves until `stop` is cancelled, then lets open requests finish for at most `drain`.
pub(crate) async fn serve(listener: TcpListener, edge: Arc<Edge>, stop: CancellationToken, drain: Duration) {
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(edge.limits.connections_max));
    let protocol = Arc::new(protocol(&edge.limits));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, slot)) = accepted else { continue };
        let (edge, protocol, stop) = (Arc::clone(&edge), Arc::clone(&protocol), stop.clone());
        connections.spawn(async move {
            connection(stream, &protocol, edge, stop).await;
            drop(slot);
        });
    }
    drop(listener); // new connections are refused from here on
    connections.close();
    if tokio::time::timeout(drain, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "some requests did not finish in time and are cut off");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    // At the limit nothing is accepted: the kernel's backlog holds newcomers until somebody leaves.
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, slot))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn protocol(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.headers_max)
        .max_buf_size(limits.header_bytes_max.max(8 * 1024)) // hyper accepts no less
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS_MAX)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING);
    protocol
}

async fn connection(
    stream: TcpStream,
    protocol: &auto::Builder<TokioExecutor>,
    edge: Arc<Edge>,
    stop: CancellationToken,
) {
    let (first_request_limit, idle_limit) = (edge.limits.header_timeout, edge.limits.connection_idle);
    let traffic = Arc::new(Traffic::default());
    let watched = Arc::clone(&traffic);
    let service = service_fn(move |request: Request<Incoming>| {
        let (edge, request_in_flight) = (Arc::clone(&edge), InFlight::begin(&traffic));
        async move {
            let response = edge.answer(request.map(Body::new)).await;
            drop(request_in_flight);
            Ok::<_, Infallible>(response)
        }
    });
    let mut serving = pin!(protocol.serve_connection(TokioIo::new(stream), service));
    let mut first_request = pin!(tokio::time::sleep(first_request_limit));
    let mut idle = pin!(tokio::time::sleep(idle_limit));
    let (mut closing, mut first_request_waited, mut seen) = (false, false, 0);
    loop {
        tokio::select! {
            outcome = serving.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = stop.cancelled(), if !closing => {
                closing = true;
                serving.as_mut().graceful_shutdown();
            }
            // hyper's own header timeout starts only when it knows which protocol is spoken.
            () = first_request.as_mut(), if !first_request_waited => {
                first_request_waited = true;
                if watched.changes() == 0 {
                    return;
                }
            }
            () = idle.as_mut() => {
                let changes = watched.changes();
                if watched.in_flight.load(Ordering::Acquire) == 0 && changes == seen {
                    // First politely; whoever has then not taken the answers within the same time is not going to.
                    if closing {
                        return;
                    }
                    closing = true;
                    serving.as_mut().graceful_shutdown();
                }
                seen = changes;
                idle.set(tokio::time::sleep(idle_limit));
            }
        }
    }
}

/// What happens on one connection: whether it is idle is looked at once in each idle limit, so that requests only have to count.
#[derive(Debug, Default)]
struct Traffic {
    in_flight: AtomicUsize,
    /// Grows with every request that begins or is answered.
    changes: AtomicU64,
}

impl Traffic {
    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

/// One request that is not answered yet; a client that resets its stream drops it as well.
struct InFlight(Arc<Traffic>);

impl InFlight {
    fn begin(traffic: &Arc<Traffic>) -> Self {
        traffic.in_flight.fetch_add(1, Ordering::AcqRel);
        traffic.changes.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(traffic))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.changes.fetch_add(1, Ordering::AcqRel);
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Edge {
    /// Answers one request, whatever happens on the way.
    pub(crate) async fn answer(&self, mut request: Request<Body>) -> Response {
        let id = RequestId::generate(&*self.clock, &*self.entropy);
        let started = self.clock.now();
        let method = request.method().clone();
        let path = loggable_path(request.uri().path()).to_owned();
        request.extensions_mut().insert(id.clone());

        let mut response = self.route(request).await;
        let problem = response.extensions_mut().remove::<Problem>();
        if let Some(problem) = &problem {
            let kept = std::mem::take(response.headers_mut()); // such as the router's `Allow`
            response = problem.render(id.as_str());
            for (name, value) in kept {
                if let Some(name) = name.filter(|name| name != http::header::CONTENT_LENGTH) {
                    response.headers_mut().entry(name).or_insert(value);
                }
            }
        }
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            response.headers_mut().insert(request_id::HEADER, value);
        }

        let status = response.status().as_u16();
        let ms = u64::try_from(self.clock.now().since(started).as_millis()).unwrap_or(u64::MAX);
        match problem {
            Some(problem) if problem.is_alarming() => {
                tracing::warn!(request = id.as_str(), %method, path, status, ms, detail = problem.detail(), "request failed");
            }
            _ => tracing::debug!(request = id.as_str(), %method, path, status, ms, "request"),
        }
        response
    }

    async fn route(&self, request: Request<Body>) -> Response {
        use axum::response::IntoResponse;
        let (parts, body) = request.into_parts();
        if let Err(problem) = check_head(&parts, self.limits.header_bytes_max) {
            return problem.into_response();
        }
        let mut routed = pin!(self.routes.clone().oneshot(Request::from_parts(parts, body)));
        // A handler that panics costs its request, not the connection that other requests share.
        std::future::poll_fn(|context| {
            match std::panic::catch_unwind(AssertUnwindSafe(|| routed.as_mut().poll(context))) {
                Ok(poll) => poll.map(|Ok::<_, Infallible>(response)| response),
                Err(_) => Poll::Ready(Problem::internal().into_response()),
            }
        })
        .await
    }
}

/// A path fit for a log: the token of a trigger or of a resume link opens something, so it stays out.
fn loggable_path(path: &str) -> &str {
    match path {
        path if path.starts_with("/hooks/") => "/hooks/…",
        path if path.starts_with("/resume/") => "/resume/…",
        path => path,
    }
}

#[cfg(test)]
mod tests;
