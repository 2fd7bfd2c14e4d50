//! When a polling trigger is asked next, and whether its cursor still means anything. Pure.

use std::time::Duration;

use serde_json::Value;

use crate::id::{ConnectionName, Digest};
use crate::plugin::Uses;
use crate::run::retry::RETRY_AFTER_MAX;

/// What is asked: the same source has the same cursor, whichever version of workflow or plugin asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Source<'a> {
    pub uses: &'a Uses,
    pub config: &'a Value,
    pub connection: Option<&'a ConnectionName>,
}

impl Source<'_> {
    pub fn digest(&self) -> Digest {
        // JSON of an array keeps the parts apart; objects have their keys in order.
        let parts = (self.uses.to_string(), self.config, self.connection);
        Digest::of(&serde_json::to_vec(&parts).unwrap_or_default())
    }
}

/// By so much of itself an interval may grow, so that triggers that were published together do not ask together for ever.
const JITTER: f64 = 0.1;

/// The first wait after a failure, where the interval is shorter: a provider that stumbles is left alone for a moment.
const FAILED_FIRST: Duration = Duration::from_secs(10);

/// The longest wait after failures, unless the interval or the provider says more: what breaks overnight works again within an hour of being mended.
const FAILED_MAX: Duration = Duration::from_hours(1);

/// How long after the beginning of a poll that brought something the next one begins; `jitter` is drawn from 0 to 1.
pub fn after_success(every: Duration, jitter: f64) -> Duration {
    every.mul_f64(1.0 + JITTER * jitter.clamp(0.0, 1.0))
}

/// How long after the end of a poll that failed the next one begins. `failures` counts this one; `asked` is what the provider wishes
/// (`Retry-After`): the wait is never shorter, up to a day.
pub fn after_failure(every: Duration, failures: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let doubled = FAILED_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    // Half of it is drawn: triggers that failed together do not come back together, and none at once.
    let own = doubled.min(FAILED_MAX).mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
    own.max(every).max(asked.unwrap_or_default().min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn an_interval_grows_by_a_tenth_at_most() {
        assert_eq!(after_success(S * 60, 0.0), S * 60);
        assert_eq!(after_success(S * 60, 1.0), S * 66);
        assert_eq!(after_success(S * 60, 7.0), S * 66);
    }

    #[test]
    fn failures_double_the_wait_up_to_an_hour_and_a_wish_is_kept() {
        let wait = |failures| after_failure(S, failures, None, 1.0).as_secs();
        assert_eq!([1, 2, 3, 9, 10, 100].map(wait), [10, 20, 40, 2_560, 3_600, 3_600]);
        assert_eq!(after_failure(S, 1, None, 0.0), S * 5);
        assert_eq!(after_failure(S * 7_200, 1, None, 1.0), S * 7_200, "never sooner than without the failure");
        assert_eq!(after_failure(S, 1, Some(S * 90), 0.5), S * 90);
        assert_eq!(after_failure(S, 1, Some(S * 200_000), 0.5), S * 86_400);
        assert_eq!(after_failure(S, 5, Some(S), 1.0), S * 160);
    }

    #[test]
    fn a_source_is_what_is_asked_with_which_settings_and_in_whose_name() {
        let (uses, other): (Uses, Uses) = ("a/b/rows@1".parse().unwrap(), "a/b/rows@2".parse().unwrap());
        let (config, name) = (serde_json::json!({ "b": 1, "a": 2 }), "crm".parse().unwrap());
        let source = Source { uses: &uses, config: &config, connection: None };
        let same = serde_json::json!({ "a": 2, "b": 1 });
        assert_eq!(source.digest(), Source { config: &same, ..source.clone() }.digest());
        for changed in [
            Source { uses: &other, ..source.clone() },
            Source { config: &Value::Null, ..source.clone() },
            Source { connection: Some(&name), ..source.clone() },
        ] {
            assert_ne!(source.digest(), changed.digest());
        }
    }
}
