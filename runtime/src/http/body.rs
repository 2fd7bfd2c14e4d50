//! Reads a request's body whole, within its limits of size, idleness and time, and all bodies together within their budget of memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
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
    timeout: Duration,
    idle: Duration,
    /// A permit is a byte of a body in memory.
    budget: Arc<Semaphore>,
    /// Bodies that are thrown away behind their answer; each ends with `timeout`.
    leftovers: TaskTracker,
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
            timeout: limits.body_timeout,
            idle: limits.body_idle,
            budget: Arc::new(Semaphore::new(limits.bodies_in_flight_bytes_max.min(Semaphore::MAX_PERMITS))),
            leftovers: TaskTracker::new(),
        }
    }

    /// Reads the whole body or says why not.
    pub(crate) async fn read(&self, headers: &HeaderMap, mut body: Body) -> Result<Received, Problem> {
        let announced = announced_length(headers);
        if announced.is_some_and(|length| length > self.bytes_max as u64) {
            // A client that asked for leave to send (`Expect: 100-continue`) has not begun.
            if !headers.contains_key(EXPECT) {
                self.discard(body);
            }
            return Err(self.too_large());
        }
        match timeout(self.timeout, self.collect(&mut body, announced)).await {
            Ok(Ok(received)) => Ok(received),
            Ok(Err(Refusal::TooLarge)) => {
                self.discard(body);
                Err(self.too_large())
            }
            Ok(Err(Refusal::NoRoom)) => {
                self.discard(body);
                Err(no_room())
            }
            Ok(Err(Refusal::Broken(problem))) => Err(problem),
            Err(_) => Err(too_slow("as a whole", self.timeout)),
        }
    }

    /// Room is taken for what has come, not for what is announced: announcing costs a client nothing.
    async fn collect(&self, body: &mut Body, announced: Option<u64>) -> Result<Received, Refusal> {
        let announced = usize::try_from(announced.unwrap_or(0)).unwrap_or(0);
        let mut kept = BytesMut::with_capacity(announced.min(RESERVE_MAX));
        let mut held = self.room_for(0)?;
        loop {
            let frame = match timeout(self.idle, body.frame()).await {
                Err(_) => return Err(Refusal::Broken(too_slow("between two pieces", self.idle))),
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
            held.merge(self.room_for(data.len())?);
            kept.extend_from_slice(&data);
        }
    }

    fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let bytes = u32::try_from(bytes).map_err(|_| Refusal::NoRoom)?;
        Arc::clone(&self.budget).try_acquire_many_owned(bytes).map_err(|_| Refusal::NoRoom)
    }

    fn discard(&self, mut body: Body) {
        let (limit, bytes_max) = (self.timeout, self.bytes_max.saturating_mul(DISCARD_FACTOR));
        self.leftovers.spawn(timeout(limit, async move {
            let mut seen = 0usize;
            while let Some(Ok(frame)) = body.frame().await {
                seen = seen.saturating_add(frame.data_ref().map_or(0, Bytes::len));
                if seen > bytes_max {
                    break;
                }
            }
        }));
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

fn too_slow(what: &str, limit: Duration) -> Problem {
    Problem::new(Kind::RequestTimeout, format!("The body took longer than {} ms {what}.", limit.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::Full;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    fn reader() -> BodyReader {
        BodyReader {
            bytes_max: 10,
            timeout: Duration::from_mins(1),
            idle: Duration::from_millis(5),
            budget: Arc::new(Semaphore::new(25)),
            leftovers: TaskTracker::new(),
        }
    }

    #[tokio::test]
    async fn bodies_up_to_the_limit_are_read_and_larger_ones_refused() {
        let exact = reader().read(&HeaderMap::new(), Body::new(Full::from("0123456789"))).await;
        assert_eq!(exact.unwrap().as_ref(), b"0123456789");
        let over = reader().read(&HeaderMap::new(), Body::new(Full::from("0123456789a"))).await;
        assert_eq!(over.unwrap_err().status(), 413);
    }

    #[tokio::test]
    async fn an_announced_length_over_the_limit_is_refused_before_anything_comes() {
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, "11".parse().unwrap())]);
        assert_eq!(reader().read(&headers, Body::new(Never)).await.unwrap_err().status(), 413);
    }

    #[tokio::test]
    async fn a_body_that_never_comes_is_given_up() {
        assert_eq!(reader().read(&HeaderMap::new(), Body::new(Never)).await.unwrap_err().status(), 408);
    }

    #[tokio::test]
    async fn all_bodies_together_stay_within_their_budget_and_give_it_back() {
        let reader = reader();
        let read = async || reader.read(&HeaderMap::new(), Body::new(Full::from("0123456789"))).await;
        let (first, second) = (read().await.unwrap(), read().await.unwrap());
        let refused = read().await.unwrap_err().render("req_1");
        assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].as_bytes()), (503, &b"1"[..]));
        drop(first);
        let (bytes, held) = read().await.unwrap().into_parts();
        drop(bytes);
        assert_eq!(read().await.unwrap_err().status(), 503, "what holds the room was kept");
        drop((held, second));
        assert_eq!(reader.budget.available_permits(), 25, "a refused body holds nothing");
    }

    struct Never;
    impl http_body::Body for Never {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            Poll::Pending
        }
    }
}
