use super::*;
use http_body::Frame;
use http_body_util::Full;
use std::pin::Pin;
use std::task::{Context, Poll};

fn reader() -> BodyReader {
    BodyReader {
        bytes_max: 10,
        pace: Pace {
            whole: Duration::from_mins(1),
            idle: Duration::from_millis(5),
            grace: Duration::from_mins(1),
            bytes_per_s_min: 240,
        },
        budget: Arc::new(Semaphore::new(25)),
        kept_for_deliveries: 12,
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
    let read = async || reader.read_delivery(&HeaderMap::new(), Body::new(Full::from("0123456789"))).await;
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

#[tokio::test]
async fn what_is_no_delivery_is_refused_when_half_of_the_room_is_taken() {
    let reader = reader();
    let body = || Body::new(Full::from("0123456789"));
    let first = reader.read(&HeaderMap::new(), body()).await.unwrap();
    assert_eq!(reader.read(&HeaderMap::new(), body()).await.unwrap_err().status(), 503);
    assert_eq!(reader.read_delivery(&HeaderMap::new(), body()).await.unwrap().len(), 10);
    drop(first);
}

#[test]
fn a_body_has_to_keep_three_paces() {
    let s = Duration::from_secs;
    let pace = Pace { whole: s(60), idle: s(10), grace: s(5), bytes_per_s_min: 100 };
    for (elapsed, seen, expected) in [
        (s(0), 0, (s(5), TooSlow::Rate)),           // the grace
        (s(3), 0, (s(2), TooSlow::Rate)),           // what is left of it
        (s(3), 300, (s(5), TooSlow::Rate)),         // earned by what has come
        (s(9), 300, (s(0), TooSlow::Rate)),         // used up
        (s(3), 10_000, (s(10), TooSlow::Idle)),     // fast, and then nothing
        (s(55), 1_000_000, (s(5), TooSlow::Whole)), // the whole
    ] {
        assert_eq!(pace.next(elapsed, seen), expected, "{elapsed:?} {seen}");
    }
}

/// Comes one byte at a time, with time between them.
struct Dripping(Pin<Box<tokio::time::Sleep>>, Duration);

impl http_body::Body for Dripping {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        std::task::ready!(self.0.as_mut().poll(context));
        let between = self.1;
        self.0.set(tokio::time::sleep(between));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_after_the_grace() {
    let pace = Pace {
        whole: Duration::from_mins(1),
        idle: Duration::from_mins(1),
        grace: Duration::from_millis(50),
        bytes_per_s_min: 1_000,
    };
    let reader = BodyReader { bytes_max: 100_000, pace, budget: Arc::new(Semaphore::new(200_000)), ..reader() };
    // Two milliseconds between bytes are at most 500 a second.
    let between = Duration::from_millis(2);
    let dripping = Body::new(Dripping(Box::pin(tokio::time::sleep(between)), between));
    let refused = reader.read(&HeaderMap::new(), dripping).await.unwrap_err();
    assert_eq!(refused.status(), 408);
    assert!(refused.detail().contains("1000 bytes a second"), "{}", refused.detail());
}
