//! From a document to the JSON that is sealed. The only place that writes secrets.

use std::collections::BTreeMap;

use flowcell_core::secret::Secret;
use flowcell_core::time::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{DOCUMENT_BYTES_MAX, SecretDocument, TimedSecret};

/// Every field that a document may have.
#[derive(Default, Serialize)]
struct Plain<'d> {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'d str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<Timed<'d>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signing_keys: Vec<Timed<'d>>,
}

#[derive(Serialize)]
struct Timed<'d> {
    value: &'d str,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<Timestamp>,
}

pub(super) fn write(document: &SecretDocument) -> Zeroizing<Vec<u8>> {
    // Large enough from the start: a buffer that grows leaves copies behind that nobody wipes.
    let mut json = Zeroizing::new(Vec::with_capacity(DOCUMENT_BYTES_MAX * 2));
    let written = match document {
        SecretDocument::Plugin { fields } => {
            let fields: BTreeMap<&str, &str> =
                fields.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect();
            serde_json::to_writer(&mut *json, &fields)
        }
        other => serde_json::to_writer(&mut *json, &plain(other)),
    };
    written.expect("texts and times are JSON, and a buffer takes them");
    json
}

fn plain(document: &SecretDocument) -> Plain<'_> {
    match document {
        SecretDocument::Bearer { token } => Plain { token: Some(token.expose()), ..Plain::default() },
        SecretDocument::ApiKey { key } => Plain { key: Some(key.expose()), ..Plain::default() },
        SecretDocument::Password { password } => Plain { password: Some(password.expose()), ..Plain::default() },
        SecretDocument::WebhookUrl { url } => Plain { url: Some(url.expose()), ..Plain::default() },
        SecretDocument::PrivateKey { private_key } => {
            Plain { private_key: Some(private_key.expose()), ..Plain::default() }
        }
        SecretDocument::Oauth(oauth) => Plain {
            client_secret: exposed(oauth.client_secret.as_ref()),
            access_token: exposed(oauth.access_token.as_ref()),
            refresh_token: exposed(oauth.refresh_token.as_ref()),
            expires_at: oauth.expires_at,
            token_type: oauth.token_type.as_deref(),
            ..Plain::default()
        },
        SecretDocument::Signing(signing) => Plain {
            secrets: signing.secrets.iter().map(timed).collect(),
            signing_keys: signing.signing_keys.iter().map(timed).collect(),
            ..Plain::default()
        },
        SecretDocument::Plugin { .. } => Plain::default(),
    }
}

fn exposed(secret: Option<&Secret<String>>) -> Option<&str> {
    secret.map(|secret| secret.expose().as_str())
}

fn timed(secret: &TimedSecret) -> Timed<'_> {
    Timed { value: secret.value.expose(), valid_until: secret.valid_until }
}
