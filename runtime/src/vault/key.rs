//! A master key: 256 bits that wrap the keys of documents, and the fingerprint that says which key it is and nothing about it.

use std::fmt;
use std::str::FromStr;

use flowcell_core::ports::Entropy;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::token::lower_base32;

/// What a key begins with in text, so that people and secret scanners recognise one.
const PREFIX: &str = "fcsk_";

#[derive(Clone)]
pub(crate) struct MasterKey {
    bytes: Zeroizing<[u8; 32]>,
    id: KeyId,
}

/// Names a master key: the first 64 bits of an HMAC under it. Whoever has it learns nothing of the key and cannot test guesses faster than 2^256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyId([u8; 8]);

/// Why a text is no master key. Never says what stood there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no secrets key: one is `{PREFIX}` and 52 letters and digits; `flowcell secrets new-key` prints a new one"
)]
pub(crate) struct InvalidKey;

impl MasterKey {
    pub(crate) fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(&mut *bytes);
        Self::from_bytes(bytes)
    }

    pub(crate) fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        let full = mac(&bytes, b"flowcell/secrets-key/id");
        let mut id = [0; 8];
        for (to, from) in id.iter_mut().zip(full.iter()) {
            *to = *from;
        }
        Self { bytes, id: KeyId(id) }
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// What wraps the keys of documents: the fingerprint comes from the same key, by another name.
    pub(super) fn wrapping(&self) -> Zeroizing<[u8; 32]> {
        mac(&self.bytes, b"flowcell/secrets-key/wrap")
    }

    /// As a file, the environment or a command holds it.
    pub(crate) fn to_text(&self) -> Zeroizing<String> {
        let encoded = Zeroizing::new(lower_base32().encode(&*self.bytes));
        Zeroizing::new([PREFIX, encoded.as_str()].concat())
    }
}

impl FromStr for MasterKey {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(InvalidKey)?;
        let decoded = Zeroizing::new(lower_base32().decode(encoded.as_bytes()).map_err(|_| InvalidKey)?);
        let bytes = <[u8; 32]>::try_from(decoded.as_slice()).map_err(|_| InvalidKey)?;
        Ok(Self::from_bytes(Zeroizing::new(bytes)))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl KeyId {
    pub(super) const BYTES: usize = 8;

    pub(super) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }
    pub(super) fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn mac(key: &[u8; 32], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(purpose);
    Zeroizing::new(mac.finalize().into_bytes().into())
}
