//! The broker: finds a connection, decides whether a call may have it, opens its seal and hands out the authorizer. And the one way to write a
//! connection, so that no secret is stored that is not sealed for exactly what stands beside it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flowcell_core::connection::{
    Asking, Authorizer, Connection, Connections, CredentialError, Credentials, Remedy, State, StoredConnection, Usage,
};
use flowcell_core::id::{ConnectionName, WorkspaceId};
use flowcell_core::ports::{Clock, StoreError};
use flowcell_core::time::Timestamp;

use super::document::SecretDocument;
use super::usage::{Noted, Notes};
use super::{authorize, facts};
use crate::vault::{KeyId, OpenError, Vault};

/// How often a write is made again that somebody else's was before: each try sees a newer connection, so many in a row mean a storm of writes.
const WRITE_TRIES: usize = 8;

pub(crate) struct Broker {
    pub(super) store: Arc<dyn Connections>,
    pub(super) vault: Vault,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) notes: Arc<Notes>,
    /// Held from a seal to its write, and by whoever changes the key.
    pub(super) sealing: tokio::sync::RwLock<()>,
    signers: Mutex<HashMap<(WorkspaceId, ConnectionName), Signer>>,
}

/// The authorizer of a connection that only signs, and what it was made from: one that is removed and added again begins with revision 1 again.
/// Setting up an Ed25519 key takes longer than signing with it.
struct Signer {
    made_from: (u32, Timestamp),
    authorizer: Arc<dyn Authorizer>,
}

/// What a write makes of a connection.
pub(crate) struct Change {
    pub(crate) connection: Connection,
    pub(crate) usage: Usage,
    /// Absent: the secret stays as it is.
    pub(crate) secret: Option<SecretDocument>,
}

