//! By what an event is recognised, where the workflow names a place in its payload.

use serde_json::Value;

use super::trigger::{Dedupe, DedupeBy};
use crate::id::Digest;

/// Longer values stand in a key by their hash. Provider ids have below 100 bytes; the store takes keys of any length.
const VALUE_BYTES_MAX: usize = 256;

impl Dedupe {
    /// The key of an event with this payload: the value at the path that the rule names. Nothing where it names none, or the value is missing,
    /// null or empty.
    pub fn key_of(&self, payload: &Value) -> Option<String> {
        let DedupeBy::Path(path) = &self.by else { return None };
        Some(format!("path:{path}:{}", short(&at(payload, path)?)))
    }
}

/// A value as it stands in a key.
pub fn short(value: &str) -> String {
    if value.len() <= VALUE_BYTES_MAX { value.to_owned() } else { Digest::of(value.as_bytes()).to_string() }
}

/// The value at a path such as `body.items[0].id`, as text.
fn at(payload: &Value, path: &str) -> Option<String> {
    let mut value = payload;
    for part in path.split(['.', '[']).map(|part| part.trim_end_matches(']')).filter(|part| !part.is_empty()) {
        value = match value {
            Value::Array(items) => items.get(part.parse::<usize>().ok()?)?,
            value => value.get(part)?,
        };
    }
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        value => Some(value.to_string()),
    }
}
