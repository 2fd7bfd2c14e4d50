//! The forms of dates: `DD.MM.YYYY HH:mm`, or strftime's `%d.%m.%Y %H:%M`.

use jiff::Zoned;
use jiff::civil::Time;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::TEXT_MAX;
use crate::expression::library::clock::iso;

/// The letters of a form, longest first, and what strftime says for them. `%` followed by a letter that strftime lacks is done by hand.
const LETTERS: [(&str, &str); 29] = [
    ("YYYY", "%Y"),
    ("MMMM", "%B"),
    ("dddd", "%A"),
    ("MMM", "%b"),
    ("ddd", "%a"),
    ("SSS", "%3f"),
    ("YY", "%y"),
    ("MM", "%m"),
    ("Do", ORDINAL),
    ("DD", "%d"),
    ("HH", "%H"),
    ("hh", "%I"),
    ("mm", "%M"),
    ("ss", "%S"),
    ("WW", "%V"),
    ("ZZ", "%z"),
    ("zz", "%Z"),
    ("M", "%-m"),
    ("D", "%-d"),
    ("H", "%-H"),
    ("h", "%-I"),
    ("m", "%-M"),
    ("s", "%-S"),
    ("A", "%p"),
    ("a", "%P"),
    ("Z", "%:z"),
    ("z", "%Z"),
    ("X", "%s"),
    ("Q", "%q"),
];

/// Stands for the day with its ending, `23rd`: a character that no form has a reason to hold.
const ORDINAL: &str = "\u{1}";

/// The form in strftime's words. What is in `[` and `]` stands for itself.
pub(super) fn to_strftime(form: &str) -> Result<String, String> {
    if form.len() > TEXT_MAX {
        return Err(format!("takes a form of up to {TEXT_MAX} bytes"));
    }
    match form {
        "" => return Err("needs a form, such as `DD.MM.YYYY`".to_owned()),
        "iso" => return Ok("%Y-%m-%dT%H:%M:%S%:z".to_owned()),
        "rfc2822" => return Ok("%a, %d %b %Y %H:%M:%S %z".to_owned()),
        _ => {}
    }
    if is_strftime(form) {
        return Ok(form.to_owned());
    }
    let mut strftime = String::new();
    let mut rest = form;
    while let Some(first) = rest.chars().next() {
        if let Some((literal, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            strftime.push_str(&literal.replace('%', "%%"));
            rest = after;
        } else if let Some((after, said)) =
            LETTERS.iter().find_map(|(letters, said)| Some((rest.strip_prefix(letters)?, said)))
        {
            strftime.push_str(said);
            rest = after;
        } else {
            strftime.push_str(if first == '%' { "%" } else { "" });
            strftime.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(strftime)
}

/// Whether a `%` begins a directive, rather than being a percent sign.
fn is_strftime(form: &str) -> bool {
    let mut directives = form.split('%').skip(1);
    directives.any(|after| after.starts_with(|c: char| c.is_ascii_alphanumeric() || "-_^#.:".contains(c)))
}

pub(super) fn write(form: &str, at: &Zoned) -> Result<String, String> {
    if form == "iso" {
        return Ok(iso(at));
    }
    let mut strftime = to_strftime(form)?;
    if strftime.contains(ORDINAL) {
        let day = crate::expression::library::number::ordinal(at.day().into());
        strftime = strftime.replace(ORDINAL, &day);
    }
    // The widths that strftime allows would make any length of text.
    if strftime.contains('%') && has_long_width(&strftime) {
        return Err("takes a form without widths, such as `%Y-%m-%d`".to_owned());
    }
    strtime::format(&strftime, at).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.rsplit(": ").next().unwrap_or_default().to_owned();
        format!("takes a form such as `DD.MM.YYYY HH:mm` or `%d.%m.%Y`, and got another: {reason}")
    })
}

/// Whether a `%` is followed by a number of two digits or more.
fn has_long_width(strftime: &str) -> bool {
    strftime.split('%').skip(1).any(|directive| {
        let directive = directive.trim_start_matches(['-', '_', '^', '#', '.', '0']);
        directive.bytes().take_while(u8::is_ascii_digit).count() > 1
    })
}

/// Reads a text of that form; what has no offset is in `zone`, and what has no time is at midnight.
pub(super) fn parse(strftime: &str, text: &str, zone: &TimeZone) -> Option<Zoned> {
    let broken_down = strtime::parse(strftime.replace(ORDINAL, "%d"), text).ok()?;
    if let Ok(at) = broken_down.to_timestamp() {
        return Some(at.to_zoned(zone.clone()));
    }
    let at = match broken_down.to_datetime() {
        Ok(at) => at,
        Err(_) => broken_down.to_date().ok()?.to_datetime(Time::midnight()),
    };
    at.to_zoned(zone.clone()).ok()
}
