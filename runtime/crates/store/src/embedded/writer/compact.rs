//! The writer's part of a compaction: a piece between two groups, the exchange when everything is copied.

use flowcell_core::ports::StoreError;

use super::{Reply, Writer};
use crate::embedded::compaction::{self, Compaction};
use crate::embedded::guard::without_panic;
use crate::embedded::space::free_bytes;
use crate::embedded::sync::DataFile;
use crate::embedded::{SLED_DIR, shared};

/// A copy in the making, and who waits for it.
pub(super) struct Compacting {
    copy: Compaction,
    file_bytes: u64,
    replies: Vec<Reply<u64>>,
}

impl Writer {
    /// Begins a copy, if it would give enough back; answers when it is done.
    pub(super) fn begin_compaction(&mut self, reply: Reply<u64>) {
        if let Some(compacting) = &mut self.compacting {
            compacting.replies.push(reply);
            return;
        }
        let begun = self.try_compaction();
        match begun {
            Ok(Some((copy, file_bytes))) => {
                tracing::info!(file_bytes, "the data file is being compacted");
                self.compacting = Some(Compacting { copy, file_bytes, replies: vec![reply] });
            }
            Ok(None) => drop(reply.send(Ok(0))),
            Err(message) => drop(reply.send(Err(StoreError::Failed { message }))),
        }
    }

    fn try_compaction(&self) -> Result<Option<(Compaction, u64)>, String> {
        let path = self.shared.directory_path();
        let file_bytes = shared::allocated(&path.join(SLED_DIR)).map_err(|error| error.to_string())?;
        let live = self.disk.state.bytes;
        if !compaction::is_worth_it(file_bytes, live, &self.options) {
            return Ok(None);
        }
        let free = free_bytes(path).map_err(|error| error.to_string())?;
        if free < live.saturating_mul(compaction::COPY_PER_LIVE) {
            return Err(format!("there is no room for the copy: {live} bytes count and {free} are free"));
        }
        Compaction::begin(path, &self.options).map(|copy| Some((copy, file_bytes)))
    }

    /// Copies a piece, or ends the copy. What fails costs the copy and nothing else, until it takes the old file's place.
    pub(super) fn go_on_compacting(&mut self) -> Result<(), String> {
        let Some(compacting) = &mut self.compacting else { return Ok(()) };
        let copied = compacting.copy.copy_piece(&self.shared.database().trees);
        match copied {
            Ok(false) => Ok(()),
            Ok(true) => self.exchange(),
            Err(message) => {
                self.give_up_compacting(&message);
                Ok(())
            }
        }
    }

    fn give_up_compacting(&mut self, message: &str) {
        let Some(Compacting { copy, replies, .. }) = self.compacting.take() else { return };
        tracing::warn!(message, "the data file was not compacted; it stays as it is");
        let _ = without_panic(|| drop(copy));
        let _ = compaction::remove_leftover(self.shared.directory_path());
        for reply in replies {
            drop(reply.send(Err(StoreError::Failed { message: message.to_owned() })));
        }
    }

    fn exchange(&mut self) -> Result<(), String> {
        let Some(Compacting { copy, file_bytes, replies }) = self.compacting.take() else { return Ok(()) };
        let path = self.shared.directory_path().to_owned();
        let database = match copy.finish(&path, &self.disk.state) {
            Ok(database) => database,
            Err(message) => {
                tracing::warn!(message, "the data file was not compacted; it stays as it is");
                let _ = compaction::remove_leftover(&path);
                for reply in replies {
                    drop(reply.send(Err(StoreError::Failed { message: message.clone() })));
                }
                return Ok(());
            }
        };
        compaction::settle(&path)?;
        let data_file = DataFile::open(&path.join(SLED_DIR)).map_err(|error| error.to_string())?;
        self.disk.sync = (self.options.wrap_sync)(Box::new(data_file));
        without_panic(|| self.shared.replace_database(database))?;
        // The old files go at once for whoever looks; readers that still have them open keep them a moment longer.
        if let Err(error) = compaction::remove_leftover(&path) {
            tracing::warn!(%error, "the old data file was not removed; the next start does it");
        }
        let now = shared::allocated(&path.join(SLED_DIR)).unwrap_or(file_bytes);
        let freed = file_bytes.saturating_sub(now);
        tracing::info!(freed, file_bytes = now, "the data file is compacted");
        for reply in replies {
            drop(reply.send(Ok(freed)));
        }
        Ok(())
    }

    /// Changes the copy as `group` has changed the trees.
    pub(super) fn follow(&mut self, group: &crate::embedded::group::Group) {
        let followed = self.compacting.as_mut().map(|compacting| compacting.copy.follow(group));
        if let Some(Err(message)) = followed {
            self.give_up_compacting(&message);
        }
    }
}
