//! New secrets of the kinds whose secret Flowcell may make itself. They are shown once, to whoever has to give them to the other side.

use data_encoding::BASE64;
use flowcell_core::connection::Kind;
use flowcell_core::ports::Entropy;
use flowcell_core::secret::Secret;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::document::{SecretDocument, SigningSecrets, TimedSecret};

/// What was made.
pub(crate) struct Generated {
    pub(crate) document: SecretDocument,
    /// For the other side, once.
    pub(crate) secret: Secret<String>,
    /// For everybody, where the kind has one.
    pub(crate) public_key: Option<String>,
}

/// Makes a secret of 256 bits; `None` for kinds whose secret comes from the other side.
pub(crate) fn generate(kind: &Kind, entropy: &dyn Entropy) -> Option<Generated> {
    match kind {
        Kind::Hmac(_) | Kind::WebhookSecret => {
            let secret = random(entropy);
            Some(Generated { document: signing(secret.clone(), None), secret, public_key: None })
        }
        Kind::StandardWebhooks { .. } => {
            // "Signature scheme" of Standard Webhooks: `whsec_` for secrets, `whsk_` and `whpk_` for Ed25519 keys, in base64.
            let secret = Secret::new(format!("whsec_{}", random(entropy).expose()));
            let (signing_key, public_key) = ed25519(entropy);
            let document = signing(secret.clone(), Some(signing_key));
            Some(Generated { document, secret, public_key: Some(public_key) })
        }
        _ => None,
    }
}

/// The public key of the first signing key, as receivers take it.
pub(crate) fn public_key(document: &SecretDocument) -> Option<String> {
    let SecretDocument::Signing(signing) = document else { return None };
    let encoded = signing.signing_keys.first()?.value.expose().strip_prefix("whsk_")?;
    let bytes = Zeroizing::new(BASE64.decode(encoded.as_bytes()).ok()?);
    let seed = bytes.first_chunk::<32>()?;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
    Some(whpk(&pair))
}

fn ed25519(entropy: &dyn Entropy) -> (Secret<String>, String) {
    let mut seed = Zeroizing::new([0; 32]);
    entropy.fill(&mut *seed);
    let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).expect("every 32 bytes are the seed of a key (RFC 8032)");
    let encoded = Zeroizing::new(BASE64.encode(&*seed));
    (Secret::new(["whsk_", encoded.as_str()].concat()), whpk(&pair))
}

fn whpk(pair: &Ed25519KeyPair) -> String {
    format!("whpk_{}", BASE64.encode(pair.public_key().as_ref()))
}

fn random(entropy: &dyn Entropy) -> Secret<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    entropy.fill(&mut *bytes);
    Secret::new(BASE64.encode(&*bytes))
}

fn signing(secret: Secret<String>, key: Option<Secret<String>>) -> SecretDocument {
    SecretDocument::Signing(SigningSecrets {
        secrets: vec![TimedSecret::current(secret)],
        signing_keys: key.map(TimedSecret::current).into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;
    use serde_json::json;

    #[test]
    fn what_is_generated_can_be_used_and_differs_each_time() {
        for kind in [
            json!({ "kind": "hmac", "settings": { "header": "x-signature" } }),
            json!({ "kind": "webhook-secret" }),
            json!({ "kind": "standard-webhooks", "settings": {} }),
        ] {
            let kind: Kind = serde_json::from_value(kind).unwrap();
            let (one, two) = (generate(&kind, &SystemEntropy).unwrap(), generate(&kind, &SystemEntropy).unwrap());
            assert!(SecretDocument::read(&kind, &one.document.to_json()).is_ok(), "{}", kind.name());
            assert_ne!(one.secret.expose(), two.secret.expose());
            assert_eq!(public_key(&one.document), one.public_key);
        }
        assert!(generate(&Kind::Bearer, &SystemEntropy).is_none());
    }

    /// RFC 8032, §7.1, test 1.
    #[test]
    fn the_public_key_is_that_of_the_seed() {
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let key = Secret::new(format!("whsk_{}", BASE64.encode(&seed)));
        let document = signing(Secret::new("whsec_x".to_owned()), Some(key));
        assert_eq!(public_key(&document), Some(format!("whpk_{}", BASE64.encode(&public))));
    }
}
