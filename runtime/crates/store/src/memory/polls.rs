//! [`Polls`] and [`Subscriptions`] as they are meant.

use async_trait::async_trait;
use flowcell_core::id::{WorkflowId, WorkspaceId};
use flowcell_core::ports::{Accepted, Delivery, PollState, Polls, StoreError, SubscriptionState, Subscriptions};

use super::MemoryStore;
use crate::rules;
use crate::tail::Grown;

#[async_trait]
impl Polls for MemoryStore {
    async fn record(&self, poll: PollState, deliveries: Vec<Delivery>) -> Result<Vec<Accepted>, StoreError> {
        rules::check_polled(&poll, &deliveries)?;
        let accepted = {
            let mut state = self.state();
            let place = (poll.workspace.clone(), poll.workflow.clone());
            let stored = state.polls.get(&place).map_or(0, |stored| stored.revision);
            rules::check_trigger_revision(&poll.workflow, poll.revision, stored)?;
            for delivery in &deliveries {
                state.check(delivery)?;
            }
            let mut accepted = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                accepted.push(state.accept(delivery)?);
            }
            state.polls.insert(place, poll.clone());
            let started = accepted.iter().filter(|one| !one.duplicate).flat_map(|one| &one.runs);
            let grown: Vec<_> = started
                .map(|run| Grown { workspace: poll.workspace.clone(), run: *run, first_seq: 0, next_seq: 1 })
                .collect();
            state.writes += 1;
            self.tail.push(state.writes, grown);
            accepted
        };
        self.changed.notify_waiters();
        Ok(accepted)
    }

    async fn get(&self, workspace: &WorkspaceId, workflow: &WorkflowId) -> Result<Option<PollState>, StoreError> {
        Ok(self.state().polls.get(&(workspace.clone(), workflow.clone())).cloned())
    }

    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<PollState>, StoreError> {
        Ok(self.state().polls.values().filter(|poll| poll.workspace == *workspace).cloned().collect())
    }

    async fn is_known(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        Ok(self.state().first(delivery)?.is_some())
    }
}

#[async_trait]
impl Subscriptions for MemoryStore {
    async fn put(&self, subscription: SubscriptionState) -> Result<(), StoreError> {
        let mut state = self.state();
        let place = (subscription.workspace.clone(), subscription.workflow.clone());
        let stored = state.subscriptions.get(&place).map_or(0, |stored| stored.revision);
        rules::check_trigger_revision(&subscription.workflow, subscription.revision, stored)?;
        state.subscriptions.insert(place, subscription);
        Ok(())
    }

    async fn get(
        &self,
        workspace: &WorkspaceId,
        workflow: &WorkflowId,
    ) -> Result<Option<SubscriptionState>, StoreError> {
        Ok(self.state().subscriptions.get(&(workspace.clone(), workflow.clone())).cloned())
    }

    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<SubscriptionState>, StoreError> {
        let state = self.state();
        Ok(state.subscriptions.values().filter(|one| one.workspace == *workspace).cloned().collect())
    }
}
