//! The master key of a server's secrets: found at the start, exchanged while it serves.
//!
//! An exchange takes four steps, and whatever happens between two of them, the next start reads every secret:
//! 1. the key before, sealed with the new one, is written beside the data (`secrets-rotation`);
//! 2. the new key takes its place: the file is written, or the operator has put it into the environment or the key store;
//! 3. each connection is wrapped with the new key, one write at a time, while others are used and changed;
//! 4. when nothing is left under the old key, `secrets-rotation` goes.
//!
//! Before step 2 the new key was used for nothing. From then on it is there, and opens the old one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use flowcell_core::connection::{Connection, Connections, State, StoredConnection};
use flowcell_core::id::{Digest, WorkspaceId};
use flowcell_core::ports::{Clock, Entropy, StoreError};
use zeroize::Zeroizing;

use super::broker::Broker;
use super::facts;
use crate::data_dir::{read_secret, write_whole};
use crate::vault::key_file::{self, Needed};
use crate::vault::source::{KeySource, Sourced};
use crate::vault::{KeyId, MasterKey, OpenError, Place, Vault};

/// How often the list is gone through: a pass finds only what was written with the old key during the one before, which nobody does any more.
const PASSES_MAX: usize = 3;

/// How often one connection is tried that others write at the same time.
const WRITE_TRIES: usize = 8;

/// Where the key comes from, and where an exchange is noted.
pub(crate) struct Keys {
    source: KeySource,
    /// `secrets-rotation` of the data directory.
    note: PathBuf,
    entropy: Arc<dyn Entropy>,
    /// One exchange at a time.
    exchange: tokio::sync::Mutex<()>,
}

/// What an exchange came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Exchanged {
    /// Connections that were wrapped with the new key.
    pub(crate) wrapped: usize,
    /// Connections whose secrets no key opens: they were unreadable before.
    pub(crate) unreadable: usize,
}

/// What is to become of secrets that the key does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The start fails: the right key may be found.
    Refuse,
    /// They are gone; their owners have to give them again.
    GiveUp,
}

impl Keys {
    pub(crate) fn new(source: KeySource, note: PathBuf, entropy: Arc<dyn Entropy>) -> Self {
        Self { source, note, entropy, exchange: tokio::sync::Mutex::new(()) }
    }

    /// The vault with the keys that the stored connections need.
    pub(crate) async fn open(&self, stored: &[StoredConnection], unreadable: Unreadable) -> Result<Vault> {
        let needs = stored.iter().any(|stored| !stored.sealed.is_empty());
        let needed = if needs && unreadable == Unreadable::Refuse { Needed::OfStoredSecrets } else { Needed::New };
        let Sourced { key, previous } = self.source.load(needed, &*self.entropy).await?;
        let previous = match previous.filter(|previous| previous.id() != key.id()) {
            Some(previous) => {
                // The next start may be without it.
                self.write_note(&key, &previous)?;
                Some(previous)
            }
            None => self.noted(&key)?,
        };
        let vault = Vault::new(key, previous, Arc::clone(&self.entropy));
        let unopened: Vec<KeyId> = stored.iter().filter_map(|stored| foreign(&vault, stored)).collect();
        match unopened.first() {
            Some(id) if unreadable == Unreadable::Refuse => bail!(
                "the secrets of {} of {} connections are sealed with the key {id}, and {} gives the key {}. Put the right key back, from a backup \
                 if need be. If it is lost for good, these secrets are lost too: start once with --give-up-secrets, then give each connection \
                 its secret again with `flowcell connection rotate`",
                unopened.len(),
                stored.len(),
                self.source.describe(),
                vault.key_id(),
            ),
            _ => Ok(vault),
        }
    }

    /// Exchanges the key. With a file a new one is made; another source has to give a new one already.
    pub(crate) async fn exchange(&self, broker: &Broker, workspace: &WorkspaceId) -> Result<(KeyId, Exchanged)> {
        let _alone = self.exchange.lock().await;
        if broker.vault.has_previous() {
            // One that was cut off comes first; another key may follow it.
            let done = self.finish(broker, workspace).await?;
            return Ok((broker.vault.key_id(), done));
        }
        let old = broker.vault.current();
        let new = self.next(&old).await?;
        self.write_note(&new, &old)?;
        if let KeySource::File(path) = &self.source {
            key_file::write(path, &new)?;
        }
        {
            // Whoever seals at this moment stores it first, so that nothing under the old key appears behind our back.
            let _nobody_seals = broker.sealing.write().await;
            broker.vault.take_over(new);
        }
        let done = self.finish(broker, workspace).await?;
        Ok((broker.vault.key_id(), done))
    }

    /// Goes on with an exchange that was cut off; nothing when none was.
    pub(crate) async fn resume(&self, broker: &Broker, workspace: &WorkspaceId) -> Result<Option<Exchanged>> {
        let _alone = self.exchange.lock().await;
        if self.note.exists() { self.finish(broker, workspace).await.map(Some) } else { Ok(None) }
    }

    /// Where the key comes from, for people.
    pub(crate) fn source(&self) -> String {
        self.source.describe()
    }

    /// Whether an exchange has begun and not ended.
    pub(crate) fn is_exchanging(&self) -> bool {
        self.note.exists()
    }

