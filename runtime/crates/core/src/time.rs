//! Time as data: a millisecond count that prints as RFC 3339. Reading a clock is a port's work ([`crate::ports::Clock`]).

use std::fmt;
use std::ops::Add;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z; RFC 3339 in text, always in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// 9999-12-29, the last day that is read back: RFC 3339 has four digits for the year, and no zone may take a time beyond them.
const LAST_DAY: u64 = 2_932_894;

/// The year, month and day that lie `days` after 1970-01-01 in the Gregorian calendar. Years are counted from 0000-03-01 on, so that the day
/// that not every year has is the last of its year (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

impl Timestamp {
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }
    pub const fn as_millis(self) -> u64 {
        self.0
    }
    /// The time from `earlier` to `self`; zero when the clock went back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written by hand, because a run writes a dozen of them.
        let (days, ms) = (self.0 / DAY_MS, self.0 % DAY_MS);
        if days > LAST_DAY {
            return write!(f, "+{}ms", self.0);
        }
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (end, digits, number) in [
            (4, 4, year),
            (7, 2, month),
            (10, 2, day),
            (13, 2, hour),
            (16, 2, minute),
            (19, 2, second),
            (23, 3, ms % 1_000),
        ] {
            let mut rest = number;
            for place in text.iter_mut().take(end).rev().take(digits) {
                *place = b"0123456789".get(usize::try_from(rest % 10).unwrap_or(0)).copied().unwrap_or(b'0');
                rest /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}
impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Timestamp {
    type Err = crate::id::InvalidId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>()
            .ok()
            .and_then(|at| u64::try_from(at.as_millisecond()).ok())
            .map(Self)
            .ok_or_else(|| crate::id::InvalidId {
                text: text.to_owned(),
                expected: "a time in RFC 3339, such as 2026-11-23T08:00:00Z",
            })
    }
}
impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_prints_as_the_calendar_has_it() {
        // Each day until 2109, then each of the year in turn.
        for day in (0..51_000).chain((51_000..LAST_DAY).step_by(61)).chain([LAST_DAY]) {
            let ms = day * DAY_MS + day % DAY_MS;
            let expected = jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap()).unwrap();
            assert_eq!(Timestamp(ms).to_string(), format!("{expected:.3}"));
        }
        assert_eq!(Timestamp((LAST_DAY + 1) * DAY_MS - 1).to_string(), "9999-12-29T23:59:59.999Z");
        assert_eq!(Timestamp((LAST_DAY + 1) * DAY_MS).to_string(), format!("+{}ms", (LAST_DAY + 1) * DAY_MS));
    }

    #[test]
    fn timestamps_print_as_rfc_3339_with_milliseconds() {
        let at = Timestamp::from_millis(1_763_884_800_123);
        assert_eq!(at.to_string(), "2025-11-23T08:00:00.123Z");
        assert_eq!(at.to_string().parse::<Timestamp>(), Ok(at));
        assert_eq!(at.since(at + Duration::from_secs(1)), Duration::ZERO);
    }
}
