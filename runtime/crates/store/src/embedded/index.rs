//! [`RunIndex`]: a run by its id, and searches (see [`search`]).

use async_trait::async_trait;
use flowcell_core::id::{RunId, WorkflowId, WorkspaceId};
use flowcell_core::ports::{PageRequest, RunFilter, RunIndex, RunPage, StoreError};
use flowcell_core::run::fold::{Mark, RunSummary};
use flowcell_core::search::FieldPath;

use super::EmbeddedStore;
use super::search::{self, Search};
use super::shared::{Shared, reading};
use super::tables::{self, Table, WorkspaceNumber};
use crate::rules;

#[async_trait]
impl RunIndex for EmbeddedStore {
    async fn get(&self, workspace: &WorkspaceId, run: RunId) -> Result<Option<RunSummary>, StoreError> {
        self.shared.check_alive()?;
        let Some(number) = self.known_workspace(workspace) else { return Ok(None) };
        reading(&self.shared, move |shared| summary(shared, number, run)).await
    }

    async fn search(
        &self,
        workspace: &WorkspaceId,
        filter: &RunFilter,
        page: PageRequest,
    ) -> Result<RunPage, StoreError> {
        self.shared.check_alive()?;
        let Some(number) = self.known_workspace(workspace) else { return Ok(RunPage::default()) };
        let limit = page.limit.min(rules::PAGE_RUNS_MAX);
        if limit == 0 {
            return Ok(RunPage::default());
        }
        let filter = filter.clone();
        reading(&self.shared, move |shared| {
            Search { shared, workspace: number, filter: &filter, before: page.before, limit }.run()
        })
        .await
    }

    fn index_fields(&self, workspace: &WorkspaceId, workflow: &WorkflowId, fields: Vec<FieldPath>) {
        self.shared.index_fields(workspace, workflow, fields);
    }

    async fn marked(&self, workspace: &WorkspaceId, mark: &Mark) -> Result<Vec<RunSummary>, StoreError> {
        self.shared.check_alive()?;
        let Some(number) = self.known_workspace(workspace) else { return Ok(Vec::new()) };
        let runs: Vec<RunId> = {
            let tracker = self.shared.tracker();
            let of_workspace = |run: &RunId| tracker.get(*run).is_some_and(|tracked| tracked.workspace == number);
            tracker.marks.runs(mark).filter(of_workspace).collect()
        };
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let found = reading(&self.shared, move |shared| {
            runs.into_iter().filter_map(|run| summary(shared, number, run).transpose()).collect::<Result<Vec<_>, _>>()
        })
        .await?;
        // Some may have ended or moved on since.
        Ok(found.into_iter().filter(|run| run.marks.contains(mark)).collect())
    }
}

impl EmbeddedStore {
    /// What the index will have of the entries of a run before `first_seq`, where nobody in this process has queued them.
    pub(crate) async fn facts_before(
        &self,
        run: RunId,
        first_seq: u32,
        indexed: &std::sync::Arc<[FieldPath]>,
    ) -> Result<Option<flowcell_core::search::RunFacts>, StoreError> {
        let known = self.shared.tracker().facts.get(&run).map(flowcell_core::search::RunFacts::next_seq);
        if known == Some(first_seq) {
            return Ok(None);
        }
        if first_seq == 1 && indexed.is_empty() {
            return Ok(Some(flowcell_core::search::RunFacts::begun()));
        }
        let indexed = std::sync::Arc::clone(indexed);
        reading(&self.shared, move |shared| search::facts(shared, run, first_seq, &indexed)).await.map(Some)
    }
}

/// The summary of a run of this workspace.
pub(crate) fn summary(
    shared: &Shared,
    workspace: WorkspaceNumber,
    run: RunId,
) -> Result<Option<RunSummary>, StoreError> {
    shared.read(Table::Runs, &tables::run(workspace, run), &format!("the summary of {run}"))
}
