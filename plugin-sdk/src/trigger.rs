//! What a trigger gets and what it answers.

use serde::Serialize;
use serde_json::json;

use crate::ActionError;

/// One HTTP request to the trigger's URL, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookRequest {
    /// In upper case.
    pub method: String,
    /// The path after the trigger's token, `/` when there is none.
    pub path: String,
    /// Without the `?`; empty when there is none.
    pub query: String,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl WebhookRequest {
    /// The first header with this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// What a request means.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<P> {
    /// Start a run for each, then answer 202.
    Events(Vec<Event<P>>),
    /// Nothing to do; the reason stands in the trigger's log. Answered with 202.
    Ignore(String),
    /// Answer at once and start nothing: challenges, wrong methods.
    Reply(Reply),
}

impl<P> Outcome<P> {
    /// One run with this payload.
    pub fn event(payload: P) -> Self {
        Self::Events(vec![Event::new(payload)])
    }

    pub(crate) fn try_map<Q>(self, map: impl Fn(P) -> Result<Q, ActionError>) -> Result<Outcome<Q>, ActionError> {
        Ok(match self {
            Self::Events(events) => Outcome::Events(
                events
                    .into_iter()
                    .map(|event| Ok(Event { payload: map(event.payload)?, dedupe_key: event.dedupe_key }))
                    .collect::<Result<_, ActionError>>()?,
            ),
            Self::Ignore(reason) => Outcome::Ignore(reason),
            Self::Reply(reply) => Outcome::Reply(reply),
        })
    }
}

/// One event: it starts one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<P> {
    /// What the workflow reads as `trigger`.
    pub payload: P,
    /// Two events with the same key within 72 hours start one run.
    pub dedupe_key: Option<String>,
}

impl<P> Event<P> {
    pub fn new(payload: P) -> Self {
        Self { payload, dedupe_key: None }
    }

    /// Two events with the same key within 72 hours start one run.
    #[must_use]
    pub fn dedupe_key(mut self, key: impl Into<String>) -> Self {
        self.dedupe_key = Some(key.into());
        self
    }
}

/// An answer to the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Without a body.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Plain text.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self {
            body: text.into().into_bytes(),
            ..Self::status(status).header("content-type", "text/plain; charset=utf-8")
        }
    }

    /// JSON. A value that has no JSON form is answered as `null`.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec());
        Self { body, ..Self::status(status).header("content-type", "application/json") }
    }

    /// A problem (RFC 9457): `title` says what kind, `detail` what happened here and what to do.
    pub fn problem(status: u16, title: &str, detail: &str) -> Self {
        let mut reply = Self::json(status, &json!({ "title": title, "status": status, "detail": detail }));
        reply.headers = vec![("content-type".to_owned(), "application/problem+json".to_owned())];
        reply
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}
