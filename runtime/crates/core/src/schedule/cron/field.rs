//! The fields of a cron pattern: what each is called, what it may hold, and the set it comes to.

use jiff::civil::Date;

/// Numbers from 0 to 63.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::schedule) struct Numbers(u64);

impl Numbers {
    pub(in crate::schedule) fn add(&mut self, number: u8) {
        self.0 |= 1_u64.checked_shl(number.into()).unwrap_or(0);
    }
    pub(in crate::schedule) fn has(self, number: u8) -> bool {
        self.0.checked_shr(number.into()).is_some_and(|rest| rest & 1 == 1)
    }
    pub(in crate::schedule) fn has_all(self, first: u8, last: u8) -> bool {
        (first..=last).all(|number| self.has(number))
    }
    pub(in crate::schedule) fn at_or_after(self, number: u8) -> Option<u8> {
        let rest = self.0.checked_shr(number.into()).filter(|rest| *rest != 0)?;
        number.checked_add(u8::try_from(rest.trailing_zeros()).ok()?)
    }
    pub(in crate::schedule) fn iter(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |number| self.has(*number))
    }
    pub(in crate::schedule) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Which of the weekdays of one name in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::schedule) enum Nth {
    /// 1 to 5.
    Number(u8),
    Last,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::schedule) struct Weekday {
    /// From Sunday, 0.
    pub(in crate::schedule) number: u8,
    pub(in crate::schedule) nth: Nth,
}

impl Weekday {
    pub(super) fn is(self, date: Date) -> bool {
        let is_nth = match self.nth {
            Nth::Number(number) => (date.day() - 1) / 7 + 1 == i8::try_from(number).unwrap_or(0),
            Nth::Last => date.day() + 7 > date.days_in_month(),
        };
        is_nth && date.weekday().to_sunday_zero_offset().unsigned_abs() == self.number
    }
}

/// One of the six fields.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::schedule) struct Field {
    pub(in crate::schedule) name: &'static str,
    pub(super) first: u8,
    pub(super) last: u8,
    /// Names of its numbers, from `first` on.
    pub(super) names: &'static [&'static str],
}

/// In the order of a pattern of six; one of five has no seconds.
pub(in crate::schedule) static FIELDS: [Field; 6] = [
    Field { name: "second", first: 0, last: 59, names: &[] },
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: "day of the month", first: 1, last: 31, names: &[] },
    Field {
        name: "month",
        first: 1,
        last: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    // 7 is Sunday, too, so that 5-7 can be written.
    Field { name: "day of the week", first: 0, last: 7, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

impl Field {
    /// What may be written, for messages.
    pub(super) fn possible(&self) -> String {
        match (self.names.first(), self.names.last()) {
            (Some(first), Some(last)) => {
                format!("{} to {}, or {first} to {last}", self.first, self.last)
            }
            _ => format!("{} to {}", self.first, self.last),
        }
    }
}
