//! Problem documents (RFC 9457): the one place that decides how a failure looks to an HTTP client.

use axum::response::{IntoResponse, Response};
use flowcell_core::invoke::{Disposition, InvokeError};
use flowcell_core::ports::StoreError;
use flowcell_engine::{ControlError, CreateError, OutsideError};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use serde::{Deserialize, Serialize};

/// What the `type` of every problem begins with; its slug follows.
pub(crate) const TYPE_BASE: &str = "https://flowcell.dev/problems/";

/// Every kind of problem there is; its slug is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    InvalidRequest,
    Unauthorized,
    Unverified,
    NotFound,
    UnknownHook,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    NotStartable,
    RunEnded,
    NotParked,
    NotRepeatable,
    LinkGone,
    NotYet,
    TooLarge,
    TargetTooLong,
    ExpectationFailed,
    TooManyRequests,
    UnsupportedMediaType,
    InvalidWorkflow,
    InvalidConnection,
    InvalidContact,
    ContactConflict,
    VersionMoved,
    SecretSealed,
    KeyNotExchanged,
    UnusablePlugin,
    TriggerRejected,
    PayloadUnusable,
    InvalidInput,
    ConnectionNeeded,
    NoOptions,
    FilterFailed,
    KeyReused,
    HeadersTooLarge,
    Internal,
    TriggerCrashed,
    NotImplemented,
    Overloaded,
    Busy,
    NoSpace,
    Unverifiable,
    Stopped,
    Starting,
    Draining,
}

impl Kind {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid-request", "The request is not well formed"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "A valid token is needed"),
            Self::Unverified => (StatusCode::UNAUTHORIZED, "unverified", "The sender is not verified"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing here"),
            Self::UnknownHook => (StatusCode::NOT_FOUND, "unknown-hook", "No trigger listens here"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This method is not allowed here")
            }
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request came too slowly"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Somebody else changed this first"),
            Self::NotStartable => (StatusCode::CONFLICT, "not-startable", "This workflow cannot be started like this"),
            Self::RunEnded => (StatusCode::CONFLICT, "run-ended", "The run has ended already"),
            Self::NotParked => (StatusCode::CONFLICT, "not-parked", "The step waits for no decision"),
            Self::NotRepeatable => (StatusCode::CONFLICT, "not-repeatable", "The run cannot be repeated like this"),
            Self::NotYet => (StatusCode::CONFLICT, "link-not-yet", "The workflow has not come to this question yet"),
            Self::LinkGone => (StatusCode::GONE, "link-gone", "This link opens nothing, or nothing any more"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::TargetTooLong => (StatusCode::URI_TOO_LONG, "target-too-long", "The request's target is too long"),
            Self::ExpectationFailed => {
                (StatusCode::EXPECTATION_FAILED, "expectation-failed", "This expectation is not met here")
            }
            Self::TooManyRequests => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "This client has too much open at a time")
            }
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "This content type is not understood here",
            ),
            Self::InvalidWorkflow => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-workflow", "The workflow cannot be used as it is")
            }
            Self::InvalidConnection => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-connection", "The connection cannot be used as it is")
            }
            Self::InvalidContact => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-contact", "The contact cannot be as it is asked")
            }
            Self::ContactConflict => (StatusCode::CONFLICT, "contact-conflict", "Another contact stands in the way"),
            Self::VersionMoved => {
                (StatusCode::PRECONDITION_FAILED, "version-moved", "It is not the version that was named")
            }
            Self::KeyNotExchanged => (StatusCode::CONFLICT, "key-not-exchanged", "The secrets key was not exchanged"),
            Self::SecretSealed => (StatusCode::CONFLICT, "secret-sealed", "The secret cannot be opened"),
            Self::UnusablePlugin => {
                (StatusCode::UNPROCESSABLE_ENTITY, "unusable-plugin", "A plugin of the workflow cannot be used")
            }
            Self::TriggerRejected => {
                (StatusCode::BAD_REQUEST, "trigger-rejected", "The trigger does not accept this request")
            }
            Self::PayloadUnusable => {
                (StatusCode::UNPROCESSABLE_ENTITY, "payload-unusable", "The trigger can make nothing of this request")
            }
            Self::InvalidInput => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-input", "The input does not fit the workflow")
            }
            Self::ConnectionNeeded => {
                (StatusCode::UNPROCESSABLE_ENTITY, "connection-needed", "The connection cannot be used as it is")
            }
            Self::NoOptions => (StatusCode::BAD_GATEWAY, "no-options", "The plugin gives no choices"),
            Self::FilterFailed => {
                (StatusCode::UNPROCESSABLE_ENTITY, "filter-failed", "The trigger's filter cannot be asked about this")
            }
            Self::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "key-reused", "This key belongs to another request"),
            Self::HeadersTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", "The headers are too large")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong inside Flowcell"),
            Self::TriggerCrashed => {
                (StatusCode::INTERNAL_SERVER_ERROR, "trigger-crashed", "The trigger's plugin crashed")
            }
            Self::NotImplemented => {
                (StatusCode::NOT_IMPLEMENTED, "not-implemented", "This part of HTTP is not spoken here")
            }
            Self::Overloaded => {
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Flowcell has as much to do as it takes")
            }
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Flowcell is busy at the moment"),
            Self::NoSpace => (StatusCode::SERVICE_UNAVAILABLE, "no-space", "The disk is nearly full"),
            Self::Unverifiable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unverifiable", "The sender cannot be verified at the moment")
            }
            Self::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped", "Flowcell has stopped accepting"),
            Self::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting", "Flowcell is starting"),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining", "Flowcell is shutting down"),
        }
    }
}

