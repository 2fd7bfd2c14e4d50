//! When something happens by the clock: cron patterns, intervals and single times in a time zone, what becomes of times that were
//! missed, and windows of opening hours. Pure: reads no clock, the zones are in the binary.
//!
//! **Daylight saving.** Where the clocks go forward, some local times do not exist; where they go back, some exist twice.
//! - A cron pattern that does not come in every hour: times that do not exist come once, at the first moment after the gap.
//!   One that comes every hour misses nothing, for there was no such hour.
//! - A pattern that names its times comes once, at the first of two. One whose hour is `*`, or whose minute or second begins with
//!   `*`, goes on by elapsed time, and so comes in both hours.
//! - An interval is elapsed time and knows nothing of all this. A single time follows the rule of the patterns that name theirs.

mod catch_up;
mod cron;
mod describe;
mod error;
mod spec;
mod window;
mod zone;

use std::time::Duration;

use jiff::civil::DateTime;

use crate::id::Digest;
use crate::time::Timestamp;

pub use catch_up::{CAUGHT_UP_MAX, CatchUp, ON_TIME, PassedOver};
use cron::Cron;
pub use error::{Part, ScheduleError};
pub use spec::{EVERY_MIN, Missed, ScheduleSpec};
pub use window::{Window, ZonedCalendar};
pub use zone::Zone;

/// The most occurrences one call lists: a page of a list, as everywhere in the API.
pub const OCCURRENCES_MAX: usize = 1_000;

/// Changes of the clocks that are looked across for the next occurrence: two a year, for as long as a pattern is searched for.
const CHANGES_MAX: usize = 100;

/// When something happens. Made from a [`ScheduleSpec`] or, for a command line, by [`Schedule::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    kind: Kind,
    zone: Zone,
    missed: Missed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Cron(Cron),
    /// At `anchor` and every `period` after it.
    Every {
        period: Duration,
        anchor: Timestamp,
    },
    At {
        at: Timestamp,
        text: String,
    },
}

impl Schedule {
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    pub fn missed(&self) -> Missed {
        self.missed
    }

    /// The schedule in one line, always the same for the same times: two schedules with one text never differ in when they come.
    pub fn text(&self) -> String {
        match &self.kind {
            Kind::Cron(cron) => format!("{} ({})", cron.text, self.zone),
            Kind::Every { period, anchor } => {
                format!("every {} from {anchor}", spec::duration_text(*period))
            }
            Kind::At { at, .. } => format!("at {}", self.zone.format(*at)),
        }
    }

    /// Tells a changed schedule from an unchanged one. What becomes of missed times is no part of it.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    /// The schedule in a plain sentence.
    pub fn describe(&self) -> String {
        describe::describe(self)
    }

    /// The first occurrence after `t`; nothing when there is none any more.
    pub fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        match &self.kind {
            Kind::Cron(cron) => next_of_cron(cron, &self.zone, t),
            Kind::Every { period, anchor } => next_of_interval(*period, *anchor, t),
            Kind::At { at, .. } => Some(*at).filter(|at| *at > t),
        }
    }

    /// The last occurrence after `floor` and not after `t`.
    pub fn last_between(&self, floor: Timestamp, t: Timestamp) -> Option<Timestamp> {
        let mut last = self.next_after(floor).filter(|first| *first <= t)?;
        // Nothing comes after `none_after` and before `t`; halving the rest finds the last one in some forty steps.
        let mut none_after = t;
        while last < none_after {
            let middle = Timestamp::from_millis(last.as_millis().midpoint(none_after.as_millis()));
            match self.next_after(middle).filter(|next| *next <= t) {
                Some(next) => last = next,
                None => none_after = middle,
            }
        }
        Some(last)
    }

    /// The occurrences after `from` and not after `to`, at most `limit` of them and never more than [`OCCURRENCES_MAX`].
    pub fn occurrences(&self, from: Timestamp, to: Timestamp, limit: usize) -> Vec<Timestamp> {
        let later = std::iter::successors(self.next_after(from), |last| self.next_after(*last));
        later.take_while(|at| *at <= to).take(limit.min(OCCURRENCES_MAX)).collect()
    }
}

fn next_of_interval(period: Duration, anchor: Timestamp, t: Timestamp) -> Option<Timestamp> {
    if t < anchor {
        return Some(anchor);
    }
    let period_ms = u64::try_from(period.as_millis()).ok().filter(|period| *period > 0)?;
    let past = t.as_millis() - anchor.as_millis();
    let next = (past / period_ms).checked_add(1)?.checked_mul(period_ms)?.checked_add(anchor.as_millis())?;
    Some(Timestamp::from_millis(next))
}

/// Between two changes of the clocks local time runs on evenly, so the next local time that fits is the next occurrence, if it lies
/// before the next change. At a change the rule of the module decides.
fn next_of_cron(cron: &Cron, zone: &Zone, t: Timestamp) -> Option<Timestamp> {
    // Occurrences are whole seconds: after `t` means from the next one on.
    let mut from = Timestamp::from_millis((t.as_millis() / 1_000).checked_add(1)?.checked_mul(1_000)?);
    for _ in 0..CHANGES_MAX {
        let mut local = zone.local(from)?;
        if !cron.is_rolling()
            && let Some(repeated_until) = repeated_until(zone, from)
        {
            local = local.max(repeated_until);
        }
        let next = cron.at_or_after(local)?;
        let Some(change) = zone.change_after(from) else { return zone.instant(next, from) };
        if next < change.from {
            return zone.instant(next, from);
        }
        // In the gap itself.
        if next < change.to && !cron.is_hourly() {
            return Some(change.at);
        }
        from = change.at;
        // To a date that is far away in one step, unless the hour that comes again now is to be looked at once more.
        let is_looked_at_again = change.to < change.from && cron.is_rolling();
        if !is_looked_at_again && let Some(close) = well_before(zone, next).filter(|close| *close > from) {
            from = close;
        }
    }
    None
}

/// Until when clocks show, at `from`, what they have shown before.
fn repeated_until(zone: &Zone, from: Timestamp) -> Option<DateTime> {
    let change = zone.change_before(from)?;
    (change.to < change.from).then_some(change.from)
}

/// Two days before `local`: no change moves clocks by more than one (Samoa, 2011).
fn well_before(zone: &Zone, local: DateTime) -> Option<Timestamp> {
    let earlier = local.checked_sub(jiff::SignedDuration::from_hours(48)).ok()?;
    zone.first_instant(earlier)
}

#[cfg(test)]
mod tests;
