//! Why the host did not do what it was asked for.

use std::fmt;

use serde_json::{Map, Value};

use crate::ActionError;

/// The failure of a call of [`crate::key_value`], [`crate::mail`], [`crate::inbox`] or [`crate::contacts`]. With `?` it becomes the action's own error, with the same code.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HostError {
    /// `denied`, `conflict`, `not-found`, `invalid-input`, `too-large`, `quota`, `budget`, `unauthorized`, `rejected`, `rate-limited` or `unavailable`.
    pub code: String,
    /// For people, from the host; a denial names the grant that would allow it.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// The earliest time for the next try, in milliseconds from now.
    pub retry_after_ms: Option<u64>,
    /// `field` is a JSON Pointer into what was asked.
    pub details: Map<String, Value>,
}

impl HostError {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), ..Self::default() }
    }

    /// What is there is not what was expected: read again, and try again.
    pub fn is_conflict(&self) -> bool {
        self.code == "conflict"
    }

    /// A value that has no JSON form, or an answer that is not what the contract says.
    pub(crate) fn of_json(what: &str, error: &serde_json::Error) -> Self {
        Self::new("invalid-input", format!("{what}: {error}"))
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn parse_details(details: Option<String>) -> Map<String, Value> {
        details.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for HostError {}

impl From<HostError> for ActionError {
    fn from(error: HostError) -> Self {
        let HostError { code, message, retryable, retry_after_ms, details } = error;
        Self { retry_after_ms, details, ..Self::new(code, message, retryable) }
    }
}
