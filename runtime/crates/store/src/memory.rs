//! The reference: what the ports mean, in maps under one lock. For tests; it keeps nothing on disk.

mod contacts;
mod key_values;
mod people;
mod polls;
mod retention;
mod search;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flowcell_core::blob::Blob;
use flowcell_core::connection::{Connections, StoredConnection};
use flowcell_core::destination::DestinationRecord;
use flowcell_core::id::{ConnectionName, Digest, EventId, NotificationId, RunId, UserId, WorkflowId, WorkspaceId};
use flowcell_core::inbox::Item;
use flowcell_core::people::StoredPerson;
use flowcell_core::ports::{
    Accepted, Append, Blobs, Changed, Definitions, Delivery, Destinations, Hook, HookBinding, Journal, LateCallers,
    PollState, Reference, RunQueue, ScheduleCursor, Schedules, StoreError, SubscriptionState, Tail, TailPosition,
    TailRead, Triggers, WorkflowHead, WorkflowVersion,
};
use flowcell_core::receipt::Receipt;
use flowcell_core::run::event::Recorded;
use flowcell_core::run::fold::RunSummary;
use flowcell_core::time::Timestamp;
use tokio::sync::Notify;

use crate::marks::Marks;
use crate::queue::DueQueue;
use crate::rules;
use crate::tail::{Grown, Ring};

/// All ports in memory. Clones share one store.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    contacts_changed: Arc<Notify>,
    tail: Arc<Ring<WorkspaceId>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            changed: Arc::default(),
            contacts_changed: Arc::default(),
            tail: Arc::new(Ring::new(0)),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    events: HashMap<EventId, Accepted>,
    dedupe: HashMap<(WorkspaceId, String, String), rules::Earlier>,
    runs: BTreeMap<RunId, Stored>,
    pinned: BTreeSet<RunId>,
    /// Counts the writes, as the groups of another store are counted.
    writes: u64,
    queue: DueQueue,
    marks: Marks,
    heads: BTreeMap<(WorkspaceId, WorkflowId), (WorkflowHead, [u8; 32])>,
    versions: HashMap<(WorkspaceId, WorkflowId, u32), WorkflowVersion>,
    hooks: HashMap<[u8; 32], Hook>,
    cursors: BTreeMap<(WorkspaceId, WorkflowId, String), ScheduleCursor>,
    connections: BTreeMap<(WorkspaceId, ConnectionName), StoredConnection>,
    destinations: BTreeMap<(WorkspaceId, String), DestinationRecord>,
    references: BTreeMap<(WorkspaceId, WorkflowId), Reference>,
    late: BTreeMap<(WorkspaceId, WorkflowId), LateCallers>,
    blobs: BTreeMap<(RunId, Digest), Blob>,
    book: contacts::Book,
    people: BTreeMap<(WorkspaceId, UserId), StoredPerson>,
    inboxes: BTreeMap<(WorkspaceId, UserId), BTreeMap<NotificationId, Item>>,
    receipts: BTreeMap<(WorkspaceId, String), Receipt>,
    values: key_values::Values,
    polls: BTreeMap<(WorkspaceId, WorkflowId), PollState>,
    subscriptions: BTreeMap<(WorkspaceId, WorkflowId), SubscriptionState>,
}

#[derive(Debug)]
struct Stored {
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
impl Blobs for MemoryStore {
    async fn keep(&self, _: &WorkspaceId, run: RunId, blob: Blob) -> Result<(), StoreError> {
        let mut state = self.state();
        let of_run = state.blobs.range((run, Digest::from_bytes([0; 32]))..=(run, Digest::from_bytes([255; 32])));
        let others = of_run.filter(|((_, digest), _)| *digest != blob.facts.blob).map(|(_, kept)| kept.facts.bytes);
        rules::check_blobs(run, others.sum::<u64>() + blob.facts.bytes)?;
        state.blobs.insert((run, blob.facts.blob), blob);
        Ok(())
    }