impl Kind {
    /// What a problem of this kind says as its `type`.
    pub(crate) fn uri(self) -> String {
        format!("{TYPE_BASE}{}", self.parts().1)
    }

    /// What a trigger means that answers with this status itself.
    pub(crate) fn of_reply(status: StatusCode) -> Option<Self> {
        match status {
            StatusCode::BAD_REQUEST => Some(Self::TriggerRejected),
            StatusCode::METHOD_NOT_ALLOWED => Some(Self::MethodNotAllowed),
            StatusCode::PAYLOAD_TOO_LARGE => Some(Self::TooLarge),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Some(Self::UnsupportedMediaType),
            _ => None,
        }
    }
}

/// Seconds after which a client may come back when nothing better is known.
const RETRY_AFTER_DEFAULT_S: u64 = 1;

/// A failure on its way to an HTTP client.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<Fault>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// One of several places at fault; for workflow files with line and column.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Fault {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<u64>,
    /// A JSON Pointer into the document.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) pointer: String,
    pub(crate) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
}

/// The document as it crosses the wire; the CLI reads it with the same type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Document {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) status: u16,
    pub(crate) detail: String,
    /// The id of the request, as in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<Fault>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    pub(crate) fn with_errors(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds `Retry-After`, in whole seconds, rounded up.
    pub(crate) fn retry_after_ms(self, millis: Option<u64>) -> Self {
        let seconds = millis.map_or(RETRY_AFTER_DEFAULT_S, |ms| ms.div_ceil(1000).max(1));
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.kind.parts().0
    }

    /// The end of its `type`: stable and machine-readable.
    pub(crate) fn slug(&self) -> &'static str {
        self.kind.parts().1
    }

    /// Whether the operator should see it in the log: our failures, and clients turned away.
    pub(crate) fn is_alarming(&self) -> bool {
        self.status().is_server_error() && !matches!(self.kind, Kind::Starting | Kind::Draining | Kind::NotImplemented)
    }

    /// Whether the store takes nothing at the moment, whoever asks.
    pub(crate) fn is_of_the_store(&self) -> bool {
        matches!(self.kind, Kind::Busy | Kind::NoSpace | Kind::Stopped)
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn document(&self, instance: Option<String>) -> Document {
        let (status, _, title) = self.kind.parts();
        Document {
            kind: self.kind.uri(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            instance,
            errors: self.errors.clone(),
        }
    }

    /// Renders the problem with the id of the request that it answers.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let document = self.document(Some(request_id.to_owned()));
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(axum::body::Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.headers.iter().cloned());
        response
    }
}

