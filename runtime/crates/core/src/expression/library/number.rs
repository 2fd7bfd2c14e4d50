//! Filters for numbers. Rounding and sums are those of decimal numbers, as people do them on paper.

use minijinja::Value;
use minijinja::value::ValueKind;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value as Json;

use super::call::{Call, Refusal};
use super::{Filter, Outcome, filter};

/// The most decimal places: those of the decimal type.
const PLACES_MAX: usize = 28;

pub(super) const FILTERS: &[Filter] = &[
    filter("round", &["precision", "method"], |call| round(call, None)),
    filter("floor", &["precision"], |call| round(call, Some("floor"))),
    filter("ceil", &["precision"], |call| round(call, Some("ceil"))),
    filter("number", &["decimal", "thousands"], number),
    filter("integer", &["decimal", "thousands"], |call| {
        let value = read(call)?.trunc();
        done(call, value)
    }),
    filter("format_number", &["decimals", "thousands", "decimal"], |call| {
        let value = needed(call)?;
        let decimals = call.argument_count(0, PLACES_MAX)?;
        let text = written(call, value, decimals)?;
        call.text_done(text)
    }),
    filter("currency", &["symbol", "decimals", "thousands", "decimal"], currency),
    filter("ordinal", &[], |call| {
        let value = needed(call)?.to_i64().ok_or_else(|| call.wrong("a whole number"))?;
        call.text_done(ordinal(value))
    }),
    filter("clamp", &["least", "most"], |call| {
        let value = needed(call)?;
        let least = call.argument_decimal(0)?.unwrap_or(Decimal::MIN);
        let most = call.argument_decimal(1)?.unwrap_or(Decimal::MAX);
        done(call, value.min(most).max(least))
    }),
    filter("percent_of", &["whole"], |call| {
        let (part, whole) = (needed(call)?, call.argument_decimal(0)?);
        let whole = whole.ok_or_else(|| call.says("needs the argument `whole`: a number"))?;
        let percent = part.checked_mul(Decimal::ONE_HUNDRED).and_then(|part| part.checked_div(whole));
        done(call, percent.ok_or_else(|| call.says("cannot divide by 0, or by so small a number"))?)
    }),
];

/// A number of the engine as a decimal; `None` for what is none, or too large for one.
pub(super) fn decimal(value: &Value) -> Option<Decimal> {
    if value.kind() != ValueKind::Number {
        return None;
    }
    if value.is_integer() {
        return i128::try_from(value.clone()).ok().and_then(Decimal::from_i128);
    }
    decimal_of_float(f64::try_from(value.clone()).ok()?)
}

/// The shortest decimal that reads as the number, as it stands in JSON.
fn decimal_of_float(value: f64) -> Option<Decimal> {
    let text = value.to_string();
    text.parse().ok().or_else(|| Decimal::from_scientific(&text).ok())
}

pub(super) fn decimal_of_json(value: &Json) -> Option<Decimal> {
    let number = value.as_number()?;
    number
        .as_i64()
        .map(Decimal::from)
        .or_else(|| number.as_u64().map(Decimal::from))
        .or_else(|| number.as_f64().and_then(decimal_of_float))
}

/// Takes a decimal back: a whole one as an integer.
pub(super) fn done(call: &Call<'_, '_, '_>, value: Decimal) -> Outcome {
    json(value)
        .map(|value| crate::expression::value::to_engine(&value))
        .ok_or_else(|| call.says("makes too large a number"))
}

pub(super) fn json(value: Decimal) -> Option<Json> {
    let value = value.normalize();
    if value.is_integer()
        && let Some(whole) = value.to_i64()
    {
        return Some(whole.into());
    }
    value.to_string().parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Json::Number)
}

fn needed(call: &Call<'_, '_, '_>) -> Result<Decimal, Refusal> {
    if call.value().kind() == ValueKind::String {
        return Err(call.says("takes a number and got a text; make it one with `| number`"));
    }
    decimal(call.value()).ok_or_else(|| match call.value().kind() {
        ValueKind::Number => call.says("takes numbers of up to 28 digits"),
        _ => call.wrong("a number"),
    })
}

fn round(call: &mut Call<'_, '_, '_>, method: Option<&'static str>) -> Outcome {
    let value = needed(call)?;
    let places = match call.argument(0) {
        None => 0,
        Some(places) => {
            let whole = places.as_i64().filter(|places| (-28..=28).contains(places) && call.argument(0).is_some());
            whole.ok_or_else(|| call.wrong_argument(0, "a whole number from -28 to 28"))?
        }
    };
    let method = match method {
        Some(method) => method,
        None => call.choice(1, &["half-up", "half-even", "common", "ceil", "floor"])?,
    };
    let strategy = match method {
        "half-even" => RoundingStrategy::MidpointNearestEven,
        "ceil" => RoundingStrategy::ToPositiveInfinity,
        "floor" => RoundingStrategy::ToNegativeInfinity,
        _ => RoundingStrategy::MidpointAwayFromZero,
    };
    let places = i32::try_from(places).unwrap_or_default();
    let rounded = if places >= 0 {
        Some(value.round_dp_with_strategy(places.unsigned_abs(), strategy))
    } else {
        let unit = (0..places.unsigned_abs()).try_fold(Decimal::ONE, |unit, _| unit.checked_mul(Decimal::TEN));
        unit.and_then(|unit| value.checked_div(unit)?.round_dp_with_strategy(0, strategy).checked_mul(unit))
    };
    done(call, rounded.unwrap_or_default())
}

