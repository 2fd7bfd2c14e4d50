//! Choices for fields that only the other side knows: `#[input(options, depends_on = "spreadsheet")]` on the field, `options: { "append-row" => choices }` in
//! `plugin!`.
//!
//! Such a call may only read: `GET` and `HEAD` requests, `key_value` `get` and `keys`, `contacts::find`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What somebody looks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OptionsQuery {
    /// What they typed.
    pub search: Option<String>,
    /// The `next` of the page before.
    pub after: Option<String>,
}

/// One page of choices, at most 1,000.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    pub options: Vec<Choice>,
    /// There are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// What the field gets.
    pub value: Value,
    pub label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Choice {
    pub fn new(value: impl Into<Value>, label: impl Into<String>) -> Self {
        Self { value: value.into(), label: label.into(), description: None }
    }
}

impl FromIterator<Choice> for Options {
    fn from_iter<I: IntoIterator<Item = Choice>>(choices: I) -> Self {
        Self { options: choices.into_iter().collect(), next: None }
    }
}
