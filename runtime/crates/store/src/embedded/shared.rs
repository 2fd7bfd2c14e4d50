//! What the port implementations and the writer share: the trees for reading, and what is kept in memory beside them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use flowcell_core::connection::StoredConnection;
use flowcell_core::id::{ConnectionName, WorkflowId, WorkspaceId};
use flowcell_core::ports::{Hook, ScheduleCursor, StoreError, Usage, WorkflowHead};
use flowcell_core::run::event::Recorded;
use flowcell_core::search::FieldPath;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::SLED_DIR;
use super::codec::{self, Body};
use super::compaction::Database;
use super::fresh::Fresh;
use super::guard::without_panic;
use super::ignore_poison;
use super::lock::DirectoryLock;
use super::payload::Payloads;
use super::retention::Sweep;
use super::space::Space;
use super::tables::{Table, WorkspaceNumber};
use super::tracker::Tracker;
use crate::tail::Ring;

/// Told why the store has stopped.
#[derive(Clone)]
pub(crate) struct OnFatal(pub(crate) Arc<dyn Fn(&str) + Send + Sync>);

impl std::fmt::Debug for OnFatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnFatal")
    }
}

type IndexedFields = HashMap<(WorkspaceId, WorkflowId), Arc<[FieldPath]>>;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) payloads: Payloads,
    tracker: Mutex<Tracker>,
    directory: RwLock<Directory>,
    pub(crate) fresh: Fresh,
    /// What became durable last.
    pub(crate) tail: Ring<WorkspaceNumber>,
    /// Held while it is looked up what goes and until it is gone.
    pub(crate) removal: tokio::sync::Mutex<Alone>,
    /// Held while a user is written.
    pub(crate) people: tokio::sync::Mutex<()>,
    /// Held while inboxes are written; taken after [`Self::people`] by whoever needs both.
    pub(crate) inboxes: tokio::sync::Mutex<()>,
    /// Held while values of plugins are written.
    pub(crate) values: tokio::sync::Mutex<()>,
    pub(crate) space: Space,
    /// Keys and records of the trees, in bytes.
    live_bytes: AtomicU64,
    path: PathBuf,
    /// The fields by which a workflow's runs are found.
    indexed: RwLock<IndexedFields>,
    /// Told whenever a run may have become due.
    pub(crate) changed: Arc<Notify>,
    /// Told whenever a contact has changed.
    pub(crate) contacts_changed: Arc<Notify>,
    /// The last group that is durable.
    logged: AtomicU64,
    /// The last group that the trees have, or any after the store has stopped.
    in_trees: watch::Sender<u64>,
    /// Somebody waits to read what the trees do not have yet; the writer is told.
    is_awaited: AtomicBool,
    awaited: Notify,
    life: AtomicU8,
    /// See [`super::Options::on_fatal`].
    on_fatal: OnFatal,
    database: RwLock<Arc<Database>>,
    /// Last, so that it is given back after everything else is closed.
    _lock: DirectoryLock,
}

/// What only one removal at a time may do.
#[derive(Debug, Default)]
pub(crate) struct Alone {
    pub(crate) swept: HashMap<WorkspaceNumber, Sweep>,
}

/// What every delivery looks up, in memory: some 500 bytes per workflow.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) workspaces: HashMap<WorkspaceId, WorkspaceNumber>,
    pub(crate) heads: BTreeMap<(WorkspaceId, WorkflowId), StoredHead>,
    pub(crate) hooks: HashMap<[u8; 32], Hook>,
    /// By [`ScheduleCursor::place`].
    pub(crate) cursors: BTreeMap<(WorkspaceId, WorkflowId, String), ScheduleCursor>,
    /// Some 1 KiB each, their secrets sealed.
    pub(crate) connections: BTreeMap<(WorkspaceId, ConnectionName), StoredConnection>,
}

/// The record of [`Table::Heads`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredHead {
    pub(crate) head: WorkflowHead,
    /// The hook of `head.hook_generation`. A version that brings another one removes it; a rotation keeps it for as long as it counts.
    pub(crate) token_hash: [u8; 32],
}

/// Whether calls are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Life {
    Open = 0,
    Closed = 1,
    /// A write or sync failed.
    Stopped = 2,
}

