//! When a failed step is tried again: exponential backoff with full jitter and a cap, or a list of waits over hours and days; and the server's own
//! wish (`Retry-After`), which may make a wait longer and never shorter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::invoke::Disposition;
use crate::workflow::duration;

/// A step's `retry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenRetry", into = "WrittenRetry")]
pub enum RetryPolicy {
    Backoff(Backoff),
    Schedule(Schedule),
}

/// In the file `{ attempts: 5, initial: 2s, max: 5m }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// How often the step is tried in all, the first time included.
    pub attempts: u32,
    /// The longest wait before the second attempt; it doubles with each.
    pub initial_ms: u64,
    /// No wait is longer, unless the server asks for more (`Retry-After`).
    pub max_ms: u64,
}

/// In the file `{ schedule: webhook }` or `{ schedule: [5s, 5m, 2h] }`: how long to wait before each further attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Schedule {
    Named(ScheduleName),
    Own(Vec<Wait>),
}

/// A schedule that has a name. Manifests name one as what their action takes when its step says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleName {
    /// What Standard Webhooks advises for deliveries: eight attempts over a day and a quarter.
    Webhook,
    /// Eight attempts over four days and a quarter: for receivers that are mended after a weekend.
    Days,
}

/// Milliseconds, in the file a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wait(#[serde(with = "crate::workflow::duration")] pub u64);

/// The waits of a schedule of one's own; more attempts than that over hours and days are for machines, not for receivers.
pub const WAITS_MAX: usize = 20;

/// A server that asks for more than this is not waited for: the step fails and says so.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// By so much of itself a wait of a schedule may grow, so that deliveries that failed together do not come back together.
const SCHEDULE_JITTER: f64 = 0.2;

const S: u64 = 1_000;
const M: u64 = 60 * S;
const H: u64 = 60 * M;
const D: u64 = 24 * H;

impl ScheduleName {
    pub const ALL: [Self; 2] = [Self::Webhook, Self::Days];

    /// As workflows and manifests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Days => "days",
        }
    }

    /// Milliseconds before each further attempt; the first is made at once.
    fn waits(self) -> &'static [u64] {
        match self {
            Self::Webhook => &[5 * S, 5 * M, 30 * M, 2 * H, 5 * H, 10 * H, 10 * H],
            Self::Days => &[5 * S, 5 * M, H, 6 * H, D, D, 2 * D],
        }
    }
}

impl Schedule {
    /// Milliseconds before attempt `failures + 1`.
    fn wait(&self, failures: u32) -> Option<u64> {
        let index = failures.checked_sub(1)? as usize;
        match self {
            Self::Named(name) => name.waits().get(index).copied(),
            Self::Own(waits) => waits.get(index).map(|wait| wait.0),
        }
    }
}

impl Default for Backoff {
    /// Three attempts within some seconds: enough for a dropped connection, too few to hammer a sick server.
    fn default() -> Self {
        Self { attempts: 3, initial_ms: 1_000, max_ms: 60_000 }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::Backoff(Backoff::default())
    }
}

impl From<ScheduleName> for RetryPolicy {
    fn from(name: ScheduleName) -> Self {
        Self::Schedule(Schedule::Named(name))
    }
}

impl RetryPolicy {
    /// How often the step is tried in all.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Backoff(backoff) => backoff.attempts,
            Self::Schedule(Schedule::Named(name)) => count(name.waits().len()),
            Self::Schedule(Schedule::Own(waits)) => count(waits.len()),
        }
    }

    /// The wait before the next attempt, or `None` when the step has failed for good.
    ///
    /// `failures` counts this one; `jitter` is drawn from 0 to 1.
    pub fn next_delay(&self, disposition: Disposition, failures: u32, jitter: f64) -> Option<Duration> {
        let Disposition::Transient { after_ms } = disposition else { return None };
        let jitter = jitter.clamp(0.0, 1.0);
        let own = match self {
            Self::Backoff(backoff) => backoff.delay(failures, jitter)?,
            Self::Schedule(schedule) => {
                Duration::from_millis(schedule.wait(failures)?).mul_f64(1.0 + SCHEDULE_JITTER * jitter)
            }
        };
        let asked = Duration::from_millis(after_ms.unwrap_or(0));
        (asked <= RETRY_AFTER_MAX).then(|| own.max(asked))
    }
}

impl Backoff {
    fn delay(&self, failures: u32, jitter: f64) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        let doublings = failures.saturating_sub(1).min(32);
        let ceiling = self.initial_ms.saturating_mul(1 << doublings).min(self.max_ms);
        Some(Duration::from_millis(ceiling).mul_f64(jitter))
    }
}

/// The first attempt and one after each wait.
fn count(waits: usize) -> u32 {
    u32::try_from(waits).unwrap_or(u32::MAX).saturating_add(1)
}

/// The keys of `retry` as they stand in the text.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenRetry {
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<Schedule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    initial: Option<u64>,
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    max: Option<u64>,
}

impl TryFrom<WrittenRetry> for RetryPolicy {
    type Error = String;
    fn try_from(written: WrittenRetry) -> Result<Self, String> {
        match written {
            WrittenRetry { schedule: Some(Schedule::Own(waits)), .. } if !(1..=WAITS_MAX).contains(&waits.len()) => {
                Err(format!("`schedule` has {} waits; it takes from 1 to {WAITS_MAX}", waits.len()))
            }
            WrittenRetry { schedule: Some(schedule), attempts: None, initial: None, max: None } => {
                Ok(Self::Schedule(schedule))
            }
            WrittenRetry { schedule: Some(_), .. } => Err(
                "`schedule` says already how often and when the step is tried again; leave `attempts`, `initial` and `max` out"
                    .to_owned(),
            ),
            WrittenRetry { schedule: None, attempts, initial, max } => {
                let usual = Backoff::default();
                Ok(Self::Backoff(Backoff {
                    attempts: attempts.unwrap_or(usual.attempts),
                    initial_ms: initial.unwrap_or(usual.initial_ms),
                    max_ms: max.unwrap_or(usual.max_ms),
                }))
            }
        }
    }
}

impl From<RetryPolicy> for WrittenRetry {
    fn from(policy: RetryPolicy) -> Self {
        match policy {
            RetryPolicy::Backoff(Backoff { attempts, initial_ms, max_ms }) => {
                Self { schedule: None, attempts: Some(attempts), initial: Some(initial_ms), max: Some(max_ms) }
            }
            RetryPolicy::Schedule(schedule) => Self { schedule: Some(schedule), ..Self::default() },
        }
    }
}

#[cfg(test)]
mod tests;
