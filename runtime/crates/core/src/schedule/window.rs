//! Opening hours: on which days of the week and between which times something may happen, and dates on which it may not.

use jiff::civil::{Date, DateTime, Time};
use serde::{Deserialize, Serialize};

use super::Zone;
use super::error::{Part, ScheduleError};
use super::zone::Change;
use crate::time::Timestamp;

/// Days that are looked at for the next opening: ten years of pauses, longer than anybody means.
const DAYS_MAX: usize = 3_660;

/// `{ days: [mon, fri], from: "09:00", to: "17:00", timezone: Europe/Berlin }`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// Days of the week, `mon` to `sun`; default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<Vec<String>>,
    /// Open from then on, `HH:MM`; default: midnight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Closed from then on, `HH:MM` or `24:00`; default: midnight. Before `from`: on the next day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// IANA name; default: the workflow's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

/// A date, or a time from one date to another with both: nothing happens then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pause {
    Day(String),
    Days { from: String, to: String },
}

/// When something may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// From Monday, 0.
    days: [bool; 7],
    from: Time,
    /// Nothing: the end of the day.
    to: Option<Time>,
    zone: Zone,
    /// First and last day.
    pauses: Vec<(Date, Date)>,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl WindowSpec {
    /// Reads what is written; `default_zone` is the workflow's.
    pub fn window(&self, pauses: &[Pause], default_zone: &Zone) -> Result<Window, ScheduleError> {
        let zone = self.timezone.as_ref().map_or_else(|| Ok(default_zone.clone()), |name| name.parse())?;
        let from = self.from.as_deref().map_or(Ok(Time::midnight()), time)?;
        let to = match self.to.as_deref().map(str::trim) {
            None | Some("24:00") => None,
            Some(text) => Some(time(text)?).filter(|to| *to != Time::midnight()),
        };
        if to == Some(from) {
            return Err(wrong(&from.to_string(), "the window opens and closes at the same time")
                .help("leave both out for a whole day"));
        }
        let mut days = [self.days.is_none(); 7];
        for name in self.days.iter().flatten() {
            for day in day_range(name)? {
                if let Some(is_open) = days.get_mut(day) {
                    *is_open = true;
                }
            }
        }
        if days == [false; 7] {
            return Err(
                wrong("", "a window without days never opens").help("name days from mon to sun, or leave `days` out")
            );
        }
        let pauses = pauses.iter().map(Pause::dates).collect::<Result<_, _>>()?;
        Ok(Window { days, from, to, zone, pauses })
    }
}

impl Pause {
    fn dates(&self) -> Result<(Date, Date), ScheduleError> {
        let date = |text: &str| {
            text.trim()
                .parse::<Date>()
                .map_err(|_| wrong(text, &format!("`{text}` is no date")).help("write it as 2026-12-24"))
        };
        let (first, last) = match self {
            Self::Day(day) => (date(day)?, date(day)?),
            Self::Days { from, to } => (date(from)?, date(to)?),
        };
        if last < first {
            return Err(wrong(&last.to_string(), &format!("the pause ends on {last}, before it begins on {first}")));
        }
        Ok((first, last))
    }
}

impl Window {
    /// Always open, but for the pauses.
    pub fn always(pauses: &[Pause], zone: &Zone) -> Result<Self, ScheduleError> {
        WindowSpec::default().window(pauses, zone)
    }

    pub fn is_open(&self, t: Timestamp) -> bool {
        self.zone.local(t).is_some_and(|local| self.is_open_at(local))
    }

    /// `t` when it is open then, else the first moment when it is; nothing when pauses cover the next ten years.
    pub fn next_open(&self, t: Timestamp) -> Option<Timestamp> {
        if self.is_open(t) {
            return Some(t);
        }
        let local = self.zone.local(t)?;
        let mut date = local.date();
        for _ in 0..DAYS_MAX {
            // A window opens at its hour, at midnight when it goes on from yesterday after a pause, or where the clocks change.
            let openings = [date.to_datetime(Time::midnight()), date.to_datetime(self.from)];
            let opening = openings.into_iter().flat_map(|opening| self.zone.instants(opening));
            let mut moments: Vec<Timestamp> = opening.chain(self.change_on(date)).filter(|at| *at > t).collect();
            moments.sort_unstable();
            if let Some(open) = moments.into_iter().find(|at| self.is_open(*at)) {
                return Some(open);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn change_on(&self, date: Date) -> Option<Timestamp> {
        let midnight = self.zone.first_instant(date.to_datetime(Time::midnight()))?;
        let Change { at, from, .. } = self.zone.change_after(midnight)?;
        (from.date() == date).then_some(at)
    }

    fn is_open_at(&self, local: DateTime) -> bool {
        let (date, time) = (local.date(), local.time());
        if self.pauses.iter().any(|(first, last)| (*first..=*last).contains(&date)) {
            return false;
        }
        match self.to {
            Some(to) if to < self.from => {
                // Over midnight: the evening belongs to its own day, the morning to the day before.
                let since_yesterday = date.yesterday().is_ok_and(|yesterday| self.has_day(yesterday)) && time < to;
                (self.has_day(date) && time >= self.from) || since_yesterday
            }
            to => self.has_day(date) && time >= self.from && to.is_none_or(|to| time < to),
        }
    }

    fn has_day(&self, date: Date) -> bool {
        let number = usize::from(date.weekday().to_monday_zero_offset().unsigned_abs());
        self.days.get(number).copied().unwrap_or(false)
    }
}

fn wrong(text: &str, message: &str) -> ScheduleError {
    ScheduleError::new(Part::Window, message.to_owned(), 0..text.len())
}

fn time(text: &str) -> Result<Time, ScheduleError> {
    let trimmed = text.trim();
    let read = trimmed.split_once(':').and_then(|(hour, minute)| {
        let number = |digits: &str| (digits.len() == 2).then(|| digits.parse::<i8>().ok()).flatten();
        Time::new(number(hour)?, number(minute)?, 0, 0).ok()
    });
    read.ok_or_else(|| {
        wrong(text, &format!("`{trimmed}` is no time of day"))
            .help("write hours and minutes in quotes, such as \"09:00\"")
    })
}

/// `mon`, `Monday`, `mon-fri`; over the end of the week, too.
fn day_range(text: &str) -> Result<Vec<usize>, ScheduleError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first, text)?, day(last, text)?);
    let count = (last + 7 - first) % 7 + 1;
    Ok((0..count).map(|step| (first + step) % 7).collect())
}

fn day(name: &str, text: &str) -> Result<usize, ScheduleError> {
    let name = name.trim().to_ascii_lowercase();
    let full = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let found = DAYS.iter().zip(full).position(|(short, full)| *short == name || full == name);
    found.ok_or_else(|| {
        let similar = DAYS.iter().find(|day| name.starts_with(&day[..2]));
        let help = similar.map_or_else(
            || "the days are mon, tue, wed, thu, fri, sat, sun".to_owned(),
            |day| format!("did you mean `{day}`?"),
        );
        wrong(text, &format!("`{name}` is no day of the week")).help(help)
    })
}

#[cfg(test)]
mod tests;