impl Shared {
    pub(crate) fn new(
        database: Database,
        payloads: Payloads,
        (tracker, directory, group): (Tracker, Directory, u64),
        (live_bytes, path, space): (u64, PathBuf, Space),
        lock: DirectoryLock,
        on_fatal: OnFatal,
    ) -> Self {
        Self {
            payloads,
            tracker: Mutex::new(tracker),
            directory: RwLock::new(directory),
            fresh: Fresh::default(),
            tail: Ring::new(group),
            removal: tokio::sync::Mutex::default(),
            people: tokio::sync::Mutex::default(),
            inboxes: tokio::sync::Mutex::default(),
            values: tokio::sync::Mutex::default(),
            space,
            live_bytes: AtomicU64::new(live_bytes),
            path,
            indexed: RwLock::default(),
            changed: Arc::new(Notify::new()),
            contacts_changed: Arc::new(Notify::new()),
            logged: AtomicU64::new(group),
            in_trees: watch::Sender::new(group),
            is_awaited: AtomicBool::new(false),
            awaited: Notify::new(),
            life: AtomicU8::new(Life::Open as u8),
            on_fatal,
            database: RwLock::new(Arc::new(database)),
            _lock: lock,
        }
    }

    /// The trees as they are now. Another call may give others, with the same records in a smaller file.
    pub(crate) fn database(&self) -> Arc<Database> {
        let database = ignore_poison(self.database.read());
        Arc::clone(&database)
    }

    pub(crate) fn replace_database(&self, database: Database) {
        // Whoever reads from the old one keeps it until it is done.
        *ignore_poison(self.database.write()) = Arc::new(database);
    }

