//! A workflow's `settings`: when its runs may start and go on, how many at a time, how long, and what is kept of them.
//!
//! What the texts here mean for a moment in time is computed elsewhere: this is what the author wrote.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::duration;
use crate::id::WorkflowId;
use crate::redact::RedactedField;
use crate::search::FieldPath;
use crate::serde_text::serde_as_text;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// IANA; `UTC` when absent. What `window`, `paused`, schedules and date filters use unless they say otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// How long a run may take in all.
    #[serde(rename = "timeout", with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reentry: Option<Reentry>,
    /// Steps start only inside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// On these days no step starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<Pause>,
    /// The error workflow: started when a run fails, with `trigger` = `{ error, step, run, workflow }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<WorkflowId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Fields by which its runs are found without reading their journals; the first eight count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub index: Vec<FieldPath>,
    /// Places in the data of its runs that nobody is shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<RedactedField>,
}

impl Settings {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How many runs go on at a time; the others wait as `queued`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    pub limit: u32,
    /// An expression over `trigger`: the limit is counted for each of its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What a new run does when one about the same subject has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reentry {
    /// An expression over `trigger` that names the subject.
    pub key: String,
    pub policy: ReentryPolicy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReentryPolicy {
    /// Both go on.
    Allow,
    /// No new run is started.
    Skip,
    /// The unfinished run is cancelled.
    Replace,
}

/// A part of the day on some days of the week. `to` before `from` reaches over midnight into the next day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Every day when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Weekday>,
    #[serde(default, skip_serializing_if = "TimeOfDay::is_midnight")]
    pub from: TimeOfDay,
    #[serde(default = "TimeOfDay::end_of_day", skip_serializing_if = "TimeOfDay::is_end_of_day")]
    pub to: TimeOfDay,
    /// IANA; the workflow's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// `09:30`; up to `24:00`, the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeOfDay {
    minutes: u16,
}

impl TimeOfDay {
    /// Minutes since midnight by the clock on the wall, 0 to 1440.
    pub fn minutes(self) -> u16 {
        self.minutes
    }
    fn end_of_day() -> Self {
        Self { minutes: 24 * 60 }
    }
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_midnight(&self) -> bool {
        self.minutes == 0
    }
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_end_of_day(&self) -> bool {
        *self == Self::end_of_day()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl FromStr for TimeOfDay {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| {
            let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<u16>().ok()).flatten()
        };
        let parsed = text.split_once(':').and_then(|(hours, minutes)| number(hours).zip(number(minutes)));
        match parsed {
            Some((hours, minutes)) if minutes < 60 && hours * 60 + minutes <= 24 * 60 => {
                Ok(Self { minutes: hours * 60 + minutes })
            }
            _ => Err(format!("`{text}` is not a time of day such as 09:30")),
        }
    }
}

/// A calendar day, `2026-12-24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(jiff::civil::Date);

impl Day {
    pub fn date(self) -> jiff::civil::Date {
        self.0
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Day {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let date = if text.len() == 10 { text.parse().ok() } else { None };
        date.map(Self).ok_or_else(|| format!("`{text}` is not a day of the calendar such as 2026-12-24"))
    }
}

serde_as_text!(TimeOfDay, Day);

/// One day, or all days from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenPause", into = "WrittenPause")]
pub enum Pause {
    Day(Day),
    Days { from: Day, to: Day },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenPause {
    Day(String),
    Days { from: String, to: String },
}

impl TryFrom<WrittenPause> for Pause {
    type Error = String;
    fn try_from(written: WrittenPause) -> Result<Self, String> {
        match written {
            WrittenPause::Day(day) => day.parse().map(Self::Day),
            WrittenPause::Days { from, to } => {
                let (from, to): (Day, Day) = (from.parse()?, to.parse()?);
                if to < from { Err(format!("{to} is before {from}")) } else { Ok(Self::Days { from, to }) }
            }
        }
    }
}

impl From<Pause> for WrittenPause {
    fn from(pause: Pause) -> Self {
        match pause {
            Pause::Day(day) => Self::Day(day.to_string()),
            Pause::Days { from, to } => Self::Days { from: from.to_string(), to: to.to_string() },
        }
    }
}

impl Pause {
    pub fn first(&self) -> Day {
        match self {
            Self::Day(day) | Self::Days { from: day, .. } => *day,
        }
    }
    pub fn last(&self) -> Day {
        match self {
            Self::Day(day) | Self::Days { to: day, .. } => *day,
        }
    }
}

/// What is kept of finished runs; whichever limit is met first counts. Absent ones are the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<u64>,
    /// Failed runs are kept this long, whatever the other limits say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_failed_days: Option<u32>,
}
