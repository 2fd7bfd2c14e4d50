//! [`RunIndex`] as it is meant: every run is looked at, and its journal decides.

use async_trait::async_trait;
use flowcell_core::id::{RunId, WorkflowId, WorkspaceId};
use flowcell_core::ports::{PageRequest, RunFilter, RunIndex, RunPage, StoreError};
use flowcell_core::run::fold::{Mark, RunSummary};
use flowcell_core::search::FieldPath;

use super::MemoryStore;
use crate::rules;

#[async_trait]
impl RunIndex for MemoryStore {
    async fn get(&self, workspace: &WorkspaceId, run: RunId) -> Result<Option<RunSummary>, StoreError> {
        let state = self.state();
        Ok(state.runs.get(&run).map(|kept| &kept.summary).filter(|found| found.workspace == *workspace).cloned())
    }

    async fn search(
        &self,
        workspace: &WorkspaceId,
        filter: &RunFilter,
        page: PageRequest,
    ) -> Result<RunPage, StoreError> {
        let limit = page.limit.min(rules::PAGE_RUNS_MAX);
        let state = self.state();
        let mut runs: Vec<_> = state
            .runs
            .values()
            .rev()
            .filter(|run| run.summary.workspace == *workspace && page.before.is_none_or(|last| run.summary.id < last))
            .filter(|run| filter.passes_entries(&run.summary, &run.entries))
            .map(|run| run.summary.clone())
            .take(limit + 1)
            .collect();
        let has_more = runs.len() > limit;
        runs.truncate(limit);
        let next = runs.last().map(|run| run.id).filter(|_| has_more);
        Ok(RunPage { runs, next, is_cut: false })
    }

    async fn marked(&self, workspace: &WorkspaceId, mark: &Mark) -> Result<Vec<RunSummary>, StoreError> {
        let state = self.state();
        let marked = state.marks.runs(mark).filter_map(|run| Some(&state.runs.get(&run)?.summary));
        Ok(marked.filter(|run| run.workspace == *workspace).cloned().collect())
    }

    fn index_fields(&self, _: &WorkspaceId, _: &WorkflowId, _: Vec<FieldPath>) {}
}
