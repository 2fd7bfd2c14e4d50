//! Standard Webhooks 1.0.0 (standardwebhooks.com): `webhook-id`, `webhook-timestamp` and `webhook-signature`, the latter with one signature a secret:
//! `v1` is HMAC-SHA256 with a `whsec_` secret, `v1a` Ed25519 with a `whsk_` key. While a secret is being replaced, both sign.

use async_trait::async_trait;
use data_encoding::BASE64;
use flowcell_core::connection::{Additions, Authorizer, CredentialError, Outgoing};
use flowcell_core::id::ConnectionName;
use flowcell_core::secret::Secret;
use flowcell_core::time::Timestamp;
use ring::signature::Ed25519KeyPair;
use zeroize::Zeroizing;

use super::Bound;
use super::hmac::sign;
use crate::connections::document::{SigningSecrets, TimedSecret};

/// Of an Ed25519 key; the public key may stand behind it (RFC 8032 §5.1.5).
const SEED_BYTES: usize = 32;

pub(super) struct StandardWebhooks {
    bound: Bound,
    headers: [String; 3],
    keys: Vec<Key>,
}

struct Key {
    valid_until: Option<Timestamp>,
    made_of: Made,
}

enum Made {
    Hmac(ring::hmac::Key),
    Ed25519(Box<Ed25519KeyPair>),
}

impl StandardWebhooks {
    /// Fails, with the reason, on secrets that are none of Standard Webhooks.
    pub(super) fn new(bound: Bound, secrets: &SigningSecrets) -> Result<Self, String> {
        let hmac = secrets.secrets.iter().map(Key::hmac);
        let ed25519 = secrets.signing_keys.iter().map(Key::ed25519);
        let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(str::to_owned);
        Ok(Self { bound, headers, keys: hmac.chain(ed25519).collect::<Result<_, _>>()? })
    }
}

impl Key {
    fn hmac(secret: &TimedSecret) -> Result<Self, String> {
        let bytes = decode(secret, "whsec_")?;
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &bytes);
        Ok(Self { valid_until: secret.valid_until, made_of: Made::Hmac(key) })
    }

    fn ed25519(secret: &TimedSecret) -> Result<Self, String> {
        let bytes = decode(secret, "whsk_")?;
        let pair = match bytes.split_at_checked(SEED_BYTES) {
            Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
            Some((seed, public)) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
            None => return Err("its `whsk_` key is shorter than 32 bytes".to_owned()),
        };
        let pair = pair.map_err(|_| "its `whsk_` key is no Ed25519 key".to_owned())?;
        Ok(Self { valid_until: secret.valid_until, made_of: Made::Ed25519(Box::new(pair)) })
    }

    fn signature(&self, parts: &[&[u8]]) -> String {
        match &self.made_of {
            Made::Hmac(key) => format!("v1,{}", BASE64.encode(sign(key, parts).as_ref())),
            Made::Ed25519(pair) => format!("v1a,{}", BASE64.encode(pair.sign(&parts.concat()).as_ref())),
        }
    }
}

fn decode(secret: &TimedSecret, prefix: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let encoded = secret.value.expose().strip_prefix(prefix);
    let decoded = encoded.and_then(|encoded| BASE64.decode(encoded.as_bytes()).ok());
    decoded.map(Zeroizing::new).ok_or_else(|| format!("its secret is not `{prefix}` and base64"))
}

#[async_trait]
impl Authorizer for StandardWebhooks {
    fn connection(&self) -> &ConnectionName {
        self.bound.name()
    }
    fn headers(&self) -> &[String] {
        &self.headers
    }
    fn query(&self) -> &[String] {
        &[]
    }
    fn is_bound_to(&self, request: &Outgoing<'_>) -> bool {
        self.bound.admits(request)
    }
    async fn authorize(&self, request: &Outgoing<'_>) -> Result<Additions, CredentialError> {
        let seconds = (request.now.as_millis() / 1000).to_string();
        let parts = [request.message_id.as_bytes(), b".", seconds.as_bytes(), b".", request.body];
        let valid = self.keys.iter().filter(|key| key.valid_until.is_none_or(|until| request.now < until));
        let signatures: Vec<String> = valid.map(|key| key.signature(&parts)).collect();
        let [id, timestamp, signature] = self.headers.clone();
        Ok(Additions {
            public: vec![(id, request.message_id.to_owned()), (timestamp, seconds)],
            headers: vec![(signature, Secret::new(signatures.join(" ")))],
            query: Vec::new(),
            path: None,
        })
    }
    /// Another signature would be the same.
    async fn refused(&self) -> Result<bool, CredentialError> {
        Ok(false)
    }
    /// The secrets themselves never leave.
    fn secrets(&self) -> Vec<Secret<String>> {
        Vec::new()
    }
}