    async fn blob(&self, _: &WorkspaceId, run: RunId, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        Ok(self.state().blobs.get(&(run, *digest)).cloned())
    }
}

#[async_trait]
impl Journal for MemoryStore {
    async fn accept(&self, delivery: Delivery) -> Result<Accepted, StoreError> {
        rules::check_delivery(&delivery)?;
        let workspace = delivery.workspace.clone();
        let accepted = {
            let mut state = self.state();
            let accepted = state.accept(delivery)?;
            if !accepted.duplicate {
                let grown = accepted.runs.iter().map(|run| Grown {
                    workspace: workspace.clone(),
                    run: *run,
                    first_seq: 0,
                    next_seq: 1,
                });
                state.writes += 1;
                self.tail.push(state.writes, grown);
            }
            accepted
        };
        self.changed.notify_waiters();
        Ok(accepted)
    }

    async fn append(&self, append: Append) -> Result<(), StoreError> {
        let first_seq = rules::check_append(&append)?;
        let (workspace, run, next_seq) = (append.summary.workspace.clone(), append.run, append.summary.events);
        let has_work = {
            let mut state = self.state();
            let has_work = state.append(append, first_seq)?;
            state.writes += 1;
            self.tail.push(state.writes, [Grown { workspace, run, first_seq, next_seq }]);
            has_work
        };
        if has_work {
            self.changed.notify_waiters();
        }
        Ok(())
    }

    async fn load(&self, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        let state = self.state();
        let kept = state.runs.get(&run).ok_or_else(|| StoreError::NotFound { what: run.to_string() })?;
        Ok(kept.entries.clone())
    }

    async fn load_from(&self, run: RunId, seq: u32) -> Result<Vec<Recorded>, StoreError> {
        let state = self.state();
        let kept = state.runs.get(&run).ok_or_else(|| StoreError::NotFound { what: run.to_string() })?;
        Ok(kept.entries.iter().skip(seq as usize).cloned().collect())
    }
}

impl State {
    /// The delivery that this one repeats.
    fn first(&self, delivery: &Delivery) -> Result<Option<&Accepted>, StoreError> {
        let Some(earlier) = key_of(delivery).and_then(|key| self.dedupe.get(&key)) else { return Ok(None) };
        let repeats = rules::repeats(*earlier, delivery.received_at, &delivery.dedupe)?;
        Ok(self.events.get(&earlier.event).filter(|_| repeats))
    }

    /// Refuses a delivery whose ids are taken, unless it repeats an earlier one.
    fn check(&self, delivery: &Delivery) -> Result<(), StoreError> {
        if self.first(delivery)?.is_some() {
            return Ok(());
        }
        if self.events.contains_key(&delivery.event) {
            return Err(rules::already_there(delivery));
        }
        match delivery.runs.iter().find(|run| self.runs.contains_key(&run.id)) {
            Some(taken) => Err(rules::exists(&taken.id.to_string())),
            None => Ok(()),
        }
    }

