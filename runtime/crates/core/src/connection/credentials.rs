//! How a call comes by what its connection adds to requests, and what is said when it cannot.

use std::sync::Arc;

use async_trait::async_trait;
use url::Url;

use super::{ConnectionFacts, Kind};
use crate::id::{ConnectionName, WorkspaceId};
use crate::plugin::PluginId;
use crate::secret::Secret;
use crate::time::Timestamp;

/// Which step of which plugin asks for a connection.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    pub workspace: &'a WorkspaceId,
    pub name: &'a ConnectionName,
    pub plugin: &'a PluginId,
}

/// Gives calls their [`Authorizer`]s. The sandbox asks once per call, before the guest starts.
#[async_trait]
pub trait Credentials: Send + Sync {
    async fn authorizer(&self, asking: Asking<'_>) -> Result<Arc<dyn Authorizer>, CredentialError>;

    /// The same for show: it says what it would add where, asks nobody for a token and leaves no trace. Nothing is sent with it.
    async fn shown(&self, asking: Asking<'_>) -> Result<Arc<dyn Authorizer>, CredentialError> {
        self.authorizer(asking).await
    }
}

/// Adds one connection's credentials to the requests of one call. The door asks it for each request, after it has decided that the request may go
/// out; nothing of what it says reaches the guest.
#[async_trait]
pub trait Authorizer: Send + Sync {
    /// The connection's name, for logs and messages.
    fn connection(&self) -> &ConnectionName;

    /// Names of headers, in lower case, that the guest may neither set nor read, on any request of the call.
    fn headers(&self) -> &[String];

    /// Names of query parameters of which the same holds.
    fn query(&self) -> &[String];

    /// Whether the connection is bound to where the request goes. Where it is not, the request goes without. Asks nobody: dry runs want to know too.
    fn is_bound_to(&self, request: &Outgoing<'_>) -> bool;

    /// What to add to a request to where the connection is bound; only headers and parameters that [`Self::headers`] and [`Self::query`] name.
    async fn authorize(&self, request: &Outgoing<'_>) -> Result<Additions, CredentialError>;

    /// The peer answered 401. Whether one more try with renewed credentials makes sense; an error when they cannot be renewed.
    async fn refused(&self) -> Result<bool, CredentialError>;

    /// Texts that must be masked wherever a peer echoes them, without prefixes. The door masks their usual encodings too.
    fn secrets(&self) -> Vec<Secret<String>>;

    /// What the guest may know of the connection: none of it is secret.
    async fn facts(&self) -> ConnectionFacts {
        ConnectionFacts::of_name(self.connection().clone())
    }
}

/// A request as it is about to be sent, without credentials.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    pub method: &'a str,
    pub url: &'a Url,
    pub body: &'a [u8],
    /// The same for every attempt of the step; unique among its requests.
    pub message_id: &'a str,
    pub now: Timestamp,
}

/// What the door adds to one request. It replaces what stands there.
#[derive(Clone, Default)]
#[expect(missing_debug_implementations, reason = "it holds secrets")]
pub struct Additions {
    /// Headers that are no secret, and so are shown in the run's log: an id, a time.
    pub public: Vec<(String, String)>,
    pub headers: Vec<(String, Secret<String>)>,
    /// Takes the place of the path.
    pub path: Option<Secret<String>>,
    pub query: Vec<(String, Secret<String>)>,
}

/// Why a call cannot have its credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error("there is no connection `{name}`; add it with `flowcell connection add {name}`")]
    Unknown { name: ConnectionName },
    #[error(
        "plugin `{plugin}` may not use connection `{name}`; allow it with `flowcell connection allow {name} {plugin}`"
    )]
    NotForPlugin { name: ConnectionName, plugin: PluginId },
    #[error("connection `{name}` is of the kind {kind}, which cannot authenticate requests")]
    WrongKind { name: ConnectionName, kind: &'static str },
    /// Runs park until its owner has done it.
    #[error(
        "connection `{name}` needs reconnecting: {reason}; its owner does it with `{}`", .remedy.command(name)
    )]
    NeedsReconnecting { name: ConnectionName, reason: String, remedy: Remedy },
    /// It may pass: the token endpoint is down, the store is busy.
    #[error("connection `{name}` cannot be used now: {reason}")]
    Unavailable { name: ConnectionName, reason: String, retry_after_ms: Option<u64> },
    /// The sealed secret cannot be opened.
    #[error("the secret of connection `{name}` cannot be read: {reason}")]
    Sealed { name: ConnectionName, reason: String },
}

/// What an owner does for a connection that needs reconnecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Consents in a browser.
    Consent,
    /// Gives another secret.
    Secret,
}

impl Remedy {
    pub fn of(kind: &Kind) -> Self {
        if matches!(kind, Kind::OauthCode { .. }) { Self::Consent } else { Self::Secret }
    }

    /// The command that does it.
    pub fn command(self, name: &ConnectionName) -> String {
        let verb = match self {
            Self::Consent => "connect",
            Self::Secret => "rotate",
        };
        format!("flowcell connection {verb} {name}")
    }
}

impl CredentialError {
    /// Stable and machine-readable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "connection-unknown",
            Self::NotForPlugin { .. } => "connection-not-allowed",
            Self::WrongKind { .. } => "connection-kind",
            Self::NeedsReconnecting { .. } => "connection-needs-reconnecting",
            Self::Unavailable { .. } => "connection-unavailable",
            Self::Sealed { .. } => "connection-sealed",
        }
    }
}
