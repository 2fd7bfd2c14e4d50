//! The parts of a multipart body, as the step writes them.

use flowcell_sdk::http::Blob;
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
    /// Or the blob that an earlier step fetched: {{ steps.download.output.body }}. The host inserts its bytes.
    blob: Option<Blob>,
    /// Makes it a file. A blob is one under the name that it came with.
    #[input(example = "invoice.pdf")]
    filename: Option<String>,
    #[input(example = "application/pdf")]
    content_type: Option<String>,
}

/// Each part, and the blob that is to stand in it.
pub(super) fn parts(written: Vec<Part>) -> Result<(Vec<multipart::Part>, Vec<Option<Blob>>), ActionError> {
    written.into_iter().enumerate().map(|(index, part)| read(part, index)).collect()
}

/// What a file is called that came without a name: receivers take a part for a file by its having one.
const FILENAME: &str = "file";

fn read(part: Part, index: usize) -> Result<(multipart::Part, Option<Blob>), ActionError> {
    let at = |field: &str| format!("/multipart/{index}/{field}");
    if let Some(blob) = part.blob {
        if !part.value.is_null() || part.base64.is_some() {
            let message = "a part has one body: give `value`, `base64` or `blob`";
            return Err(ActionError::invalid_input(&at("blob"), message));
        }
        let filename = part.filename.or_else(|| blob.filename.clone()).or_else(|| Some(FILENAME.to_owned()));
        let content_type = part.content_type.or_else(|| blob.content_type.clone());
        return Ok((multipart::Part { name: part.name, filename, content_type, body: Vec::new() }, Some(blob)));
    }
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
    let (filename, content_type) = (part.filename, part.content_type);
    Ok((multipart::Part { name: part.name, filename, content_type, body }, None))
}