    async fn next(&self, old: &MasterKey) -> Result<MasterKey> {
        match &self.source {
            KeySource::File(_) => Ok(MasterKey::generate(&*self.entropy)),
            KeySource::Environment { .. } => bail!(
                "the key comes from {}, which cannot change while the server runs. Start it again with the new key there, and the old one in {}",
                self.source.describe(),
                crate::vault::source::PREVIOUS_VARIABLE
            ),
            KeySource::Command(_) => {
                let key = self.source.load(Needed::OfStoredSecrets, &*self.entropy).await?.key;
                if key.id() == old.id() {
                    bail!(
                        "{} still gives the key {}. Let it give a new one first (`flowcell secrets new-key` prints one), then ask again",
                        self.source.describe(),
                        old.id()
                    );
                }
                Ok(key)
            }
        }
    }

    /// Steps 3 and 4.
    async fn finish(&self, broker: &Broker, workspace: &WorkspaceId) -> Result<Exchanged> {
        let mut done = Exchanged::default();
        for _ in 0..PASSES_MAX {
            let pass = wrap_all(broker, workspace).await?;
            done = Exchanged { wrapped: done.wrapped + pass.wrapped, unreadable: pass.unreadable };
            if pass.wrapped == 0 {
                remove(&self.note)?;
                broker.vault.forget_previous();
                return Ok(done);
            }
        }
        bail!("connections are being written with the old key still; ask again")
    }

    fn write_note(&self, new: &MasterKey, old: &MasterKey) -> Result<()> {
        let vault = Vault::new(new.clone(), None, Arc::clone(&self.entropy));
        let text = old.to_text();
        write_whole(&self.note, &vault.seal(&note_place(), text.as_bytes()))
    }

    /// The key before, if an exchange to `key` was cut off.
    fn noted(&self, key: &MasterKey) -> Result<Option<MasterKey>> {
        let Some(sealed) = read_secret(&self.note)? else { return Ok(None) };
        let vault = Vault::new(key.clone(), None, Arc::clone(&self.entropy));
        match vault.open(&note_place(), &sealed) {
            Ok(text) => {
                let text = Zeroizing::new(String::from_utf8_lossy(&text).into_owned());
                let previous = text.parse().with_context(|| format!("{} holds no key", self.note.display()))?;
                Ok(Some(previous))
            }
            // The exchange did not come to its second step: the new key is nowhere and sealed nothing. Or the operator has put an old key back:
            // then stored secrets need the new one, which is said where they are looked at.
            Err(OpenError::OtherKey { .. }) => Ok(None),
            Err(error) => Err(anyhow!(error)).with_context(|| {
                format!("{} is damaged; restore it from a backup, or remove it if no exchange of the secrets key was going on", self.note.display())
            }),
        }
    }
}

/// The note belongs to no connection.
fn note_place() -> Place<'static> {
    Place { workspace: "", name: "secrets-rotation", revision: 0, facts: Digest::from_bytes([0; 32]) }
}

/// The key that a connection needs and the vault does not have.
fn foreign(vault: &Vault, stored: &StoredConnection) -> Option<KeyId> {
    match vault.open(&facts::place_of(stored), &stored.sealed) {
        Err(OpenError::OtherKey { sealed_with, .. }) => Some(sealed_with),
        // What was changed or given up is that connection's own trouble, and said when it is used.
        _ => None,
    }
}

/// Wraps every connection that is not under the current key yet.
async fn wrap_all(broker: &Broker, workspace: &WorkspaceId) -> Result<Exchanged, StoreError> {
    let mut done = Exchanged::default();
    for stored in broker.store.list(workspace).await? {
        match wrap(broker, stored).await? {
            Wrapped::Anew => done.wrapped += 1,
            Wrapped::Already => {}
            Wrapped::Unreadable => done.unreadable += 1,
        }
    }
    Ok(done)
}

enum Wrapped {
    Anew,
    Already,
    Unreadable,
}

async fn wrap(broker: &Broker, mut stored: StoredConnection) -> Result<Wrapped, StoreError> {
    let mut tries = 1;
    loop {
        let wrapped = match broker.vault.rewrap(&facts::place_of(&stored), &stored.sealed) {
            Ok(Some(wrapped)) => wrapped,
            Ok(None) | Err(OpenError::GivenUp) => return Ok(Wrapped::Already),
            Err(error) => {
                tracing::warn!(connection = %stored.connection.name, %error, "a secret is not taken over by the new key");
                return Ok(Wrapped::Unreadable);
            }
        };
        let next = StoredConnection { revision: stored.revision.saturating_add(1), sealed: wrapped, ..stored.clone() };
        match broker.store.put(next).await {
            Ok(()) => return Ok(Wrapped::Anew),
            Err(StoreError::Conflict { .. }) if tries < WRITE_TRIES => tries += 1,
            Err(error) => return Err(error),
        }
        let Connection { workspace, name, .. } = &stored.connection;
        match broker.store.get(workspace, name).await? {
            Some(newer) => stored = newer,
            None => return Ok(Wrapped::Already),
        }
    }
}

/// Forgets the secrets that no key opens, so that the server starts; their connections wait for their owners.
pub(crate) async fn give_up(
    store: &dyn Connections,
    vault: &Vault,
    (stored, clock): (Vec<StoredConnection>, &dyn Clock),
) -> Result<usize, StoreError> {
    let mut given_up = 0;
    for mut stored in stored {
        if foreign(vault, &stored).is_none() {
            continue;
        }
        stored.revision = stored.revision.saturating_add(1);
        stored.sealed = Vec::new();
        let reason = "its secret was given up, because the key it was sealed with is lost".to_owned();
        stored.connection.state = State::NeedsReconnecting { since: clock.now(), reason };
        store.put(stored).await?;
        given_up += 1;
    }
    Ok(given_up)
}

fn remove(path: &Path) -> Result<()> {
    let remove = || -> std::io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match path.parent() {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    remove().with_context(|| format!("{} cannot be removed", path.display()))
}

#[cfg(test)]
mod tests;
