//! Processor time of one call.
//!
//! A call hops between threads and sleeps in between, so neither a thread's nor the wall clock says what it cost. The time is taken
//! around each poll of the call's future instead, from the polling thread's own processor clock: what runs in between belongs to
//! others, and what the scheduler takes away does not count. Host functions run inside those polls and are counted (the guest asked for
//! them); the network's work happens in other tasks and is not.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What one call has used; shared between its future and its epoch callback, which never run at once.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    used_ns: AtomicU64,
    poll_began_ns: AtomicU64,
}

impl Meter {
    /// What the polls that have ended used.
    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns.load(Relaxed))
    }

    /// The same and the poll that is going on. Only meaningful on the polling thread: the guest's fiber runs there.
    pub(crate) fn used_in_this_poll_too(&self) -> Duration {
        self.used() + Duration::from_nanos(thread_cpu_ns().saturating_sub(self.poll_began_ns.load(Relaxed)))
    }

    /// Counts the time `future` spends on the processor.
    pub(crate) fn measure<F: Future>(self: &Arc<Self>, future: F) -> Measured<F> {
        Measured { future: Box::pin(future), meter: Arc::clone(self) }
    }
}

pub(crate) struct Measured<F> {
    future: Pin<Box<F>>,
    meter: Arc<Meter>,
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let began = thread_cpu_ns();
        self.meter.poll_began_ns.store(began, Relaxed);
        let polled = self.future.as_mut().poll(context);
        self.meter.used_ns.fetch_add(thread_cpu_ns().saturating_sub(began), Relaxed);
        polled
    }
}

fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
    u64::try_from(now.tv_sec).unwrap_or_default().saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_counted_and_computing_is() {
        let meter = Arc::new(Meter::default());
        let mut polls = 0;
        let mut call = meter.measure(std::future::poll_fn(|_| {
            polls += 1;
            let began = thread_cpu_ns();
            while thread_cpu_ns() - began < 2_000_000 {}
            if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
        }));
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut call).poll(&mut context).is_pending());
        let between = thread_cpu_ns();
        while thread_cpu_ns() - between < 50_000_000 {} // somebody else's work on the same thread
        assert!(Pin::new(&mut call).poll(&mut context).is_ready());
        drop(call);
        let used = meter.used();
        assert!(used >= Duration::from_millis(4) && used < Duration::from_millis(30), "{used:?}");
    }
}
