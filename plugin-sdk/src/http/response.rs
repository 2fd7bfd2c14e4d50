//! What came back, and what its status means for the step.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use super::find;
use crate::ActionError;

/// So much of an unwelcome answer goes into the error message: enough for what services say about themselves, too little to flood a log.
const EXCERPT_CHARS_MAX: usize = 300;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case, in the order they came; repeated headers are repeated here.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How long the exchange took, as the host measured it.
    pub duration_ms: u32,
}

impl Response {
    /// The first header with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// What the host kept instead of giving the body: the JSON that an output names it with ([`super::Request::keep_binary`]).
    pub fn blob(&self) -> Option<&str> {
        self.header("flowcell-blob")
    }

    /// The body, decoded from JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ActionError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            ActionError::permanent(
                "invalid-response",
                format!("the server's answer ({}) is not the JSON that was expected: {error}", self.status),
            )
        })
    }

    /// How long to wait for the next try, from `Retry-After`: seconds, or a date. A plugin has no clock, so a date counts from the
    /// answer's own `Date`, and without one it is not understood.
    pub fn retry_after_ms(&self) -> Option<u64> {
        let text = self.header("retry-after")?.trim();
        if let Ok(seconds) = text.parse::<u64>() {
            return seconds.checked_mul(1000);
        }
        let (then, now) =
            (httpdate::parse_http_date(text).ok()?, httpdate::parse_http_date(self.header("date")?).ok()?);
        // A date that has passed means: now.
        u64::try_from(then.duration_since(now).unwrap_or_default().as_millis()).ok()
    }

    /// This response if its status is 2xx, else the error it stands for.
    pub fn error_for_status(self) -> Result<Self, ActionError> {
        if self.is_success() { Ok(self) } else { Err(self.status_error()) }
    }

    /// The error this status stands for: 408, 425, 429 and 5xx pass, and `Retry-After` says when; the rest is permanent.
    pub fn status_error(&self) -> ActionError {
        let retryable = matches!(self.status, 408 | 425 | 429 | 500..=599);
        let code = if self.status == 429 { "rate-limited" } else { "http-status" };
        let status = self.status;
        let message = match (status, self.header("location"), self.excerpt()) {
            (300..400, Some(location), _) => {
                format!(
                    "the server answered {status} and points to {location}; redirects are not followed, so use that URL"
                )
            }
            (_, _, Some(excerpt)) => format!("the server answered {status}: {excerpt}"),
            (_, _, None) => format!("the server answered {status}"),
        };
        let mut error = ActionError::new(code, message, retryable).detail("status", self.status);
        if retryable {
            error.retry_after_ms = self.retry_after_ms();
        }
        error
    }

    /// The beginning of the body, if it is text.
    fn excerpt(&self) -> Option<String> {
        let text = std::str::from_utf8(&self.body).ok()?.trim();
        let mut excerpt: String = text.chars().take(EXCERPT_CHARS_MAX).collect();
        if excerpt.len() < text.len() {
            excerpt.push('…');
        }
        (!excerpt.is_empty()).then_some(excerpt)
    }
}
