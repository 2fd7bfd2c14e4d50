//! Schedules in plain words.

use super::cron::{Cron, Nth};
use super::spec::duration_text;
use super::{Kind, Schedule};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Times that are named one by one; more are said by their fields.
const TIMES_NAMED_MAX: usize = 4;

pub(super) fn describe(schedule: &Schedule) -> String {
    let zone = &schedule.zone;
    match &schedule.kind {
        Kind::Cron(cron) => {
            let months = if cron.months.has_all(1, 12) {
                String::new()
            } else {
                let months: Vec<u8> = cron.months.iter().collect();
                format!(" in {}", list(&months, |month| name(&MONTHS, month.saturating_sub(1)).to_owned()))
            };
            let times = times(cron);
            // "Every 15 minutes every day" says no more than "every 15 minutes".
            let days = days(cron).unwrap_or_else(|| if times.starts_with("at") { " every day" } else { "" }.to_owned());
            sentence(&format!("{times}{days}{months}, {zone} time"))
        }
        Kind::Every { period, anchor } => {
            format!("Every {} of elapsed time, counted from {}.", duration_text(*period), zone.format(*anchor))
        }
        Kind::At { at, .. } => match zone.weekday_and_abbreviation(*at) {
            Some((weekday, _)) => format!("Once, on {weekday}, {} ({zone} time).", zone.format(*at)),
            None => format!("Once, at {at}."),
        },
    }
}

pub(super) fn weekday(weekday: jiff::civil::Weekday) -> &'static str {
    name(&WEEKDAYS, weekday.to_sunday_zero_offset().unsigned_abs())
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

fn times(cron: &Cron) -> String {
    let seconds: Vec<u8> = cron.seconds.iter().collect();
    let minutes: Vec<u8> = cron.minutes.iter().collect();
    let hours: Vec<u8> = cron.hours.iter().collect();
    let of_hours = match (hours.first(), hours.last()) {
        _ if cron.is_hourly() => String::new(),
        (Some(first), Some(last)) if cron.hours.has_all(*first, *last) => {
            format!(" from {first:02}:00 to {last:02}:59")
        }
        _ => format!(" in the hours {}", list(&hours, |hour| format!("{hour:02}"))),
    };
    let all_minutes = cron.minutes.has_all(0, 59);
    if seconds != [0] {
        let second = match regular(&seconds, 59) {
            Some(1) => "every second".to_owned(),
            Some(step) => format!("every {step} seconds"),
            None => format!("at second {}", list(&seconds, ToString::to_string)),
        };
        return match (all_minutes, seconds.as_slice(), minutes.as_slice()) {
            (true, _, _) => format!("{second} of every minute{of_hours}"),
            (false, [second], [minute]) if hours.len() <= TIMES_NAMED_MAX => {
                format!(
                    "at {}",
                    list_words(
                        &hours.iter().map(|hour| format!("{hour:02}:{minute:02}:{second:02}")).collect::<Vec<_>>()
                    )
                )
            }
            _ => format!(
                "{second} of minute {}{}",
                list(&minutes, ToString::to_string),
                if of_hours.is_empty() { " of every hour" } else { &of_hours }
            ),
        };
    }
    if minutes.len() * hours.len() <= TIMES_NAMED_MAX {
        let clock: Vec<_> =
            hours.iter().flat_map(|hour| minutes.iter().map(move |minute| format!("{hour:02}:{minute:02}"))).collect();
        return format!("at {}", list_words(&clock));
    }
    match (regular(&minutes, 59), minutes.as_slice()) {
        (Some(1), _) => format!("every minute{of_hours}"),
        (Some(step), _) => format!("every {step} minutes{of_hours}"),
        (None, [minute]) => match regular(&hours, 23) {
            Some(1) if *minute == 0 => "every hour, on the hour".to_owned(),
            Some(1) => format!("at minute {minute} of every hour"),
            Some(step) => format!("every {step} hours, at minute {minute}, from 00:{minute:02} on"),
            None => format!("at minute {minute}{of_hours}"),
        },
        (None, _) => {
            let hours = if of_hours.is_empty() { " of every hour" } else { &of_hours };
            format!("at minute {}{hours}", list(&minutes, ToString::to_string))
        }
    }
}

/// The distance of numbers that begin with 0 and go on evenly to the end of the range.
fn regular(numbers: &[u8], last: u8) -> Option<u8> {
    let [0, second, ..] = numbers else { return None };
    let even: Vec<u8> = (0..=last).step_by(usize::from(*second)).collect();
    (even == numbers).then_some(*second)
}

/// Nothing when it is every day.
fn days(cron: &Cron) -> Option<String> {
    let mut of_month = Vec::new();
    if !cron.days.is_empty() {
        let numbers: Vec<u8> = cron.days.iter().collect();
        of_month.push(format!("day {} of the month", list(&numbers, ToString::to_string)));
    }
    if cron.last_day {
        of_month.push("the last day of the month".to_owned());
    }
    // As the week is written where there are ISO weeks: Monday first.
    let order = [1, 2, 3, 4, 5, 6, 0];
    let places: Vec<u8> =
        (0..7).filter(|place| order.get(usize::from(*place)).is_some_and(|day| cron.weekdays.has(*day))).collect();
    let mut of_week = Vec::new();
    if !places.is_empty() {
        of_week.push(list(&places, |place| name(&WEEKDAYS, (place + 1) % 7).to_owned()));
    }
    for weekday in &cron.nth_weekdays {
        let nth = match weekday.nth {
            Nth::Number(number) => name(&["first", "second", "third", "fourth", "fifth"], number.saturating_sub(1)),
            Nth::Last => "last",
        };
        of_week.push(format!("the {nth} {} of the month", name(&WEEKDAYS, weekday.number)));
    }
    let any_day = cron.days.has_all(1, 31);
    let any_weekday = cron.weekdays.has_all(0, 6);
    let (of_month, of_week) = (list_words(&of_month), list_words(&of_week));
    Some(match (any_day, any_weekday) {
        (true, true) => return None,
        (true, false) => format!(" on {of_week}"),
        (false, true) => format!(" on {of_month}"),
        (false, false) if cron.has_open_day => format!(" on {of_month} if it is {of_week}"),
        (false, false) => format!(" on {of_month} and on {of_week}"),
    })
}

/// `1, 3 and 5 to 7`.
fn list(numbers: &[u8], word: impl Fn(&u8) -> String) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = numbers;
    while let Some(first) = rest.first() {
        let run = rest.iter().zip(*first..).take_while(|(number, expected)| **number == *expected).count();
        match rest.get(run - 1).filter(|_| run > 2) {
            Some(last) => words.push(format!("{} to {}", word(first), word(last))),
            None => words.extend(rest.iter().take(run).map(&word)),
        }
        rest = rest.get(run..).unwrap_or_default();
    }
    list_words(&words)
}

fn list_words(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [word] => word.clone(),
        [words @ .., last] => format!("{} and {last}", words.join(", ")),
    }
}

fn name(names: &[&'static str], index: u8) -> &'static str {
    names.get(usize::from(index)).copied().unwrap_or_default()
}
