//! Connections: named credentials that steps use and never see. Here are the facts about them, which anybody may read; their secrets are
//! sealed elsewhere, and leave only through the door, as what an [`Authorizer`] adds to a request.

mod credentials;
mod facts;
mod kind;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::capability::HttpRule;
use crate::id::{ConnectionName, WorkspaceId};
use crate::plugin::PluginId;
use crate::ports::StoreError;
use crate::time::Timestamp;

pub use credentials::{Additions, Asking, Authorizer, CredentialError, Credentials, Outgoing, Remedy};
pub use facts::ConnectionFacts;
pub use kind::{
    ClientAuthentication, HmacAlgorithm, HmacSigning, InjectedInto, Injection, KeyPlace, Kind, OauthClient,
    SignatureEncoding, SmtpTls,
};

/// What is known of a connection. None of it is secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    pub workspace: WorkspaceId,
    pub name: ConnectionName,
    #[serde(flatten)]
    pub kind: Kind,
    pub bound: Binding,
    /// Who it is for, in the owner's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    pub state: State,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Where the secret may go. What does not match gets the request without it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Methods, hosts and paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HttpRule>,
    /// Whether what is made with it may go wherever the step's requests go. Only for kinds that only sign ([`Kind::only_signs`]), instead of hosts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anywhere: bool,
    /// The plugins whose steps may name it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginId>,
}

/// Whether it can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum State {
    Ready,
    /// Made, and its owner has not consented yet (OAuth).
    Pending,
    /// The other side refused for good: runs park until its owner connects again.
    NeedsReconnecting {
        since: Timestamp,
        reason: String,
    },
}

/// A connection as the store keeps it: facts in the open, the secret sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredConnection {
    pub connection: Connection,
    /// Counts its writes from 1: a write names the revision it was made from.
    pub revision: u32,
    /// The secret document, encrypted for this workspace, name and revision. Opaque to the store.
    #[serde(with = "crate::connection::sealed_text")]
    pub sealed: Vec<u8>,
    #[serde(default)]
    pub usage: Usage,
}

/// What it was used for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    pub last_used_at: Option<Timestamp>,
    /// Origins it was sent to, newest first; bounded by whoever writes it.
    pub origins: Vec<String>,
    pub plugins: Vec<PluginId>,
}

/// Connections in the store. Every write is synced before it returns.
#[async_trait]
pub trait Connections: Send + Sync {
    /// Writes it. `revision` is the stored one + 1, or 1 for a new one; [`StoreError::Conflict`] otherwise.
    async fn put(&self, connection: StoredConnection) -> Result<(), StoreError>;
    async fn get(&self, workspace: &WorkspaceId, name: &ConnectionName)
    -> Result<Option<StoredConnection>, StoreError>;
    /// All of the workspace, by name.
    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<StoredConnection>, StoreError>;
    /// Whether it was there.
    async fn remove(&self, workspace: &WorkspaceId, name: &ConnectionName) -> Result<bool, StoreError>;
}

mod sealed_text {
    //! Bytes as base64 in JSON.
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}
