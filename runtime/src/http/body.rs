//! Reads a request's body whole, within its limits of size, idleness and time, and all bodies together within their budget of memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::http::limits::Limits;
use crate::http::problem::{Kind, Problem};

/// How many times the limit is read and thrown away after an oversized request was answered: a client that sends its whole body before it
/// reads would otherwise see a broken connection instead of the answer.
const DISCARD_FACTOR: usize = 4;

/// Memory reserved up front for a body of announced length; beyond it the buffer grows with what really comes.
const RESERVE_MAX: usize = 64 * 1024;

/// Reads bodies within the limits of the edge.
#[derive(Debug)]
pub(crate) struct BodyReader {
    bytes_max: usize,
    pace: Pace,
    /// A permit is a byte of a body in memory.
    budget: Arc<Semaphore>,
    /// What has to stay free of it when something is read that is no delivery.
    kept_for_deliveries: usize,
    /// Bodies that are thrown away behind their answer; each keeps the pace, too.
    leftovers: TaskTracker,
}

/// How fast a body has to come.
#[derive(Debug, Clone, Copy)]
struct Pace {
    whole: Duration,
    idle: Duration,
    grace: Duration,
    bytes_per_s_min: u64,
}

/// Which of its limits a body did not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TooSlow {
    Whole,
    Idle,
    Rate,
}

impl Pace {
    /// How long the next piece may take, `elapsed` after the start with `seen` bytes; and what it has missed if it takes longer.
    fn next(&self, elapsed: Duration, seen: usize) -> (Duration, TooSlow) {
        let earned = Duration::from_millis((seen as u64).saturating_mul(1_000) / self.bytes_per_s_min.max(1));
        let limits = [
            (self.idle, TooSlow::Idle),
            (self.whole.saturating_sub(elapsed), TooSlow::Whole),
            (self.grace.saturating_add(earned).saturating_sub(elapsed), TooSlow::Rate),
        ];
        limits.into_iter().min_by_key(|(limit, _)| *limit).unwrap_or((self.idle, TooSlow::Idle))
    }

    fn problem(&self, missed: TooSlow) -> Problem {
        let detail = match missed {
            TooSlow::Whole => format!(
                "The body took longer than {} ms as a whole (`http.body_timeout_ms` in the configuration).",
                self.whole.as_millis()
            ),
            TooSlow::Idle => format!(
                "The body took longer than {} ms between two pieces (`http.body_idle_ms` in the configuration).",
                self.idle.as_millis()
            ),
            TooSlow::Rate => format!(
                "The body came with less than {} bytes a second (`http.body_bytes_per_s_min` in the configuration).",
                self.bytes_per_s_min
            ),
        };
        Problem::new(Kind::RequestTimeout, detail)
    }
}

/// Whose body it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Delivery,
    Other,
}

/// A body that was read. It counts against the budget for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Received {
    bytes: Bytes,
    held: OwnedSemaphorePermit,
}

impl Received {
    /// The bytes, and what to keep for as long as they are in memory.
    pub(crate) fn into_parts(self) -> (Bytes, OwnedSemaphorePermit) {
        (self.bytes, self.held)
    }
}

