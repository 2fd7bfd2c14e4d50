//! The rules by which values are compared. They are written down for people in `docs/workflows.md`.
//!
//! Forms and webhooks send numbers as texts, so a text that is a number counts as one where the other side is a number or an order is asked
//! for. Texts among themselves are compared exactly. Null is neither greater nor less than anything, and contains nothing.

use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::Comparison;
use crate::expression::has_expression;

/// The most memory a `matches` may compile to: a few hundred characters with counted repeats fit, `(a{1000}){1000}` does not. The engine
/// ends in linear time.
const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// A comparison ready to be made.
#[derive(Debug)]
pub(super) struct Comparator {
    is: Comparison,
    /// The pattern of `matches`, when it stands in the text.
    pattern: Option<Regex>,
}

impl Comparator {
    /// `to` is what was written; a pattern without expressions is compiled now.
    pub(super) fn new(is: Comparison, to: Option<&Value>) -> Result<Self, String> {
        let literal = to.and_then(Value::as_str).filter(|text| is == Comparison::Matches && !has_expression(text));
        Ok(Self { is, pattern: literal.map(compile).transpose()? })
    }

    pub(super) fn is(&self) -> Comparison {
        self.is
    }

    /// Whether it holds; `None` for a `value` that is not there. The error says what cannot be compared.
    pub(super) fn holds(&self, value: Option<&Value>, to: Option<&Value>) -> Result<bool, String> {
        let is = self.is;
        let (value, to) = (value.unwrap_or(&Value::Null), to.unwrap_or(&Value::Null));
        Ok(match is {
            Comparison::Equal => equal(value, to),
            Comparison::NotEqual => !equal(value, to),
            Comparison::Greater => order(value, is, to)?.is_some_and(Ordering::is_gt),
            Comparison::AtLeast => order(value, is, to)?.is_some_and(Ordering::is_ge),
            Comparison::Less => order(value, is, to)?.is_some_and(Ordering::is_lt),
            Comparison::AtMost => order(value, is, to)?.is_some_and(Ordering::is_le),
            Comparison::Before => times(value, is, to)?.is_some_and(Ordering::is_lt),
            Comparison::After => times(value, is, to)?.is_some_and(Ordering::is_gt),
            Comparison::Contains => contains(value, is, to)?,
            Comparison::NotContains => !contains(value, is, to)?,
            Comparison::StartsWith => texts(value, is, to)?.is_some_and(|(text, start)| text.starts_with(&start)),
            Comparison::EndsWith => texts(value, is, to)?.is_some_and(|(text, end)| text.ends_with(&end)),
            Comparison::In => match to {
                Value::Array(items) => items.iter().any(|item| equal(value, item)),
                other => return Err(format!("`is: in` looks for the value in a list; `to` is {}", kind(other))),
            },
            Comparison::Matches => match texts(value, is, to)? {
                None => false,
                Some((text, pattern)) => match &self.pattern {
                    Some(pattern) => pattern.is_match(&text),
                    None => compile(&pattern)?.is_match(&text),
                },
            },
            Comparison::Exists => !value.is_null(),
            Comparison::Missing => value.is_null(),
            Comparison::Empty => is_empty(value),
            Comparison::NotEmpty => !is_empty(value),
            Comparison::True => equal(value, &Value::Bool(true)),
            Comparison::False => equal(value, &Value::Bool(false)),
        })
    }
}

/// Whether an expression's value counts as true: anything but null, false, zero, and what is empty.
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// Texts exactly, numbers by value, a text against a number or a truth value by what it says; lists and objects part by part.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_) | Value::String(_)) | (Value::String(_), Value::Number(_)) => {
            Number::read(one).zip(Number::read(other)).is_some_and(|(one, other)| one.order(other) == Ordering::Equal)
        }
        (Value::Bool(truth), Value::String(text)) | (Value::String(text), Value::Bool(truth)) => {
            *text == truth.to_string()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, one): (&String, &Value)| other.get(key).is_some_and(|other| equal(one, other));
            one.len() == other.len() && one.iter().all(same)
        }
        (one, other) => one == other,
    }
}

