//! A clock for show: it stands still while anything can be done, and is moved on to the next sleeper when nothing can.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use flowcell_core::ports::Clock;
use flowcell_core::time::Timestamp;

#[derive(Debug, Default)]
pub(super) struct SkippingClock {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Timestamp,
    /// By time, then by order of arrival.
    sleepers: BTreeMap<(Timestamp, u64), Waker>,
    arrivals: u64,
}

impl SkippingClock {
    /// Sets the time, for a run that is to begin.
    pub(super) fn set(&self, now: Timestamp) {
        self.state().now = now;
    }

    /// When the first sleeper wants to wake up.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.state().sleepers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Moves on to `at` and wakes who is due.
    pub(super) fn move_to(&self, at: Timestamp) {
        let mut state = self.state();
        state.now = state.now.max(at);
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
impl Clock for SkippingClock {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    async fn sleep_until(&self, at: Timestamp) {
        Sleep { clock: self, at, arrival: None }.await;
    }
}

struct Sleep<'c> {
    clock: &'c SkippingClock,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[tokio::test]
    async fn sleepers_wake_when_the_clock_is_moved_to_them_and_not_before() {
        let clock = Arc::new(SkippingClock::default());
        let start = Timestamp::from_millis(1_767_603_600_000);
        clock.set(start);
        let day = Duration::from_hours(24);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn({
            let clock = Arc::clone(&clock);
            async move { clock.sleep_until(start + day).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(clock.next(), Some(start + day));
        clock.move_to(start + Duration::from_hours(1));
        tokio::task::yield_now().await;
        assert!(tasks.try_join_next().is_none());
        clock.move_to(start + day);
        tasks.join_next().await.unwrap().unwrap();
        assert_eq!((clock.now(), clock.next()), (start + day, None));
    }
}
