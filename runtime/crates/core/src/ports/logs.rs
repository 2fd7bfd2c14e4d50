//! What is asked of a store beside running: following what happens, and giving the disk back.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::Serialize;

use super::{Changed, StoreError};
use crate::id::{InvalidId, RunId, WorkspaceId};
use crate::run::fold::RunSummary;
use crate::time::Timestamp;

/// What has become durable, in that order. It names entries and does not hold them: whoever follows reads them from the journal.
pub trait Tail: Send + Sync {
    /// The place of the newest change.
    fn end(&self) -> TailPosition;

    /// Up to `limit` changes of the workspace after `position`, without waiting for any. Only the newest are kept in memory: for
    /// an older place the answer is [`TailRead::Cut`].
    fn after(&self, workspace: &WorkspaceId, position: TailPosition, limit: usize) -> TailRead;

    /// Resolves at the first change after the call: subscribe before looking, so that nothing is missed.
    fn grown(&self) -> Changed;
}

/// A place in the order of what became durable; `12.3` in text. A later one is greater, across restarts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TailPosition {
    /// The group commit.
    pub group: u64,
    /// Within the group.
    pub index: u32,
}

/// Entries of one run that became durable together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailChange {
    pub position: TailPosition,
    pub run: RunId,
    /// The first of the entries, and the one after the last.
    pub first_seq: u32,
    pub next_seq: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailRead {
    /// What was found, and the place to go on from: behind it there may be changes of other workspaces.
    Changes { changes: Vec<TailChange>, reached: TailPosition },
    /// What followed `position` is not in memory any more; from `oldest` on it is.
    Cut { oldest: TailPosition },
}

impl fmt::Display for TailPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.group, self.index)
    }
}
impl FromStr for TailPosition {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.split_once('.')
            .and_then(|(group, index)| Some(Self { group: group.parse().ok()?, index: index.parse().ok()? }))
            .ok_or_else(|| InvalidId { text: text.to_owned(), expected: "a place in the stream, such as 12.3" })
    }
}

/// Runs that go before it is looked at again whether that was enough: what goes too much is at most so many.
const OLDEST_AT_A_TIME: usize = 50;

/// Removes what nobody wants any more and gives its space back.
#[async_trait]
pub trait Retention: Send + Sync {
    /// Runs, the oldest first, from the one after `after` on; unfinished ones too.
    async fn oldest(
        &self,
        workspace: &WorkspaceId,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<Kept>, StoreError>;

    /// Runs, the newest first, from the one before `before` on; unfinished ones too.
    async fn newest(
        &self,
        workspace: &WorkspaceId,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<Kept>, StoreError>;

    /// Removes runs with everything that belongs to them, in one transaction. Those that have not finished, are pinned or are
    /// not there are passed over. Returns after the sync.
    async fn remove(&self, workspace: &WorkspaceId, runs: &[RunId]) -> Result<Removed, StoreError>;

    /// Removes the oldest runs that may go (finished, not pinned) until at least so many bytes of theirs are gone, or no such run is left.
    async fn remove_oldest(&self, workspace: &WorkspaceId, bytes: u64) -> Result<Removed, StoreError> {
        let (mut removed, mut after) = (Removed::default(), None);
        while removed.bytes < bytes {
            let page = self.oldest(workspace, after, OLDEST_AT_A_TIME).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.summary.id);
            let may_go = page.iter().filter(|run| run.summary.status.is_final() && !run.is_pinned);
            let gone: Vec<_> = may_go.map(|run| run.summary.id).collect();
            let some = self.remove(workspace, &gone).await?;
            removed.runs += some.runs;
            removed.bytes = removed.bytes.saturating_add(some.bytes);
        }
        Ok(removed)
    }

    /// Removes up to `limit` records of deliveries that no run and no duplicate can refer to any more at `now`. Returns how many.
    async fn forget_deliveries(
        &self,
        workspace: &WorkspaceId,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError>;

    /// Keeps a run for good, or no longer. [`StoreError::NotFound`] when there is no such run.
    async fn pin(&self, workspace: &WorkspaceId, run: RunId, pinning: Pinning) -> Result<(), StoreError>;

    async fn is_pinned(&self, workspace: &WorkspaceId, run: RunId) -> Result<bool, StoreError>;

    async fn usage(&self) -> Result<Usage, StoreError>;

    /// Gives the space of removed records back to the file system, if there is enough of it to be worth the copy. Returns how
    /// many bytes that were; writes go on meanwhile.
    async fn compact(&self) -> Result<u64, StoreError>;
}

/// A run, and whether somebody wants it kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    pub summary: RunSummary,
    pub is_pinned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinning {
    Pinned,
    Free,
}

/// What a removal removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    pub runs: usize,
    /// Keys, records and payload files.
    pub bytes: u64,
}

/// What a store takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Usage {
    /// Keys and records that count.
    pub live_bytes: u64,
    /// The files they lie in, with what was removed and not given back.
    pub file_bytes: u64,
    /// Payload files.
    pub payload_bytes: u64,
}

impl Usage {
    /// What the store takes of the disk.
    pub fn disk_bytes(&self) -> u64 {
        self.file_bytes.saturating_add(self.payload_bytes)
    }
}
