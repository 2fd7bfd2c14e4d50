//! Filters for dates. A date is a text in RFC 3339; what comes out is in the workflow's time zone, unless an argument names another.

mod format;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan, Unit, Zoned};
use minijinja::value::ValueKind;
use minijinja::{Environment, State, Value};

use super::call::{Call, Refusal, kind_of, sentence};
use super::clock::{Clock, iso, zone_named};
use super::{Filter, Outcome, filter};

/// The longest text that is looked at for a date, a duration or a format.
const TEXT_MAX: usize = 200;

pub(super) const FILTERS: &[Filter] = &[
    filter("parse_date", &["format", "zone"], parse),
    filter("format_date", &["format", "zone"], format_date),
    filter("to_zone", &["zone"], |call| {
        let at = moment(call, Some(0))?;
        call.text_done(iso(&at))
    }),
    filter("date_add", &["amount", "unit", "zone"], |call| shift(call, Zoned::checked_add::<Span>)),
    filter("date_subtract", &["amount", "unit", "zone"], |call| shift(call, Zoned::checked_sub::<Span>)),
    filter("date_diff", &["from", "unit", "zone"], difference),
    filter("start_of", &["unit", "week_starts", "zone"], |call| {
        let at = moment(call, Some(2))?;
        let start = start_of(call, &at)?;
        call.text_done(iso(&start))
    }),
    filter("end_of", &["unit", "week_starts", "zone"], end_of),
    filter("date_part", &["part", "zone"], part),
    filter("weekday", &["zone"], |call| {
        let at = moment(call, Some(0))?;
        call.text_done(at.strftime("%A").to_string())
    }),
    filter("unix_time", &["unit"], |call| {
        let at = moment(call, None)?.timestamp();
        Ok(Value::from(match call.choice(0, &["seconds", "milliseconds"])? {
            "milliseconds" => at.as_millisecond(),
            _ => at.as_second(),
        }))
    }),
    filter("add_workdays", &["days", "zone"], add_workdays),
];

/// The value as a moment, in the zone that the argument names or in the workflow's.
fn moment(call: &Call<'_, '_, '_>, zone_argument: Option<usize>) -> Result<Zoned, Refusal> {
    let zone = zone(call, zone_argument)?;
    read(call.value(), &zone).ok_or_else(|| not_a_date(call.name(), call.value()))
}

fn zone(call: &Call<'_, '_, '_>, argument: Option<usize>) -> Result<TimeZone, Refusal> {
    let named = argument.map(|index| call.argument_text(index)).transpose()?.flatten();
    match named {
        Some(name) => zone_named(&name).map_err(|reason| call.says(&format!("is given a zone: {reason}"))),
        None => call.clock()?.zone().map_err(|reason| call.says(&format!("reads the workflow's time zone: {reason}"))),
    }
}

fn not_a_date(filter: &str, value: &Value) -> Refusal {
    Refusal::Says(match value.kind() {
        ValueKind::String => format!(
            "`{filter}` takes a date and got a text that is none; dates are written as in `2026-11-23`, `2026-11-23T09:00:00Z` \
             or a Unix time, and `| parse_date('DD.MM.YYYY')` reads other forms"
        ),
        _ => format!("`{filter}` takes a date and got {}", kind_of(value)),
    })
}

/// Reads RFC 3339, a date with or without a time (in `zone`), RFC 2822, or a Unix time in seconds or milliseconds.
fn read(value: &Value, zone: &TimeZone) -> Option<Zoned> {
    /// Unix times beyond this are milliseconds: as seconds they would lie in the year 5138.
    const SECONDS_MAX: f64 = 100_000_000_000.0;
    let unix = |number: f64| {
        let millis = if number.abs() < SECONDS_MAX { number * 1000.0 } else { number };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "`as` saturates, and jiff refuses what is no year of its own"
        )]
        let at = jiff::Timestamp::from_millisecond(millis.round() as i64).ok()?;
        Some(at.to_zoned(zone.clone()))
    };
    if value.kind() == ValueKind::Number {
        return unix(f64::try_from(value.clone()).ok()?);
    }
    let text = value.as_str()?.trim();
    if text.len() > TEXT_MAX {
        return None;
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.to_zoned(zone.clone()));
    }
    if matches!(text.len(), 10 | 13) && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return unix(text.parse().ok()?);
    }
    if let Ok(at) = text.parse::<jiff::civil::DateTime>() {
        return at.to_zoned(zone.clone()).ok();
    }
    jiff::fmt::rfc2822::parse(text).ok().map(|at| at.with_time_zone(zone.clone()))
}