    /// The directory of the store.
    pub(crate) fn directory_path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn tracker(&self) -> MutexGuard<'_, Tracker> {
        ignore_poison(self.tracker.lock())
    }

    /// The fields of a workflow that are indexed; usually none.
    pub(crate) fn indexed(&self, workspace: &WorkspaceId, workflow: &WorkflowId) -> Arc<[FieldPath]> {
        let indexed = ignore_poison(self.indexed.read());
        if indexed.is_empty() {
            return Arc::default();
        }
        indexed.get(&(workspace.clone(), workflow.clone())).cloned().unwrap_or_default()
    }

    pub(crate) fn index_fields(&self, workspace: &WorkspaceId, workflow: &WorkflowId, fields: Vec<FieldPath>) {
        let key = (workspace.clone(), workflow.clone());
        let mut indexed = ignore_poison(self.indexed.write());
        if fields.is_empty() {
            indexed.remove(&key);
        } else {
            indexed.insert(key, fields.into());
        }
    }

    pub(crate) fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        ignore_poison(self.directory.read())
    }

    pub(crate) fn directory_mut(&self) -> RwLockWriteGuard<'_, Directory> {
        ignore_poison(self.directory.write())
    }

    /// Refuses writes from here on; everything before is durable.
    pub(crate) fn close(&self) {
        self.life.fetch_max(Life::Closed as u8, Ordering::SeqCst);
    }

    /// Stops for good: what is on the disk is unknown, so nothing is acknowledged or read any more (PROMISES §1, 21).
    pub(crate) fn stop(&self, reason: &str) {
        if self.life.swap(Life::Stopped as u8, Ordering::SeqCst) != Life::Stopped as u8 {
            tracing::error!(
                reason,
                "the store has stopped: a write could not be made durable; restart Flowcell to recover from disk"
            );
            (self.on_fatal.0)(reason);
        }
        // Whoever waits for the trees learns of it.
        self.trees_have(u64::MAX);
    }

    /// The log has everything up to group `number`.
    pub(crate) fn log_has(&self, number: u64) {
        self.logged.store(number, Ordering::SeqCst);
    }

    /// The trees have everything up to group `number`, durably.
    pub(crate) fn trees_have(&self, number: u64) {
        self.in_trees.send_replace(number);
    }

    /// Returns when the trees have group `number`. A worker seldom waits here: what it drives is in memory.
    pub(crate) async fn catch_up(&self, number: u64) -> Result<(), StoreError> {
        if *self.in_trees.borrow() < number {
            let mut in_trees = self.in_trees.subscribe();
            self.is_awaited.store(true, Ordering::SeqCst);
            self.awaited.notify_one();
            // It ends with the store at the latest; the sender lives as long as `self`.
            let _ = in_trees.wait_for(|have| *have >= number).await;
        }
        self.check_alive()
    }

    /// Whether somebody waits to read; asked once.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_awaited.swap(false, Ordering::SeqCst)
    }

    /// Returns when somebody waits to read.
    pub(crate) async fn trees_are_awaited(&self) {
        self.awaited.notified().await;
    }

    /// Told after each group what the trees hold.
    pub(crate) fn holds_bytes(&self, live: u64) {
        self.live_bytes.store(live, Ordering::Relaxed);
    }

    pub(crate) fn usage(&self) -> Result<Usage, StoreError> {
        let file_bytes = allocated(&self.path.join(SLED_DIR))
            .map_err(|error| StoreError::Failed { message: format!("the data file cannot be measured: {error}") })?;
        Ok(Usage {
            live_bytes: self.live_bytes.load(Ordering::Relaxed),
            file_bytes,
            payload_bytes: self.payloads.bytes(),
        })
    }

    pub(crate) fn holds(&self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        without_panic(|| self.database().trees.get(table).contains_key(key))
            .and_then(|found| found.map_err(|error| error.to_string()))
            .map_err(|problem| damaged(&format!("the table `{}`", table.name()), problem))
    }

    /// What a write gets that the writer does not take any more.
    pub(crate) fn refusal(&self) -> StoreError {
        if self.life.load(Ordering::SeqCst) == Life::Closed as u8 {
            return StoreError::Failed { message: "the store is closed; Flowcell is shutting down".to_owned() };
        }
        StoreError::Stopped
    }

    /// After a failed write the trees may show what is not on the disk: nothing is read from them.
    pub(crate) fn check_alive(&self) -> Result<(), StoreError> {
        if self.life.load(Ordering::SeqCst) == Life::Stopped as u8 { Err(StoreError::Stopped) } else { Ok(()) }
    }

    /// Reads and decodes one record; `what` names it in a failure.
    pub(crate) fn read<T: DeserializeOwned>(
        &self,
        table: Table,
        key: &[u8],
        what: &str,
    ) -> Result<Option<T>, StoreError> {
        let found = self.record(table, key, what)?;
        found.map(|record| self.decode(table, key, &record, what)).transpose()
    }

    /// Reads one record as it lies in its tree.
    pub(crate) fn record(&self, table: Table, key: &[u8], what: &str) -> Result<Option<sled::IVec>, StoreError> {
        without_panic(|| self.database().trees.get(table).get(key))
            .and_then(|got| got.map_err(|error| error.to_string()))
            .map_err(|problem| damaged(what, problem))
    }

    pub(crate) fn decode<T: DeserializeOwned>(
        &self,
        table: Table,
        key: &[u8],
        record: &[u8],
        what: &str,
    ) -> Result<T, StoreError> {
        let opened = codec::open(table, key, record).map_err(|problem| damaged(what, problem))?;
        self.read_body(opened.body).map_err(|problem| damaged(what, problem))
    }

    /// The entries of one record of a journal.
    pub(crate) fn entries(&self, key: &[u8], record: &[u8], what: &str) -> Result<Vec<Recorded>, StoreError> {
        let opened = codec::open(Table::Journal, key, record).map_err(|problem| damaged(what, problem))?;
        let entries = match opened.entries {
            Some(_) => self.read_body(opened.body),
            // What format 1 wrote: one entry a record.
            None => self.read_body(opened.body).map(|entry| vec![entry]),
        };
        entries.map_err(|problem| damaged(what, problem))
    }

    fn read_body<T: DeserializeOwned>(&self, body: Body<'_>) -> Result<T, String> {
        match body {
            Body::Inline(json) => codec::from_json(json),
            Body::File(name) => self.payloads.read(&name).and_then(|json| codec::from_json(&json)),
        }
    }
}

/// What the files of a folder take of the disk.
pub(crate) fn allocated(folder: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for file in std::fs::read_dir(folder)? {
        match file?.metadata() {
            // In units of 512 bytes, whatever the file system's own are (stat(2)).
            Ok(found) => bytes += found.blocks() * 512,
            // A snapshot that was replaced just now.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Reads from the trees, on a thread that may block; they have everything first that was acknowledged before.
pub(crate) async fn reading<T: Send + 'static>(
    shared: &Arc<Shared>,
    read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    shared.catch_up(shared.logged.load(Ordering::SeqCst)).await?;
    blocking(shared, read).await
}

/// Does what waits for the disk on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    shared.check_alive()?;
    let shared = Arc::clone(shared);
    match tokio::task::spawn_blocking(move || work(&shared)).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::Failed { message: format!("a read did not end: {error}") }),
    }
}

pub(crate) fn damaged(what: &str, problem: String) -> StoreError {
    StoreError::Damaged { what: what.to_owned(), problem }
}
