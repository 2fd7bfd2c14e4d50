//! Simulated time: it stands still while anything can be done, and jumps to the next sleeper when nothing can.
//!
//! Tests that use it take no time, never sleep, and happen the same way each time they are run.

use std::sync::Arc;

use async_trait::async_trait;
use flowcell_core::manual_clock::ManualClock;
use flowcell_core::ports::Clock;
use flowcell_core::time::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// A clock that only [`SimClock::block_on`] and the test move.
#[derive(Debug, Default)]
pub struct SimClock {
    clock: ManualClock,
}

impl SimClock {
    /// Starts on 2026-01-01T00:00:00Z.
    pub fn new() -> Arc<Self> {
        let clock = Self::default();
        clock.clock.set(Timestamp::from_millis(1_767_225_600_000));
        Arc::new(clock)
    }

    /// Runs `test` on one thread. Whenever nothing can be done, time goes on to the next sleeper.
    ///
    /// Only for parts without threads of their own: time would not wait for those.
    ///
    /// # Panics
    /// When everything waits and nobody sleeps, for then nothing would ever happen again.
    pub fn block_on<T: Send + 'static>(self: &Arc<Self>, test: impl Future<Output = T> + Send + 'static) -> T {
        let clock = Arc::clone(self);
        // Told when everything waits and nobody sleeps.
        let stuck = Arc::new(Notify::new());
        let tell = Arc::clone(&stuck);
        let runtime = tokio::runtime::Builder::new_current_thread()
            // Called when no task is ready; a task that is woken in it is run before the thread parks.
            .on_thread_park(move || {
                if !clock.clock.wake_next() {
                    tell.notify_one();
                }
            })
            .build()
            .expect("a runtime without IO and timers needs nothing that could be missing");
        runtime.block_on(async {
            // As a task, so that its wake-ups count as work; the outermost future's do not.
            let mut tasks = JoinSet::new();
            tasks.spawn(test);
            loop {
                tokio::select! {
                    biased;
                    Some(ended) = tasks.join_next() => match ended {
                        Ok(value) => return value,
                        Err(error) => std::panic::resume_unwind(error.into_panic()),
                    },
                    () = stuck.notified() => assert!(
                        self.clock.next().is_some(),
                        "the simulation is stuck at {}: everything waits and nobody sleeps", self.now()
                    ),
                }
            }
        })
    }

    /// Sets the clock, forwards or back, as an administrator would; sleepers that are due wake up.
    pub fn set(&self, now: Timestamp) {
        self.clock.set(now);
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.clock.sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    #[test]
    fn sleepers_wake_in_order_and_time_jumps_to_them() {
        let clock = SimClock::new();
        let start = clock.now();
        let woken = clock.block_on({
            let clock = Arc::clone(&clock);
            async move {
                let woken = Arc::new(Mutex::new(Vec::new()));
                let mut tasks = JoinSet::new();
                for seconds in [3_600, 1, 60] {
                    let (clock, woken) = (Arc::clone(&clock), Arc::clone(&woken));
                    tasks.spawn(async move {
                        clock.sleep_until(clock.now() + Duration::from_secs(seconds)).await;
                        woken.lock().unwrap().push((seconds, clock.now().since(start).as_secs()));
                    });
                }
                while tasks.join_next().await.is_some() {}
                woken.lock().unwrap().clone()
            }
        });
        assert_eq!(woken, [(1, 1), (60, 60), (3_600, 3_600)]);
    }

    #[test]
    fn setting_the_clock_forward_wakes_who_is_due_and_back_nobody() {
        let clock = SimClock::new();
        let start = clock.now();
        clock.block_on({
            let clock = Arc::clone(&clock);
            async move {
                let mut tasks = JoinSet::new();
                let sleeper = Arc::clone(&clock);
                tasks.spawn(async move { sleeper.sleep_until(start + Duration::from_secs(10)).await });
                tokio::task::yield_now().await;
                clock.set(start + Duration::from_mins(1));
                tasks.join_next().await;
                clock.set(start);
            }
        });
        assert_eq!(clock.now(), start);
    }

    #[test]
    #[should_panic(expected = "the simulation is stuck")]
    fn a_deadlock_is_reported() {
        SimClock::new().block_on(std::future::pending::<()>());
    }

    #[tokio::test]
    async fn sleepers_wake_when_the_clock_is_moved_to_them_and_not_before() {
        let clock = Arc::new(ManualClock::default());
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
