//! Cron patterns as sets of numbers, and the next local time that is in them. Knows nothing of time zones.
//!
//! Written here because no cron library over `jiff` says which field is wrong and where, and because the daylight-saving rule of
//! [`super`] needs to know how a field was written.

mod field;
mod parse;

use jiff::civil::{Date, DateTime, Time};

pub(super) use field::Nth;
use field::{Numbers, Weekday};

/// Years that are searched for the next date. The rarest pattern there is, a fifth Monday in February, comes every 28 years and, over
/// a century that is no leap year such as 2100, after 40.
const YEARS_MAX: i16 = 41;

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cron {
    /// As written, one space between two fields.
    pub(super) text: String,
    pub(super) seconds: Numbers,
    pub(super) minutes: Numbers,
    pub(super) hours: Numbers,
    pub(super) days: Numbers,
    /// `L` among the days of the month.
    pub(super) last_day: bool,
    pub(super) months: Numbers,
    /// From Sunday, 0.
    pub(super) weekdays: Numbers,
    /// `mon#2`, `fri L`.
    pub(super) nth_weekdays: Vec<Weekday>,
    /// Whether the minute or the second begins with `*`: meant is "again and again", not "then".
    pub(super) has_rolling_field: bool,
    /// Whether the day of the month or that of the week begins with `*` (or is `?`): then the other one decides.
    pub(super) has_open_day: bool,
}

impl Cron {
    /// Whether it comes in each hour of a day: then an hour that the clock skips is not missed.
    pub(super) fn is_hourly(&self) -> bool {
        self.hours.has_all(0, 23)
    }

    /// Whether it goes on by elapsed time: in the hour that comes twice, it comes twice.
    pub(super) fn is_rolling(&self) -> bool {
        self.is_hourly() || self.has_rolling_field
    }

    /// The first local time at or after `from` that fits.
    pub(super) fn at_or_after(&self, from: DateTime) -> Option<DateTime> {
        if self.is_day(from.date())
            && let Some(time) = self.time_at_or_after(from.time())
        {
            return Some(from.date().to_datetime(time));
        }
        let date = self.day_after(from.date())?;
        Some(date.to_datetime(self.time_at_or_after(Time::midnight())?))
    }

    fn day_after(&self, from: Date) -> Option<Date> {
        let mut date = from.tomorrow().ok()?;
        while date.year() - from.year() <= YEARS_MAX {
            if !self.months.has(date.month().unsigned_abs()) {
                date = date.last_of_month().tomorrow().ok()?;
            } else if self.is_day(date) {
                return Some(date);
            } else {
                date = date.tomorrow().ok()?;
            }
        }
        None
    }

    /// When both day fields say something, either is enough, as in every cron since 1979 (POSIX `crontab`).
    fn is_day(&self, date: Date) -> bool {
        let by_day = self.days.has(date.day().unsigned_abs()) || (self.last_day && date.day() == date.days_in_month());
        let number = date.weekday().to_sunday_zero_offset().unsigned_abs();
        let by_weekday = self.weekdays.has(number) || self.nth_weekdays.iter().any(|weekday| weekday.is(date));
        let by_both = if self.has_open_day { by_day && by_weekday } else { by_day || by_weekday };
        self.months.has(date.month().unsigned_abs()) && by_both
    }

    fn time_at_or_after(&self, from: Time) -> Option<Time> {
        let (first_minute, first_second) = (self.minutes.at_or_after(0)?, self.seconds.at_or_after(0)?);
        let (hour, minute, second) =
            (from.hour().unsigned_abs(), from.minute().unsigned_abs(), from.second().unsigned_abs());
        if self.hours.has(hour) {
            if self.minutes.has(minute)
                && let Some(second) = self.seconds.at_or_after(second)
            {
                return time(hour, minute, second);
            }
            if let Some(minute) = self.minutes.at_or_after(minute + 1) {
                return time(hour, minute, first_second);
            }
        }
        time(self.hours.at_or_after(hour + 1)?, first_minute, first_second)
    }
}

fn time(hour: u8, minute: u8, second: u8) -> Option<Time> {
    Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, i8::try_from(second).ok()?, 0).ok()
}
