//! The reference: what the ports mean, in maps under one lock. For tests; it keeps nothing on disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flowcell_core::id::{EventId, RunId, WorkflowId, WorkspaceId};
use flowcell_core::ports::{
    Accepted, Append, Changed, Definitions, Delivery, Hook, HookBinding, Journal, RunFilter, RunIndex, RunQueue,
    StoreError, WorkflowHead, WorkflowVersion,
};
use flowcell_core::run::event::Recorded;
use flowcell_core::run::fold::{Mark, RunSummary};
use flowcell_core::time::Timestamp;
use tokio::sync::Notify;

use crate::marks::Marks;
use crate::queue::DueQueue;
use crate::rules;

/// All four ports in memory. Clones share one store.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    events: HashMap<EventId, Accepted>,
    dedupe: HashMap<(WorkspaceId, String, String), rules::Earlier>,
    runs: BTreeMap<RunId, Kept>,
    queue: DueQueue,
    marks: Marks,
    heads: BTreeMap<(WorkspaceId, WorkflowId), (WorkflowHead, [u8; 32])>,
    versions: HashMap<(WorkspaceId, WorkflowId, u32), WorkflowVersion>,
    hooks: HashMap<[u8; 32], Hook>,
}

#[derive(Debug)]
struct Kept {
    summary: RunSummary,
    entries: Vec<Recorded>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// Does what a crash and a new start do: releases every claim. What was written stays.
    pub fn crash(&self) {
        self.state().queue.release_all();
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for MemoryStore {
    async fn accept(&self, delivery: Delivery) -> Result<Accepted, StoreError> {
        rules::check_delivery(&delivery)?;
        let accepted = self.state().accept(delivery)?;
        self.changed.notify_waiters();
        Ok(accepted)
    }

    async fn append(&self, append: Append) -> Result<(), StoreError> {
        let first_seq = rules::check_append(&append)?;
        if self.state().append(append, first_seq)? {
            self.changed.notify_waiters();
        }
        Ok(())
    }

    async fn load(&self, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        let state = self.state();
        let kept = state.runs.get(&run).ok_or_else(|| StoreError::NotFound { what: run.to_string() })?;
        Ok(kept.entries.clone())
    }
}

impl State {
    fn accept(&mut self, delivery: Delivery) -> Result<Accepted, StoreError> {
        let key =
            delivery.dedupe_key.as_ref().map(|key| (delivery.workspace.clone(), delivery.trigger.clone(), key.clone()));
        if let Some(earlier) = key.as_ref().and_then(|key| self.dedupe.get(key))
            && rules::repeats(*earlier, delivery.received_at, &delivery.dedupe)?
            && let Some(first) = self.events.get(&earlier.event)
        {
            return Ok(Accepted { duplicate: true, ..first.clone() });
        }
        if self.events.contains_key(&delivery.event) {
            return Err(rules::already_there(&delivery));
        }
        if let Some(taken) = delivery.runs.iter().find(|run| self.runs.contains_key(&run.id)) {
            return Err(rules::exists(&taken.id.to_string()));
        }
        let runs = delivery.runs.iter().map(|run| run.id).collect();
        let accepted = Accepted { event: delivery.event, runs, duplicate: false };
        self.events.insert(delivery.event, accepted.clone());
        if let Some(key) = key {
            let (event, at, body) = (delivery.event, delivery.received_at, delivery.dedupe.body);
            self.dedupe.insert(key, rules::Earlier { event, at, body });
        }
        for run in delivery.runs {
            self.queue.set_due(run.id, run.summary.due_at);
            self.marks.set(run.id, &run.summary.marks);
            self.runs.insert(run.id, Kept { summary: run.summary, entries: vec![run.created] });
        }
        Ok(accepted)
    }

    fn append(&mut self, append: Append, first_seq: u32) -> Result<bool, StoreError> {
        let kept = self
            .runs
            .get_mut(&append.run)
            .filter(|kept| kept.summary.workspace == append.summary.workspace)
            .ok_or_else(|| StoreError::NotFound { what: append.run.to_string() })?;
        rules::check_length(&append, first_seq, kept.summary.events)?;
        if kept.summary.status.is_final() {
            return Err(rules::finished(&append));
        }
        kept.summary = append.summary;
        kept.entries.extend(append.entries);
        self.marks.set(append.run, &kept.summary.marks);
        if kept.summary.status.is_final() {
            self.queue.finish(append.run);
            return Ok(false);
        }
        Ok(self.queue.set_due(append.run, kept.summary.due_at))
    }
}

#[async_trait]
impl RunQueue for MemoryStore {
    async fn claim(&self, now: Timestamp, limit: usize) -> Result<Vec<RunId>, StoreError> {
        Ok(self.state().queue.claim(now, limit))
    }

    async fn release(&self, run: RunId) -> Result<(), StoreError> {
        if self.state().queue.release(run) {
            self.changed.notify_waiters();
        }
        Ok(())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.state().queue.next_due())
    }

    fn changed(&self) -> Changed {
        // `notify_waiters` reaches every future made before it, polled or not: that is the subscription.
        Box::pin(Arc::clone(&self.changed).notified_owned())
    }
}

#[async_trait]
impl RunIndex for MemoryStore {
    async fn get(&self, workspace: &WorkspaceId, run: RunId) -> Result<Option<RunSummary>, StoreError> {
        let state = self.state();
        Ok(state.runs.get(&run).map(|kept| &kept.summary).filter(|found| found.workspace == *workspace).cloned())
    }