/// Carries the problem to [`crate::http::serve`], which knows the request's id and renders it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(axum::body::Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict { .. } => {
                Self::new(Kind::Conflict, format!("{error}. Load it again, then repeat the change."))
            }
            StoreError::NotFound { .. } => Self::new(Kind::NotFound, format!("{error}.")),
            StoreError::OtherBody { event } => Self::new(
                Kind::KeyReused,
                format!(
                    "The request of event `{event}` came with the same `Idempotency-Key` and another body. Nothing was stored; send a new request with a key of its own."
                ),
            ),
            StoreError::Busy => Self::new(
                Kind::Busy,
                "Too many writes are waiting for the disk. Nothing was stored; send the request again a little later.",
            )
            .retry_after_ms(None),
            StoreError::NoSpace { .. } => Self::new(
                Kind::NoSpace,
                "The server's disk is nearly full. Nothing was stored; send the request again later. Runs that have begun go on.",
            )
            .retry_after_ms(Some(30_000)),
            StoreError::Stopped => {
                tracing::error!(%error, "the store refuses to go on");
                Self::new(
                    Kind::Stopped,
                    "A write to the disk failed, so nothing more is accepted. The operator has to restart Flowcell.",
                )
                .retry_after_ms(Some(30_000))
            }
            StoreError::Damaged { .. } | StoreError::Failed { .. } | StoreError::Refused { .. } => {
                tracing::error!(%error, "the store failed");
                Self::internal()
            }
        }
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NoRun(run) => Self::new(
                Kind::NotFound,
                format!("There is no run `{run}`. `flowcell run list` prints the newest ones."),
            ),
            ControlError::Ended(_) => {
                Self::new(Kind::RunEnded, format!("{error}: nothing of it can be changed any more."))
            }
            ControlError::NotOpen => {
                Self::new(Kind::LinkGone, "This link does not open anything, or it was used, or it came too late.")
            }
            ControlError::NotYet => Self::new(
                Kind::NotYet,
                "This link is right, and the workflow has not come to its question yet. Try again in a moment.",
            )
            .retry_after_ms(Some(2_000)),
            ControlError::NotParked { .. } => {
                Self::new(Kind::NotParked, format!("{error}. `flowcell run show` tells where the run stands."))
            }
            ControlError::Rerun(refusal) => Self::new(Kind::NotRepeatable, format!("{refusal}.")),
            ControlError::Create(error) => error.into(),
            ControlError::Workflow(error) => CreateError::from(error).into(),
            ControlError::Outside(OutsideError::Store(error)) => error.into(),
            ControlError::Outside(error @ OutsideError::Journal(_)) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::error!(error, "a journal cannot be read");
                Self::internal()
            }
        }
    }
}

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Store(error) => error.into(),
            CreateError::NoWorkflow(_) => Self::new(
                Kind::NotFound,
                format!("There is no {}.", error.to_string().trim_start_matches("there is no ")),
            ),
            CreateError::NotPublished(_) => Self::new(Kind::NotStartable, format!("{error}.")),
            CreateError::InvalidInput { pointer, message, .. } => {
                let detail = format!("The input does not fit the workflow's `input`: {message}.");
                Self::new(Kind::InvalidInput, detail).with_errors(vec![Fault { pointer, message, ..Fault::default() }])
            }
            CreateError::Key { .. } => Self::new(Kind::PayloadUnusable, format!("No run was started: {error}.")),
            CreateError::Filter { .. } => Self::new(Kind::FilterFailed, format!("No run was started: {error}.")),
            CreateError::Workflow(_) | CreateError::Journal(_) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::error!(error, "a run cannot be started");
                Self::internal()
            }
        }
    }
}

impl Problem {
    /// A failure that is ours: the client learns nothing of it but the request's id, the log has the rest.
    pub(crate) fn internal() -> Self {
        Self::new(
            Kind::Internal,
            "This is not your fault. The server's log has more under this request's id (`instance`).",
        )
    }

