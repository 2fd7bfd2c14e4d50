//! What the played host answers.

use serde::Serialize;

use crate::http::{ErrorCode, Response, SendError};

/// An answer to a request, or the reason why there is none.
#[derive(Debug, Clone)]
pub struct Answer(pub(super) Result<Response, SendError>);

impl Answer {
    /// A response with an empty body.
    pub fn status(status: u16) -> Self {
        Self(Ok(Response { status, headers: Vec::new(), body: Vec::new(), duration_ms: 0 }))
    }

    /// The host sends nothing, or gets nothing back.
    pub fn fails(code: ErrorCode, message: &str) -> Self {
        let retryable = matches!(code, ErrorCode::Dns | ErrorCode::Connect | ErrorCode::Timeout);
        Self(Err(SendError { code, message: message.to_owned(), retryable }))
    }

    #[must_use]
    pub fn after_ms(mut self, duration_ms: u32) -> Self {
        if let Ok(response) = &mut self.0 {
            response.duration_ms = duration_ms;
        }
        self
    }

    /// The name must be in lower case: the host makes it so.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Ok(response) = &mut self.0 {
            response.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        if let Ok(response) = &mut self.0 {
            response.body = body.into();
        }
        self.header("content-type", content_type)
    }

    #[must_use]
    pub fn json(self, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("a test's value has a JSON form");
        self.body("application/json", body)
    }
}
