//! The parts of a multipart body, as the step writes them.

use flowcell_sdk::media::from_base64;
use flowcell_sdk::{ActionError, Input, multipart};
use serde_json::Value;

#[derive(Input)]
pub(super) struct Part {
    name: String,
    /// The field's text; a number or truth value is written as text.
    #[serde(default)]
    value: Value,
    /// Or its bytes, as base64.
    base64: Option<String>,
    /// Makes it a file.
    #[input(example = "invoice.pdf")]
    filename: Option<String>,
    #[input(example = "application/pdf")]
    content_type: Option<String>,
}

pub(super) fn parts(written: Vec<Part>) -> Result<Vec<multipart::Part>, ActionError> {
    written.into_iter().enumerate().map(|(index, part)| read(part, index)).collect()
}

fn read(part: Part, index: usize) -> Result<multipart::Part, ActionError> {
    let at = |field: &str| format!("/multipart/{index}/{field}");
    let body = match (part.value, part.base64) {
        (Value::Null, None) => Vec::new(),
        (Value::Null, Some(text)) => from_base64(&text).ok_or_else(|| {
            ActionError::invalid_input(
                &at("base64"),
                "this is no base64; give it with padding, or write text as `value`",
            )
        })?,
        (Value::String(text), None) => text.into_bytes(),
        (value @ (Value::Bool(_) | Value::Number(_)), None) => value.to_string().into_bytes(),
        (Value::Array(_) | Value::Object(_), None) => {
            let message = "a part is text, a number, true or false; write an object as text with the filter `tojson`";
            return Err(ActionError::invalid_input(&at("value"), message));
        }
        (_, Some(_)) => {
            return Err(ActionError::invalid_input(&at("base64"), "a part has one body: give `value` or `base64`"));
        }
    };
    Ok(multipart::Part { name: part.name, filename: part.filename, content_type: part.content_type, body })
}