/// Why a connection was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("there is no connection `{0}`; `flowcell connection list` prints those there are")]
    Unknown(ConnectionName),
    #[error(
        "there is a connection `{0}` already; remove it first, or give it another secret with `flowcell connection rotate {0}`"
    )]
    Exists(ConnectionName),
    /// Its secret is needed, and cannot be opened.
    #[error(transparent)]
    Sealed(#[from] CredentialError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Broker {
    pub(crate) fn new(store: Arc<dyn Connections>, vault: Vault, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            vault,
            clock,
            notes: Arc::default(),
            sealing: tokio::sync::RwLock::default(),
            signers: Mutex::default(),
        }
    }

    /// The fingerprint of the key that secrets are sealed with.
    pub(crate) fn key_id(&self) -> KeyId {
        self.vault.key_id()
    }

    /// The facts of one.
    pub(crate) async fn get(
        &self,
        workspace: &WorkspaceId,
        name: &ConnectionName,
    ) -> Result<Option<StoredConnection>, StoreError> {
        self.store.get(workspace, name).await
    }

    /// The facts of all, by name.
    pub(crate) async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<StoredConnection>, StoreError> {
        self.store.list(workspace).await
    }

    /// Stores a new connection.
    pub(crate) async fn add(
        &self,
        connection: Connection,
        secret: &SecretDocument,
    ) -> Result<StoredConnection, WriteError> {
        let revision = 1;
        let _sealing = self.sealing.read().await;
        let sealed = self.vault.seal(&facts::place(&connection, revision), &secret.to_json());
        let stored = StoredConnection { connection, revision, sealed, usage: Usage::default() };
        match self.store.put(stored.clone()).await {
            Ok(()) => Ok(stored),
            Err(StoreError::Conflict { .. }) => Err(WriteError::Exists(stored.connection.name)),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what became of `before`; [`StoreError::Conflict`] when somebody else's write was first. The secret is sealed anew when it is new, or
    /// when its kind or binding is.
    pub(crate) async fn write(
        &self,
        before: &StoredConnection,
        change: Change,
    ) -> Result<StoredConnection, WriteError> {
        let Change { mut connection, usage, secret } = change;
        if secret.is_some() || connection != before.connection {
            connection.updated_at = self.clock.now();
        }
        let revision = before.revision.saturating_add(1);
        let _sealing = self.sealing.read().await;
        let place = facts::place(&connection, revision);
        let sealed = match secret {
            Some(secret) => self.vault.seal(&place, &secret.to_json()),
            None if place.facts == facts::place_of(before).facts => before.sealed.clone(),
            None => self.vault.seal(&place, &self.open(before)?.to_json()),
        };
        let stored = StoredConnection { connection, revision, sealed, usage };
        self.store.put(stored.clone()).await?;
        Ok(stored)
    }

    /// Changes a connection, whoever else writes at the same time: `change` is made again with what they wrote.
    pub(crate) async fn change<E: From<WriteError>>(
        &self,
        workspace: &WorkspaceId,
        name: &ConnectionName,
        mut change: impl FnMut(&StoredConnection) -> Result<Change, E>,
    ) -> Result<StoredConnection, E> {
        let mut tries = 1;
        loop {
            let before = self.store.get(workspace, name).await.map_err(WriteError::from)?;
            let before = before.ok_or_else(|| WriteError::Unknown(name.clone()))?;
            match self.write(&before, change(&before)?).await {
                Err(WriteError::Store(StoreError::Conflict { .. })) if tries < WRITE_TRIES => tries += 1,
                written => return Ok(written?),
            }
        }
    }

    /// Whether it was there.
    pub(crate) async fn remove(&self, workspace: &WorkspaceId, name: &ConnectionName) -> Result<bool, StoreError> {
        self.signers().remove(&(workspace.clone(), name.clone()));
        self.store.remove(workspace, name).await
    }

    /// The authorizer of a connection whose secret nobody has to renew.
    pub(super) fn fixed(&self, stored: &StoredConnection) -> Result<Arc<dyn Authorizer>, CredentialError> {
        let connection = &stored.connection;
        if !connection.kind.only_signs() {
            return authorize::authorizer(connection, self.open(stored)?);
        }
        let place = (connection.workspace.clone(), connection.name.clone());
        let made_from = (stored.revision, connection.updated_at);
        if let Some(signer) = self.signers().get(&place).filter(|signer| signer.made_from == made_from) {
            return Ok(Arc::clone(&signer.authorizer));
        }
        let authorizer = authorize::authorizer(connection, self.open(stored)?)?;
        let signer = Signer { made_from, authorizer: Arc::clone(&authorizer) };
        self.signers().insert(place, signer);
        Ok(authorizer)
    }

    fn signers(&self) -> MutexGuard<'_, HashMap<(WorkspaceId, ConnectionName), Signer>> {
        // No code that holds the lock can panic half-way through a change.
        self.signers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The secret of a connection.
    pub(crate) fn open(&self, stored: &StoredConnection) -> Result<SecretDocument, CredentialError> {
        let Connection { name, kind, .. } = &stored.connection;
        let sealed = |reason: String| CredentialError::Sealed { name: name.clone(), reason };
        let json = self.vault.open(&facts::place_of(stored), &stored.sealed);
        let json = json.map_err(|error: OpenError| sealed(error.to_string()))?;
        SecretDocument::read(kind, &json).map_err(|error| sealed(error.to_string()))
    }
}

impl Broker {
    /// The connection, if whoever asks may have it and it can be used.
    pub(super) async fn admitted(&self, asking: Asking<'_>) -> Result<StoredConnection, CredentialError> {
        admitted(&*self.store, asking).await
    }

    /// The same for a mail, which is noted: it goes to where the connection's own settings say.
    pub(crate) async fn admitted_for_mail(&self, asking: Asking<'_>) -> Result<StoredConnection, CredentialError> {
        let stored = self.admitted(asking).await?;
        self.notes.given((asking.workspace.clone(), asking.name.clone()), asking.plugin, self.clock.now());
        Ok(stored)
    }

    /// Takes note of what `inner` will be used for, and asks before each use whether it still may be.
    pub(super) fn noted(&self, asking: Asking<'_>, inner: Arc<dyn Authorizer>) -> Arc<dyn Authorizer> {
        let place = (asking.workspace.clone(), asking.name.clone());
        self.notes.given(place.clone(), asking.plugin, self.clock.now());
        let (plugin, store) = (asking.plugin.clone(), Arc::clone(&self.store));
        Arc::new(Noted { place, plugin, store, inner, notes: Arc::clone(&self.notes) })
    }
}

#[async_trait]
impl Credentials for Broker {
    async fn authorizer(&self, asking: Asking<'_>) -> Result<Arc<dyn Authorizer>, CredentialError> {
        let stored = self.admitted(asking).await?;
        let inner = self.fixed(&stored)?;
        Ok(self.noted(asking, inner))
    }
}

/// What is stored of the connection now, if whoever asks may have it and it can be used.
pub(super) async fn admitted(store: &dyn Connections, asking: Asking<'_>) -> Result<StoredConnection, CredentialError> {
    let Asking { workspace, name, plugin } = asking;
    let stored = store.get(workspace, name).await.map_err(|error| unavailable(name, &error))?;
    let stored = stored.ok_or_else(|| CredentialError::Unknown { name: name.clone() })?;
    if !stored.connection.bound.plugins.contains(plugin) {
        return Err(CredentialError::NotForPlugin { name: name.clone(), plugin: plugin.clone() });
    }
    match why_not_usable(&stored.connection) {
        Some(reason) => Err(needs_owner(&stored.connection, reason)),
        None => Ok(stored),
    }
}

/// A connection that waits for its owner.
pub(super) fn needs_owner(connection: &Connection, reason: String) -> CredentialError {
    CredentialError::NeedsReconnecting { name: connection.name.clone(), reason, remedy: Remedy::of(&connection.kind) }
}

/// Why its owner has to do something first.
pub(super) fn why_not_usable(connection: &Connection) -> Option<String> {
    match &connection.state {
        State::Ready => None,
        State::Pending => Some("its owner has not consented yet".to_owned()),
        State::NeedsReconnecting { reason, .. } => Some(reason.clone()),
    }
}

pub(super) fn unavailable(name: &ConnectionName, error: &StoreError) -> CredentialError {
    CredentialError::Unavailable { name: name.clone(), reason: error.to_string(), retry_after_ms: None }
}

#[cfg(test)]
mod tests;
