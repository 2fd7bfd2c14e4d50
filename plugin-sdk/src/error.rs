//! Why a plugin could not do its work, and what the caller may do about it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

/// The error of an action or trigger. Its constructors are the cases that the engine treats differently or that people meet often.
///
/// Only a [retryable](Self::retryable) error is tried again; the step's `retry` says how often.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionError {
    /// Stable and machine-readable, in kebab case.
    pub code: Cow<'static, str>,
    /// For people: what happened, and what to do about it.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// The earliest time for the next try, in milliseconds from now.
    pub retry_after_ms: Option<u64>,
    /// More, for machines. `field` is a JSON Pointer to the input field at fault.
    pub details: Map<String, Value>,
}

impl ActionError {
    /// `pointer` leads to the input field at fault: `/url`, `/items/3/name`; empty for the whole input.
    pub fn invalid_input(pointer: &str, message: impl Into<String>) -> Self {
        Self::new("invalid-input", message, false).detail("field", pointer)
    }

    /// Something that passes: the same call may succeed later.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new("transient", message, true)
    }

    /// The other side wants fewer requests.
    pub fn rate_limited(message: impl Into<String>) -> Self {
        Self::new("rate-limited", message, true)
    }

    /// The other side does not accept the connection's credentials.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new("unauthorized", message, false)
    }

    /// The same call will fail again. `code` is yours, in kebab case.
    pub fn permanent(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(code, message, false)
    }

    /// Not before this time from now.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        self.retry_after_ms(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }

    /// Not before this many milliseconds from now.
    #[must_use]
    pub fn retry_after_ms(mut self, wait_ms: u64) -> Self {
        self.retry_after_ms = Some(wait_ms);
        self
    }

    /// Adds to what machines can read. A value that has no JSON form is left out.
    #[must_use]
    pub fn detail(mut self, key: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.details.insert(key.to_owned(), value);
        }
        self
    }

    pub(crate) fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>, retryable: bool) -> Self {
        Self { code: code.into(), message: message.into(), retryable, retry_after_ms: None, details: Map::new() }
    }

    /// The details as the contract wants them.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn details_json(&self) -> Option<String> {
        (!self.details.is_empty()).then(|| serde_json::to_string(&self.details).unwrap_or_default())
    }
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ActionError {}
