//! The real clock: the one place that asks the operating system for the time.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use flowcell_core::ports::Clock;
use flowcell_core::time::Timestamp;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

/// A wait is cut into pieces of this length, so that a clock that was set forward is noticed.
const NAP_MAX: Duration = Duration::from_secs(30);

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    async fn sleep_until(&self, at: Timestamp) {
        loop {
            let left = at.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(NAP_MAX)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleeping_ends_no_earlier_than_asked() {
        let at = SystemClock.now() + Duration::from_millis(5);
        SystemClock.sleep_until(at).await;
        assert!(SystemClock.now() >= at);
        SystemClock.sleep_until(Timestamp::from_millis(0)).await;
    }
}
