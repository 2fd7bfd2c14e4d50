//! A feed as the body of an answer: nothing is read ahead of the client.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;

use super::feed::Feed;

pub(crate) fn body(feed: Feed) -> Body {
    Body::new(Streamed { next: Some(step(feed)) })
}

type Step = Pin<Box<dyn Future<Output = Option<(Bytes, Feed)>> + Send>>;

fn step(feed: Feed) -> Step {
    Box::pin(feed.next())
}

struct Streamed {
    /// Absent: it has ended.
    next: Option<Step>,
}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let Poll::Ready(stepped) = next.as_mut().poll(context) else { return Poll::Pending };
        let Some((bytes, feed)) = stepped else {
            self.next = None;
            return Poll::Ready(None);
        };
        self.next = Some(step(feed));
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}
