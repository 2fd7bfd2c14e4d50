//! The kinds of problem there are: status, slug and title of each.

use http::StatusCode;

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
    pub(super) fn parts(self) -> (StatusCode, &'static str, &'static str) {
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
