use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use flowcell_core::connection::{Binding, Kind};
use flowcell_core::id::ConnectionName;
use flowcell_core::secret::Secret;
use flowcell_store::memory::MemoryStore;

use super::*;
use crate::clock::SystemClock;
use crate::connections::document::SecretDocument;
use crate::entropy::SystemEntropy;

/// Connections, and as many writes of an exchange.
const CONNECTIONS: usize = 4;

fn workspace() -> WorkspaceId {
    WorkspaceId::default_workspace()
}

/// A store whose process dies after so many writes.
struct Dying {
    store: MemoryStore,
    writes_left: AtomicUsize,
}

#[async_trait]
impl Connections for Dying {
    async fn put(&self, connection: StoredConnection) -> Result<(), StoreError> {
        let left = self.writes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| StoreError::Stopped)?;
        Connections::put(&self.store, connection).await
    }
    async fn get(
        &self,
        workspace: &WorkspaceId,
        name: &ConnectionName,
    ) -> Result<Option<StoredConnection>, StoreError> {
        Connections::get(&self.store, workspace, name).await
    }
    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<StoredConnection>, StoreError> {
        Connections::list(&self.store, workspace).await
    }
    async fn remove(&self, workspace: &WorkspaceId, name: &ConnectionName) -> Result<bool, StoreError> {
        Connections::remove(&self.store, workspace, name).await
    }
}

/// A server's data, and what a start makes of it.
struct Installation {
    folder: tempfile::TempDir,
    store: MemoryStore,
}

impl Installation {
    async fn filled() -> Self {
        let installation = Self { folder: tempfile::tempdir().unwrap(), store: MemoryStore::new() };
        let (_, broker) = installation.start(usize::MAX).await.unwrap();
        for number in 0..CONNECTIONS {
            let token = Secret::new(format!("s3cret-{number}"));
            broker.add(connection(number), &SecretDocument::Bearer { token }).await.unwrap();
        }
        installation
    }

    fn keys(&self) -> Keys {
        let path = |name: &str| self.folder.path().join(name);
        Keys::new(KeySource::File(path("secrets-key")), path("secrets-rotation"), Arc::new(SystemEntropy))
    }

    /// Opens what is there; its process makes so many writes.
    async fn start(&self, writes: usize) -> Result<(Keys, Broker)> {
        let keys = self.keys();
        let stored = Connections::list(&self.store, &workspace()).await.unwrap();
        let vault = keys.open(&stored, Unreadable::Refuse).await?;
        let store = Dying { store: self.store.clone(), writes_left: AtomicUsize::new(writes) };
        Ok((keys, Broker::new(Arc::new(store), vault, Arc::new(SystemClock))))
    }

    async fn everything_opens(&self, broker: &Broker) {
        let stored = Connections::list(&self.store, &workspace()).await.unwrap();
        assert_eq!(stored.len(), CONNECTIONS);
        for (number, stored) in stored.iter().enumerate() {
            let document = broker.open(stored).unwrap_or_else(|error| panic!("{error}"));
            assert!(
                matches!(document, SecretDocument::Bearer { token } if *token.expose() == format!("s3cret-{number}"))
            );
        }
    }

    /// How many connections each key has sealed.
    async fn under(&self, key: &MasterKey) -> usize {
        let vault = Vault::new(key.clone(), None, Arc::new(SystemEntropy));
        let stored = Connections::list(&self.store, &workspace()).await.unwrap();
        stored.iter().filter(|stored| vault.open(&facts::place_of(stored), &stored.sealed).is_ok()).count()
    }
}

fn connection(number: usize) -> Connection {
    let now = SystemClock.now();
    Connection {
        workspace: workspace(),
        name: format!("c{number}").parse().unwrap(),
        kind: Kind::Bearer,
        bound: Binding {
            hosts: vec!["https://a.example".parse().unwrap()],
            anywhere: false,
            plugins: vec!["acme/crm".parse().unwrap()],
        },
        note: String::new(),
        state: State::Ready,
        created_at: now,
        updated_at: now,
    }
}

#[tokio::test]
async fn an_exchange_wraps_everything_and_the_old_key_opens_nothing_after_it() {
    let installation = Installation::filled().await;
    let (keys, broker) = installation.start(usize::MAX).await.unwrap();
    let old = broker.vault.current();
    let (id, done) = keys.exchange(&broker, &workspace()).await.unwrap();
    assert_eq!(done, Exchanged { wrapped: CONNECTIONS, unreadable: 0 });
    assert_ne!(id, old.id());
    installation.everything_opens(&broker).await;
    assert_eq!(installation.under(&old).await, 0);
    assert!(!keys.is_exchanging());
    let (_, broker) = installation.start(usize::MAX).await.unwrap();
    assert_eq!(broker.vault.key_id(), id);
    installation.everything_opens(&broker).await;
}

