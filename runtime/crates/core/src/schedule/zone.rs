//! Time zones: names of the IANA database, which is part of the binary, so that the same text means the same on every machine.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use super::error::{Part, ScheduleError};
use crate::time::Timestamp;

/// The zones of the binary: nothing is read from the machine.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone, by its IANA name in text.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A change of a zone's offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) at: Timestamp,
    /// What clocks on the wall show at `at` by the offset before, and by the one after.
    pub(super) from: DateTime,
    pub(super) to: DateTime,
}

impl Zone {
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Reads a date and time: on the clocks of this zone, or RFC 3339 with an offset of its own.
    pub fn moment(&self, text: &str) -> Result<Timestamp, ScheduleError> {
        super::spec::moment(text, self, Part::At)
    }

    /// What clocks on the wall of this zone show, to the second.
    pub(super) fn local(&self, at: Timestamp) -> Option<DateTime> {
        let at = whole_second(at)?;
        Some(self.0.to_offset(at).to_datetime(at))
    }

    /// Local date, time and offset, as in `2026-12-24T09:00:00+01:00`.
    pub fn format(&self, at: Timestamp) -> String {
        match (self.local(at), self.offset(at)) {
            (Some(local), Some(offset)) => {
                // RFC 3339 knows offsets of whole minutes only; others ended in 1972.
                let minutes = offset.seconds() / 60;
                let sign = if offset.is_negative() { '-' } else { '+' };
                format!("{local}{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
            }
            _ => at.to_string(),
        }
    }

    /// The day of the week and the abbreviation of the zone's time then, as in `Thursday` and `CET`.
    pub fn weekday_and_abbreviation(&self, at: Timestamp) -> Option<(&'static str, String)> {
        let instant = whole_second(at)?;
        let weekday = super::describe::weekday(self.local(at)?.date().weekday());
        Some((weekday, self.0.to_offset_info(instant).abbreviation().to_owned()))
    }

    fn offset(&self, at: Timestamp) -> Option<Offset> {
        whole_second(at).map(|at| self.0.to_offset(at))
    }

    /// The instant at which clocks that have the offset of `near` show `local`.
    pub(super) fn instant(&self, local: DateTime, near: Timestamp) -> Option<Timestamp> {
        timestamp(self.offset(near)?.to_timestamp(local).ok()?)
    }

    /// The next change after `at`.
    pub(super) fn change_after(&self, at: Timestamp) -> Option<Change> {
        let mut following = self.0.following(instant(at)?);
        following.find_map(|change| self.change(change.timestamp()))
    }

    /// The last change at or before `at`.
    pub(super) fn change_before(&self, at: Timestamp) -> Option<Change> {
        let just_after = Timestamp::from_millis(at.as_millis().saturating_add(1));
        let mut preceding = self.0.preceding(instant(just_after)?);
        preceding.find_map(|change| self.change(change.timestamp()))
    }

    /// Nothing when clocks were not moved, but only the zone's abbreviation changed.
    fn change(&self, at: jiff::Timestamp) -> Option<Change> {
        let just_before = at.checked_sub(jiff::SignedDuration::from_nanos(1)).ok()?;
        let change = Change {
            at: timestamp(at)?,
            from: self.0.to_offset(just_before).to_datetime(at),
            to: self.0.to_offset(at).to_datetime(at),
        };
        (change.from != change.to).then_some(change)
    }

    /// The instant of a local time: in a gap the first one after the gap, of two the first.
    pub(super) fn first_instant(&self, local: DateTime) -> Option<Timestamp> {
        use jiff::tz::AmbiguousOffset;
        let ambiguous = self.0.to_ambiguous_timestamp(local);
        let instant = match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok()?,
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok()?,
            AmbiguousOffset::Gap { after, .. } => {
                // By the later offset the time lies before the gap; the next change is its end.
                let before_gap = timestamp(after.to_timestamp(local).ok()?)?;
                return self.change_after(before_gap).map(|change| change.at);
            }
        };
        timestamp(instant)
    }

    /// The instants of a local time: one, or two where the clocks go back; in a gap the first one after it.
    pub(super) fn instants(&self, local: DateTime) -> impl Iterator<Item = Timestamp> {
        use jiff::tz::AmbiguousOffset::Fold;
        let second = match self.0.to_ambiguous_timestamp(local).offset() {
            Fold { after, .. } => after.to_timestamp(local).ok().and_then(timestamp),
            _ => None,
        };
        self.first_instant(local).into_iter().chain(second)
    }
}

fn instant(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).ok()?).ok()
}

fn whole_second(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_second(i64::try_from(at.as_millis() / 1_000).ok()?).ok()
}

/// Nothing before 1970.
fn timestamp(at: jiff::Timestamp) -> Option<Timestamp> {
    u64::try_from(at.as_millisecond()).ok().map(Timestamp::from_millis)
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Zone {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        // `local` and POSIX rules would mean another thing on each machine, or nothing to the reader.
        ZONES.get(text).map(Self).map_err(|_| {
            let unknown = ScheduleError::new(Part::Timezone, format!("there is no time zone `{text}`"), 0..text.len());
            unknown.help(match similar(text) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "write the name of a place as the IANA database has it, such as Europe/Berlin, or UTC; an \
                         abbreviation (CET, EST) or an offset (+01:00) says nothing about daylight saving"
                    .to_owned(),
            })
        })
    }
}

/// A zone that `text` may stand for: written nearly so, or the city alone.
fn similar(text: &str) -> Option<String> {
    let wanted = text.trim().replace(' ', "_").to_ascii_lowercase();
    // People know the city; the continent is what they mistake.
    let wanted_city = wanted.rsplit('/').next().unwrap_or(&wanted);
    let (mut best, mut best_score) = (None, 0.0_f64);
    for name in ZONES.available() {
        let name = name.as_str();
        let lower = name.to_ascii_lowercase();
        let city = lower.rsplit('/').next().unwrap_or(&lower);
        // The whole name counts a little more, so that `Europe/Berln` is not some other `…/Berlin`.
        let same_city = if city == wanted_city { 1.0 } else { 0.0 };
        let score =
            strsim::jaro_winkler(&wanted, &lower).max(strsim::jaro_winkler(&wanted, city) - 0.01).max(same_city);
        if score > best_score {
            (best, best_score) = (Some(name.to_owned()), score);
        }
    }
    // Below that, names have little more in common than their first letters.
    best.filter(|_| best_score >= 0.9)
}

impl Serialize for Zone {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}
impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(|error: ScheduleError| serde::de::Error::custom(error.in_words()))
    }
}
