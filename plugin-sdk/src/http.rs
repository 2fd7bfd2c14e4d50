//! Requests, sent by the host: it checks each against what was granted, adds the credentials, and records the exchange.
//!
//! ```no_run
//! # use flowcell_sdk::{ActionError, http::Request};
//! # fn run() -> Result<(), ActionError> {
//! let answer = Request::post("https://api.example.com/rows")
//!     .header("accept", "application/json")
//!     .json(&["Ada", "Grace"])
//!     .send()?
//!     .error_for_status()?
//!     .json::<serde_json::Value>()?;
//! # Ok(()) }
//! ```
//! Redirects are not followed: a `3xx` comes back as it is.

mod blob;
mod response;
mod saved;

pub use blob::Blob;
pub use response::Response;
pub use saved::{BodyEncoding, SavedBody, SavedResponse};

use std::fmt;

use serde::Serialize;

use crate::ActionError;

/// One request. Built step by step, then [sent](Self::send).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// For the whole exchange; the host shortens it to what is left of the call.
    pub timeout_ms: Option<u32>,
    /// Why it cannot be sent; a builder has no other place to say so.
    invalid: Option<String>,
}

impl Request {
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: None,
            invalid: None,
        }
    }
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }
    pub fn patch(url: impl Into<String>) -> Self {
        Self::new("PATCH", url)
    }
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// The first header with this name, in any case.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// Adds a header. The host refuses `host`, `connection`, `transfer-encoding`, `content-length`, `proxy-*` and the like.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds to the URL's query, encoded.
    #[must_use]
    pub fn query<K: AsRef<str>, V: AsRef<str>>(mut self, pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let encoded = encode_form(pairs);
        if encoded.is_empty() {
            return self;
        }
        let fragment = self.url.find('#').map(|start| self.url.split_off(start)).unwrap_or_default();
        if !self.url.contains('?') {
            self.url.push('?');
        } else if !self.url.ends_with(['?', '&']) {
            self.url.push('&');
        }
        self.url.push_str(&encoded);
        self.url.push_str(&fragment);
        self
    }

    /// Bytes, with their content type unless a header gives one already.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        if self.header_value("content-type").is_none() {
            self = self.header("content-type", content_type);
        }
        self
    }

    /// A value as JSON.
    #[must_use]
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body("application/json", body),
            Err(error) => {
                self.invalid = Some(format!("the body has no JSON form: {error}"));
                self
            }
        }
    }

    /// Fields as a form (`application/x-www-form-urlencoded`).
    #[must_use]
    pub fn form<K: AsRef<str>, V: AsRef<str>>(self, pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let body = encode_form(pairs);
        self.body("application/x-www-form-urlencoded", body)
    }

    /// The host keeps a body that is no text, or too large for an output, and the response says which blob it is ([`Response::blob`]): such a
    /// body never passes through the plugin. A host that keeps none gives the body as ever.
    #[must_use]
    pub fn keep_binary(self) -> Self {
        self.header("flowcell-keep-body", "binary")
    }

    /// The host inserts a blob at this place of the body, which the plugin's input has to name. Places are given in their order.
    #[must_use]
    pub fn insert_blob(self, at: usize, blob: &Blob) -> Self {
        self.header("flowcell-insert-blobs", format!("{at}={}", blob.blob))
    }

    /// At most this long for the whole exchange.
    #[must_use]
    pub fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.timeout_ms = Some(timeout_ms);
        self
    }

    /// Hands the request to the host and waits for the whole response.
    pub fn send(self) -> Result<Response, SendError> {
        match self.invalid {
            Some(message) => Err(SendError { code: ErrorCode::InvalidRequest, message, retryable: false }),
            None => crate::host::send(self),
        }
    }
}

fn encode_form<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendError {
    pub code: ErrorCode,
    /// For people, from the host; a denial names the grant that would allow the request.
    pub message: String,
    /// Whether the host thinks that the same request may succeed later.
    pub retryable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Outside what was granted.
    Denied,
    /// The address is private, local, reserved or a metadata service.
    AddressDenied,
    /// Not a URL, method or header that can be sent.
    InvalidRequest,
    /// The name does not resolve.
    Dns,
    /// No connection, or it was lost before the response was complete.
    Connect,
    Tls,
    Timeout,
    /// Request or response exceeds a size limit.
    TooLarge,
    /// This call has used its number of requests or bytes.
    Budget,
    /// The peer does not speak HTTP.
    Protocol,
}

impl ErrorCode {
    /// As it stands in an [`ActionError`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "http-denied",
            Self::AddressDenied => "http-address-denied",
            Self::InvalidRequest => "http-invalid-request",
            Self::Dns => "http-dns",
            Self::Connect => "http-connect",
            Self::Tls => "http-tls",
            Self::Timeout => "http-timeout",
            Self::TooLarge => "http-too-large",
            Self::Budget => "http-budget",
            Self::Protocol => "http-protocol",
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SendError {}

/// What the network did passes; what somebody forbade or wrote wrongly does not. In between, the host's word counts.
impl From<SendError> for ActionError {
    fn from(error: SendError) -> Self {
        let retryable = match error.code {
            ErrorCode::Connect | ErrorCode::Timeout => true,
            ErrorCode::Denied
            | ErrorCode::AddressDenied
            | ErrorCode::InvalidRequest
            | ErrorCode::TooLarge
            | ErrorCode::Budget => false,
            ErrorCode::Dns | ErrorCode::Tls | ErrorCode::Protocol => error.retryable,
        };
        ActionError::new(error.code.as_str(), error.message, retryable)
    }
}

#[cfg(test)]
mod tests;
