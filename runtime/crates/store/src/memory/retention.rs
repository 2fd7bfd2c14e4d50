//! [`Retention`] as it is meant. Nothing here takes disk, so there is nothing to compact.

use async_trait::async_trait;
use flowcell_core::id::{RunId, WorkspaceId};
use flowcell_core::ports::{Kept, Pinning, Removed, Retention, StoreError, Usage};
use flowcell_core::time::Timestamp;
use serde::Serialize;

use super::{MemoryStore, State, Stored};
use crate::rules;

#[async_trait]
impl Retention for MemoryStore {
    async fn oldest(
        &self,
        workspace: &WorkspaceId,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<Kept>, StoreError> {
        let state = self.state();
        let runs = state.kept(workspace).filter(|run| after.is_none_or(|after| run.summary.id > after));
        Ok(runs.take(limit.min(rules::PAGE_RUNS_MAX)).collect())
    }

    async fn newest(
        &self,
        workspace: &WorkspaceId,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<Kept>, StoreError> {
        let state = self.state();
        let runs = state.kept(workspace).rev().filter(|run| before.is_none_or(|before| run.summary.id < before));
        Ok(runs.take(limit.min(rules::PAGE_RUNS_MAX)).collect())
    }

    async fn remove(&self, workspace: &WorkspaceId, runs: &[RunId]) -> Result<Removed, StoreError> {
        let mut state = self.state();
        let mut removed = Removed::default();
        for id in runs {
            let goes = state.runs.get(id).is_some_and(|run| {
                run.summary.workspace == *workspace && run.summary.status.is_final() && !state.pinned.contains(id)
            });
            if goes && let Some(run) = state.runs.remove(id) {
                removed.runs += 1;
                removed.bytes += bytes(&run);
                state.blobs.retain(|(of, _), _| of != id);
            }
        }
        Ok(removed)
    }

    async fn forget_deliveries(
        &self,
        workspace: &WorkspaceId,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let mut state = self.state();
        state.dedupe.retain(|(whose, _, _), first| whose != workspace || rules::is_remembered(first.at, now));
        let remembered: std::collections::HashSet<_> = state.dedupe.values().map(|first| first.event).collect();
        let forgotten: Vec<_> = state
            .events
            .iter()
            .filter(|(id, event)| {
                !remembered.contains(*id) && !event.runs.iter().any(|run| state.runs.contains_key(run))
            })
            .map(|(id, _)| *id)
            .take(limit)
            .collect();
        for event in &forgotten {
            state.events.remove(event);
        }
        Ok(forgotten.len())
    }

    async fn pin(&self, workspace: &WorkspaceId, run: RunId, pinning: Pinning) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.runs.get(&run).is_none_or(|found| found.summary.workspace != *workspace) {
            return Err(StoreError::NotFound { what: run.to_string() });
        }
        match pinning {
            Pinning::Pinned => state.pinned.insert(run),
            Pinning::Free => state.pinned.remove(&run),
        };
        Ok(())
    }

    async fn is_pinned(&self, _: &WorkspaceId, run: RunId) -> Result<bool, StoreError> {
        Ok(self.state().pinned.contains(&run))
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        Ok(Usage { live_bytes: self.state().runs.values().map(bytes).sum(), ..Usage::default() })
    }

    async fn compact(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// What a run would take as records.
fn bytes(run: &Stored) -> u64 {
    let entries: usize = run.entries.iter().map(size).sum();
    (entries + size(&run.summary)) as u64
}

fn size(record: &impl Serialize) -> usize {
    serde_json::to_vec(record).map_or(0, |json| json.len())
}

impl State {
    /// The runs of a workspace, the oldest first.
    fn kept(&self, workspace: &WorkspaceId) -> impl DoubleEndedIterator<Item = Kept> {
        self.runs
            .values()
            .filter(move |run| run.summary.workspace == *workspace)
            .map(|run| Kept { summary: run.summary.clone(), is_pinned: self.pinned.contains(&run.summary.id) })
    }
}
