//! A feed as the body of an answer: nothing is read ahead of the client.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;

/// What comes piece by piece.
pub(crate) trait Pieces: Sized + Send + 'static {
    /// The next piece, and what follows it; nothing at the end.
    fn next(self) -> impl Future<Output = Option<(Bytes, Self)>> + Send;
}

pub(crate) fn body<F: Pieces>(feed: F) -> Body {
    Body::new(Streamed { next: Some(step(feed)) })
}

type Step<F> = Pin<Box<dyn Future<Output = Option<(Bytes, F)>> + Send>>;

fn step<F: Pieces>(feed: F) -> Step<F> {
    Box::pin(feed.next())
}

struct Streamed<F> {
    /// Absent: it has ended.
    next: Option<Step<F>>,
}

impl<F: Pieces> http_body::Body for Streamed<F> {
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
