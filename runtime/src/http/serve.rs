//! Serves HTTP/1.1 and HTTP/2 on one port: accepts, checks the head, calls the routes, renders problems, and drains.

use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use flowcell_core::ports::{Clock, Entropy};
use http::{HeaderValue, Method, Request, Uri};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::http::admission::{Admission, Client, Purpose};
use crate::http::connection::{protocol, serve_connection};
use crate::http::limits::{Limits, check_head};
use crate::http::problem::{Kind, Problem};
use crate::http::refusal::Refusal;
use crate::http::request_id::{self, RequestId};
use crate::http::throttle::Throttle;
use crate::http::turn_away::TurnAway;

/// After a failed `accept` (mostly: no file descriptors left) the next try waits this long, so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The edge: the routes and what every request passes before and after them.
pub(crate) struct Edge {
    routes: Router,
    pub(super) limits: Limits,
    admission: Admission,
    alarms: Throttle,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
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
    let turned_away = TurnAway::new(connections.clone());
    let protocol = Arc::new(protocol(&edge.limits));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        let Some((stream, address)) = accepted else { continue };
        // Whoever is over a limit is told so at once: in the kernel's queue a client would wait without knowing for what.
        let place = match edge.admission.connection(address) {
            Ok(place) => place,
            Err(problem) => {
                edge.alarm(&problem, "a connection is turned away");
                turned_away.turn_away(stream, &problem, (&*edge.clock, &*edge.entropy));
                continue;
            }
        };
        let (edge, protocol, stop) = (Arc::clone(&edge), Arc::clone(&protocol), stop.clone());
        connections.spawn(async move {
            serve_connection((stream, Some(place.client())), &protocol, edge, stop).await;
            drop(place);
        });
    }
    drop(listener); // new connections are refused from here on
    connections.close();
    if tokio::time::timeout(drain, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "some requests did not finish in time and are cut off");
    }
}

async fn accept(listener: &TcpListener) -> Option<(TcpStream, IpAddr)> {
    match listener.accept().await {
        Ok((stream, address)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, address.ip()))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

impl Edge {
    pub(crate) fn new(routes: Router, limits: Limits, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { routes, admission: Admission::new(&limits), limits, alarms: Throttle::default(), clock, entropy }
    }

    /// Answers one request, whatever happens on the way. `client` is who sent it, where that is known.
    pub(crate) async fn answer(&self, mut request: Request<Body>, client: Option<Arc<Client>>) -> Response {
        let id = RequestId::generate(&*self.clock, &*self.entropy);
        let started = self.clock.now();
        let method = request.method().clone();
        let path = loggable_path(request.uri().path()).to_owned();
        request.extensions_mut().insert(id.clone());

        // The place is given back with the answer's head: what follows of it is the connection's business.
        let response = match self.admission.request(Purpose::of(request.uri().path()), client) {
            Ok(_place) => self.route(request).await,
            Err(problem) => problem.into_response(),
        };
        let (response, problem) = render(response, &id);

        let status = response.status().as_u16();
        let ms = u64::try_from(self.clock.now().since(started).as_millis()).unwrap_or(u64::MAX);
        match problem {
            Some(problem) if problem.is_alarming() => {
                if let Some(silent) = self.alarms.admit(started) {
                    tracing::warn!(request = id.as_str(), %method, path, status, ms, silent, detail = problem.detail(), "request failed");
                }
            }
            _ => tracing::debug!(request = id.as_str(), %method, path, status, ms, "request"),
        }
        response
    }

    /// Answers a request that never came as far as to be one.
    pub(super) fn refuse(&self, refusal: Refusal) -> Response {
        let id = RequestId::generate(&*self.clock, &*self.entropy);
        let (response, _) = render(refusal.problem(&self.limits).into_response(), &id);
        let status = response.status().as_u16();
        tracing::debug!(request = id.as_str(), status, reason = refusal.text(), "request refused");
        response
    }

    /// Says it in the log, unless that has been said often enough in this second.
    fn alarm(&self, problem: &Problem, what: &str) {
        if let Some(silent) = self.alarms.admit(self.clock.now()) {
            tracing::warn!(status = problem.status().as_u16(), silent, detail = problem.detail(), "{what}");
        }
    }

    async fn route(&self, request: Request<Body>) -> Response {
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

/// Puts the request's id on the answer, and writes a problem out with it.
fn render(mut response: Response, id: &RequestId) -> (Response, Option<Problem>) {
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
    (response, problem)
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