    /// How a trigger's failure looks to whoever called its URL.
    pub(crate) fn of_trigger(error: &InvokeError) -> Self {
        if let Disposition::Transient { after_ms } = error.disposition() {
            return Self::new(
                Kind::Busy,
                format!("The trigger could not take the request now: {error}. Send it again later."),
            )
            .retry_after_ms(after_ms);
        }
        match error {
            InvokeError::Action(refusal) => {
                let pointer = refusal.details.as_ref().and_then(|d| d.get("field")).and_then(|f| f.as_str());
                let errors = pointer.map(|pointer| Fault {
                    pointer: pointer.to_owned(),
                    message: refusal.message.clone(),
                    ..Fault::default()
                });
                Self::new(Kind::TriggerRejected, refusal.message.clone()).with_errors(errors.into_iter().collect())
            }
            InvokeError::LimitExceeded { .. } => Self::new(Kind::TooLarge, format!("{error}. Send less at once.")),
            InvokeError::InvalidOutput { .. }
            | InvokeError::InvalidInput { .. }
            | InvokeError::CpuExhausted { .. }
            | InvokeError::FuelExhausted { .. }
            | InvokeError::MemoryExhausted { .. }
            | InvokeError::BlobNotKept { .. } => Self::new(Kind::PayloadUnusable, format!("{error}.")),
            InvokeError::Unavailable { .. } | InvokeError::Connection(_) => {
                tracing::error!(%error, "a trigger cannot be called");
                Self::new(
                    Kind::Busy,
                    "The trigger's plugin cannot be loaded. Nothing was stored; the operator has to look at the server's log.",
                )
                .retry_after_ms(Some(30_000))
            }
            InvokeError::Trapped { .. } | InvokeError::DeadlineExceeded { .. } | InvokeError::Busy { .. } => {
                tracing::error!(%error, "a trigger crashed");
                Self::new(
                    Kind::TriggerCrashed,
                    "Nothing was stored. The server's log has the reason under this request's id (`instance`).",
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowcell_core::invoke::ActionError;

    #[test]
    fn a_problem_says_type_title_status_detail_and_instance() {
        let problem = Problem::new(Kind::NotFound, "no run `run_x`");
        let document = serde_json::to_value(problem.document(Some("req_1".into()))).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "type": "https://flowcell.dev/problems/not-found", "title": "There is nothing here", "status": 404,
                "detail": "no run `run_x`", "instance": "req_1",
            })
        );
    }

    #[test]
    fn store_failures_that_pass_ask_the_client_to_come_back() {
        for (error, status, retry) in [
            (StoreError::Busy, 503, true),
            (StoreError::NoSpace { free_bytes: 1 }, 503, true),
            (StoreError::Stopped, 503, true),
            (StoreError::Failed { message: "secret path".into() }, 500, false),
            (StoreError::NotFound { what: "run".into() }, 404, false),
        ] {
            let response = Problem::from(error).render("req_1");
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().contains_key(RETRY_AFTER), retry);
        }
        assert!(!Problem::from(StoreError::Failed { message: "secret path".into() }).detail().contains("secret"));
    }

    #[test]
    fn a_trigger_that_refuses_is_the_senders_fault_and_a_crash_is_not() {
        let refusal = |retryable| {
            InvokeError::Action(ActionError {
                code: "invalid-input".into(),
                message: "the body is not JSON".into(),
                retryable,
                retry_after_ms: Some(2_500),
                details: None,
            })
        };
        assert_eq!(Problem::of_trigger(&refusal(false)).status(), 400);
        let later = Problem::of_trigger(&refusal(true)).render("req_1");
        assert_eq!((later.status().as_u16(), later.headers()[RETRY_AFTER].as_bytes()), (503, &b"3"[..]));
        let crash = Problem::of_trigger(&InvokeError::Trapped { message: "wasm backtrace".into() });
        assert_eq!(crash.status(), 500);
        assert!(!crash.detail().contains("backtrace"));
    }
}
