//! Objects of a step's input as pairs of text: query parameters, headers, form fields.

use flowcell_sdk::ActionError;
use serde_json::{Map, Value};

/// Text, numbers and truth values as text; a list gives several pairs, null none. `at` is the object's place in the input.
pub(super) fn flatten(object: &Map<String, Value>, at: &str) -> Result<Vec<(String, String)>, ActionError> {
    let mut pairs = Vec::with_capacity(object.len());
    for (name, value) in object {
        match value {
            Value::Array(items) => {
                for item in items {
                    push(&mut pairs, name, item, at)?;
                }
            }
            single => push(&mut pairs, name, single, at)?,
        }
    }
    Ok(pairs)
}

fn push(pairs: &mut Vec<(String, String)>, name: &str, value: &Value, at: &str) -> Result<(), ActionError> {
    let text = match value {
        Value::Null => return Ok(()),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => {
            let message = format!(
                "`{name}` holds an object or a list within a list; only text, numbers, true, false and a list of these can be sent here"
            );
            return Err(ActionError::invalid_input(&pointer(at, name), message));
        }
    };
    pairs.push((name.to_owned(), text));
    Ok(())
}

/// A member's place, as a JSON Pointer (RFC 6901).
pub(super) fn pointer(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}
