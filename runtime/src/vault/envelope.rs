//! The form of what is sealed, and how it is made: XChaCha20-Poly1305 twice, with nonces of 192 random bits.
//!
//! ```text
//! "FCS1"          4   the form
//! key id          8   which master key
//! revision        4   of the connection when the secret was sealed, big-endian
//! nonce          24   of the wrapped key
//! wrapped key    48   a fresh key of 256 bits and its tag, under the master key
//! nonce          24   of the document
//! document    n + 16  under the fresh key
//! ```
//! Both layers authenticate the place; the outer one the master key's id as well. A new master key wraps the same fresh key again, so that the
//! document itself is not touched.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use flowcell_core::id::Digest;
use flowcell_core::ports::Entropy;
use zeroize::Zeroizing;

use super::key::{KeyId, MasterKey};

const FORM: &[u8; 4] = b"FCS1";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = KEY_BYTES + TAG_BYTES;

/// What a document belongs to. All of it is authenticated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) workspace: &'a str,
    pub(crate) name: &'a str,
    /// Of the record. A document says at which revision it was sealed: it may not be newer than its record.
    pub(crate) revision: u32,
    /// What else of the record may not change without the secret: a digest of its kind and binding.
    pub(crate) facts: Digest,
}

/// Why something sealed cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(
        "it was sealed with the secrets key {sealed_with}, and this server has {have}; put the right key back, or give the secret again with `flowcell connection rotate`"
    )]
    OtherKey { sealed_with: KeyId, have: KeyId },
    #[error(
        "what is stored was changed, or belongs to another connection, kind or binding; restore it from a backup, or give the secret again with `flowcell connection rotate`"
    )]
    Changed,
    #[error(
        "what is stored is no sealed secret of a form that this version reads; install the version that wrote it, or give the secret again with `flowcell connection rotate`"
    )]
    Form,
    #[error("its secret was given up; give it again with `flowcell connection rotate`")]
    GivenUp,
}

/// The parts of what is sealed.
struct Parts<'s> {
    key: KeyId,
    revision: u32,
    wrap_nonce: [u8; NONCE_BYTES],
    wrapped: &'s [u8; WRAPPED_BYTES],
    /// Nonce and document.
    rest: &'s [u8],
}

pub(super) fn seal(key: &MasterKey, place: &Place<'_>, document: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
    let mut fresh = Zeroizing::new([0; KEY_BYTES]);
    entropy.fill(&mut *fresh);
    let (wrap_nonce, nonce) = (nonce(entropy), nonce(entropy));
    let aad = associated(place, place.revision);
    let wrapped = encrypt(&key.wrapping(), &wrap_nonce, (&*fresh, &with_key(key.id(), &aad)));
    let document = encrypt(&fresh, &nonce, (document, &aad));
    let head = head(key.id(), place.revision);
    [&head, wrap_nonce.as_slice(), &wrapped, nonce.as_slice(), &document].concat()
}

pub(super) fn open(key: &MasterKey, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let parts = Parts::of(sealed)?;
    let (fresh, aad) = parts.unwrap(key, place)?;
    let (nonce, document) = parts.rest.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::Form)?;
    decrypt(&fresh, nonce, (document, &aad))
}

/// Wraps the key of a document with another master key.
pub(super) fn rewrap(
    old: &MasterKey,
    new: &MasterKey,
    (place, sealed): (&Place<'_>, &[u8]),
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, OpenError> {
    let parts = Parts::of(sealed)?;
    let (fresh, aad) = parts.unwrap(old, place)?;
    let wrap_nonce = nonce(entropy);
    let wrapped = encrypt(&new.wrapping(), &wrap_nonce, (&*fresh, &with_key(new.id(), &aad)));
    Ok([&head(new.id(), parts.revision), wrap_nonce.as_slice(), &wrapped, parts.rest].concat())
}

/// Which master key it needs.
pub(super) fn key_of(sealed: &[u8]) -> Result<KeyId, OpenError> {
    Parts::of(sealed).map(|parts| parts.key)
}

impl<'s> Parts<'s> {
    fn of(sealed: &'s [u8]) -> Result<Self, OpenError> {
        if sealed.is_empty() {
            return Err(OpenError::GivenUp);
        }
        let (form, rest) = sealed.split_first_chunk::<4>().ok_or(OpenError::Form)?;
        if form != FORM {
            return Err(OpenError::Form);
        }
        let (key, rest) = rest.split_first_chunk::<{ KeyId::BYTES }>().ok_or(OpenError::Form)?;
        let (revision, rest) = rest.split_first_chunk::<4>().ok_or(OpenError::Form)?;
        let (wrap_nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::Form)?;
        let (wrapped, rest) = rest.split_first_chunk::<WRAPPED_BYTES>().ok_or(OpenError::Form)?;
        Ok(Self {
            key: KeyId::from_bytes(*key),
            revision: u32::from_be_bytes(*revision),
            wrap_nonce: *wrap_nonce,
            wrapped,
            rest,
        })
    }

    /// The document's key, and what is authenticated with the document.
    fn unwrap(&self, key: &MasterKey, place: &Place<'_>) -> Result<(Zeroizing<[u8; KEY_BYTES]>, Vec<u8>), OpenError> {
        if self.revision > place.revision {
            return Err(OpenError::Changed);
        }
        let aad = associated(place, self.revision);
        let fresh = decrypt(&key.wrapping(), &self.wrap_nonce, (self.wrapped, &with_key(self.key, &aad)))?;
        let fresh = <[u8; KEY_BYTES]>::try_from(fresh.as_slice()).map_err(|_| OpenError::Form)?;
        Ok((Zeroizing::new(fresh), aad))
    }
}

fn head(key: KeyId, revision: u32) -> Vec<u8> {
    [FORM.as_slice(), key.as_bytes(), &revision.to_be_bytes()].concat()
}

/// Names have at most 64 characters, so one byte tells their length and no two places read alike.
fn associated(place: &Place<'_>, revision: u32) -> Vec<u8> {
    let length = |text: &str| [u8::try_from(text.len()).unwrap_or(u8::MAX)];
    [
        b"flowcell/secret/1\0".as_slice(),
        &revision.to_be_bytes(),
        &length(place.workspace),
        place.workspace.as_bytes(),
        &length(place.name),
        place.name.as_bytes(),
        place.facts.as_bytes(),
    ]
    .concat()
}

fn with_key(key: KeyId, associated: &[u8]) -> Vec<u8> {
    [b"flowcell/wrap/1\0".as_slice(), key.as_bytes(), associated].concat()
}

fn nonce(entropy: &dyn Entropy) -> [u8; NONCE_BYTES] {
    crate::entropy::random_bytes(entropy)
}

fn encrypt(key: &[u8; KEY_BYTES], nonce: &[u8; NONCE_BYTES], (msg, aad): (&[u8], &[u8])) -> Vec<u8> {
    let cipher = XChaCha20Poly1305::new(key.into());
    cipher.encrypt(&XNonce::from(*nonce), Payload { msg, aad }).expect("documents are far below the cipher's 256 GiB")
}

fn decrypt(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    (msg, aad): (&[u8], &[u8]),
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let cipher = XChaCha20Poly1305::new(key.into());
    let opened = cipher.decrypt(&XNonce::from(*nonce), Payload { msg, aad });
    opened.map(Zeroizing::new).map_err(|_| OpenError::Changed)
}
