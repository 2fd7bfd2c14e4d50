//! Reads what the server said: JSON by pointers, never a panic over a field that is not there.

use serde_json::Value;

use crate::cli::output::printable;

/// The value at `pointer` (RFC 6901), `null` when there is none.
pub(crate) fn at<'d>(document: &'d Value, pointer: &str) -> &'d Value {
    static NULL: Value = Value::Null;
    document.pointer(pointer).unwrap_or(&NULL)
}

/// The items of the array at `pointer`; none when it is no array.
pub(crate) fn items<'d>(document: &'d Value, pointer: &str) -> &'d [Value] {
    at(document, pointer).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The text at `pointer`, fit for a terminal; empty when there is none.
pub(crate) fn text_of(document: &Value, pointer: &str) -> String {
    at(document, pointer).as_str().map(printable).unwrap_or_default()
}

/// An id of the command line as one segment of a path.
pub(crate) fn path_segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