impl std::ops::Deref for Received {
    type Target = Bytes;
    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

/// Why a body was not read, where the rest of it has to be thrown away.
enum Refusal {
    TooLarge,
    NoRoom,
    Broken(Problem),
}

impl BodyReader {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            bytes_max: limits.body_bytes_max,
            pace: Pace {
                whole: limits.body_timeout,
                idle: limits.body_idle,
                grace: limits.body_grace,
                bytes_per_s_min: limits.body_bytes_per_s_min,
            },
            budget: Arc::new(Semaphore::new(limits.bodies_in_flight_bytes_max.min(Semaphore::MAX_PERMITS))),
            kept_for_deliveries: limits.bodies_in_flight_bytes_max / 2,
            leftovers: TaskTracker::new(),
        }
    }

    /// Reads the whole body or says why not.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Received, Problem> {
        self.read_for(Sender::Other, headers, body).await
    }

    /// The same for a delivery, which is refused last when there is little room.
    pub(crate) async fn read_delivery(&self, headers: &HeaderMap, body: Body) -> Result<Received, Problem> {
        self.read_for(Sender::Delivery, headers, body).await
    }

    async fn read_for(&self, sender: Sender, headers: &HeaderMap, mut body: Body) -> Result<Received, Problem> {
        let announced = announced_length(headers);
        if announced.is_some_and(|length| length > self.bytes_max as u64) {
            // A client that asked for leave to send (`Expect: 100-continue`) has not begun.
            if !headers.contains_key(EXPECT) {
                self.discard(body);
            }
            return Err(self.too_large());
        }
        match self.collect(&mut body, (announced, sender)).await {
            Ok(received) => Ok(received),
            Err(Refusal::TooLarge) => {
                self.discard(body);
                Err(self.too_large())
            }
            Err(Refusal::NoRoom) => {
                self.discard(body);
                Err(no_room())
            }
            Err(Refusal::Broken(problem)) => Err(problem),
        }
    }

    /// Room is taken for what has come, not for what is announced: announcing costs a client nothing.
    async fn collect(&self, body: &mut Body, (announced, sender): (Option<u64>, Sender)) -> Result<Received, Refusal> {
        let announced = usize::try_from(announced.unwrap_or(0)).unwrap_or(0);
        let mut kept = BytesMut::with_capacity(announced.min(RESERVE_MAX));
        let mut held = self.room_for(0, sender)?;
        let begun = Instant::now();
        loop {
            let (limit, missed) = self.pace.next(begun.elapsed(), kept.len());
            let frame = match timeout(limit, body.frame()).await {
                Err(_) => return Err(Refusal::Broken(self.pace.problem(missed))),
                Ok(None) => return Ok(Received { bytes: kept.freeze(), held }),
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "a request body broke off");
                    let detail = "The request's body broke off or is not framed correctly.";
                    return Err(Refusal::Broken(Problem::new(Kind::InvalidRequest, detail)));
                }
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > self.bytes_max - kept.len() {
                return Err(Refusal::TooLarge);
            }
            held.merge(self.room_for(data.len(), sender)?);
            kept.extend_from_slice(&data);
        }
    }

    fn room_for(&self, bytes: usize, sender: Sender) -> Result<OwnedSemaphorePermit, Refusal> {
        // What is free may change meanwhile: a share is no promise to the byte.
        if sender == Sender::Other && bytes > self.budget.available_permits().saturating_sub(self.kept_for_deliveries) {
            return Err(Refusal::NoRoom);
        }
        let bytes = u32::try_from(bytes).map_err(|_| Refusal::NoRoom)?;
        Arc::clone(&self.budget).try_acquire_many_owned(bytes).map_err(|_| Refusal::NoRoom)
    }

    fn discard(&self, mut body: Body) {
        let (pace, bytes_max) = (self.pace, self.bytes_max.saturating_mul(DISCARD_FACTOR));
        self.leftovers.spawn(async move {
            let (begun, mut seen) = (Instant::now(), 0usize);
            while seen <= bytes_max {
                let (limit, _) = pace.next(begun.elapsed(), seen);
                let Ok(Some(Ok(frame))) = timeout(limit, body.frame()).await else { break };
                seen = seen.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            }
        });
    }

    fn too_large(&self) -> Problem {
        Problem::new(
            Kind::TooLarge,
            format!(
                "The body is larger than the {} bytes that are accepted (`http.body_bytes_max` in the configuration).",
                self.bytes_max
            ),
        )
    }
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn no_room() -> Problem {
    Problem::new(
        Kind::Busy,
        "The bodies of all open requests together are as large as is allowed (`http.bodies_in_flight_bytes_max` in the configuration). \
         Nothing was stored; send the request again a little later.",
    )
    .retry_after_ms(None)
}

#[cfg(test)]
mod tests;
