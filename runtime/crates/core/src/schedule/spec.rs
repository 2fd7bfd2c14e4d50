//! A schedule as it is written, in a workflow or on a command line, and how it becomes a [`Schedule`].

use std::time::Duration;

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use super::cron::Cron;
use super::error::{Part, ScheduleError};
use super::{Kind, Schedule, Zone};
use crate::time::Timestamp;
use crate::workflow::duration;

/// The shortest interval: cron's finest grain, and what a scheduler keeps up with.
pub const EVERY_MIN: Duration = Duration::from_secs(1);

/// What becomes of times that passed while nobody could act on them: the process was down, the clock was set forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// They are passed over.
    #[default]
    Skip,
    /// The last of them is made up for, once.
    Last,
    /// Each is made up for, in order, up to [`super::CAUGHT_UP_MAX`].
    All,
}

impl Missed {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `schedule:` of a workflow's trigger: exactly one of `cron`, `every` and `at`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// Five fields, or six with seconds first; `@daily` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// An interval of elapsed time, such as `15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// What an interval is counted from: a local date and time or RFC 3339. Default: 1970-01-01T00:00 in the zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<String>,
    /// A single time: local date and time, or RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// IANA name; default: the workflow's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    #[serde(default, skip_serializing_if = "Missed::is_default")]
    pub missed: Missed,
}

impl ScheduleSpec {
    /// Reads what is written; `default_zone` is the workflow's.
    pub fn schedule(&self, default_zone: &Zone) -> Result<Schedule, ScheduleError> {
        let zone = self.timezone.as_ref().map_or_else(|| Ok(default_zone.clone()), |name| name.parse())?;
        let kind = match (&self.cron, &self.every, &self.at) {
            (Some(cron), None, None) => Kind::Cron(Cron::parse(cron)?),
            (None, Some(every), None) => interval(every, self.anchor.as_deref(), &zone)?,
            (None, None, Some(at)) => {
                let text = at.trim().to_owned();
                Kind::At { at: moment(at, &zone, Part::At)?, text }
            }
            (None, None, None) => {
                return Err(ScheduleError::new(Part::Kind, "a schedule needs a time".to_owned(), 0..0)
                    .help("write one of cron: \"0 9 * * 1-5\", every: 15m, at: 2026-12-24T09:00"));
            }
            _ => {
                return Err(ScheduleError::new(Part::Kind, "a schedule has only one kind of time".to_owned(), 0..0)
                    .help("keep one of cron, every and at; a second schedule is a second workflow"));
            }
        };
        if self.anchor.is_some() && self.every.is_none() {
            let error = ScheduleError::new(Part::Anchor, "only an interval has an anchor".to_owned(), 0..0);
            return Err(error.help("remove `anchor`, or write `every`"));
        }
        Ok(Schedule { kind, zone, missed: self.missed })
    }
}

impl Schedule {
    /// Reads a schedule from one line: a cron pattern, `every 15m` or `at 2026-12-24T09:00`.
    pub fn parse(text: &str, zone: &Zone) -> Result<Self, ScheduleError> {
        let start = text.len() - text.trim_start().len();
        let trimmed = text.trim();
        let keyword = |keyword: &str| {
            let rest = trimmed.get(keyword.len()..)?;
            let is_it = trimmed.get(..keyword.len())?.eq_ignore_ascii_case(keyword) && rest.starts_with([' ', ':']);
            let value = rest.trim_start_matches([' ', ':']);
            is_it.then(|| (value.to_owned(), start + trimmed.len() - value.len()))
        };
        let (spec, shift) = if let Some((every, at)) = keyword("every").or_else(|| keyword("@every")) {
            (ScheduleSpec { every: Some(every), ..ScheduleSpec::default() }, at)
        } else if let Some((moment, at)) = keyword("at") {
            (ScheduleSpec { at: Some(moment), ..ScheduleSpec::default() }, at)
        } else {
            (ScheduleSpec { cron: Some(text.to_owned()), ..ScheduleSpec::default() }, 0)
        };
        spec.schedule(zone).map_err(|error| {
            let is_other = spec.cron.is_some() && error.part == Part::Cron(None);
            let error = error.shifted(shift);
            if is_other && duration::parse(trimmed).is_ok() {
                error.help(format!("did you mean `every {trimmed}`?"))
            } else if is_other && moment(trimmed, zone, Part::At).is_ok() {
                error.help(format!("did you mean `at {trimmed}`?"))
            } else {
                error
            }
        })
    }
}

fn interval(every: &str, anchor: Option<&str>, zone: &Zone) -> Result<Kind, ScheduleError> {
    let wrong = |message: String| ScheduleError::new(Part::Every, message, 0..every.len());
    let period = Duration::from_millis(duration::parse(every.trim()).map_err(wrong)?);
    if period < EVERY_MIN {
        return Err(wrong(format!("an interval of {every} is too short")).help("the shortest is 1s"));
    }
    let anchor = match anchor {
        Some(anchor) => moment(anchor, zone, Part::Anchor)?,
        None => midnight_1970(zone),
    };
    Ok(Kind::Every { period, anchor })
}

/// The first local midnight of 1970 that a [`Timestamp`] can hold: east of Greenwich the one of January the second.
fn midnight_1970(zone: &Zone) -> Timestamp {
    let midnight = |day| zone.first_instant(jiff::civil::date(1970, 1, day).at(0, 0, 0, 0));
    midnight(1).or_else(|| midnight(2)).unwrap_or_default()
}

/// A date and time with an offset, or on the clocks of `zone`.
pub(super) fn moment(text: &str, zone: &Zone, part: Part) -> Result<Timestamp, ScheduleError> {
    let trimmed = text.trim();
    let wrong = |message: String| ScheduleError::new(part, message, 0..text.len());
    // RFC 3339 first; it has an offset, or Z.
    if let Ok(at) = trimmed.parse::<Timestamp>() {
        return Ok(at);
    }
    let has_time = trimmed.contains(['T', 't', ' ']);
    match trimmed.parse::<DateTime>() {
        Ok(local) if has_time && !trimmed.contains('[') => {
            zone.first_instant(local).ok_or_else(|| wrong(format!("`{trimmed}` lies before 1970")))
        }
        Ok(_) => Err(wrong(format!("`{trimmed}` has no time of day")).help(format!("write it as {trimmed}T09:00"))),
        Err(_) => Err(wrong(format!("`{trimmed}` is no date and time"))
            .help("write 2026-12-24T09:00 for a time of the time zone, or RFC 3339 with its offset, such as 2026-12-24T09:00:00+01:00")),
    }
}

/// `15m`, as it would be written.
pub(super) fn duration_text(duration: Duration) -> String {
    duration::format(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
