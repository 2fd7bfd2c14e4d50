//! [`RunIndex`]: the summaries, newest first because run ids sort by time. A filter is a scan: a page costs as much as
//! the runs it passes over, about a microsecond each.

use async_trait::async_trait;
use flowcell_core::id::{RunId, WorkspaceId};
use flowcell_core::ports::{RunFilter, RunIndex, StoreError};
use flowcell_core::run::fold::{Mark, RunSummary};

use super::EmbeddedStore;
use super::guard::without_panic;
use super::shared::{Shared, damaged, reading};
use super::tables::{self, Table, WorkspaceNumber};
use crate::rules;

#[async_trait]
impl RunIndex for EmbeddedStore {
    async fn get(&self, workspace: &WorkspaceId, run: RunId) -> Result<Option<RunSummary>, StoreError> {
        self.shared.check_alive()?;
        let Some(number) = self.known_workspace(workspace) else { return Ok(None) };
        let found = reading(&self.shared, move |shared| summary(shared, number, run)).await?;
        self.shared.is_durable(Some(run)).await?;
        Ok(found)
    }

    async fn list(
        &self,
        workspace: &WorkspaceId,
        filter: RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunSummary>, StoreError> {
        self.shared.check_alive()?;
        let Some(number) = self.known_workspace(workspace) else { return Ok(Vec::new()) };
        let limit = limit.min(rules::PAGE_RUNS_MAX);
        let page = reading(&self.shared, move |shared| {
            let first = RunId::from_bytes([0; 16]);
            let after = match before {
                Some(before) => tables::run(number, before),
                None => tables::workspace(number.saturating_add(1)),
            };
            let range = tables::run(number, first)..after;
            let mut page = Vec::new();
            let mut rows = shared.trees.get(Table::Runs).range(range);
            while page.len() < limit {
                let row = without_panic(|| rows.next_back()).map_err(|problem| damaged("the list of runs", problem))?;
                let Some(row) = row else { break };
                let (key, record) = row.map_err(|error| damaged("the list of runs", error.to_string()))?;
                let found: RunSummary = shared.decode(Table::Runs, &key, &record, "the summary of a run")?;
                if rules::passes(&filter, &found) {
                    page.push(found);
                }
            }
            Ok(page)
        })
        .await?;
        // A run may also be absent from the page because of what is not durable yet.
        self.shared.is_durable(None).await?;
        Ok(page)
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

/// The summary of a run of this workspace.
pub(crate) fn summary(
    shared: &Shared,
    workspace: WorkspaceNumber,
    run: RunId,
) -> Result<Option<RunSummary>, StoreError> {
    shared.read(Table::Runs, &tables::run(workspace, run), &format!("the summary of {run}"))
}