fn parse(call: &mut Call<'_, '_, '_>) -> Outcome {
    let Some(format) = call.argument_text(0)? else {
        let at = moment(call, Some(1))?;
        return call.text_done(iso(&at));
    };
    let zone = zone(call, Some(1))?;
    let ValueKind::String = call.value().kind() else { return Err(call.wrong("a text, when it has a format,")) };
    let text = call.text()?;
    let strftime = format::to_strftime(&format).map_err(|reason| call.says(&reason))?;
    if text.len() > TEXT_MAX {
        return Err(call.says("takes texts of up to 200 bytes"));
    }
    let at = format::parse(&strftime, text.trim(), &zone)
        .ok_or_else(|| call.says("got a text that does not have the form of its `format`"))?;
    call.text_done(iso(&at))
}

fn format_date(call: &mut Call<'_, '_, '_>) -> Outcome {
    let at = moment(call, Some(1))?;
    let format = call.needed_text(0)?;
    let text = format::write(&format, &at).map_err(|reason| call.says(&reason))?;
    call.text_done(text)
}

/// The second and third argument of `date_add` and `date_subtract`: `'3 days'`, or `3, 'days'`.
fn span(call: &Call<'_, '_, '_>) -> Result<Span, Refusal> {
    let takes = "a duration such as `3 days` or `2h 30m`, or a whole number and a unit";
    let amount = call.needed_text(0)?;
    let text = match call.argument_text(1)? {
        Some(unit) => format!("{amount} {unit}"),
        None => amount.to_string(),
    };
    if text.len() > TEXT_MAX {
        return Err(call.wrong_argument(0, takes));
    }
    text.trim().parse().map_err(|_| call.says(&format!("takes {takes}")))
}

fn shift(call: &mut Call<'_, '_, '_>, by: impl Fn(&Zoned, Span) -> Result<Zoned, jiff::Error>) -> Outcome {
    let at = moment(call, Some(2))?;
    let span = span(call)?;
    let moved = by(&at, span).map_err(|_| beyond(call))?;
    call.text_done(iso(&moved))
}

fn beyond(call: &Call<'_, '_, '_>) -> Refusal {
    call.says("leaves the years that dates have (-9999 to 9999)")
}

/// How much time there is from the argument to the value, in whole units; negative if the value is earlier.
fn difference(call: &mut Call<'_, '_, '_>) -> Outcome {
    let zone = zone(call, Some(2))?;
    let until = moment(call, Some(2))?;
    let from = call.argument(0).ok_or_else(|| call.says("needs the argument `from`: a date"))?;
    let from = read(from, &zone).ok_or_else(|| not_a_date(call.name(), from))?;
    let unit = call.choice(1, &UNITS)?;
    let (unit, read): (Unit, fn(&Span) -> i64) = match unit {
        "milliseconds" => (Unit::Millisecond, Span::get_milliseconds),
        "seconds" => (Unit::Second, Span::get_seconds),
        "minutes" => (Unit::Minute, Span::get_minutes),
        "hours" => (Unit::Hour, |span| span.get_hours().into()),
        "weeks" => (Unit::Week, |span| span.get_weeks().into()),
        "months" => (Unit::Month, |span| span.get_months().into()),
        "years" => (Unit::Year, |span| span.get_years().into()),
        _ => (Unit::Day, |span| span.get_days().into()),
    };
    let span = from.until((unit, &until)).map_err(|_| beyond(call))?;
    Ok(Value::from(read(&span)))
}

const UNITS: [&str; 8] = ["days", "milliseconds", "seconds", "minutes", "hours", "weeks", "months", "years"];

const PERIODS: [&str; 6] = ["day", "hour", "week", "month", "quarter", "year"];

fn start_of(call: &Call<'_, '_, '_>, at: &Zoned) -> Result<Zoned, Refusal> {
    let date = at.date();
    let first = match call.choice(0, &PERIODS)? {
        "hour" => {
            let start = at.with().minute(0).second(0).subsec_nanosecond(0).build();
            return start.map_err(|_| beyond(call));
        }
        "week" => {
            let starts = match call.choice(1, &["monday", "sunday", "saturday"])? {
                "sunday" => Weekday::Sunday,
                "saturday" => Weekday::Saturday,
                _ => Weekday::Monday,
            };
            date.checked_sub(i64::from(date.weekday().since(starts)).days())
        }
        "month" => Ok(date.first_of_month()),
        "quarter" => date.with().month((date.month() - 1) / 3 * 3 + 1).day(1).build(),
        "year" => Ok(date.first_of_year()),
        _ => Ok(date),
    };
    // Midnight may be skipped by a change of the clock: then the day begins later.
    first.and_then(|first| first.to_zoned(at.time_zone().clone())).map_err(|_| beyond(call))
}

