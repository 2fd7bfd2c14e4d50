//! Whether secrets can be what they are meant to be: found out when they are given, not when a request fails in the night.

use data_encoding::BASE64;
use flowcell_core::connection::{ClientAuthentication, Kind, OauthClient};
use flowcell_core::secret::Secret;
use zeroize::Zeroizing;

use super::{DOCUMENT_BYTES_MAX, SecretDocument, TimedSecret};

/// Why a secret is refused. Never says what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSecret {
    #[error("the secret of a connection of the kind {kind} consists of {fields}, and nothing else")]
    Form { kind: &'static str, fields: &'static str },
    #[error("the secret has more than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("`{field}` is empty")]
    Empty { field: &'static str },
    #[error(
        "`{field}` has a character that cannot stand in a header: only printable ASCII can. Was it copied whole, without line breaks?"
    )]
    NotForHeader { field: &'static str },
    #[error("`{field}` has a control character, such as a line break")]
    Control { field: &'static str },
    #[error("`secrets` of Standard Webhooks are `whsec_` and 24 to 64 bytes in base64")]
    NoWebhookSecret,
    #[error("`signing_keys` of Standard Webhooks are `whsk_` and 32 or 64 bytes in base64")]
    NoSigningKey,
    #[error("only connections of the kind standard-webhooks have `signing_keys`")]
    SigningKeys,
    #[error("`private_key` is no private key in PEM: it begins with -----BEGIN PRIVATE KEY-----")]
    NoPrivateKey,
    #[error("`url` is no address that begins with https://")]
    NoUrl,
    #[error("`client_secret` is missing; a client without one says `authentication: none`")]
    NoClientSecret,
}

pub(super) fn check(kind: &Kind, document: &SecretDocument) -> Result<(), InvalidSecret> {
    match document {
        SecretDocument::Bearer { token } => for_header("token", token),
        SecretDocument::ApiKey { key } => for_header("key", key),
        SecretDocument::Password { password } => text("password", password),
        SecretDocument::Oauth(oauth) => {
            for (field, secret) in [
                ("client_secret", &oauth.client_secret),
                ("access_token", &oauth.access_token),
                ("refresh_token", &oauth.refresh_token),
            ] {
                secret.as_ref().map_or(Ok(()), |secret| text(field, secret))?;
            }
            let is_public = client_of(kind).is_some_and(|client| client.authentication == ClientAuthentication::None);
            if oauth.client_secret.is_none() && !is_public {
                return Err(InvalidSecret::NoClientSecret);
            }
            Ok(())
        }
        SecretDocument::Signing(signing) => {
            let is_standard = matches!(kind, Kind::StandardWebhooks { .. });
            if signing.secrets.is_empty() {
                return Err(InvalidSecret::Empty { field: "secrets" });
            }
            if !is_standard && !signing.signing_keys.is_empty() {
                return Err(InvalidSecret::SigningKeys);
            }
            let one = |secret: &TimedSecret| match (is_standard, secret.value.expose().is_empty()) {
                (_, true) => Err(InvalidSecret::Empty { field: "secrets" }),
                (true, false) => webhook_secret(&secret.value),
                (false, false) => Ok(()),
            };
            signing.secrets.iter().try_for_each(one)?;
            signing.signing_keys.iter().try_for_each(|key| signing_key(&key.value))
        }
        SecretDocument::PrivateKey { private_key } => {
            let is_pem = private_key.expose().trim_start().starts_with("-----BEGIN PRIVATE KEY-----");
            if is_pem { Ok(()) } else { Err(InvalidSecret::NoPrivateKey) }
        }
        SecretDocument::WebhookUrl { url } => {
            let is_address = url::Url::parse(url.expose()).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.username().is_empty()
                    && url.password().is_none()
            });
            if is_address { for_header("url", url) } else { Err(InvalidSecret::NoUrl) }
        }
        SecretDocument::Plugin { fields } => {
            if fields.values().any(|secret| secret.expose().is_empty()) {
                return Err(InvalidSecret::Empty { field: "a field" });
            }
            fields.values().try_for_each(|secret| text("a field", secret))
        }
    }
}

fn client_of(kind: &Kind) -> Option<&OauthClient> {
    match kind {
        Kind::OauthClientCredentials(client) | Kind::OauthCode { client, .. } => Some(client),
        _ => None,
    }
}

fn text(field: &'static str, secret: &Secret<String>) -> Result<(), InvalidSecret> {
    if secret.expose().is_empty() {
        return Err(InvalidSecret::Empty { field });
    }
    if secret.expose().chars().any(char::is_control) {
        return Err(InvalidSecret::Control { field });
    }
    Ok(())
}

fn for_header(field: &'static str, secret: &Secret<String>) -> Result<(), InvalidSecret> {
    text(field, secret)?;
    // A space at an end would be cut off on the way.
    if secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(InvalidSecret::NotForHeader { field })
}

/// Standard Webhooks, "Signature scheme": between 24 and 64 bytes.
fn webhook_secret(secret: &Secret<String>) -> Result<(), InvalidSecret> {
    match decoded(secret, "whsec_") {
        Some(24..=64) => Ok(()),
        _ => Err(InvalidSecret::NoWebhookSecret),
    }
}

/// The seed alone, or with the public key behind it.
fn signing_key(secret: &Secret<String>) -> Result<(), InvalidSecret> {
    match decoded(secret, "whsk_") {
        Some(32 | 64) => Ok(()),
        _ => Err(InvalidSecret::NoSigningKey),
    }
}

fn decoded(secret: &Secret<String>, prefix: &str) -> Option<usize> {
    let encoded = secret.expose().strip_prefix(prefix)?;
    BASE64.decode(encoded.as_bytes()).ok().map(|bytes| Zeroizing::new(bytes).len())
}
