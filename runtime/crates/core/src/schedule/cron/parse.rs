//! Reads a pattern, and says of a wrong one which field is wrong, where, and what would be right.

use std::ops::Range;

use super::Cron;
use super::field::{FIELDS, Field, Nth, Numbers, Weekday};
use crate::schedule::error::{Part, ScheduleError};

/// Shorthands, as Vixie's cron has them.
const SHORTHANDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The longest pattern that is read, in bytes. All sixty minutes written out are 169.
const BYTES_MAX: usize = 1_000;

/// A piece of the text and where it begins.
#[derive(Debug, Clone, Copy)]
struct Piece<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Piece<'t> {
    fn span(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }
    /// Around the first `separator`; the separator belongs to neither.
    fn split(self, separator: char) -> (Self, Option<Self>) {
        match self.text.split_once(separator) {
            Some((left, right)) => (
                Piece { text: left, at: self.at },
                Some(Piece { text: right, at: self.at + left.len() + separator.len_utf8() }),
            ),
            None => (self, None),
        }
    }
    fn words(text: &'t str) -> Vec<Self> {
        let words = text.split_whitespace();
        words.map(|word| Piece { text: word, at: word.as_ptr() as usize - text.as_ptr() as usize }).collect()
    }
}

impl Cron {
    pub(in crate::schedule) fn parse(text: &str) -> Result<Self, ScheduleError> {
        let whole = |message: String| ScheduleError::new(Part::Cron(None), message, 0..text.len());
        if text.len() > BYTES_MAX {
            return Err(whole(format!("a cron pattern has at most {BYTES_MAX} characters")));
        }
        let words = Piece::words(text);
        let words = match words.as_slice() {
            [word] if word.text.starts_with('@') => Piece::words(shorthand(*word)?),
            _ => words,
        };
        let (second, fields) = match words.as_slice() {
            [second, fields @ ..] if words.len() == 6 => (Some(*second), fields),
            fields => (None, fields),
        };
        let [minute, hour, day, month, weekday] = fields else { return Err(wrong_count(&words, text)) };
        let [second_field, minute_field, hour_field, day_field, month_field, weekday_field] = &FIELDS;
        let seconds = second.map_or_else(|| Ok(Read::only(0)), |second| Read::field(second_field, second))?;
        let minutes = Read::field(minute_field, *minute)?;
        let hours = Read::field(hour_field, *hour)?;
        let days = Read::field(day_field, *day)?;
        let months = Read::field(month_field, *month)?;
        let mut weekdays = Read::field(weekday_field, *weekday)?;
        if weekdays.numbers.has(7) {
            weekdays.numbers.add(0);
        }
        let cron = Self {
            text: words.iter().map(|word| word.text).collect::<Vec<_>>().join(" "),
            seconds: seconds.numbers,
            minutes: minutes.numbers,
            hours: hours.numbers,
            days: days.numbers,
            last_day: days.last_day,
            months: months.numbers,
            weekdays: weekdays.numbers,
            nth_weekdays: weekdays.nth,
            has_rolling_field: minutes.is_star || seconds.is_star,
            has_open_day: days.is_star || weekdays.is_star,
        };
        // From a leap year on, so that the search covers the rarest dates.
        if cron.at_or_after(jiff::civil::datetime(2024, 1, 1, 0, 0, 0, 0)).is_none() {
            let message = "this day never comes: no such month has so many days".to_owned();
            let error = ScheduleError::new(Part::Cron(Some(day_field.name)), message, day.at..month.span().end);
            return Err(error.help("write L for the last day of a month"));
        }
        Ok(cron)
    }
}

fn shorthand(word: Piece<'_>) -> Result<&'static str, ScheduleError> {
    if let Some((_, pattern)) = SHORTHANDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.text)) {
        return Ok(pattern);
    }
    let error = ScheduleError::new(Part::Cron(None), format!("`{}` is no shorthand", word.text), word.span());
    let names = SHORTHANDS.map(|(name, _)| name);
    Err(error.help(match word.text.to_ascii_lowercase().as_str() {
        "@reboot" => "a start of Flowcell starts no runs; use an interval, such as every: 15m".to_owned(),
        "@every" => "write it as an interval, such as every: 15m".to_owned(),
        name => similar(name, names).map_or_else(
            || format!("the shorthands are {}", names.join(", ")),
            |name| format!("did you mean `{name}`?"),
        ),
    }))
}

