//! Connections: named credentials that steps use and never see. Here are the facts about them, which anybody may read; their secrets are
//! sealed elsewhere, and leave only through the door, as what an [`Authorizer`] adds to a request.

mod facts;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::capability::HttpRule;
use crate::id::{ConnectionName, WorkspaceId};
use crate::plugin::PluginId;
use crate::ports::StoreError;
use crate::secret::Secret;
use crate::time::Timestamp;

pub use facts::ConnectionFacts;

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

/// How it authenticates. The texts here are public; what is secret lies in the sealed document beside it (see [`Kind::secret_fields`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "settings", rename_all = "kebab-case")]
pub enum Kind {
    /// `Authorization: Bearer <token>`.
    Bearer,
    /// A key in a header or in the query.
    ApiKey(KeyPlace),
    /// `Authorization: Basic …` (RFC 7617).
    Basic { username: String },
    /// OAuth 2.0 client credentials (RFC 6749 §4.4).
    OauthClientCredentials(OauthClient),
    /// OAuth 2.0 authorization code with PKCE (RFC 6749 §4.1, RFC 7636).
    OauthCode {
        authorize_url: Url,
        /// The issuer identifier of a server that names itself in its answers (RFC 9207): then an answer without this very `iss` counts for
        /// nothing. Where it is absent, an `iss` has to be of the origin of `authorize_url` or `token_url`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
        #[serde(flatten)]
        client: OauthClient,
    },
    /// A signature of the body in a header, as generic webhooks have it.
    Hmac(HmacSigning),
    /// Signatures of Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    StandardWebhooks {
        /// `whpk_…`, for receivers, when it signs with Ed25519 (`v1a`) too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        public_key: Option<String>,
    },
    /// A Google service account: the host signs a JWT and exchanges it for a token (RFC 7523).
    GoogleServiceAccount { client_email: String, token_url: Url, scopes: Vec<String> },
    /// A mail server; used by the mail interface, never by HTTP.
    Smtp {
        host: String,
        port: u16,
        tls: SmtpTls,
        username: String,
        /// What mails come from that name no sender, `Ana <ana@example.com>`; absent: the user name, which then is an address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sender: Option<String>,
        /// Certificates (PEM) of an authority of one's own, which counts beside the public ones.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<String>,
    },
    /// An address that is a secret itself, as chat services give it for incoming webhooks.
    WebhookUrl,
    /// What senders of inbound webhooks sign with; used by a trigger's `verify`, never by steps.
    WebhookSecret,
    /// A kind that a plugin declares in its manifest.
    Plugin {
        plugin: PluginId,
        id: String,
        /// The fields of the declaration that are no secret, as its owner filled them in.
        #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
        fields: serde_json::Map<String, serde_json::Value>,
        /// As the manifest said when the connection was added.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        inject: Vec<Injection>,
    },
}

/// One thing that a kind of a plugin's manifest adds to requests: `{ header = "X-Api-Key", value = "{{ secret.key }}" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injection {
    #[serde(flatten)]
    pub into: InjectedInto,
    /// A text with places for the connection's fields, `{{ secret.<field> }}` and `{{ field.<field> }}`.
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InjectedInto {
    Header(String),
    Query(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum KeyPlace {
    Header {
        name: String,
        /// Stands before the key, with its space: `Token `.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        prefix: String,
    },
    Query {
        name: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OauthClient {
    pub token_url: Url,
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Further parameters of the token request, such as `audience`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub parameters: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub authentication: ClientAuthentication,
}

/// How the client says who it is at the token endpoint (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuthentication {
    #[default]
    ClientSecretBasic,
    ClientSecretPost,
    /// A public client: PKCE alone.
    None,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HmacSigning {
    pub header: String,
    #[serde(default)]
    pub algorithm: HmacAlgorithm,
    #[serde(default)]
    pub encoding: SignatureEncoding,
    /// Stands before the signature: `sha256=`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// A header with the time in seconds, which is signed before the body, joined by a dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HmacAlgorithm {
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureEncoding {
    #[default]
    Hex,
    Base64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmtpTls {
    /// It begins in the clear, and nothing but the wish for TLS is said there (RFC 3207).
    Starttls,
    /// From the first byte on (RFC 8314).
    Implicit,
    /// In the clear: for a server on this machine.
    None,
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

impl Kind {
    /// As texts and the API name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::ApiKey(_) => "api-key",
            Self::Basic { .. } => "basic",
            Self::OauthClientCredentials(_) => "oauth-client-credentials",
            Self::OauthCode { .. } => "oauth-code",
            Self::Hmac(_) => "hmac",
            Self::StandardWebhooks { .. } => "standard-webhooks",
            Self::GoogleServiceAccount { .. } => "google-service-account",
            Self::Smtp { .. } => "smtp",
            Self::WebhookUrl => "webhook-url",
            Self::WebhookSecret => "webhook-secret",
            Self::Plugin { .. } => "plugin",
        }
    }

    /// Whether it can authenticate HTTP requests of steps.
    pub fn authenticates_http(&self) -> bool {
        !matches!(self, Self::Smtp { .. } | Self::WebhookSecret)
    }

    /// Whether it is one of `kinds`, as manifests name them: a name, or the id of a kind that `plugin` declares. No kinds: every one that
    /// authenticates HTTP.
    pub fn is_among(&self, kinds: &[String], plugin: &PluginId) -> bool {
        if kinds.is_empty() {
            return self.authenticates_http();
        }
        match self {
            Self::Plugin { plugin: declared_by, id, .. } => declared_by == plugin && kinds.contains(id),
            other => kinds.iter().any(|kind| kind == other.name()),
        }
    }

    /// Every name there is, but that of kinds which plugins declare.
    pub const NAMES: [&'static str; 11] = [
        "bearer",
        "api-key",
        "basic",
        "oauth-client-credentials",
        "oauth-code",
        "hmac",
        "standard-webhooks",
        "google-service-account",
        "smtp",
        "webhook-url",
        "webhook-secret",
    ];

    /// Whether the secret itself never leaves: only a signature made with it does. Such a connection may be bound to any host.
    pub fn only_signs(&self) -> bool {
        matches!(self, Self::Hmac(_) | Self::StandardWebhooks { .. })
    }
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
