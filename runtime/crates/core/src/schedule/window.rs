//! Opening hours: on which days of the week and between which times something may happen, and dates on which it may not.

use jiff::civil::{Date, DateTime, Time};

use super::Zone;
use super::error::{Part, ScheduleError};
use super::zone::Change;
use crate::run::calendar::Calendar;
use crate::time::Timestamp;
use crate::workflow::settings;

/// Days that are looked at for the next opening: ten years of pauses, longer than anybody means.
const DAYS_MAX: usize = 3_660;

/// When something may happen: a workflow's `window` and `paused`, ready to be asked.
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

/// Windows and pauses by the zones of the binary. A text that cannot be read never opens: a check says why.
#[derive(Debug, Clone, Copy, Default)]
pub struct ZonedCalendar;

impl Calendar for ZonedCalendar {
    fn opens(
        &self,
        window: Option<&settings::Window>,
        paused: &[settings::Pause],
        timezone: Option<&str>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if window.is_none() && paused.is_empty() {
            return Some(now);
        }
        let zone = timezone.map_or_else(|| Ok(Zone::utc()), str::parse).ok()?;
        let window = match window {
            Some(window) => Window::of(window, paused, &zone).ok()?,
            None => Window::always(paused, &zone),
        };
        window.next_open(now)
    }
}

impl Window {
    /// `zone` is the workflow's; `window` may name another.
    pub fn of(window: &settings::Window, pauses: &[settings::Pause], zone: &Zone) -> Result<Self, ScheduleError> {
        let own_zone = window.timezone.as_ref().map(|name| name.parse()).transpose()?;
        let from = time(window.from).ok_or_else(|| {
            wrong("a window cannot open at 24:00, the end of the day".to_owned())
                .help("open from 00:00 is open from the start of the day")
        })?;
        let to = time(window.to).filter(|to| *to != Time::midnight());
        if to == Some(from) {
            return Err(wrong(format!("the window opens and closes at {}", window.to))
                .help("leave `from` and `to` out for a whole day"));
        }
        let mut days = [window.days.is_empty(); 7];
        for day in &window.days {
            if let Some(is_open) = days.get_mut(*day as usize) {
                *is_open = true;
            }
        }
        Ok(Self { days, from, to, ..Self::always(pauses, &own_zone.unwrap_or_else(|| zone.clone())) })
    }

    /// Always open, but for the pauses.
    pub fn always(pauses: &[settings::Pause], zone: &Zone) -> Self {
        let pauses = pauses.iter().map(|pause| (pause.first().date(), pause.last().date())).collect();
        Self { days: [true; 7], from: Time::midnight(), to: None, zone: zone.clone(), pauses }
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

fn wrong(message: String) -> ScheduleError {
    ScheduleError::new(Part::Window, message, 0..0)
}

/// Nothing for 24:00.
fn time(of_day: settings::TimeOfDay) -> Option<Time> {
    let minutes = of_day.minutes();
    Time::new(i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?, 0, 0).ok()
}

#[cfg(test)]
mod tests;
