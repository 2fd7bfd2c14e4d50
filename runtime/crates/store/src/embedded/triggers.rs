//! [`Triggers`]: read from the disk; nobody asks for them on the way of a delivery.

use async_trait::async_trait;
use flowcell_core::id::{WorkflowId, WorkspaceId};
use flowcell_core::ports::{LateCallers, Reference, StoreError, Triggers};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::journal::Rows;
use super::shared::reading;
use super::tables::{self, Table, TriggerPart};
use super::writer::{RowsWrite, Write};

#[async_trait]
impl Triggers for EmbeddedStore {
    async fn put_reference(&self, reference: Reference) -> Result<(), StoreError> {
        let place = (&reference.workspace, &reference.workflow, TriggerPart::Reference);
        self.put_trigger_part(place, &reference).await
    }

    async fn reference(&self, workspace: &WorkspaceId, workflow: &WorkflowId) -> Result<Option<Reference>, StoreError> {
        self.trigger_part((workspace, workflow, TriggerPart::Reference)).await
    }

    async fn put_late(&self, late: LateCallers) -> Result<(), StoreError> {
        self.put_trigger_part((&late.workspace, &late.workflow, TriggerPart::Late), &late).await
    }

    async fn late(&self, workspace: &WorkspaceId, workflow: &WorkflowId) -> Result<Option<LateCallers>, StoreError> {
        self.trigger_part((workspace, workflow, TriggerPart::Late)).await
    }
}

type Place<'a> = (&'a WorkspaceId, &'a WorkflowId, TriggerPart);

impl EmbeddedStore {
    async fn put_trigger_part<T: Serialize>(
        &self,
        (workspace, workflow, part): Place<'_>,
        value: &T,
    ) -> Result<(), StoreError> {
        let number = self.workspace_number(workspace).await?;
        let mut rows = Rows::default();
        rows.add(Table::Triggers, tables::trigger(number, workflow, part), value)?;
        // A file that an earlier record named is removed at the next start: references change when somebody maps anew.
        let rows = self.persist_payloads(rows).await?;
        let (reply, answer) = oneshot::channel();
        self.writer.reserve().await?.send(Write::Rows(Box::new(RowsWrite { remove: Vec::new(), rows, reply })));
        self.writer.answer(answer).await
    }

    pub(super) async fn trigger_part<T: DeserializeOwned + Send + 'static>(
        &self,
        (workspace, workflow, part): Place<'_>,
    ) -> Result<Option<T>, StoreError> {
        self.shared.check_alive()?;
        let Some(number) = self.known_workspace(workspace) else { return Ok(None) };
        let key = tables::trigger(number, workflow, part);
        let what = format!("what is kept about the trigger of `{workflow}`");
        reading(&self.shared, move |shared| shared.read(Table::Triggers, &key, &what)).await
    }
}
