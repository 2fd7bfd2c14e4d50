//! Keys and the codes made with them. Every key is tried with every code that was sent, so that time tells nothing about which one fitted.

use flowcell_core::connection::HmacAlgorithm;
use flowcell_core::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// A secret as a scheme takes it.
pub(super) struct Key(Secret<Vec<u8>>);

impl Key {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(Secret::new(bytes))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.expose().is_empty()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.expose()
    }
}

/// The code of a message that comes in parts.
pub(super) fn code(key: &[u8], algorithm: HmacAlgorithm, message: &[&[u8]]) -> Vec<u8> {
    match algorithm {
        HmacAlgorithm::Sha1 => code_by::<Hmac<Sha1>>(key, message),
        HmacAlgorithm::Sha256 => code_by::<Hmac<Sha256>>(key, message),
        HmacAlgorithm::Sha512 => code_by::<Hmac<Sha512>>(key, message),
    }
}

fn code_by<M: Mac + KeyInit>(key: &[u8], message: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// The first key of which one of the codes in `given` is the message's.
pub(super) fn matching(keys: &[Key], algorithm: HmacAlgorithm, message: &[&[u8]], given: &[Vec<u8>]) -> Option<usize> {
    first(keys, |key| is_code(key.bytes(), algorithm, message, given))
}

/// Whether one of the codes in `given` is that of the message.
pub(super) fn is_code(key: &[u8], algorithm: HmacAlgorithm, message: &[&[u8]], given: &[Vec<u8>]) -> bool {
    let expected = code(key, algorithm, message);
    given.iter().fold(false, |found, given| found | bool::from(expected.ct_eq(given)))
}

/// The first key that is `given`. Hashes are compared, so that not even the length shows.
pub(super) fn same(keys: &[Key], given: &[u8]) -> Option<usize> {
    let given = Sha256::digest(given);
    first(keys, |key| bool::from(Sha256::digest(key.bytes()).ct_eq(&given)))
}

fn first(keys: &[Key], fits: impl Fn(&Key) -> bool) -> Option<usize> {
    let fitting: Vec<bool> = keys.iter().map(fits).collect();
    fitting.into_iter().position(|fits| fits)
}
