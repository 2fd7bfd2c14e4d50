//! From JSON to a document of a kind. Errors name fields and never say what stood in them.

use std::collections::BTreeMap;

use flowcell_core::connection::Kind;
use flowcell_core::secret::Secret;
use flowcell_core::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::check::InvalidSecret;
use super::{DOCUMENT_BYTES_MAX, OauthSecret, SecretDocument, SigningSecrets, TimedSecret};

pub(super) fn read(kind: &Kind, json: &[u8]) -> Result<SecretDocument, InvalidSecret> {
    if json.len() > DOCUMENT_BYTES_MAX {
        return Err(InvalidSecret::TooLarge);
    }
    Ok(match kind {
        Kind::Bearer => {
            let Token { token } = of(kind, json)?;
            SecretDocument::Bearer { token: token.0 }
        }
        Kind::ApiKey(_) => {
            let Key { key } = of(kind, json)?;
            SecretDocument::ApiKey { key: key.0 }
        }
        Kind::Basic { .. } | Kind::Smtp { .. } => {
            let Password { password } = of(kind, json)?;
            SecretDocument::Password { password: password.0 }
        }
        Kind::OauthClientCredentials(_) | Kind::OauthCode { .. } => {
            let oauth: Oauth = of(kind, json)?;
            SecretDocument::Oauth(OauthSecret {
                client_secret: oauth.client_secret.map(|text| text.0),
                access_token: oauth.access_token.map(|text| text.0),
                refresh_token: oauth.refresh_token.map(|text| text.0),
                expires_at: oauth.expires_at,
                token_type: oauth.token_type,
            })
        }
        Kind::Hmac(_) | Kind::WebhookSecret | Kind::StandardWebhooks { .. } => {
            let signing: Signing = of(kind, json)?;
            let timed = |list: Vec<Timed>| {
                list.into_iter()
                    .map(|timed| TimedSecret { value: timed.value.0, valid_until: timed.valid_until })
                    .collect()
            };
            SecretDocument::Signing(SigningSecrets {
                secrets: timed(signing.secrets),
                signing_keys: timed(signing.signing_keys),
            })
        }
        Kind::GoogleServiceAccount { .. } => {
            let PrivateKey { private_key } = of(kind, json)?;
            SecretDocument::PrivateKey { private_key: private_key.0 }
        }
        Kind::WebhookUrl => {
            let Address { url } = of(kind, json)?;
            SecretDocument::WebhookUrl { url: url.0 }
        }
        Kind::Plugin { .. } => {
            let fields: BTreeMap<String, Text> = of(kind, json)?;
            SecretDocument::Plugin { fields: fields.into_iter().map(|(name, text)| (name, text.0)).collect() }
        }
    })
}

fn of<T: DeserializeOwned>(kind: &Kind, json: &[u8]) -> Result<T, InvalidSecret> {
    serde_json::from_slice(json).map_err(|_| InvalidSecret::Form { kind: kind.name(), fields: fields_of(kind) })
}

/// What a document of the kind consists of, for people.
pub(super) fn fields_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bearer => "`token`",
        Kind::ApiKey(_) => "`key`",
        Kind::Basic { .. } | Kind::Smtp { .. } => "`password`",
        Kind::OauthClientCredentials(_) | Kind::OauthCode { .. } => "`client_secret`",
        Kind::Hmac(_) | Kind::WebhookSecret => "`secrets`, a list of objects with a `value`",
        Kind::StandardWebhooks { .. } => "`secrets` and `signing_keys`, lists of objects with a `value`",
        Kind::GoogleServiceAccount { .. } => "`private_key`",
        Kind::WebhookUrl => "`url`",
        Kind::Plugin { .. } => "the fields that the plugin's manifest marks as secret, each a text",
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    key: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Password {
    password: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Address {
    url: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivateKey {
    private_key: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Oauth {
    client_secret: Option<Text>,
    access_token: Option<Text>,
    refresh_token: Option<Text>,
    expires_at: Option<Timestamp>,
    token_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signing {
    secrets: Vec<Timed>,
    #[serde(default)]
    signing_keys: Vec<Timed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Timed {
    value: Text,
    valid_until: Option<Timestamp>,
}

/// A text that is a secret from the moment it is read.
struct Text(Secret<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}
