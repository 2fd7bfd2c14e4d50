//! Numbers: read as people write them, and written so. In whole units of the last decimal place, so that no cent is lost to a binary fraction.

use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::Value;

/// Of a number; more would not fit the arithmetic.
const DIGITS_MAX: usize = 30;

#[derive(Input)]
#[expect(clippy::struct_field_names, reason = "the names are the contract's")]
pub(crate) struct Number {
    /// A number, or text such as `1.234,50 €`.
    number: Value,
    /// What stands before the decimals in the text.
    #[serde(default)]
    reads: Separator,
    /// Rounds to so many, half away from zero.
    #[input(default = 2, maximum = 10)]
    decimals: u8,
    /// What stands before the decimals in the result.
    #[serde(default)]
    writes: Separator,
    /// What stands between thousands: `.`, `,`, a space or nothing.
    #[serde(default)]
    thousands: String,
    /// Stands before it: `€ `.
    #[serde(default)]
    prefix: String,
    /// Stands after it: ` %`.
    #[serde(default)]
    suffix: String,
}

#[derive(Input, Clone, Copy, Default, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Separator {
    #[default]
    Point,
    Comma,
}

impl Separator {
    fn letter(self) -> char {
        if self == Self::Point { '.' } else { ',' }
    }
}

#[derive(Output)]
pub(crate) struct Formatted {
    text: String,
    number: f64,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn format(_: &Context, input: Number) -> Result<Formatted, ActionError> {
    let invalid = |message: String| ActionError::invalid_input("/number", message);
    let (text, reads) = match &input.number {
        Value::Number(number) => (number.to_string(), Separator::Point),
        Value::String(text) => (text.clone(), input.reads),
        _ => return Err(invalid("a number or text belongs here".to_owned())),
    };
    let decimals = usize::from(input.decimals);
    let (is_negative, units) = units(&text, reads, decimals).ok_or_else(|| {
        invalid(format!("`{}` is no number with up to {DIGITS_MAX} digits", text.chars().take(80).collect::<String>()))
    })?;
    let digits = format!("{units:0>width$}", width = decimals + 1);
    let (whole, part) = digits.split_at(digits.len() - decimals);
    let sign = if is_negative && units > 0 { "-" } else { "" };
    let number = format!("{sign}{whole}.{part}0").parse().unwrap_or(0.0);
    let mut text = format!("{sign}{}{}", input.prefix, grouped(whole, &input.thousands));
    if decimals > 0 {
        text.push(input.writes.letter());
        text.push_str(part);
    }
    text.push_str(&input.suffix);
    Ok(Formatted { text, number })
}

/// The number in units of its last decimal place, rounded.
fn units(text: &str, reads: Separator, decimals: usize) -> Option<(bool, u128)> {
    let is_negative = text.contains('-');
    if text.contains(['e', 'E']) && text.parse::<f64>().is_ok() {
        let plain = format!("{:.12}", text.parse::<f64>().ok()?);
        return units(&plain, Separator::Point, decimals);
    }
    let (whole, part) = text.rsplit_once(reads.letter()).unwrap_or((text, ""));
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let (whole, part) = (digits(whole), digits(part));
    if whole.len() + part.len() == 0 || whole.len() + decimals > DIGITS_MAX {
        return None;
    }
    let kept: String = part.chars().chain(std::iter::repeat('0')).take(decimals).collect();
    let units: u128 = format!("0{whole}{kept}").parse().ok()?;
    let rounds_up = part.chars().nth(decimals).is_some_and(|next| next >= '5');
    Some((is_negative, units + u128::from(rounds_up)))
}

fn grouped(whole: &str, separator: &str) -> String {
    let mut text = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push_str(separator);
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::Harness;
    use serde_json::{Value, json};

    use super::format;

    #[test]
    fn numbers_are_read_rounded_and_written() {
        let host = Harness::new();
        for (input, text, number) in [
            (json!({"number": 1234.5}), "1234.50", 1234.5),
            (
                json!({"number": "1.234,505 €", "reads": "comma", "writes": "comma", "thousands": "."}),
                "1.234,51",
                1234.51,
            ),
            (json!({"number": -0.004}), "0.00", 0.0),
            (
                json!({"number": "-1,000,000", "decimals": 0, "thousands": " ", "prefix": "$"}),
                "-$1 000 000",
                -1_000_000.0,
            ),
            (json!({"number": 1e-7, "decimals": 3}), "0.000", 0.0),
            (json!({"number": "19.99", "suffix": " %", "decimals": 1}), "20.0 %", 20.0),
        ] {
            let given: Value = host.call(format, input.clone()).unwrap();
            assert_eq!((given["text"].as_str(), given["number"].as_f64()), (Some(text), Some(number)), "{input}");
        }
        for wrong in [json!("none"), json!(true), json!("1".repeat(40))] {
            assert_eq!(host.call(format, json!({"number": wrong})).unwrap_err().details["field"], "/number");
        }
    }
}