/// Reads a number from a text: `1,234.50` or, with `decimal=','`, `1.234,50`. Currency signs, spaces and a percent sign are passed over.
fn number(call: &mut Call<'_, '_, '_>) -> Outcome {
    let value = read(call)?;
    done(call, value)
}

fn read(call: &mut Call<'_, '_, '_>) -> Result<Decimal, Refusal> {
    if let Some(value) = decimal(call.value()) {
        return Ok(value);
    }
    let value = call.value();
    let text = match value.kind() {
        ValueKind::Bool => return Ok(if value.is_true() { Decimal::ONE } else { Decimal::ZERO }),
        ValueKind::String => call.text()?,
        _ => return Err(call.wrong("a text or a number")),
    };
    let mark = separator(call, 0)?.unwrap_or('.');
    let thousands = separator(call, 1)?.unwrap_or(if mark == ',' { '.' } else { ',' });
    parse(&text, mark, thousands)
        .ok_or_else(|| call.says("takes a number or a text that is one, and got a text that is none; texts such as `1.234,50` need `decimal=','`"))
}

/// One character, as an argument.
fn separator(call: &Call<'_, '_, '_>, index: usize) -> Result<Option<char>, Refusal> {
    let Some(text) = call.argument_text(index)? else { return Ok(None) };
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) if !character.is_alphanumeric() => Ok(Some(character)),
        _ => Err(call.wrong_argument(index, "one character, such as `.` or `,`,")),
    }
}

pub(super) fn parse(text: &str, mark: char, thousands: char) -> Option<Decimal> {
    /// More digits than the decimal type has, signs and separators.
    const TEXT_MAX: usize = 100;
    let is_around = |c: char| c.is_whitespace() || matches!(c, '$' | '€' | '£' | '¥' | '%' | '\'' | '’');
    if text.len() > TEXT_MAX {
        return None;
    }
    let (sign, digits) = match text.trim_matches(is_around).strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.trim_matches(is_around).trim_start_matches('+')),
    };
    let mut plain = sign.to_owned();
    for character in digits.trim_matches(is_around).chars() {
        match character {
            c if c == mark => plain.push('.'),
            c if c == thousands || is_around(c) => {}
            c if c.is_ascii_digit() || matches!(c, 'e' | 'E' | '-' | '+') => plain.push(c),
            _ => return None,
        }
    }
    plain.parse().ok().or_else(|| Decimal::from_scientific(&plain).ok())
}

/// Writes a number with so many places, or as many as it has. Thousands and decimal mark are the last two arguments of both callers.
fn written(call: &Call<'_, '_, '_>, value: Decimal, decimals: Option<usize>) -> Result<String, Refusal> {
    let first = if call.name() == "currency" { 2 } else { 1 };
    let thousands = call.argument_text(first)?;
    let mark = call.argument_text(first + 1)?;
    let (thousands, mark) = (thousands.as_deref().unwrap_or(","), mark.as_deref().unwrap_or("."));
    if thousands.len() > 8 || mark.len() > 8 {
        return Err(call.says("takes separators of a character"));
    }
    let text = match decimals {
        Some(places) => {
            let rounded = value.round_dp_with_strategy(
                u32::try_from(places).unwrap_or_default(),
                RoundingStrategy::MidpointAwayFromZero,
            );
            format!("{rounded:.places$}")
        }
        None => value.normalize().to_string(),
    };
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let mut written = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            written.push_str(thousands);
        }
        written.push(digit);
    }
    if let Some(fraction) = fraction {
        written.push_str(mark);
        written.push_str(fraction);
    }
    Ok(written)
}

/// `1234.5 | currency('€')` → `€1,234.50`; a symbol that ends or begins with a space keeps it on its side: `currency(' €')` → `1,234.50 €`.
fn currency(call: &mut Call<'_, '_, '_>) -> Outcome {
    let value = needed(call)?;
    let symbol = call.argument_text(0)?;
    let symbol = symbol.as_deref().unwrap_or("$");
    let places = call.argument_count(1, PLACES_MAX)?.unwrap_or(2);
    let value =
        value.round_dp_with_strategy(u32::try_from(places).unwrap_or_default(), RoundingStrategy::MidpointAwayFromZero);
    let text = written(call, value.abs(), Some(places))?;
    let sign = if value.is_sign_negative() && !value.is_zero() { "-" } else { "" };
    call.text_done(if symbol.starts_with(' ') {
        format!("{sign}{text}{symbol}")
    } else {
        format!("{sign}{symbol}{text}")
    })
}

pub(super) fn ordinal(value: i64) -> String {
    let (last, last_two) = (value.unsigned_abs() % 10, value.unsigned_abs() % 100);
    let ending = match (last, last_two) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{value}{ending}")
}
