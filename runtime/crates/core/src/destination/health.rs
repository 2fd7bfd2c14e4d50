//! How it went at a destination lately: counts by the hour, and what was last.

use serde::{Deserialize, Serialize};

use super::Verdict;
use crate::time::Timestamp;

/// Hours that are counted one by one: two days, so that yesterday can be compared with today.
pub const HOURS_MAX: usize = 48;

/// What is kept of an error's text.
const ERROR_CHARS_MAX: usize = 200;

const HOUR_MS: u64 = 3_600_000;

/// Attempts at one destination, and what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// The oldest first; hours without an attempt are left out.
    pub hours: Vec<Hour>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u16>,
    /// Of the last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure_at: Option<Timestamp>,
    /// In a row, up to now.
    pub consecutive_failures: u32,
    /// Since when it fails without a success between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
}

/// One hour of a destination; in the file `[hour, succeeded, failed]`, the hour counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(u64, u32, u32)", from = "(u64, u32, u32)")]
pub struct Hour {
    pub begins_at: Timestamp,
    pub succeeded: u32,
    pub failed: u32,
}

impl From<(u64, u32, u32)> for Hour {
    fn from((hour, succeeded, failed): (u64, u32, u32)) -> Self {
        Self { begins_at: Timestamp::from_millis(hour.saturating_mul(HOUR_MS)), succeeded, failed }
    }
}
impl From<Hour> for (u64, u32, u32) {
    fn from(hour: Hour) -> Self {
        (hour.begins_at.as_millis() / HOUR_MS, hour.succeeded, hour.failed)
    }
}

impl Health {
    /// Takes in what an attempt told at `now`.
    pub fn note(&mut self, verdict: &Verdict, now: Timestamp) {
        let hour = self.hour(now);
        if let Verdict::Well { .. } = verdict {
            hour.succeeded = hour.succeeded.saturating_add(1);
        } else {
            hour.failed = hour.failed.saturating_add(1);
        }
        match verdict {
            Verdict::Well { status } => {
                self.last_status = Some(*status);
                self.last_success_at = Some(now);
                self.consecutive_failures = 0;
                self.failing_since = None;
            }
            Verdict::Sick { status, error } => self.fails(*status, error, now),
            Verdict::Gone => self.fails(Some(410), "it answered 410 Gone", now),
            // It is alive: neither in a row of failures nor the end of one.
            Verdict::Busy => {
                self.last_status = Some(429);
                self.last_error = Some("it answered 429 Too Many Requests".to_owned());
                self.last_failure_at = Some(now);
            }
        }
    }

    fn fails(&mut self, status: Option<u16>, error: &str, now: Timestamp) {
        self.last_status = status;
        self.last_error = Some(error.chars().take(ERROR_CHARS_MAX).collect());
        self.last_failure_at = Some(now);
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
    }

    /// The hour of `now`. Should the clock have been set back, the latest there is.
    fn hour(&mut self, now: Timestamp) -> &mut Hour {
        let begins_at = Timestamp::from_millis(now.as_millis() / HOUR_MS * HOUR_MS);
        if self.hours.last().is_none_or(|last| last.begins_at < begins_at) {
            self.hours.push(Hour { begins_at, succeeded: 0, failed: 0 });
            let surplus = self.hours.len().saturating_sub(HOURS_MAX);
            self.hours.drain(..surplus);
        }
        let last = self.hours.len().saturating_sub(1);
        #[expect(clippy::indexing_slicing, reason = "one was pushed if there was none")]
        &mut self.hours[last]
    }

    /// When it was last spoken to.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.last_success_at.max(self.last_failure_at)
    }
}
