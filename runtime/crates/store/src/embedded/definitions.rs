//! [`Definitions`]: heads and hooks are answered from memory (every delivery asks for them), versions are read.

use async_trait::async_trait;
use flowcell_core::id::{WorkflowId, WorkspaceId};
use flowcell_core::ports::{Definitions, Hook, HookBinding, StoreError, WorkflowHead, WorkflowVersion};
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::journal::Rows;
use super::shared::{StoredHead, reading};
use super::tables::{self, Table};
use super::writer::{DefineWrite, RotateWrite, Write};
use crate::rules;

#[async_trait]
impl Definitions for EmbeddedStore {
    async fn put(&self, version: WorkflowVersion, head: WorkflowHead, hook: HookBinding) -> Result<(), StoreError> {
        rules::check_definition(&version, &head, &hook)?;
        let number = self.workspace_number(&head.workspace).await?;
        let head = StoredHead { head, token_hash: hook.token_hash };
        let mut rows = Rows::default();
        rows.add(Table::Versions, tables::version(number, &version.id, version.version), &version)?;
        rows.add(Table::Heads, tables::head(number, &version.id), &head)?;
        rows.add(Table::Hooks, tables::hook(&hook.token_hash), &hook.hook)?;
        let rows = self.persist_payloads(rows).await?;
        let (reply, answer) = oneshot::channel();
        self.writer.reserve().await?.send(Write::Define(Box::new(DefineWrite { rows, version, head, hook, reply })));
        self.writer.answer(answer).await
    }

    async fn rotate(&self, head: WorkflowHead, hook: HookBinding, gone: Vec<[u8; 32]>) -> Result<(), StoreError> {
        let number = self.workspace_number(&head.workspace).await?;
        let head = StoredHead { head, token_hash: hook.token_hash };
        let mut rows = Rows::default();
        rows.add(Table::Heads, tables::head(number, &head.head.id), &head)?;
        rows.add(Table::Hooks, tables::hook(&hook.token_hash), &hook.hook)?;
        let rows = self.persist_payloads(rows).await?;
        let (reply, answer) = oneshot::channel();
        let write = RotateWrite { rows, head, hook, gone, reply };
        self.writer.reserve().await?.send(Write::Rotate(Box::new(write)));
        self.writer.answer(answer).await
    }

    async fn head(&self, workspace: &WorkspaceId, id: &WorkflowId) -> Result<Option<WorkflowHead>, StoreError> {
        self.shared.check_alive()?;
        let key = (workspace.clone(), id.clone());
        Ok(self.shared.directory().heads.get(&key).map(|stored| stored.head.clone()))
    }

    async fn version(
        &self,
        workspace: &WorkspaceId,
        id: &WorkflowId,
        version: u32,
    ) -> Result<Option<WorkflowVersion>, StoreError> {
        self.shared.check_alive()?;
        let Some(number) = self.known_workspace(workspace) else { return Ok(None) };
        let key = tables::version(number, id, version);
        let what = format!("version {version} of workflow `{id}`");
        reading(&self.shared, move |shared| shared.read(Table::Versions, &key, &what)).await
    }

    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<WorkflowHead>, StoreError> {
        self.shared.check_alive()?;
        let directory = self.shared.directory();
        let heads = directory.heads.values().map(|stored| &stored.head);
        Ok(heads.filter(|head| head.workspace == *workspace).cloned().collect())
    }

    async fn hook(&self, token_hash: [u8; 32]) -> Result<Option<Hook>, StoreError> {
        self.shared.check_alive()?;
        Ok(self.shared.directory().hooks.get(&token_hash).cloned())
    }
}