/// The last millisecond of the period.
fn end_of(call: &mut Call<'_, '_, '_>) -> Outcome {
    let at = moment(call, Some(2))?;
    let start = start_of(call, &at)?;
    let one = match call.choice(0, &PERIODS)? {
        "hour" => 1.hour(),
        "week" => 1.week(),
        "month" => 1.month(),
        "quarter" => 3.months(),
        "year" => 1.year(),
        _ => 1.day(),
    };
    let end = start.checked_add(one).and_then(|next| match one.get_hours() {
        1 => next.checked_sub(1.millisecond()),
        _ => next.start_of_day()?.checked_sub(1.millisecond()),
    });
    let end = end.map_err(|_| beyond(call))?;
    call.text_done(iso(&end))
}

fn part(call: &mut Call<'_, '_, '_>) -> Outcome {
    const PARTS: [&str; 12] = [
        "year",
        "quarter",
        "month",
        "week",
        "day",
        "day_of_year",
        "weekday",
        "hour",
        "minute",
        "second",
        "millisecond",
        "offset",
    ];
    let at = moment(call, Some(1))?;
    if call.argument(0).is_none() {
        return Err(call.says(&format!("needs the argument `part`: one of {}", PARTS.join(", "))));
    }
    let number = match call.choice(0, &PARTS)? {
        "quarter" => i64::from((at.month() - 1) / 3 + 1),
        "month" => at.month().into(),
        "week" => at.date().iso_week_date().week().into(),
        "day" => at.day().into(),
        "day_of_year" => at.day_of_year().into(),
        "weekday" => at.weekday().to_monday_one_offset().into(),
        "hour" => at.hour().into(),
        "minute" => at.minute().into(),
        "second" => at.second().into(),
        "millisecond" => at.millisecond().into(),
        "offset" => i64::from(at.offset().seconds()) / 60,
        _ => at.year().into(),
    };
    Ok(Value::from(number))
}

/// Moves by days from Monday to Friday; public holidays are not known here.
fn add_workdays(call: &mut Call<'_, '_, '_>) -> Outcome {
    /// Ten years of workdays.
    const DAYS_MAX: i64 = 2_610;
    let at = moment(call, Some(1))?;
    let days = call.argument(0).ok_or_else(|| call.says("needs the argument `days`: a whole number"))?;
    let days = days.as_i64().filter(|days| (-DAYS_MAX..=DAYS_MAX).contains(days));
    let days = days.ok_or_else(|| call.wrong_argument(0, &format!("a whole number from -{DAYS_MAX} to {DAYS_MAX}")))?;
    let mut date = at.date();
    let mut left = days.abs();
    call.pay(usize::try_from(left).unwrap_or_default())?;
    while left > 0 {
        let next = date.checked_add(days.signum().days());
        date = next.map_err(|_| beyond(call))?;
        if !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday) {
            left -= 1;
        }
    }
    let moved = date.to_datetime(at.time()).to_zoned(at.time_zone().clone()).map_err(|_| beyond(call))?;
    call.text_done(iso(&moved))
}

/// The tests `date`, `before` and `after`.
pub(super) fn install(environment: &mut Environment<'static>) {
    environment.add_test("date", |value: &Value| read(value, &TimeZone::UTC).is_some());
    for (name, holds) in [("before", std::cmp::Ordering::Less), ("after", std::cmp::Ordering::Greater)] {
        environment.add_test(name, move |state: &mut State<'_, '_>, value: &Value, other: &Value| {
            let clock = Clock::of(state).ok_or_else(|| sentence(format!("`{name}` has no clock here")))?;
            let zone = clock.zone().map_err(|reason| sentence(format!("`{name}`: {reason}")))?;
            let moment = |value: &Value| read(value, &zone).ok_or_else(|| not_a_date(name, value));
            let order = moment(value).and_then(|at| Ok(at.timestamp().cmp(&moment(other)?.timestamp())));
            order.map(|order| order == holds).map_err(minijinja::Error::from)
        });
    }
}
