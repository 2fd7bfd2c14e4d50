//! Dates and times. With offsets; for time zones with their summer times there are expressions (`docs/expressions.md`).

use flowcell_sdk::{ActionError, Context, Input, Output};
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp, Zoned};
use serde_json::Value;

#[derive(Input)]
pub(crate) struct Moment {
    /// `2026-11-23`, `2026-11-23T08:00:00+01:00`, or seconds since 1970.
    date: Value,
    /// How the date is written, if it is none of these: `%d.%m.%Y`.
    #[serde(default)]
    reads: String,
    /// `%Y-%m-%d`, `%d.%m.%Y %H:%M`, … (strftime).
    #[input(default = "%Y-%m-%d")]
    writes: String,
    /// Moves it; negative numbers lead back.
    #[serde(default)]
    add_days: i32,
    #[serde(default)]
    add_months: i32,
    #[serde(default)]
    add_minutes: i32,
    /// In which offset from UTC it is written: `+02:00`; none: as it came, else UTC.
    #[serde(default)]
    offset: String,
}

#[derive(Output)]
pub(crate) struct Formatted {
    text: String,
    /// RFC 3339.
    iso: String,
    unix: i64,
    weekday: String,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn format(_: &Context, input: Moment) -> Result<Formatted, ActionError> {
    let invalid = |field: &str, message: String| ActionError::invalid_input(field, message);
    let mut at = read(&input.date, &input.reads).map_err(|message| invalid("/date", message))?;
    if !input.offset.is_empty() {
        let offset = offset(&input.offset)
            .ok_or_else(|| invalid("/offset", format!("`{}` is no offset; write +02:00", input.offset)))?;
        at = at.with_time_zone(TimeZone::fixed(offset));
    }
    let span = Span::new()
        .try_days(input.add_days)
        .and_then(|span| span.try_months(input.add_months))
        .and_then(|span| span.try_minutes(input.add_minutes));
    let at = span
        .and_then(|span| at.checked_add(span))
        .map_err(|error| invalid("/add_days", format!("no calendar goes so far: {error}")))?;
    let text = strtime::format(&input.writes, &at)
        .map_err(|error| invalid("/writes", format!("`{}` is no format: {error}", input.writes)))?;
    Ok(Formatted {
        text,
        iso: at.timestamp().display_with_offset(at.offset()).to_string(),
        unix: at.timestamp().as_second(),
        weekday: strtime::format("%A", &at).unwrap_or_default(),
    })
}

fn read(date: &Value, format: &str) -> Result<Zoned, String> {
    if let Some(seconds) = date.as_i64() {
        return Timestamp::from_second(seconds).map(|at| at.to_zoned(TimeZone::UTC)).map_err(|error| error.to_string());
    }
    let Some(text) = date.as_str().map(str::trim) else {
        return Err("text or seconds since 1970 belong here".to_owned());
    };
    let in_utc = |at: DateTime| at.to_zoned(TimeZone::UTC).map_err(|error| error.to_string());
    if !format.is_empty() {
        let parsed =
            strtime::parse(format, text).map_err(|error| format!("`{text}` is not written as `{format}`: {error}"))?;
        if let Ok(at) = parsed.to_zoned() {
            return Ok(at);
        }
        let at = parsed.to_datetime().or_else(|_| parsed.to_date().map(Date::into));
        return in_utc(at.map_err(|error| error.to_string())?);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        let offset = offset(text.get(text.len().saturating_sub(6)..).unwrap_or_default()).unwrap_or(Offset::UTC);
        return Ok(at.to_zoned(TimeZone::fixed(offset)));
    }
    if let Ok(at) = text.parse::<DateTime>() {
        return in_utc(at);
    }
    Err(format!(
        "`{text}` is no date; write 2026-11-23 or 2026-11-23T08:00:00+01:00, or say in `reads` how it is written"
    ))
}

/// `+02:00`, `-05:30`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::Harness;
    use serde_json::json;

    use super::format;

    #[test]
    fn dates_are_read_moved_and_written() {
        let host = Harness::new();
        for (input, text, iso) in [
            (json!({"date": "2026-11-23"}), "2026-11-23", "2026-11-23T00:00:00+00:00"),
            (
                json!({"date": "2026-11-23T23:30:00+01:00", "writes": "%d.%m.%Y %H:%M", "add_minutes": 45}),
                "24.11.2026 00:15",
                "2026-11-24T00:15:00+01:00",
            ),
            (
                json!({"date": "31.01.2026", "reads": "%d.%m.%Y", "add_months": 1}),
                "2026-02-28",
                "2026-02-28T00:00:00+00:00",
            ),
            (json!({"date": 0, "offset": "-05:30", "writes": "%H:%M"}), "18:30", "1969-12-31T18:30:00-05:30"),
        ] {
            let given = host.call(format, input.clone()).unwrap();
            assert_eq!((&given["text"], &given["iso"]), (&json!(text), &json!(iso)), "{input}");
        }
        for (wrong, field) in [
            (json!({"date": "tomorrow"}), "/date"),
            (json!({"date": true}), "/date"),
            (json!({"date": 0, "offset": "CET"}), "/offset"),
            (json!({"date": 0, "add_days": i32::MAX}), "/add_days"),
        ] {
            assert_eq!(host.call(format, wrong).unwrap_err().details["field"], field);
        }
    }
}
