//! [`Schedules`]: read from memory, where every cursor lies once its group is synced; some 300 bytes each.

use async_trait::async_trait;
use flowcell_core::id::{WorkflowId, WorkspaceId};
use flowcell_core::ports::{ScheduleCursor, Schedules, StoreError};
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::journal::Rows;
use super::tables::{self, Table};
use super::writer::{CursorWrite, Write};

#[async_trait]
impl Schedules for EmbeddedStore {
    async fn put(&self, cursor: ScheduleCursor) -> Result<(), StoreError> {
        let number = self.workspace_number(&cursor.workspace).await?;
        let mut rows = Rows::default();
        rows.add(Table::Schedules, tables::schedule(number, &cursor.workflow, &cursor.trigger), &cursor)?;
        let rows = self.persist_payloads(rows).await?;
        let (reply, answer) = oneshot::channel();
        self.writer.reserve().await?.send(Write::Cursor(Box::new(CursorWrite { rows, cursor, reply })));
        self.writer.answer(answer).await
    }

    async fn get(
        &self,
        workspace: &WorkspaceId,
        workflow: &WorkflowId,
        trigger: &str,
    ) -> Result<Option<ScheduleCursor>, StoreError> {
        self.shared.check_alive()?;
        let place = (workspace.clone(), workflow.clone(), trigger.to_owned());
        Ok(self.shared.directory().cursors.get(&place).cloned())
    }

    async fn list(&self) -> Result<Vec<ScheduleCursor>, StoreError> {
        self.shared.check_alive()?;
        Ok(self.shared.directory().cursors.values().cloned().collect())
    }
}