    async fn list(
        &self,
        workspace: &WorkspaceId,
        filter: RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunSummary>, StoreError> {
        let state = self.state();
        Ok(state
            .runs
            .values()
            .rev()
            .map(|kept| &kept.summary)
            .filter(|run| run.workspace == *workspace && before.is_none_or(|before| run.id < before))
            .filter(|run| rules::passes(&filter, run))
            .take(limit.min(rules::PAGE_RUNS_MAX))
            .cloned()
            .collect())
    }

    async fn marked(&self, workspace: &WorkspaceId, mark: &Mark) -> Result<Vec<RunSummary>, StoreError> {
        let state = self.state();
        let marked = state.marks.runs(mark).filter_map(|run| Some(&state.runs.get(&run)?.summary));
        Ok(marked.filter(|run| run.workspace == *workspace).cloned().collect())
    }
}

#[async_trait]
impl Definitions for MemoryStore {
    async fn put(&self, version: WorkflowVersion, head: WorkflowHead, hook: HookBinding) -> Result<(), StoreError> {
        rules::check_definition(&version, &head, &hook)?;
        let mut state = self.state();
        let key = (head.workspace.clone(), head.id.clone());
        let stored = state.heads.get(&key);
        rules::check_version(&version, stored.map_or(0, |(head, _)| head.latest))?;
        let old_token = stored.map(|(_, token)| *token);
        if state
            .hooks
            .get(&hook.token_hash)
            .is_some_and(|taken| taken.workspace != head.workspace || taken.workflow != head.id)
        {
            return Err(rules::hook_taken(&head));
        }
        if let Some(old) = old_token {
            state.hooks.remove(&old);
        }
        state.hooks.insert(hook.token_hash, hook.hook);
        state.versions.insert((head.workspace.clone(), head.id.clone(), version.version), version);
        state.heads.insert(key, (head, hook.token_hash));
        Ok(())
    }

    async fn head(&self, workspace: &WorkspaceId, id: &WorkflowId) -> Result<Option<WorkflowHead>, StoreError> {
        Ok(self.state().heads.get(&(workspace.clone(), id.clone())).map(|(head, _)| head.clone()))
    }

    async fn version(
        &self,
        workspace: &WorkspaceId,
        id: &WorkflowId,
        version: u32,
    ) -> Result<Option<WorkflowVersion>, StoreError> {
        Ok(self.state().versions.get(&(workspace.clone(), id.clone(), version)).cloned())
    }

    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<WorkflowHead>, StoreError> {
        let state = self.state();
        Ok(state.heads.values().map(|(head, _)| head).filter(|head| head.workspace == *workspace).cloned().collect())
    }

    async fn hook(&self, token_hash: [u8; 32]) -> Result<Option<Hook>, StoreError> {
        Ok(self.state().hooks.get(&token_hash).cloned())
    }
}
