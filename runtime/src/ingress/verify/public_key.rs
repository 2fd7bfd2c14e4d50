//! Public keys of senders: Ed25519 (RFC 8032) and RSA with SHA-256 (PKCS #1 v1.5), as PEM (RFC 7468) or as Standard Webhooks writes them.

use data_encoding::BASE64;
use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

/// What every Ed25519 key in a `SubjectPublicKeyInfo` begins with (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The algorithm of an RSA key in a `SubjectPublicKeyInfo`: rsaEncryption with NULL (RFC 3279 §2.3.1).
const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// Bytes of an RSA key below which it is none: 2,048 bits and their wrapping.
const RSA_BYTES_MIN: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublicKey {
    Ed25519(Vec<u8>),
    /// PKCS #1 `RSAPublicKey`, DER.
    Rsa(Vec<u8>),
}

impl PublicKey {
    /// Reads a PEM `PUBLIC KEY`. The error is for people.
    pub(super) fn from_pem(text: &str) -> Result<Self, String> {
        let inner = text.trim().strip_prefix("-----BEGIN PUBLIC KEY-----");
        let inner = inner.and_then(|inner| inner.strip_suffix("-----END PUBLIC KEY-----"));
        let inner = inner.ok_or("it is no PEM text: it begins with `-----BEGIN PUBLIC KEY-----`")?;
        let base64: String = inner.split_whitespace().collect();
        let der = BASE64.decode(base64.as_bytes()).map_err(|_| "what stands in the PEM text is no base64")?;
        Self::from_spki(&der).ok_or_else(|| "it is neither an Ed25519 nor an RSA key".to_owned())
    }

    /// Reads the 32 bytes of an Ed25519 key in base64.
    pub(super) fn ed25519_from_base64(text: &str) -> Result<Self, String> {
        let bytes = BASE64.decode(text.as_bytes()).map_err(|_| "it is no base64")?;
        if bytes.len() == 32 {
            Ok(Self::Ed25519(bytes))
        } else {
            Err(format!("an Ed25519 key has 32 bytes; this has {}", bytes.len()))
        }
    }

    fn from_spki(der: &[u8]) -> Option<Self> {
        if let Some(key) = der.strip_prefix(&ED25519_SPKI) {
            return (key.len() == 32).then(|| Self::Ed25519(key.to_vec()));
        }
        let (0x30, sequence, []) = element(der)? else { return None };
        let (0x03, bits, []) = element(sequence.strip_prefix(&RSA_ALGORITHM)?)? else { return None };
        // The first byte counts the bits that are left out; keys leave out none.
        let key = bits.strip_prefix(&[0])?;
        (key.len() >= RSA_BYTES_MIN).then(|| Self::Rsa(key.to_vec()))
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok(),
            Self::Rsa(key) => {
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(message, signature).is_ok()
            }
        }
    }
}

/// The tag and contents of the first DER element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}
