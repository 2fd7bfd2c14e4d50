//! Keeps secrets unreadable at rest: each document is sealed with a key of its own, which the master key wraps (envelope encryption).
//!
//! What is sealed belongs to one place: the workspace, the name, the kind and the binding of its connection are authenticated with it. Whoever can
//! write the disk, but lacks the master key, can therefore neither give a secret to another connection nor let it go to another host.
//!
//! Nothing here knows what a document means, where it is stored, or when keys are changed (`connections` does).

mod envelope;
mod key;
pub(crate) mod key_file;
pub(crate) mod source;

use std::sync::{Arc, PoisonError, RwLock};

use flowcell_core::ports::Entropy;
use zeroize::Zeroizing;

pub(crate) use envelope::{OpenError, Place};
pub(crate) use key::{KeyId, MasterKey};

/// Seals and opens.
pub(crate) struct Vault {
    keys: RwLock<Arc<Keys>>,
    entropy: Arc<dyn Entropy>,
}

/// The master keys of a moment.
struct Keys {
    /// What is sealed from now on is sealed with it.
    current: MasterKey,
    /// While a new key takes over: what is still sealed with the old one.
    previous: Option<MasterKey>,
}

impl Vault {
    pub(crate) fn new(current: MasterKey, previous: Option<MasterKey>, entropy: Arc<dyn Entropy>) -> Self {
        Self { keys: RwLock::new(Arc::new(Keys { current, previous })), entropy }
    }

    /// Seals a document for its place.
    pub(crate) fn seal(&self, place: &Place<'_>, document: &[u8]) -> Vec<u8> {
        envelope::seal(&self.keys().current, place, document, &*self.entropy)
    }

    /// Opens what was sealed for this very place, at this revision or an earlier one.
    pub(crate) fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let keys = self.keys();
        envelope::open(keys.for_(sealed)?, place, sealed)
    }

    /// The same document under the current master key; `None` when it is already.
    pub(crate) fn rewrap(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Option<Vec<u8>>, OpenError> {
        let keys = self.keys();
        let with = keys.for_(sealed)?;
        if with.id() == keys.current.id() {
            return Ok(None);
        }
        envelope::rewrap(with, &keys.current, (place, sealed), &*self.entropy).map(Some)
    }

    /// The fingerprint of the current master key.
    pub(crate) fn key_id(&self) -> KeyId {
        self.keys().current.id()
    }

    /// The current master key, for whoever exchanges it.
    pub(crate) fn current(&self) -> MasterKey {
        self.keys().current.clone()
    }

    /// Seals with `new` from now on, and opens with both.
    pub(crate) fn take_over(&self, new: MasterKey) {
        self.change(|keys| Keys { current: new, previous: Some(keys.current.clone()) });
    }

    /// Whether a new key is taking over.
    pub(crate) fn has_previous(&self) -> bool {
        self.keys().previous.is_some()
    }

    /// Forgets the key before.
    pub(crate) fn forget_previous(&self) {
        self.change(|keys| Keys { current: keys.current.clone(), previous: None });
    }

    fn change(&self, to: impl FnOnce(&Keys) -> Keys) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *keys = Arc::new(to(&keys));
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("key", &self.key_id()).finish_non_exhaustive()
    }
}

impl Keys {
    /// The key with which this was sealed.
    fn for_(&self, sealed: &[u8]) -> Result<&MasterKey, OpenError> {
        let id = envelope::key_of(sealed)?;
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| key.id() == id)
            .ok_or(OpenError::OtherKey { sealed_with: id, have: self.current.id() })
    }
}

#[cfg(test)]
mod tests;