/// As numbers, else as dates, else as texts by their characters; `None` where one of them is null.
fn order(value: &Value, is: Comparison, to: &Value) -> Result<Option<Ordering>, String> {
    if value.is_null() || to.is_null() {
        return Ok(None);
    }
    if let Some((one, other)) = Number::read(value).zip(Number::read(to)) {
        return Ok(Some(one.order(other)));
    }
    match (value, to) {
        (Value::String(one), Value::String(other)) => Ok(Some(match time(one).zip(time(other)) {
            Some((one, other)) => one.cmp(&other),
            None => one.cmp(other),
        })),
        (Value::Number(_), other) | (other, Value::Number(_)) => {
            Err(format!("`is: {is}` compares a number with {}, which is none", described(other)))
        }
        _ => Err(format!("`is: {is}` compares numbers, dates or texts, not {} with {}", kind(value), kind(to))),
    }
}

/// `None` where one of them is null.
fn times(value: &Value, is: Comparison, to: &Value) -> Result<Option<Ordering>, String> {
    if value.is_null() || to.is_null() {
        return Ok(None);
    }
    let read = |value: &Value| {
        let read = value.as_str().and_then(time);
        read.ok_or_else(|| {
            format!(
                "`is: {is}` compares dates such as 2026-12-24 or 2026-12-24T09:00:00Z; {} is none",
                described(value)
            )
        })
    };
    Ok(Some(read(value)?.cmp(&read(to)?)))
}

/// A text has a part, a list an item, an object a key.
fn contains(value: &Value, is: Comparison, to: &Value) -> Result<bool, String> {
    match value {
        Value::Null => Ok(false),
        Value::Array(items) => Ok(items.iter().any(|item| equal(item, to))),
        Value::Object(fields) => Ok(as_text(to).is_some_and(|key| fields.contains_key(&key))),
        value => match as_text(value).zip(as_text(to)) {
            Some((text, part)) => Ok(text.contains(&part)),
            None => Err(format!("`is: {is}` looks for a text in {}; `to` is {}", kind(value), kind(to))),
        },
    }
}

/// Both as texts; `None` where the value is null.
fn texts(value: &Value, is: Comparison, to: &Value) -> Result<Option<(String, String)>, String> {
    if value.is_null() {
        return Ok(None);
    }
    match (as_text(value), as_text(to)) {
        (Some(text), Some(to)) => Ok(Some((text, to))),
        (None, _) => Err(format!("`is: {is}` asks about a text; the value is {}", kind(value))),
        (_, None) => Err(format!("`is: {is}` needs a text in `to`, which is {}", kind(to))),
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A number that loses no digits as long as it is whole.
#[derive(Clone, Copy)]
enum Number {
    Whole(i128),
    Fraction(f64),
}

impl Number {
    /// A number, or a text that is one as JSON writes it.
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => {
                let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
                whole.map(Self::Whole).or_else(|| number.as_f64().map(Self::Fraction))
            }
            Value::String(text) => {
                let text = text.trim();
                let begins = text.strip_prefix('-').unwrap_or(text).starts_with(|c: char| c.is_ascii_digit());
                let number = if begins { serde_json::from_str::<serde_json::Number>(text).ok() } else { None };
                number.and_then(|number| Self::read(&Value::Number(number)))
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a whole number is rounded only where the other side is no whole number"
    )]
    fn order(self, other: Self) -> Ordering {
        let float = |number| match number {
            Self::Whole(number) => number as f64,
            Self::Fraction(number) => number,
        };
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one.cmp(&other),
            // JSON has neither infinity nor NaN: there is always an order.
            (one, other) => float(one).partial_cmp(&float(other)).unwrap_or(Ordering::Equal),
        }
    }
}

/// RFC 3339: a date and time with its offset, or a date, which is its first moment in UTC.
fn time(text: &str) -> Option<jiff::Timestamp> {
    let text = text.trim();
    if text.len() == 10 {
        let date: jiff::civil::Date = text.parse().ok()?;
        return date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    }
    text.parse().ok()
}

fn compile(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the pattern of `matches` is too large: repeat less".to_owned(),
        // Its last line says what is wrong; the others draw the place.
        error => {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("the pattern of `matches` is no regular expression: {reason}")
        }
    })
}

fn described(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", text.chars().take(60).collect::<String>()),
        value => kind(value).to_owned(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
