//! The kinds of connection: how each authenticates, and what of it is secret.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::plugin::PluginId;

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
