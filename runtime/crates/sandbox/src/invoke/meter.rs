//! Processor time of one call.
//!
//! A call hops between threads and sleeps in between, so neither a thread's nor the wall clock says what it cost. The time is taken
//! around each poll of the call's future instead: what runs in between belongs to others, and what the scheduler takes away does not
//! count. Host functions run inside those polls and are counted (the guest asked for them); the network's work happens in other tasks and is not.
//!
//! The thread's own processor clock is a system call, and most polls are over in microseconds. So a poll is timed by the wall clock, which
//! needs none, and the processor clock is read at the end of long polls, and once in [`FRESH_NS`] for each thread: what a poll used is no more than either of
//! them tells.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How old a thread's last look at its processor clock may be, in nanoseconds: so much of somebody else's time may be counted to a poll that the
/// scheduler interrupts. A thousandth of the default limit of a call.
const FRESH_NS: u64 = 1_000_000;

/// Polls shorter than this are counted by the wall clock alone, in nanoseconds.
const SHORT_NS: u64 = 50_000;

/// Both clocks of a thread at one moment, in nanoseconds.
#[derive(Clone, Copy)]
struct Look {
    wall: u64,
    processor: u64,
}

thread_local! {
    static LAST_LOOK: Cell<Look> = const { Cell::new(Look { wall: 0, processor: 0 }) };
}

/// What one call has used, in nanoseconds; shared between its future and its epoch callback, which never run at once.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    used: AtomicU64,
    /// When the poll that is going on began, by the wall clock.
    poll_began: AtomicU64,
    /// What its thread had used by then, or shortly before.
    thread_used: AtomicU64,
}

impl Meter {
    /// What the polls that have ended used.
    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Relaxed))
    }

    /// The same and the poll that is going on. Only meaningful on the polling thread: the guest's fiber runs there.
    pub(crate) fn used_in_this_poll_too(&self) -> Duration {
        self.used() + Duration::from_nanos(self.in_this_poll())
    }

    /// Counts the time `future` spends on the processor.
    pub(crate) fn measure<F: Future>(self: &Arc<Self>, future: F) -> Measured<F> {
        Measured { future: Box::pin(future), meter: Arc::clone(self) }
    }

    fn begin_poll(&self) {
        let wall = wall_ns();
        let look = LAST_LOOK.get();
        let look = if wall.saturating_sub(look.wall) > FRESH_NS { look_now(wall) } else { look };
        self.poll_began.store(wall, Relaxed);
        self.thread_used.store(look.processor, Relaxed);
    }

    /// What the poll has used at most.
    fn in_this_poll(&self) -> u64 {
        let wall = wall_ns();
        let passed = wall.saturating_sub(self.poll_began.load(Relaxed));
        if passed < SHORT_NS {
            return passed;
        }
        passed.min(look_now(wall).processor.saturating_sub(self.thread_used.load(Relaxed)))
    }
}

pub(crate) struct Measured<F> {
    future: Pin<Box<F>>,
    meter: Arc<Meter>,
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.meter.begin_poll();
        let polled = self.future.as_mut().poll(context);
        self.meter.used.fetch_add(self.meter.in_this_poll(), Relaxed);
        polled
    }
}

fn look_now(wall: u64) -> Look {
    let look = Look { wall, processor: read_ns(ClockId::ThreadCPUTime) };
    LAST_LOOK.set(look);
    look
}

fn wall_ns() -> u64 {
    read_ns(ClockId::Monotonic)
}

fn read_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
    u64::try_from(now.tv_sec).unwrap_or_default().saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread_cpu_ns() -> u64 {
        read_ns(ClockId::ThreadCPUTime)
    }

    fn compute(nanos: u64) {
        let began = thread_cpu_ns();
        while thread_cpu_ns() - began < nanos {}
    }

    fn poll<F: Future>(call: &mut Measured<F>) -> bool {
        Pin::new(call).poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending()
    }

    #[test]
    fn waiting_is_not_counted_and_computing_is() {
        let meter = Arc::new(Meter::default());
        let mut polls = 0;
        let mut call = meter.measure(std::future::poll_fn(|_| {
            polls += 1;
            compute(2_000_000);
            if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
        }));
        assert!(poll(&mut call));
        compute(50_000_000); // somebody else's work on the same thread
        assert!(!poll(&mut call));
        drop(call);
        let used = meter.used();
        assert!(used >= Duration::from_millis(4) && used < Duration::from_millis(30), "{used:?}");
    }

    #[test]
    fn what_the_scheduler_takes_away_is_not_counted() {
        let meter = Arc::new(Meter::default());
        let mut call = meter.measure(std::future::poll_fn(|_| {
            std::thread::sleep(Duration::from_millis(80));
            Poll::Ready(())
        }));
        assert!(!poll(&mut call));
        // What came before within a look's age, and the poll's own beginning and end.
        assert!(meter.used() < Duration::from_millis(20), "{:?}", meter.used());
    }

    #[test]
    fn short_polls_add_up() {
        let meter = Arc::new(Meter::default());
        let mut polls = 0;
        let mut call = meter.measure(std::future::poll_fn(|_| {
            polls += 1;
            compute(10_000);
            if polls == 100 { Poll::Ready(()) } else { Poll::Pending }
        }));
        while poll(&mut call) {}
        let used = meter.used();
        assert!(used >= Duration::from_millis(1), "{used:?}");
    }
}
