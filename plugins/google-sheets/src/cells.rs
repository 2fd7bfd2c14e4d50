//! Cells: their place in A1 notation, what is put into them, and what is read from them.

use flowcell_sdk::ActionError;
use serde_json::{Map, Value, json};

/// Google refuses a cell with more.
const CHARS_MAX: usize = 50_000;

/// `AB` of 27.
pub(crate) fn letters(column: usize) -> String {
    let mut text = Vec::new();
    let mut rest = column;
    loop {
        text.push(char::from(b'A' + u8::try_from(rest % 26).unwrap_or(0)));
        if rest < 26 {
            return text.iter().rev().collect();
        }
        rest = rest / 26 - 1;
    }
}

/// A worksheet's title as it stands in ranges.
pub(crate) fn quoted(title: &str) -> String {
    format!("'{}'", title.replace('\'', "''"))
}

/// A JSON Pointer to a member.
pub(crate) fn pointer(at: &str, member: &str) -> String {
    format!("{at}/{}", member.replace('~', "~0").replace('/', "~1"))
}

/// The cell that a JSON value makes, exactly as it is: a text stays a text, also when it begins with `=`. Null empties a cell.
pub(crate) fn raw(value: &Value, at: &str) -> Result<Value, ActionError> {
    check(value, at)?;
    Ok(match value {
        Value::String(text) if text.is_empty() => json!({}),
        Value::String(text) => json!({ "userEnteredValue": { "stringValue": text } }),
        Value::Bool(truth) => json!({ "userEnteredValue": { "boolValue": truth } }),
        Value::Number(number) => json!({ "userEnteredValue": { "numberValue": number } }),
        _ => json!({}),
    })
}

/// The same for Google to read as if somebody had typed it.
pub(crate) fn typed(value: &Value, at: &str) -> Result<Value, ActionError> {
    check(value, at)?;
    // Null would leave the cell as it is.
    Ok(if value.is_null() { json!("") } else { value.clone() })
}

fn check(value: &Value, at: &str) -> Result<(), ActionError> {
    match value {
        Value::Array(_) | Value::Object(_) => {
            let message = "a cell holds text, a number, true, false or null (nothing); turn this into text with the filter `tojson`";
            Err(ActionError::invalid_input(at, message))
        }
        Value::String(text) if text.len() > CHARS_MAX && text.chars().count() > CHARS_MAX => Err(
            ActionError::invalid_input(at, format!("a cell holds at most {CHARS_MAX} characters; shorten the text")),
        ),
        _ => Ok(()),
    }
}

/// Whether there is something in it.
pub(crate) fn is_filled(value: &Value) -> bool {
    !value.is_null() && value != ""
}

/// A cell's value as text, as Google Sheets shows it without a format.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "TRUE".to_owned(),
        Value::Bool(false) => "FALSE".to_owned(),
        // 7 and 7.0 are the same number.
        Value::Number(number) => match number.as_f64() {
            Some(double) if double.fract() == 0.0 && double.abs() < 9e15 => format!("{double:.0}"),
            _ => number.to_string(),
        },
        _ => String::new(),
    }
}

/// Rows of cells of an answer's `ValueRange`.
pub(crate) fn lines(range: &Value) -> Vec<Vec<Value>> {
    let lines = range.get("values").and_then(Value::as_array).into_iter().flatten();
    lines.map(|line| line.as_array().cloned().unwrap_or_default()).collect()
}

/// The values of one row by the names of their columns; empty cells are null.
pub(crate) fn named(header: &crate::header::Header, cells: &[Value]) -> Map<String, Value> {
    let value = |column: usize| cells.get(column).filter(|value| is_filled(value)).cloned().unwrap_or_default();
    header.keys().map(|(column, name)| (name, value(column))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn columns_are_letters() {
        for (column, expected) in [(0, "A"), (25, "Z"), (26, "AA"), (51, "AZ"), (52, "BA"), (701, "ZZ"), (702, "AAA")] {
            assert_eq!(letters(column), expected);
        }
        assert_eq!((quoted("It's"), pointer("/values", "a/b~c")), ("'It''s'".to_owned(), "/values/a~1b~0c".to_owned()));
    }

    #[test]
    fn what_looks_like_a_formula_stays_text() {
        for text in ["=1+1", "+1", "-1", "@x", "\t=1", "007", "TRUE", "'"] {
            let cell = raw(&json!(text), "/values/A").expect("a text");
            assert_eq!(cell, json!({ "userEnteredValue": { "stringValue": text } }));
        }
        assert_eq!(raw(&Value::Null, "").expect("nothing"), json!({}));
    }

    #[test]
    fn what_no_cell_holds_is_refused_with_its_place() {
        for value in [json!([1]), json!({}), json!("ü".repeat(CHARS_MAX + 1))] {
            let error = raw(&value, "/values/Name").expect_err("no cell");
            assert_eq!((error.code.as_ref(), &error.details["field"]), ("invalid-input", &json!("/values/Name")));
        }
        assert!(raw(&json!("ü".repeat(CHARS_MAX)), "").is_ok());
    }
}
