//! Secret documents: what of a connection is sealed. A document can be made from what somebody gives, sealed, opened, and read by whoever puts
//! it on a request; it has no `Debug`, cannot be serialised by accident, and is wiped when it goes.

mod check;
mod read;
mod write;

use std::collections::BTreeMap;

use flowcell_core::connection::Kind;
use flowcell_core::secret::Secret;
use flowcell_core::time::Timestamp;
use zeroize::Zeroizing;

pub(crate) use check::InvalidSecret;

/// The largest document, in bytes: an access token or a private key has some 4 KiB, and a signing connection may hold several secrets.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// The secret of a connection, by its kind.
#[derive(Clone)]
pub(crate) enum SecretDocument {
    /// `bearer`: `{token}`.
    Bearer { token: Secret<String> },
    /// `api-key`: `{key}`.
    ApiKey { key: Secret<String> },
    /// `basic`, `smtp`: `{password}`.
    Password { password: Secret<String> },
    /// `oauth-client-credentials`, `oauth-code`.
    Oauth(OauthSecret),
    /// `hmac`, `webhook-secret`, `standard-webhooks`.
    Signing(SigningSecrets),
    /// `google-service-account`: `{private_key}`, a PKCS #8 key in PEM.
    PrivateKey { private_key: Secret<String> },
    /// `webhook-url`: `{url}`.
    WebhookUrl { url: Secret<String> },
    /// `plugin`: the fields that its manifest marks as secret.
    Plugin { fields: BTreeMap<String, Secret<String>> },
}

/// `{client_secret?, access_token?, refresh_token?, expires_at?, token_type?}`.
#[derive(Clone, Default)]
pub(crate) struct OauthSecret {
    pub(crate) client_secret: Option<Secret<String>>,
    pub(crate) access_token: Option<Secret<String>>,
    pub(crate) refresh_token: Option<Secret<String>>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) token_type: Option<String>,
}

/// `{secrets: [{value, valid_until?}], signing_keys: [{value, valid_until?}]}`, the current ones first.
#[derive(Clone, Default)]
pub(crate) struct SigningSecrets {
    pub(crate) secrets: Vec<TimedSecret>,
    /// Ed25519, of `standard-webhooks` only.
    pub(crate) signing_keys: Vec<TimedSecret>,
}

/// A secret that another one may have replaced.
#[derive(Clone)]
pub(crate) struct TimedSecret {
    pub(crate) value: Secret<String>,
    /// Until then it is used beside the one that replaced it; absent: it is the current one.
    pub(crate) valid_until: Option<Timestamp>,
}

impl TimedSecret {
    pub(crate) fn current(value: Secret<String>) -> Self {
        Self { value, valid_until: None }
    }

    pub(crate) fn is_valid(&self, now: Timestamp) -> bool {
        self.valid_until.is_none_or(|until| now < until)
    }
}

impl SigningSecrets {
    /// The secrets that count at `now`, the current one first.
    pub(crate) fn valid_secrets(&self, now: Timestamp) -> impl Iterator<Item = &Secret<String>> {
        self.secrets.iter().filter(move |secret| secret.is_valid(now)).map(|secret| &secret.value)
    }
}

impl SecretDocument {
    /// Reads a document of this kind, and checks that each secret can be what it is meant to be.
    pub(crate) fn read(kind: &Kind, json: &[u8]) -> Result<Self, InvalidSecret> {
        let document = read::read(kind, json)?;
        check::check(kind, &document)?;
        Ok(document)
    }

    /// Its JSON, for the seal alone.
    pub(super) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        write::write(self)
    }
}

#[cfg(test)]
mod tests;