    fn accept(&mut self, delivery: Delivery) -> Result<Accepted, StoreError> {
        if let Some(first) = self.first(&delivery)? {
            return Ok(Accepted { duplicate: true, ..first.clone() });
        }
        self.check(&delivery)?;
        let key = key_of(&delivery);
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
            self.runs.insert(run.id, Stored { summary: run.summary, entries: vec![run.created] });
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

/// By what a delivery is recognised.
fn key_of(delivery: &Delivery) -> Option<(WorkspaceId, String, String)> {
    let key = delivery.dedupe_key.clone()?;
    Some((delivery.workspace.clone(), delivery.trigger.clone(), key))
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

impl Tail for MemoryStore {
    fn end(&self) -> TailPosition {
        self.tail.end()
    }

    fn after(&self, workspace: &WorkspaceId, position: TailPosition, limit: usize) -> TailRead {
        self.tail.after(workspace, position, limit)
    }

    fn grown(&self) -> Changed {
        self.tail.grown()
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
        rules::check_url(&head, stored.map_or(0, |(head, _)| head.hook_generation))?;
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

    async fn rotate(&self, head: WorkflowHead, hook: HookBinding, gone: Vec<[u8; 32]>) -> Result<(), StoreError> {
        let mut state = self.state();
        let key = (head.workspace.clone(), head.id.clone());
        rules::check_rotation(&head, &hook, state.heads.get(&key).map(|(head, _)| head))?;
        if state.hooks.contains_key(&hook.token_hash) {
            return Err(rules::hook_taken(&head));
        }
        for token in gone {
            if state.hooks.get(&token).is_some_and(|led| led.workspace == head.workspace && led.workflow == head.id) {
                state.hooks.remove(&token);
            }
        }
        state.hooks.insert(hook.token_hash, hook.hook);
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

#[async_trait]
impl Schedules for MemoryStore {
    async fn put(&self, cursor: ScheduleCursor) -> Result<(), StoreError> {
        self.state().cursors.insert(cursor.place(), cursor);
        Ok(())
    }

    async fn get(
        &self,
        workspace: &WorkspaceId,
        workflow: &WorkflowId,
        trigger: &str,
    ) -> Result<Option<ScheduleCursor>, StoreError> {
        let place = (workspace.clone(), workflow.clone(), trigger.to_owned());
        Ok(self.state().cursors.get(&place).cloned())
    }

    async fn list(&self) -> Result<Vec<ScheduleCursor>, StoreError> {
        Ok(self.state().cursors.values().cloned().collect())
    }
}

#[async_trait]
impl Triggers for MemoryStore {
    async fn put_reference(&self, reference: Reference) -> Result<(), StoreError> {
        let key = (reference.workspace.clone(), reference.workflow.clone());
        self.state().references.insert(key, reference);
        Ok(())
    }

    async fn reference(&self, workspace: &WorkspaceId, workflow: &WorkflowId) -> Result<Option<Reference>, StoreError> {
        Ok(self.state().references.get(&(workspace.clone(), workflow.clone())).cloned())
    }

    async fn put_late(&self, late: LateCallers) -> Result<(), StoreError> {
        self.state().late.insert((late.workspace.clone(), late.workflow.clone()), late);
        Ok(())
    }

    async fn late(&self, workspace: &WorkspaceId, workflow: &WorkflowId) -> Result<Option<LateCallers>, StoreError> {
        Ok(self.state().late.get(&(workspace.clone(), workflow.clone())).cloned())
    }
}

#[async_trait]
impl Connections for MemoryStore {
    async fn put(&self, connection: StoredConnection) -> Result<(), StoreError> {
        let mut state = self.state();
        let place = (connection.connection.workspace.clone(), connection.connection.name.clone());
        let revision = state.connections.get(&place).map_or(0, |stored| stored.revision);
        rules::check_revision(&connection, revision)?;
        state.connections.insert(place, connection);
        Ok(())
    }

    async fn get(
        &self,
        workspace: &WorkspaceId,
        name: &ConnectionName,
    ) -> Result<Option<StoredConnection>, StoreError> {
        Ok(self.state().connections.get(&(workspace.clone(), name.clone())).cloned())
    }

    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<StoredConnection>, StoreError> {
        let state = self.state();
        let of_workspace = state.connections.iter().filter(|((owner, _), _)| owner == workspace);
        Ok(of_workspace.map(|(_, stored)| stored.clone()).collect())
    }

    async fn remove(&self, workspace: &WorkspaceId, name: &ConnectionName) -> Result<bool, StoreError> {
        Ok(self.state().connections.remove(&(workspace.clone(), name.clone())).is_some())
    }
}

#[async_trait]
impl Destinations for MemoryStore {
    async fn put(&self, changed: Vec<DestinationRecord>, removed: Vec<DestinationRecord>) -> Result<(), StoreError> {
        let mut state = self.state();
        for record in removed {
            state.destinations.remove(&(record.workspace, record.url));
        }
        for record in changed {
            state.destinations.insert((record.workspace.clone(), record.url.clone()), record);
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<DestinationRecord>, StoreError> {
        Ok(self.state().destinations.values().cloned().collect())
    }
}