fn similar<'n>(text: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let scored = names.into_iter().map(|name| (strsim::jaro_winkler(text, name), name));
    // Below that, short names have a letter or two in common and no more.
    scored.filter(|(score, _)| *score >= 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

fn wrong_count(words: &[Piece<'_>], text: &str) -> ScheduleError {
    let names = "minute, hour, day of the month, month, day of the week";
    let (message, span) = match words {
        [] => ("a cron pattern is missing".to_owned(), 0..text.len()),
        [.., last] if words.len() < 5 => {
            let count = words.len();
            let fields = if count == 1 { "field" } else { "fields" };
            (format!("a cron pattern has 5 fields, or 6 with seconds; this has {count} {fields}"), last.span())
        }
        words => {
            let span = words.get(6).map_or(0, |seventh| seventh.at)..text.trim_end().len();
            (format!("a cron pattern has 5 fields, or 6 with seconds; this has {}", words.len()), span)
        }
    };
    ScheduleError::new(Part::Cron(None), message, span)
        .help(format!("the fields are {names}; with a sixth, seconds come first. 9:00 on weekdays is `0 9 * * 1-5`"))
}

/// A field as it was read.
struct Read {
    numbers: Numbers,
    nth: Vec<Weekday>,
    last_day: bool,
    is_star: bool,
}

impl Read {
    fn only(number: u8) -> Self {
        let mut read = Self { numbers: Numbers::default(), nth: Vec::new(), last_day: false, is_star: false };
        read.numbers.add(number);
        read
    }

    fn field(field: &'static Field, text: Piece<'_>) -> Result<Self, ScheduleError> {
        let is_star = text.text.starts_with(['*', '?']);
        let mut read = Self { numbers: Numbers::default(), nth: Vec::new(), last_day: false, is_star };
        let mut rest = Some(text);
        while let Some(list) = rest {
            let (element, after) = list.split(',');
            read.element(field, element)?;
            rest = after;
        }
        Ok(read)
    }

    fn element(&mut self, field: &'static Field, element: Piece<'_>) -> Result<(), ScheduleError> {
        let (base, step) = element.split('/');
        if step.is_none() && self.special(field, base)? {
            return Ok(());
        }
        let (first, last) = range(field, base, step.is_some())?;
        let step = step.map_or(Ok(1), |step| parse_step(field, step, last))?;
        (first..=last).step_by(step.into()).for_each(|number| self.numbers.add(number));
        Ok(())
    }

    /// `L`, `friL`, `mon#2`: whether it is one of them.
    fn special(&mut self, field: &'static Field, text: Piece<'_>) -> Result<bool, ScheduleError> {
        let is_day = field.name == "day of the month";
        let is_weekday = field.name == "day of the week";
        if is_day && text.text.eq_ignore_ascii_case("L") {
            self.last_day = true;
            return Ok(true);
        }
        if is_day && (text.text.ends_with(['W', 'w']) || text.text.starts_with(['L', 'l'])) {
            let error = wrong(field, text, format!("`{}` is not supported", text.text));
            return Err(
                error.help("L is the last day of a month; days of the week can be numbered, as in mon#1 or friL")
            );
        }
        let (name, nth) = text.split('#');
        if is_weekday && let Some(nth) = nth {
            let number = value(field, name)? % 7;
            let Some(nth @ 1..=5) = nth.text.parse().ok() else {
                return Err(wrong(field, nth, format!("`#{}` is none of #1 to #5", nth.text))
                    .help("mon#2 is the second Monday of the month, friL the last Friday"));
            };
            self.nth.push(Weekday { number, nth: Nth::Number(nth) });
            return Ok(true);
        }
        if is_weekday && let Some(name) = text.text.strip_suffix(['L', 'l']).filter(|name| !name.is_empty()) {
            let number = value(field, Piece { text: name, at: text.at })? % 7;
            self.nth.push(Weekday { number, nth: Nth::Last });
            return Ok(true);
        }
        Ok(false)
    }
}

/// The first and last number of `*`, `5`, `1-5`, and of `5` before a step, which means "from 5 on".
fn range(field: &'static Field, base: Piece<'_>, has_step: bool) -> Result<(u8, u8), ScheduleError> {
    // 7 is another name of Sunday, not an eighth day.
    let last_number = if field.name == "day of the week" { 6 } else { field.last };
    if matches!(base.text, "*" | "?") {
        return Ok((field.first, last_number));
    }
    let (first, last) = base.split('-');
    let low = value(field, first)?;
    let Some(last) = last else { return Ok((low, if has_step { last_number.max(low) } else { low })) };
    let mut high = value(field, last)?;
    if field.name == "day of the week" && high == 0 && low > 0 {
        high = 7; // `fri-sun`
    }
    if low > high {
        let error = wrong(field, base, format!("the range {} runs backwards", base.text));
        let top = if field.names.is_empty() { field.last.to_string() } else { last_name(field) };
        let bottom = field.names.first().map_or_else(|| field.first.to_string(), |name| (*name).to_owned());
        let part = |from: &str, to: &str| if from == to { from.to_owned() } else { format!("{from}-{to}") };
        return Err(error.help(format!("write it as {},{}", part(first.text, &top), part(&bottom, last.text))));
    }
    Ok((low, high))
}

fn last_name(field: &Field) -> String {
    field.names.last().map_or_else(String::new, |name| (*name).to_owned())
}

fn parse_step(field: &'static Field, step: Piece<'_>, last: u8) -> Result<u8, ScheduleError> {
    match step.text.parse::<u32>() {
        Ok(0) => Err(wrong(field, step, "a step of 0 goes nowhere".to_owned()).help("a step is 1 or more")),
        Ok(number) if number <= u32::from(last) => Ok(u8::try_from(number).unwrap_or(u8::MAX)),
        Ok(number) => {
            let error = wrong(
                field,
                step,
                format!("a step of {number} leaves the {} range ({})", field.name, field.possible()),
            );
            Err(match field.name {
                "second" => error.help(format!("for a longer interval write every: {number}s")),
                "minute" => error.help(format!("for a longer interval write every: {number}m")),
                "hour" => error.help(format!("for a longer interval write every: {number}h")),
                _ => error.help(format!("a step is at most {last}")),
            })
        }
        Err(_) => {
            Err(wrong(field, step, format!("`{}` is no step", step.text)).help("a step is a whole number, as in */15"))
        }
    }
}

/// A number or name.
fn value(field: &'static Field, text: Piece<'_>) -> Result<u8, ScheduleError> {
    if text.text.is_empty() {
        let error = wrong(field, text, format!("a value of the {} is missing", field.name));
        return Err(
            error.help(format!("possible are {}, *, lists (1,5), ranges (1-5) and steps (*/2)", field.possible()))
        );
    }
    if text.text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.text.parse::<u8>() {
            Ok(number) if (field.first..=field.last).contains(&number) => Ok(number),
            _ => Err(wrong(field, text, format!("{} is no {}", text.text, field.name))
                .help(format!("possible are {}", field.possible()))),
        };
    }
    let lower = text.text.to_ascii_lowercase();
    let named = field.names.iter().position(|name| *name == lower);
    if let Some(number) = named.and_then(|index| u8::try_from(index).ok()) {
        return Ok(field.first + number);
    }
    let error = wrong(field, text, format!("`{}` is no {}", text.text, field.name));
    let short: String = lower.chars().take(3).collect();
    let meant = field.names.iter().copied().find(|name| *name == short);
    Err(match meant.or_else(|| similar(&lower, field.names.iter().copied())) {
        Some(name) => error.help(format!("did you mean `{name}`? Possible are {}", field.possible())),
        None => error.help(format!("possible are {}", field.possible())),
    })
}

fn wrong(field: &'static Field, text: Piece<'_>, message: String) -> ScheduleError {
    ScheduleError::new(Part::Cron(Some(field.name)), message, text.span())
}
