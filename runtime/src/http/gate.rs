//! The stream that hyper reads from: it passes on whole, well-formed heads and framed bodies, as they came, and nothing else.
//!
//! A request that is refused never reaches hyper. In its place goes a request of our own (the stand-in), which the service answers with the
//! reason: so the refusal comes after the answers of earlier requests on the connection, in HTTP's own order, and is a problem document with an
//! id like any other. Nothing behind it is read as a request; the connection ends with that answer.
//!
//! The gate must not change a byte of what it passes on, and not decide what a request means.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::http::framing::{Framing, Step};
use crate::http::limits::Limits;
use crate::http::refusal::Refusal;

/// Read at a time: what hyper begins with, and more than ordinary requests have.
const READ_BYTES: usize = 8 * 1024;

/// What goes to hyper in the place of a refused request.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// How long a connection that was closed while its client still sent is read on, and thrown away. Without it the system would answer the
/// client's bytes with a reset, which makes its side forget the answer that it has not read yet. Two seconds are a long way round the world.
const LINGER: Duration = Duration::from_secs(2);

/// Which request of a connection was refused, and why: the gate writes it, the service of the same connection reads it.
#[derive(Debug, Default)]
pub(super) struct Verdict(OnceLock<(u64, Refusal)>);

impl Verdict {
    /// Why the request of this number (from 0) is refused.
    pub(super) fn on(&self, request: u64) -> Option<Refusal> {
        self.0.get().filter(|(refused, _)| *refused == request).map(|(_, refusal)| *refusal)
    }
}

/// Stands between a connection and hyper.
#[derive(Debug)]
pub(super) struct Gate<S> {
    stream: S,
    framing: Framing,
    verdict: Arc<Verdict>,
    header_timeout: Duration,
    linger_bytes_max: usize,
    /// What was read and not passed on: first `cleared` bytes that may go, then the beginning of something that is not whole.
    held: Vec<u8>,
    passed: usize,
    cleared: usize,
    /// Heads that were passed on.
    heads: u64,
    /// When the head that has begun has to be there; for the first one it runs from the start.
    deadline: Option<Pin<Box<Sleep>>>,
    end: End,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

/// Whether more is read from the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// The client has said all, or nothing in time.
    Over,
    /// The stand-in is what hyper reads last.
    Refused,
    /// A body is not framed as it says.
    Broken(Refusal),
}

impl<S> Gate<S> {
    pub(super) fn new(stream: S, limits: &Limits, verdict: Arc<Verdict>) -> Self {
        Self {
            stream,
            framing: Framing::new(limits),
            verdict,
            header_timeout: limits.header_timeout,
            linger_bytes_max: limits.body_bytes_max,
            held: Vec::new(),
            passed: 0,
            cleared: 0,
            heads: 0,
            deadline: Some(Box::pin(sleep(limits.header_timeout))),
            end: End::Open,
            linger: None,
        }
    }

    /// Gives hyper what is cleared, as much as it has room for.
    fn pass_on(&mut self, out: &mut ReadBuf<'_>) -> bool {
        let count = self.cleared.min(out.remaining());
        let Some(bytes) = self.held.get(self.passed..self.passed + count).filter(|bytes| !bytes.is_empty()) else {
            return false;
        };
        out.put_slice(bytes);
        self.passed += count;
        self.cleared -= count;
        if self.passed == self.held.len() {
            self.passed = 0;
            // Waiting for the next request costs no more than a small one took.
            if self.held.capacity() > READ_BYTES { self.held = Vec::new() } else { self.held.clear() }
        }
        true
    }

    /// Takes in what was read.
    fn take_in(&mut self, fresh: &[u8]) {
        self.held.drain(..self.passed);
        self.passed = 0;
        self.held.extend_from_slice(fresh);
        while let Some(rest) = self.held.get(self.cleared..).filter(|rest| !rest.is_empty()) {
            match self.framing.step(rest) {
                Step::More => return,
                Step::Body(count) => self.cleared += count,
                Step::Head(count) => {
                    self.cleared += count;
                    self.heads += 1;
                    self.deadline = None;
                }
                Step::Refuse(refusal) => return self.refuse(refusal),
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.held.truncate(self.passed + self.cleared);
        if refusal.is_in_body() {
            self.end = End::Broken(refusal);
            return;
        }
        let _ = self.verdict.0.set((self.heads, refusal));
        self.held.extend_from_slice(STAND_IN);
        self.cleared += STAND_IN.len();
        self.end = End::Refused;
    }

    /// While nothing comes: whether a head has been on its way for too long.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let has_begun = !self.held.is_empty();
        if !self.framing.is_in_head() || (self.deadline.is_none() && !has_begun) {
            return Poll::Pending;
        }
        let limit = self.header_timeout;
        ready!(self.deadline.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(context));
        if has_begun {
            self.refuse(Refusal::TooSlow);
        } else {
            self.end = End::Over;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gate = &mut *self;
        loop {
            if gate.pass_on(out) {
                return Poll::Ready(Ok(()));
            }
            match gate.end {
                End::Open => {}
                End::Over => return Poll::Ready(Ok(())),
                // Its answer closes the connection; there is nothing to wait for here.
                End::Refused => return Poll::Pending,
                End::Broken(refusal) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal.text())));
                }
            }
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut fresh = ReadBuf::uninit(&mut space);
            match Pin::new(&mut gate.stream).poll_read(context, &mut fresh)? {
                Poll::Pending => ready!(gate.poll_deadline(context)),
                Poll::Ready(()) if fresh.filled().is_empty() => gate.end = End::Over,
                Poll::Ready(()) => gate.take_in(fresh.filled()),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    /// Whether the client may still be sending what nobody will read.
    fn is_owed(&self) -> bool {
        match self.end {
            End::Over => false,
            End::Refused | End::Broken(_) => true,
            End::Open => !self.framing.is_in_head() && !self.framing.is_http2(),
        }
    }

    /// Reads and throws away until the client has said all, within limits.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let bytes_max = self.linger_bytes_max;
        let (limit, seen) = self.linger.get_or_insert_with(|| (Box::pin(sleep(LINGER)), 0));
        loop {
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut thrown = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.stream).poll_read(context, &mut thrown) {
                Poll::Pending => return limit.as_mut().poll(context),
                Poll::Ready(Ok(())) if !thrown.filled().is_empty() && *seen < bytes_max => {
                    *seen += thrown.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        if self.is_owed() {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
