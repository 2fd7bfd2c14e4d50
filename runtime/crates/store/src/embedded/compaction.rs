//! Gives disk back. sled uses the room of removed records again and never returns it, save at the very end of its file. So what
//! counts is copied into a fresh data file beside the old one, `sled.new`, and the two change places.
//!
//! The writer does it, piece by piece between its groups; what a group changes in the part that is copied already, it changes in both.
//! `sled` is always whole: until the exchange (one `rename`, atomic) it is the old file, afterwards the new one, with the same records of
//! the same group. `sled.new` is removed by the next open, whichever of the two it is.

use std::fs;
use std::io;
use std::ops::Bound;
use std::path::Path;

use super::codec;
use super::flush::Flusher;
use super::group::{Group, State};
use super::guard::without_panic;
use super::manifest::sync_directory;
use super::open::{SledError, open_sled, sync_sled_dir};
use super::sync::{DataFile, DiskSync as _};
use super::tables::{STATE_KEY, Table, Trees};
use super::{Options, SLED_DIR};

/// The copy in the making, or the old file after the exchange.
const COPY_DIR: &str = "sled.new";

/// Records and bytes that are copied between two groups: some two milliseconds.
const PIECE_RECORDS: usize = 256;
const PIECE_BYTES: usize = 256 << 10;

/// sled writes some two bytes for each that counts; a file with more than this, four, has enough garbage to be worth the copy.
const FILE_PER_LIVE: u64 = flowcell_core::retention::ByteCap::FILE_PER_LIVE;

/// Room that a copy needs for each byte that counts.
pub(crate) const COPY_PER_LIVE: u64 = 3;

/// The trees and the files they lie in.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) trees: Trees,
    pub(crate) db: sled::Db,
}

/// Whether the copy would be much smaller than the file.
pub(crate) fn is_worth_it(file_bytes: u64, live_bytes: u64, options: &Options) -> bool {
    file_bytes > options.compact_above_bytes && file_bytes / FILE_PER_LIVE > live_bytes
}

/// Removes what a compaction left that did not come to its end, or whose old file was still open.
pub(crate) fn remove_leftover(store: &Path) -> io::Result<()> {
    match fs::remove_dir_all(store.join(COPY_DIR)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A copy in the making.
#[derive(Debug)]
pub(crate) struct Compaction {
    copy: Database,
    /// The table that is being copied, by its place in [`Table::ALL`], and the last key of it that is there.
    table: usize,
    last: Option<sled::IVec>,
    /// Records of each table in the copy.
    records: [u64; Table::ALL.len()],
}

impl Compaction {
    pub(crate) fn begin(store: &Path, options: &Options) -> Result<Self, String> {
        remove_leftover(store).map_err(|error| format!("`{COPY_DIR}` cannot be removed: {error}"))?;
        let db = open_sled(&store.join(COPY_DIR), options).map_err(|error| match error {
            SledError::Io(error) => format!("`{COPY_DIR}` cannot be made: {error}"),
            SledError::Damaged(problem) => format!("`{COPY_DIR}` cannot be made: {problem}"),
        })?;
        let trees = without_panic(|| Trees::open(&db))?.map_err(|error| error.to_string())?;
        Ok(Self { copy: Database { trees, db }, table: 0, last: None, records: [0; Table::ALL.len()] })
    }

    /// Copies the next piece. Returns whether everything is there.
    pub(crate) fn copy_piece(&mut self, from: &Trees) -> Result<bool, String> {
        let Some(table) = Table::ALL.get(self.table).copied() else { return Ok(true) };
        if table == Table::Meta {
            // The state is written last.
            self.next_table();
            return Ok(false);
        }
        let start = self.last.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut batch, mut bytes, mut count) = (sled::Batch::default(), 0, 0);
        without_panic(|| {
            for row in from.get(table).range::<sled::IVec, _>((start, Bound::Unbounded)).take(PIECE_RECORDS) {
                let (key, record) = row.map_err(|error| error.to_string())?;
                // Nothing that is damaged is carried over as if it were right.
                codec::open(table, &key, &record)?;
                bytes += key.len() + record.len();
                count += 1;
                self.last = Some(key.clone());
                batch.insert(key, record);
                if bytes >= PIECE_BYTES {
                    break;
                }
            }
            self.copy.trees.get(table).apply_batch(batch).map_err(|error| error.to_string())
        })??;
        if let Some(records) = self.records.get_mut(self.table) {
            *records += count;
        }
        // No group comes in between: this was the end of the table. To look again would never end while the table grows.
        if count < PIECE_RECORDS as u64 && bytes < PIECE_BYTES {
            self.next_table();
        }
        Ok(self.table == Table::ALL.len())
    }

    fn next_table(&mut self) {
        self.table += 1;
        self.last = None;
    }

    /// Changes in the copy what a group has changed, as far as it is copied.
    pub(crate) fn follow(&mut self, group: &Group) -> Result<(), String> {
        for (table, key, change) in group.changes() {
            let number = usize::from(table.kind());
            let is_copied =
                number < self.table || number == self.table && self.last.as_ref().is_some_and(|last| *key <= *last);
            if !is_copied {
                continue;
            }
            let tree = self.copy.trees.get(table);
            let replaced = without_panic(|| match change {
                Some(record) => tree.insert(key, record),
                None => tree.remove(key),
            })?
            .map_err(|error| error.to_string())?;
            if let Some(records) = self.records.get_mut(number) {
                let gain = i64::from(change.is_some()) - i64::from(replaced.is_some());
                *records = records.saturating_add_signed(gain);
            }
        }
        Ok(())
    }

    /// Makes the copy durable and lets it change places with the old file. `state` is that of the old one.
    pub(crate) fn finish(self, store: &Path, state: &State) -> Result<Database, String> {
        for (table, found) in Table::ALL.iter().zip(self.records).filter(|(table, _)| **table != Table::Meta) {
            let expected = state.records.get(table.name()).copied().unwrap_or(0);
            if found != expected {
                return Err(format!("the copy has {found} records of `{}` instead of {expected}", table.name()));
            }
        }
        let record = codec::encode(Table::Meta, &STATE_KEY, state).map_err(|error| error.to_string())?.record;
        without_panic(|| {
            self.copy.trees.get(Table::Meta).insert(STATE_KEY, record).map_err(|error| error.to_string())
        })??;
        Flusher::start().map_err(|error| error.to_string())?.flush(&self.copy.db)?;
        let copy = store.join(COPY_DIR);
        let exchange = || -> io::Result<()> {
            DataFile::open(&copy)?.sync()?;
            sync_sled_dir(&copy)?;
            rustix::fs::renameat_with(
                rustix::fs::CWD,
                &copy,
                rustix::fs::CWD,
                store.join(SLED_DIR),
                rustix::fs::RenameFlags::EXCHANGE,
            )?;
            Ok(())
        };
        exchange().map_err(|error| format!("the copy cannot take the place of the data file: {error}"))?;
        Ok(self.copy)
    }
}

/// After the exchange: what follows may be acknowledged only when it is durable. A failure is fatal.
pub(crate) fn settle(store: &Path) -> Result<(), String> {
    sync_directory(store).map_err(|error| format!("the exchange of the data files could not be synced: {error}"))
}

#[cfg(test)]
mod tests;
