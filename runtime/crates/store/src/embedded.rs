//! The store of one process: a directory, sled inside it, and one thread that writes.
//!
//! The path of a write: the caller checks it ([`crate::rules`]), encodes its records ([`codec`]), writes what is large to
//! files ([`payload`]) and queues it ([`writer`]). The writer takes what is queued as a group, appends it to the write-ahead log and
//! syncs that ([`wal`]), notes the group in the mark ([`mark`]), changes the queue ([`tracker`]) and only then answers. Some groups later it
//! applies them in one transaction over all trees ([`group`]), flushes and syncs the data file ([`disk`]). The path of an open: [`open`],
//! which gives the trees what only the log has and believes nothing it has not verified ([`verify`]).
//!
//! A read looks into the trees, and waits until they have what was acknowledged before it; they get nothing that is not durable. What is
//! read most is kept in memory: the directory, the queue, the first entries of young runs ([`fresh`]).
//!
//! On disk:
//! ```text
//! lock           held as long as the store is open
//! MANIFEST       the format number, written when the store is made and when it is upgraded
//! acknowledged   the number of the last synced group, written before its acknowledgements
//! wal            the last groups, until the trees have them (see `wal`)
//! sled/          twenty-one trees (see `tables`)
//! blobs/ab/cd…   records above 4 KiB, named by their SHA-256
//! ```

mod blobs;
mod blocks;
mod codec;
mod compaction;
mod connections;
mod contacts;
mod definitions;
mod delivered;
mod destinations;
mod disk;
mod flush;
mod fresh;
mod group;
mod guard;
mod inbox;
mod index;
mod journal;
mod key_values;
mod lock;
mod manifest;
mod mark;
mod open;
mod payload;
mod people;
mod polls;
mod queue;
mod retention;
mod schedules;
mod search;
mod shared;
mod space;
mod sync;
mod tables;
mod tail;
mod tracker;
mod triggers;
mod upgrade;
mod verify;
mod wal;
mod writer;

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use flowcell_core::ports::StoreError;

pub use open::OpenError;
pub use sync::DiskSync;

use shared::Shared;
use writer::WriterHandle;

/// Where sled lies within a store.
const SLED_DIR: &str = "sled";

/// All ports over one directory.
#[derive(Debug)]
pub struct EmbeddedStore {
    // The writer first: it is waited for before the trees and the lock are given back.
    writer: WriterHandle,
    shared: Arc<Shared>,
}

/// What an operator or a test may set.
#[derive(Clone)]
pub struct Options {
    /// Writes that may wait for the writer; one more is [`StoreError::Busy`] (a delivery) or waits (an append). The default,
    /// 4,096, is sixteen full groups: at 4 KiB a record at most some 64 MiB, and less than a second of work.
    pub queued_writes_max: usize,
    /// What sled may keep in memory, in bytes. The default, 64 MiB, holds the open runs of a busy instance; sled's own is 1 GiB.
    pub cache_bytes: u64,
    /// A data file below this is never compacted, in bytes: the default, 64 MiB, is sixteen segments, and a copy of less gives little back.
    pub compact_above_bytes: u64,
    /// What has to stay free on the disk; absent, nobody looks.
    pub watermarks: Option<Watermarks>,
    /// How long nothing comes until the trees are given what the log has. The default, 1 s, is longer than an instance with a little to do ever
    /// pauses: it would pay sled's price for each delivery otherwise. What is in the log is as durable as what is in the trees.
    pub idle: Duration,
    /// Called once, with the reason, when a write or sync failed: from then on nothing is acknowledged. The binary ends the
    /// process here, so that the next start recovers from what is on the disk.
    pub on_fatal: Arc<dyn Fn(&str) + Send + Sync>,
    /// Wraps the syncs, of the write-ahead log first and then of the data file. Tests make it fail, or leave it out to see that they would notice.
    pub wrap_sync: Arc<WrapSync>,
}

/// Free bytes of the disk below which things are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Below it deliveries are refused ([`StoreError::NoSpace`]).
    pub soft_bytes: u64,
    /// Below it entries of runs are refused as well, and only removals are written. More than a few groups take: a group writes at
    /// most some 1.5 MiB.
    pub hard_bytes: u64,
    /// The size of a file that is removed at the hard watermark, so that runs can end; made again when there is room for two.
    pub ballast_bytes: u64,
}

/// Takes a sync and gives back the one that is used.
pub type WrapSync = dyn Fn(Box<dyn DiskSync>) -> Box<dyn DiskSync> + Send + Sync;

impl Default for Options {
    fn default() -> Self {
        Self {
            queued_writes_max: 4_096,
            cache_bytes: 64 << 20,
            compact_above_bytes: 64 << 20,
            watermarks: None,
            idle: Duration::from_secs(1),
            on_fatal: Arc::new(|_| {}),
            wrap_sync: Arc::new(|sync| sync),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("queued_writes_max", &self.queued_writes_max)
            .field("cache_bytes", &self.cache_bytes)
            .field("compact_above_bytes", &self.compact_above_bytes)
            .finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Opens the store in `dir`, creating it when the directory is empty or absent. Blocks: it reads every record once and
    /// checks it (some hundred MB a second). Claims of an earlier process are released; unfinished runs are due again.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, OpenError> {
        let (shared, disk) = open::open(dir, options)?;
        let shared = Arc::new(shared);
        let writer = writer::start(Arc::clone(&shared), disk, options)
            .map_err(|source| OpenError::Io { what: "start the writer thread of the store".to_owned(), source })?;
        Ok(Self { writer, shared })
    }

    /// Writes what is queued, syncs everything and stops: later calls that write fail. For an orderly end of the process;
    /// without it nothing acknowledged is lost either.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.writer.close().await
    }
}

/// The value under a lock whose holder panicked: every change under our locks is complete or not begun when a panic is possible.
fn ignore_poison<T>(locked: Result<T, PoisonError<T>>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}