#[tokio::test]
async fn whichever_write_of_an_exchange_is_the_last_the_next_start_reads_everything() {
    for writes in 0..=CONNECTIONS {
        let installation = Installation::filled().await;
        let (keys, broker) = installation.start(writes).await.unwrap();
        let old = broker.vault.current();
        let done = keys.exchange(&broker, &workspace()).await;
        assert_eq!(done.is_err(), writes < CONNECTIONS, "{writes}: {done:?}");
        // The process that goes on, too.
        installation.everything_opens(&broker).await;
        let (keys, broker) = installation.start(usize::MAX).await.unwrap();
        installation.everything_opens(&broker).await;
        assert_eq!(installation.under(&old).await, CONNECTIONS - writes);
        let resumed = keys.resume(&broker, &workspace()).await.unwrap();
        assert_eq!(resumed.is_some(), writes < CONNECTIONS);
        installation.everything_opens(&broker).await;
        assert_eq!(installation.under(&old).await, 0, "{writes}");
        assert_eq!(keys.resume(&broker, &workspace()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_crash_between_the_files_leaves_everything_readable() {
    let new = MasterKey::generate(&SystemEntropy);
    // After the note, before the key.
    let installation = Installation::filled().await;
    let (keys, broker) = installation.start(usize::MAX).await.unwrap();
    let old = broker.vault.current();
    keys.write_note(&new, &old).unwrap();
    let (_, broker) = installation.start(usize::MAX).await.unwrap();
    assert_eq!(broker.vault.key_id(), old.id());
    installation.everything_opens(&broker).await;
    // And the exchange that is asked for again takes place.
    keys.resume(&broker, &workspace()).await.unwrap();
    let (id, done) = keys.exchange(&broker, &workspace()).await.unwrap();
    assert!(id != old.id() && done.wrapped == CONNECTIONS, "{done:?}");
    // After the key, before the first connection.
    let installation = Installation::filled().await;
    let (keys, broker) = installation.start(usize::MAX).await.unwrap();
    let old = broker.vault.current();
    keys.write_note(&new, &old).unwrap();
    key_file::write(&installation.folder.path().join("secrets-key"), &new).unwrap();
    let (keys, broker) = installation.start(usize::MAX).await.unwrap();
    assert_eq!(broker.vault.key_id(), new.id());
    installation.everything_opens(&broker).await;
    assert_eq!(keys.resume(&broker, &workspace()).await.unwrap().unwrap().wrapped, CONNECTIONS);
    // After the last connection, before the note went.
    keys.write_note(&new, &old).unwrap();
    let (keys, broker) = installation.start(usize::MAX).await.unwrap();
    installation.everything_opens(&broker).await;
    assert_eq!(keys.resume(&broker, &workspace()).await.unwrap(), Some(Exchanged::default()));
}

#[tokio::test]
async fn a_wrong_or_lost_key_is_said_and_nothing_is_written() {
    let installation = Installation::filled().await;
    let path = installation.folder.path().join("secrets-key");
    let right = std::fs::read(&path).unwrap();
    let lost = |error: anyhow::Error| format!("{error:#}");
    std::fs::remove_file(&path).unwrap();
    let error = lost(installation.start(0).await.err().unwrap());
    assert!(error.contains("is missing") && error.contains("--give-up-secrets"), "{error}");
    let wrong = MasterKey::generate(&SystemEntropy);
    key_file::write(&path, &wrong).unwrap();
    let error = lost(installation.start(0).await.err().unwrap());
    assert!(error.contains("4 of 4 connections") && error.contains(&wrong.id().to_string()), "{error}");
    write_whole(&path, &right).unwrap();
    let (_, broker) = installation.start(0).await.unwrap();
    installation.everything_opens(&broker).await;
}

#[tokio::test]
async fn secrets_that_are_given_up_leave_connections_that_wait_for_their_owners() {
    let installation = Installation::filled().await;
    std::fs::remove_file(installation.folder.path().join("secrets-key")).unwrap();
    let stored = Connections::list(&installation.store, &workspace()).await.unwrap();
    let vault = installation.keys().open(&stored, Unreadable::GiveUp).await.unwrap();
    assert_eq!(give_up(&installation.store, &vault, (stored, &SystemClock)).await.unwrap(), CONNECTIONS);
    let (_, broker) = installation.start(usize::MAX).await.unwrap();
    let stored = Connections::list(&installation.store, &workspace()).await.unwrap();
    assert!(stored.iter().all(|stored| matches!(stored.connection.state, State::NeedsReconnecting { .. })));
    let error = broker.open(&stored[0]).err().unwrap().to_string();
    assert!(error.contains("given up") && error.contains("rotate"), "{error}");
}

#[tokio::test]
async fn connections_that_are_written_during_an_exchange_are_taken_along() {
    let installation = Installation::filled().await;
    let (keys, broker) = installation.start(usize::MAX).await.unwrap();
    let broker = Arc::new(broker);
    let tasks = tokio_util::task::TaskTracker::new();
    let writing = {
        let broker = Arc::clone(&broker);
        tasks.spawn(async move {
            let (workspace, name) = (workspace(), "c1".parse().unwrap());
            for number in 0..50 {
                let changed = broker.change::<crate::connections::WriteError>(&workspace, &name, |before| {
                    let connection = Connection { note: number.to_string(), ..before.connection.clone() };
                    Ok(crate::connections::Change { connection, usage: before.usage.clone(), secret: None })
                });
                changed.await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    keys.exchange(&broker, &workspace()).await.unwrap();
    writing.await.unwrap();
    installation.everything_opens(&broker).await;
    assert_eq!(installation.under(&broker.vault.current()).await, CONNECTIONS);
}
