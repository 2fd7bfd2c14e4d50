//! What makes groups durable, in two steps. A group is appended to the write-ahead log and synced: then it may be acknowledged. The trees get
//! what several groups come to, in one transaction: a record that was changed twice meanwhile, as the summary of a short run is, costs them
//! one change, and sled's flush, its threads and its sync serve some hundred runs instead of ten.

use std::io;
use std::sync::Arc;

use super::blocks::OpenBlocks;
use super::flush::Flusher;
use super::group::{Group, State};
use super::mark::Mark;
use super::shared::Shared;
use super::sync::DiskSync;
use super::wal::Wal;

/// Keys and records that the log may have and the trees not, in bytes, before they get them. As much as one group may hold
/// ([`super::writer`]), so that with the next group on top less is written at once than a segment of sled's log allows
/// ([`super::open::SEGMENT_BYTES`]).
const HELD_BYTES_MAX: usize = super::open::SEGMENT_BYTES / 16;

pub(crate) struct Disk {
    flusher: Flusher,
    /// That of the data file.
    pub(crate) sync: Box<dyn DiskSync>,
    mark: Mark,
    /// What the trees hold.
    pub(crate) state: State,
    pub(crate) blocks: OpenBlocks,
    wal: Wal,
    /// The number of the last group that is in the log, or was.
    logged: u64,
    /// What the log has and the trees have not.
    held: Arc<Group>,
}

impl Disk {
    /// `state` is that of the trees, and they hold everything.
    pub(crate) fn new((flusher, sync): (Flusher, Box<dyn DiskSync>), (mark, wal): (Mark, Wal), state: State) -> Self {
        let logged = state.group;
        Self { flusher, sync, mark, state, blocks: OpenBlocks::default(), wal, logged, held: Arc::default() }
    }

    /// The number of the last group that is durable.
    pub(crate) fn last_number(&self) -> u64 {
        self.logged
    }

    /// What is durable and not in the trees.
    pub(crate) fn held(&self) -> Arc<Group> {
        Arc::clone(&self.held)
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.state.group < self.logged
    }

    /// Whether the trees are to get what is held.
    pub(crate) fn holds_much(&self) -> bool {
        self.held.bytes() >= HELD_BYTES_MAX
    }

    /// Log, sync, mark: after that the group may be acknowledged. [`Self::hold`] is to follow.
    pub(crate) fn log(&mut self, group: &Group, shared: &Shared) -> Result<(), String> {
        if group.is_empty() {
            return Ok(());
        }
        let number = self.logged + 1;
        self.wal.append(number, group).map_err(|error| error.to_string())?;
        self.mark.note(number).map_err(|error| format!("the mark could not be written: {error}"))?;
        self.logged = number;
        shared.log_has(number);
        Ok(())
    }

    /// Keeps a group that was logged for the trees.
    pub(crate) fn hold(&mut self, group: Group) {
        // Nobody else has it when this is called.
        Arc::make_mut(&mut self.held).take(group);
    }

    /// Transaction, flush, sync: the trees have everything then. Returns what they did not have.
    pub(crate) fn apply(&mut self, shared: &Shared) -> Result<Arc<Group>, String> {
        let group = std::mem::take(&mut self.held);
        if self.is_behind() {
            self.state = group.commit(&shared.database().trees, &self.state, self.logged)?;
            shared.holds_bytes(self.state.bytes);
            self.flusher.flush(&shared.database().db).map_err(|error| format!("the flush failed: {error}"))?;
            self.sync.sync().map_err(|error| format!("the sync of the data file failed: {error}"))?;
            self.wal.restart().map_err(|error| format!("the write-ahead log could not be shortened: {error}"))?;
            shared.trees_have(self.state.group);
        }
        Ok(group)
    }

    /// Both steps at once.
    pub(crate) fn write_through(&mut self, group: Group, shared: &Shared) -> Result<(), String> {
        self.log(&group, shared)?;
        self.hold(group);
        self.apply(shared).map(drop)
    }

    /// Leaves everything as it is to be found; [`Self::apply`] comes first.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.mark.note(self.state.group)?;
        self.mark.sync()?;
        self.wal.clear()
    }
}
