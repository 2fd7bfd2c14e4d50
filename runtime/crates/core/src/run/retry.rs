//! When a failed step is tried again: exponential backoff with full jitter, a cap, and the server's own wish.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::invoke::Disposition;

/// A step's `retry`, in the file `{ attempts: 5, initial: 2s, max: 5m }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// How often the step is tried in all, the first time included.
    pub attempts: u32,
    /// The longest wait before the second attempt; it doubles with each.
    #[serde(rename = "initial", with = "crate::workflow::duration")]
    pub initial_ms: u64,
    /// No wait is longer, unless the server asks for more (`Retry-After`).
    #[serde(rename = "max", with = "crate::workflow::duration")]
    pub max_ms: u64,
}

impl Default for RetryPolicy {
    /// Three attempts within some seconds: enough for a dropped connection, too few to hammer a sick server.
    fn default() -> Self {
        Self { attempts: 3, initial_ms: 1_000, max_ms: 60_000 }
    }
}

/// A server that asks for more than this is not waited for: the step fails and says so.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

impl RetryPolicy {
    /// The wait before the next attempt, or `None` when the step has failed for good.
    ///
    /// `failures` counts this one; `jitter` is drawn from 0 to 1.
    pub fn next_delay(&self, disposition: Disposition, failures: u32, jitter: f64) -> Option<Duration> {
        let Disposition::Transient { after_ms } = disposition else { return None };
        if failures >= self.attempts {
            return None;
        }
        let asked = Duration::from_millis(after_ms.unwrap_or(0));
        if asked > RETRY_AFTER_MAX {
            return None;
        }
        let doublings = failures.saturating_sub(1).min(32);
        let ceiling = self.initial_ms.saturating_mul(1 << doublings).min(self.max_ms);
        let backoff = Duration::from_millis(ceiling).mul_f64(jitter.clamp(0.0, 1.0));
        Some(backoff.max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy { attempts: 5, initial_ms: 1_000, max_ms: 10_000 };
    const TRANSIENT: Disposition = Disposition::Transient { after_ms: None };

    #[test]
    fn waits_double_up_to_the_cap_and_end_with_the_budget() {
        let waits: Vec<_> =
            (1..=5).map(|failures| POLICY.next_delay(TRANSIENT, failures, 1.0).map(|d| d.as_millis())).collect();
        assert_eq!(waits, [Some(1_000), Some(2_000), Some(4_000), Some(8_000), None]);
        let long = RetryPolicy { attempts: 100, ..POLICY };
        assert_eq!(long.next_delay(TRANSIENT, 99, 1.0), Some(Duration::from_secs(10)));
    }

    #[test]
    fn jitter_spreads_from_zero_and_the_server_may_ask_for_more() {
        assert_eq!(POLICY.next_delay(TRANSIENT, 1, 0.0), Some(Duration::ZERO));
        let asked = Disposition::Transient { after_ms: Some(30_000) };
        assert_eq!(POLICY.next_delay(asked, 1, 1.0), Some(Duration::from_secs(30)));
        let absurd = Disposition::Transient { after_ms: Some(25 * 3_600_000) };
        assert_eq!(POLICY.next_delay(absurd, 1, 1.0), None);
    }

    #[test]
    fn permanent_failures_are_not_retried() {
        assert_eq!(POLICY.next_delay(Disposition::Permanent, 1, 0.5), None);
    }
}
