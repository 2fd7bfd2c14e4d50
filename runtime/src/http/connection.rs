//! One connection: which protocol is spoken on it, what its requests are answered with, and when it ends.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::http::admission::Client;
use crate::http::gate::{Gate, Verdict};
use crate::http::limits::Limits;
use crate::http::serve::Edge;

/// Streams a client may open and reset before they are looked at, until the connection is closed ("rapid reset", CVE-2023-44487).
const H2_PENDING_RESETS_MAX: usize = 32;

/// Resets of ours, after errors of the client, until the connection is closed ("made you reset", CVE-2025-8671).
const H2_LOCAL_RESETS_MAX: usize = 64;

/// How much a client may send on one stream, and on all of a connection, before somebody reads it. hyper's own are a MiB each, which on thousands
/// of connections is more than a machine has; with these a 10 MiB delivery still takes less than 10 s across an ocean.
const H2_STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const H2_CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;

/// How often a silent HTTP/2 connection is asked whether it is alive, and how long it may take to say so.
const H2_PING: Duration = Duration::from_secs(20);

/// hyper gets only heads that fit; this is for what may stand behind them in its buffer.
const HYPER_BUFFER_SPARE: usize = 16 * 1024;

/// The gate answers a slow head after the header timeout; so much later whoever has not asked anything is cut off, whatever is spoken.
const AFTER_HEADER_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) type Protocol = auto::Builder<TokioExecutor>;

pub(super) fn protocol(limits: &Limits) -> Protocol {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        // The gate sees to it: hyper's runs while a connection waits for its next request, too.
        .header_read_timeout(None)
        .max_headers(limits.headers_max.saturating_add(2)) // and those of the gate's stand-in
        .max_buf_size(limits.header_bytes_max.saturating_add(HYPER_BUFFER_SPARE))
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(u32::try_from(limits.h2_streams_max).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(H2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(H2_LOCAL_RESETS_MAX)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING);
    protocol
}

/// Serves until the client or a limit ends it, or `stop` is cancelled and what has begun is answered.
pub(super) async fn serve_connection<S>(
    (stream, client): (S, Option<Arc<Client>>),
    protocol: &Protocol,
    edge: Arc<Edge>,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let limits = &edge.limits;
    let (first_request_limit, idle_limit) = (limits.header_timeout + AFTER_HEADER_TIMEOUT, limits.connection_idle);
    let abandoned_max = limits.h2_abandoned_max as u64;
    let verdict = Arc::<Verdict>::default();
    let stream = TokioIo::new(Gate::new(stream, limits, Arc::clone(&verdict)));
    let traffic = Arc::new(Traffic::default());
    let watched = Arc::clone(&traffic);
    let service = service_fn(move |request: Request<Incoming>| {
        let (edge, client, mut in_flight) = (Arc::clone(&edge), client.clone(), InFlight::begin(&traffic));
        let refusal = verdict.on(in_flight.number);
        async move {
            let request = request.map(Body::new);
            let response = match refusal {
                Some(refusal) => edge.refuse(refusal),
                None => edge.answer(request, client).await,
            };
            let response = match response.extensions().get::<KeepsOpen>() {
                Some(KeepsOpen) => {
                    response.map(|body| Body::new(Moving { body, traffic: Arc::clone(&in_flight.traffic) }))
                }
                None => response,
            };
            in_flight.is_answered = true;
            drop(in_flight);
            Ok::<_, Infallible>(response)
        }
    });
    let mut serving = pin!(protocol.serve_connection(stream, service));
    let mut first_request = pin!(tokio::time::sleep(first_request_limit));
    let mut idle = pin!(tokio::time::sleep(idle_limit));
    let (mut closing, mut first_request_waited, mut seen) = (false, false, 0);
    loop {
        tokio::select! {
            // In this order: a machine that is busy may find several of these due at once, and an answer comes before a limit.
            biased;
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
            () = watched.abandoned_one.notified() => {
                if watched.abandoned.load(Ordering::Acquire) > abandoned_max.saturating_add(watched.answered.load(Ordering::Acquire)) {
                    tracing::debug!("a connection is closed: its client takes back most of what it asks");
                    return;
                }
            }
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
    /// Requests that have begun.
    begun: AtomicU64,
    /// Grows with every request that begins or is answered, and with every piece of an answer without an end.
    changes: AtomicU64,
    answered: AtomicU64,
    /// Requests that the client took back before they were answered: each has cost work, and none counts as open any more, so that the limit
    /// of open streams does not hold them.
    abandoned: AtomicU64,
    abandoned_one: Notify,
}

impl Traffic {
    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

/// One request that is not answered yet; a client that resets its stream drops it as well.
struct InFlight {
    traffic: Arc<Traffic>,
    /// Its number on the connection, from 0.
    number: u64,
    is_answered: bool,
}

impl InFlight {
    fn begin(traffic: &Arc<Traffic>) -> Self {
        traffic.in_flight.fetch_add(1, Ordering::AcqRel);
        traffic.changes.fetch_add(1, Ordering::AcqRel);
        let number = traffic.begun.fetch_add(1, Ordering::AcqRel);
        Self { traffic: Arc::clone(traffic), number, is_answered: false }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let traffic = &self.traffic;
        traffic.changes.fetch_add(1, Ordering::AcqRel);
        traffic.in_flight.fetch_sub(1, Ordering::AcqRel);
        if self.is_answered {
            traffic.answered.fetch_add(1, Ordering::AcqRel);
        } else {
            traffic.abandoned.fetch_add(1, Ordering::AcqRel);
            traffic.abandoned_one.notify_one();
        }
    }
}

/// Marks an answer without an end: as long as its pieces are taken, its connection is not idle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepsOpen;

/// Counts the pieces of such an answer as they are taken.
struct Moving {
    body: Body,
    traffic: Arc<Traffic>,
}

impl http_body::Body for Moving {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, axum::Error>>> {
        let polled = std::pin::Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            self.traffic.changes.fetch_add(1, Ordering::AcqRel);
        }
        polled
    }
}

#[cfg(test)]
mod tests;
