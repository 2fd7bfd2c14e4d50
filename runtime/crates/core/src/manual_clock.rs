//! A clock that stands still until somebody moves it: for simulations and rehearsals. It reads no real clock and wakes its sleepers itself.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::ports::Clock;
use crate::time::Timestamp;
use async_trait::async_trait;

/// Begins at the first moment there is.
#[derive(Debug, Default)]
pub struct ManualClock {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Timestamp,
    /// By time, then by order of arrival.
    sleepers: BTreeMap<(Timestamp, u64), Waker>,
    arrivals: u64,
}

impl ManualClock {
    /// Sets the time, forwards or back; sleepers that are due wake up.
    pub fn set(&self, now: Timestamp) {
        self.state().now = now;
        self.wake_due();
    }

    /// When the first sleeper wants to wake up.
    pub fn next(&self) -> Option<Timestamp> {
        self.state().sleepers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Moves on to `at`, never back, and wakes who is due.
    pub fn move_to(&self, at: Timestamp) {
        {
            let mut state = self.state();
            state.now = state.now.max(at);
        }
        self.wake_due();
    }

    /// Moves on to the first sleeper and wakes it alone; `false` when nobody sleeps.
    pub fn wake_next(&self) -> bool {
        let mut state = self.state();
        let Some(((at, _), waker)) = state.sleepers.pop_first() else { return false };
        state.now = state.now.max(at);
        drop(state);
        waker.wake();
        true
    }

    fn wake_due(&self) {
        let mut state = self.state();
        let now = state.now;
        let mut due = Vec::new();
        while let Some(entry) = state.sleepers.first_entry().filter(|entry| entry.key().0 <= now) {
            due.push(entry.remove());
        }
        drop(state);
        due.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    async fn sleep_until(&self, at: Timestamp) {
        Sleep { clock: self, at, arrival: None }.await;
    }
}

struct Sleep<'c> {
    clock: &'c ManualClock,
    at: Timestamp,
    arrival: Option<u64>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock;
        let mut state = clock.state();
        if state.now >= self.at {
            return Poll::Ready(());
        }
        let arrival = *self.arrival.get_or_insert_with(|| {
            state.arrivals += 1;
            state.arrivals
        });
        state.sleepers.insert((self.at, arrival), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(arrival) = self.arrival {
            self.clock.state().sleepers.remove(&(self.at, arrival));
        }
    }
}
