//! [`Polls`] and [`Subscriptions`]: the states of triggers, written by one task each, and with a poll's state the runs it brought.

use async_trait::async_trait;
use flowcell_core::id::{WorkflowId, WorkspaceId};
use flowcell_core::ports::{Accepted, Delivery, PollState, Polls, StoreError, SubscriptionState, Subscriptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::codec::{self, Body, PayloadRef};
use super::delivered::delivered;
use super::guard::without_panic;
use super::journal::Rows;
use super::shared::{damaged, reading};
use super::tables::{self, Table, TriggerPart};
use super::writer::{DeliveredRows, TriggerWrite, Write};
use crate::rules;

const WHAT: &str = "what is kept about a trigger";

#[async_trait]
impl Polls for EmbeddedStore {
    async fn record(&self, state: PollState, deliveries: Vec<Delivery>) -> Result<Vec<Accepted>, StoreError> {
        rules::check_polled(&state, &deliveries)?;
        if !deliveries.is_empty() {
            self.shared.space.admit_delivery()?;
        }
        let place = (&state.workspace, &state.workflow, TriggerPart::Poll);
        self.put_state(place, state.revision, (&state, &deliveries)).await
    }

    async fn get(&self, workspace: &WorkspaceId, workflow: &WorkflowId) -> Result<Option<PollState>, StoreError> {
        self.trigger_part((workspace, workflow, TriggerPart::Poll)).await
    }

    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<PollState>, StoreError> {
        self.states(workspace, TriggerPart::Poll).await
    }

    async fn is_known(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        self.shared.check_alive()?;
        let (Some(key), Some(number)) = (&delivery.dedupe_key, self.known_workspace(&delivery.workspace)) else {
            return Ok(false);
        };
        let key = tables::dedupe(number, &delivery.trigger, key);
        let (now, terms) = (delivery.received_at, delivery.dedupe);
        let known = reading(&self.shared, move |shared| {
            let seen = shared.read::<super::writer::Seen>(Table::Dedupe, &key, "the record of an earlier delivery")?;
            let earlier = seen.map(|seen| rules::Earlier { event: seen.event, at: seen.at, body: seen.body });
            earlier.map_or(Ok(false), |earlier| rules::repeats(earlier, now, &terms))
        });
        known.await
    }
}

#[async_trait]
impl Subscriptions for EmbeddedStore {
    async fn put(&self, state: SubscriptionState) -> Result<(), StoreError> {
        let place = (&state.workspace, &state.workflow, TriggerPart::Subscription);
        self.put_state(place, state.revision, (&state, &[])).await.map(drop)
    }

    async fn get(
        &self,
        workspace: &WorkspaceId,
        workflow: &WorkflowId,
    ) -> Result<Option<SubscriptionState>, StoreError> {
        self.trigger_part((workspace, workflow, TriggerPart::Subscription)).await
    }

    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<SubscriptionState>, StoreError> {
        self.states(workspace, TriggerPart::Subscription).await
    }
}

impl EmbeddedStore {
    /// Writes a state over the one it was made from, together with deliveries.
    async fn put_state<T: Serialize>(
        &self,
        (workspace, workflow, part): (&WorkspaceId, &WorkflowId, TriggerPart),
        revision: u64,
        (state, deliveries): (&T, &[Delivery]),
    ) -> Result<Vec<Accepted>, StoreError> {
        self.shared.space.admit_entry()?;
        let number = self.workspace_number(workspace).await?;
        let key = tables::trigger(number, workflow, part);
        let former = self.former_file(&key).await?;
        let (mut files, mut written) = (Vec::new(), Vec::with_capacity(deliveries.len()));
        let mut own = Rows::default();
        own.add(Table::Triggers, key.clone(), state)?;
        files.extend(own.files());
        let rows = self.persist_payloads(own).await?;
        for delivery in deliveries {
            let (rows, delivered) = delivered(number, delivery)?;
            files.extend(rows.files());
            written.push(DeliveredRows { rows: self.persist_payloads(rows).await?, ..delivered });
        }
        let (reply, answer) = oneshot::channel();
        let write = TriggerWrite { workflow: workflow.clone(), key, revision, rows, deliveries: written, reply };
        self.writer.reserve().await?.send(Write::Trigger(Box::new(write)));
        let answered = self.writer.answer(answer).await;
        match &answered {
            // The record that named it is gone.
            Ok(_) => self.drop_payloads(former.into_iter().collect()).await,
            Err(StoreError::Stopped) => {}
            Err(_) => self.drop_payloads(files).await,
        }
        answered
    }

    /// The file that the record at `key` names, if it is too large for the tree.
    async fn former_file(&self, key: &sled::IVec) -> Result<Option<PayloadRef>, StoreError> {
        let key = key.clone();
        reading(&self.shared, move |shared| {
            let Some(record) = shared.record(Table::Triggers, &key, WHAT)? else { return Ok(None) };
            let opened = codec::open(Table::Triggers, &key, &record).map_err(|problem| damaged(WHAT, problem))?;
            Ok(match opened.body {
                Body::File(name) => Some(name),
                Body::Inline(_) => None,
            })
        })
        .await
    }

    /// Every state of this part in the workspace, by workflow.
    async fn states<T: DeserializeOwned + Send + 'static>(
        &self,
        workspace: &WorkspaceId,
        part: TriggerPart,
    ) -> Result<Vec<T>, StoreError> {
        self.shared.check_alive()?;
        let Some(number) = self.known_workspace(workspace) else { return Ok(Vec::new()) };
        let read = reading(&self.shared, move |shared| {
            let rows = without_panic(|| {
                let rows = shared.database().trees.get(Table::Triggers).scan_prefix(tables::workspace(number));
                rows.filter(|row| row.as_ref().map_or(true, |(key, _)| tables::is_part(key, part)))
                    .collect::<Result<Vec<_>, _>>()
            });
            let rows = rows.and_then(|rows| rows.map_err(|error| error.to_string()));
            let rows = rows.map_err(|problem| damaged(WHAT, problem))?;
            rows.into_iter().map(|(key, record)| shared.decode(Table::Triggers, &key, &record, WHAT)).collect()
        });
        read.await
    }
}
