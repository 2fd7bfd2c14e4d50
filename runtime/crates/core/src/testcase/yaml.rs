//! Writes a JSON document as YAML that people like to read and edit.

use std::fmt::Write as _;

use serde_json::Value;

/// A short list or object of plain values stands in one line up to this length.
const LINE_CHARS_MAX: usize = 100;

/// Fields of test files in the order in which people think of them; any other comes after these.
const ORDER: [&str; 11] =
    ["name", "now", "trigger", "pin", "expect", "status", "step", "method", "url", "error", "output"];

/// Writes a document; reading it again gives the same document.
pub fn write(document: &Value) -> String {
    let mut text = String::new();
    block(document, 0, &mut text);
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| ORDER.iter().position(|known| known == key).unwrap_or(ORDER.len()));
            for (key, value) in fields {
                let _ = write!(text, "{:indent$}{}:", "", scalar(key), indent = depth * 2);
                after_key(value, depth, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                block(item, depth + 1, &mut inner);
                let _ = write!(text, "{:indent$}- {}", "", inner.trim_start(), indent = depth * 2);
            }
        }
        value => {
            let _ = writeln!(text, "{:indent$}{}", "", flow(value), indent = depth * 2);
        }
    }
}

fn after_key(value: &Value, depth: usize, text: &mut String) {
    let line = flow(value);
    let is_plain = match value {
        Value::Array(items) => items.iter().all(is_scalar),
        Value::Object(fields) => fields.is_empty(),
        _ => true,
    };
    if is_plain && line.chars().count() + depth * 2 <= LINE_CHARS_MAX || is_scalar(value) {
        let _ = writeln!(text, " {line}");
    } else {
        text.push('\n');
        block(value, depth + 1, text);
    }
}

fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        value => value.to_string(),
    }
}

/// A text without quotes where it can be nothing else, else as JSON, which YAML reads alike.
fn scalar(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ' | '$');
    let reads_as_text = matches!(crate::workflow::text::Located::read(text), Ok(located) if located.value == text);
    let is_plain = text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && !text.ends_with(' ')
        && text.chars().all(is_word)
        && reads_as_text;
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::text::Located;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn a_document_is_read_as_it_was_written() {
        let document = json!({
            "name": "a good case", "n": 1, "t": "1", "yes": "true", "none": null, "empty": [], "nothing": {}, "list": [1, "a: b"],
            "steps": [{ "id": "one", "with": { "a": { "b": "{{ x }}" } } }, [1, { "c": "line\nline" }]], "x y": "- z", "#": "",
        });
        let text = write(&document);
        assert_eq!(Located::read(&text).expect("YAML").value, document, "{text}");
    }

    #[test]
    fn it_is_easy_to_read() {
        let text = write(
            &json!({ "cases": [{ "name": "all is well", "trigger": { "body": { "id": 7, "tags": ["a", "b"] } } }] }),
        );
        expect![[r"
            cases:
              - name: all is well
                trigger:
                  body:
                    id: 7
                    tags: [a, b]
        "]]
        .assert_eq(&text);
    }
}
