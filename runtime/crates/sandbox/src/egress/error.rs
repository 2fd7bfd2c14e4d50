//! How a request can fail at the door: the codes of the contract, a sentence for people, and whether to try again.
//! The classification of transport errors happens here and nowhere else.

use std::error::Error;

use flowcell_core::capability::{Denial, DeniedBy};
use flowcell_core::connection::CredentialError;
use flowcell_core::id::Digest;
use flowcell_core::ports::StoreError;

use super::connect::ConnectError;

/// Why there is no response. The message carries no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    pub code: SendErrorCode,
    /// For people: what happened and what to do.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Who refused, when `code` is [`SendErrorCode::Denied`].
    pub denied_by: Option<DeniedBy>,
}

/// `error-code` of the contract's `http` interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendErrorCode {
    Denied,
    AddressDenied,
    InvalidRequest,
    Dns,
    Connect,
    Tls,
    Timeout,
    TooLarge,
    Budget,
    Protocol,
}

impl SendErrorCode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::AddressDenied => "address-denied",
            Self::InvalidRequest => "invalid-request",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::TooLarge => "too-large",
            Self::Budget => "budget",
            Self::Protocol => "protocol",
        }
    }
}

impl SendError {
    fn new(code: SendErrorCode, retryable: bool, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable, denied_by: None }
    }
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(SendErrorCode::InvalidRequest, false, message)
    }
    pub(super) fn timeout(message: impl Into<String>) -> Self {
        Self::new(SendErrorCode::Timeout, true, message)
    }
    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(SendErrorCode::TooLarge, false, message)
    }
    pub(super) fn protocol(message: impl Into<String>) -> Self {
        Self::new(SendErrorCode::Protocol, false, message)
    }
    pub(super) fn budget(message: impl Into<String>) -> Self {
        Self::new(SendErrorCode::Budget, false, message)
    }

    /// A blob that is there and cannot be had now.
    pub(super) fn blob_unreadable(digest: &Digest, error: &StoreError) -> Self {
        Self::new(SendErrorCode::Connect, true, format!("the blob {digest} cannot be read now: {error}"))
    }

    /// Classifies a failure before the response's headers.
    pub(super) fn from_client(error: &hyper_util::client::legacy::Error) -> Self {
        find::<ConnectError>(error).map_or_else(|| Self::from_transport(error), Self::from_connect)
    }

    /// Classifies a failure on an open connection.
    pub(super) fn from_transport(error: &(dyn Error + 'static)) -> Self {
        match find::<hyper::Error>(error) {
            Some(error) if error.is_parse_too_large() => {
                Self::too_large("the response's headers are larger than allowed, or there are too many of them")
            }
            Some(error) if error.is_parse() => {
                Self::new(SendErrorCode::Protocol, false, "what came back is not an HTTP response; is the port right?")
            }
            _ => Self::new(
                SendErrorCode::Connect,
                true,
                "the connection was lost before the response was complete; whether the request was processed is not known",
            ),
        }
    }

    pub(super) fn from_connect(error: &ConnectError) -> Self {
        let (code, retryable) = match error {
            ConnectError::Refused { .. } => (SendErrorCode::AddressDenied, false),
            ConnectError::Resolve { .. } | ConnectError::NoAddress { .. } => (SendErrorCode::Dns, true),
            ConnectError::Dial { .. } => (SendErrorCode::Connect, true),
            // A certificate stays wrong until somebody replaces it; a broken handshake may have been the network.
            ConnectError::Tls { source } => (SendErrorCode::Tls, find::<rustls::Error>(source.as_ref()).is_none()),
            ConnectError::Timeout { .. } => (SendErrorCode::Timeout, true),
        };
        let message = match error {
            ConnectError::Resolve { source, .. } | ConnectError::Dial { source, .. } => format!("{error}: {source}"),
            ConnectError::Tls { source } => format!("{error}: {source}"),
            _ => error.to_string(),
        };
        Self::new(code, retryable, message)
    }
}

impl From<Denial> for SendError {
    fn from(denial: Denial) -> Self {
        Self { code: SendErrorCode::Denied, message: denial.message, retryable: false, denied_by: Some(denial.rule) }
    }
}

impl From<&CredentialError> for SendError {
    /// The contract knows no credentials: to a guest it is a refusal, or a connection that does not come about. The call's outcome says the rest.
    fn from(error: &CredentialError) -> Self {
        let (code, retryable) = match error {
            CredentialError::Unavailable { .. } => (SendErrorCode::Connect, true),
            _ => (SendErrorCode::Denied, false),
        };
        Self::new(code, retryable, error.to_string())
    }
}

/// Looks for an error of type `E` in the chain of causes, through the `io::Error`s that wrap others.
pub(super) fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    // A chain is a handful long; the bound is against one that runs in a circle.
    for _ in 0..16 {
        let error = next?;
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
