//! The workflows of a rehearsal, as the engine asks for them. Each has one text, which stands for every version that is asked for.

use std::collections::BTreeMap;

use async_trait::async_trait;
use flowcell_core::id::{WorkflowId, WorkspaceId};
use flowcell_core::plugin::{Pin, Uses};
use flowcell_core::ports::{Definitions, Hook, HookBinding, StoreError, WorkflowHead, WorkflowVersion};
use flowcell_core::time::Timestamp;

/// A workflow that can run.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) workflow: flowcell_core::workflow::Workflow,
    /// As its author wrote it.
    pub(crate) source: String,
    pub(crate) pins: BTreeMap<Uses, Pin>,
}

/// Read only.
#[derive(Debug, Default)]
pub(super) struct Texts {
    workflows: BTreeMap<WorkflowId, Ready>,
}

impl Texts {
    pub(super) fn of<'r>(workflows: impl IntoIterator<Item = &'r Ready>) -> Self {
        Self { workflows: workflows.into_iter().map(|ready| (ready.workflow.id.clone(), ready.clone())).collect() }
    }
}

#[async_trait]
impl Definitions for Texts {
    async fn put(&self, _: WorkflowVersion, _: WorkflowHead, _: HookBinding) -> Result<(), StoreError> {
        Err(StoreError::Refused { message: "a rehearsal publishes nothing".to_owned() })
    }

    async fn rotate(&self, _: WorkflowHead, _: HookBinding, _: Vec<[u8; 32]>) -> Result<(), StoreError> {
        Err(StoreError::Refused { message: "a rehearsal publishes nothing".to_owned() })
    }

    async fn head(&self, workspace: &WorkspaceId, id: &WorkflowId) -> Result<Option<WorkflowHead>, StoreError> {
        Ok(self.workflows.get(id).map(|ready| WorkflowHead {
            workspace: workspace.clone(),
            id: id.clone(),
            name: ready.workflow.name.clone(),
            latest: 1,
            published: Some(1),
            hook_generation: 1,
            former_hooks: Vec::new(),
            updated_at: Timestamp::from_millis(0),
        }))
    }

    async fn version(
        &self,
        workspace: &WorkspaceId,
        id: &WorkflowId,
        version: u32,
    ) -> Result<Option<WorkflowVersion>, StoreError> {
        Ok(self.workflows.get(id).map(|ready| WorkflowVersion {
            workspace: workspace.clone(),
            id: id.clone(),
            version,
            source: ready.source.clone(),
            created_at: Timestamp::from_millis(0),
            pins: ready.pins.clone(),
            calls: self.workflows.keys().map(|id| (id.clone(), 1)).collect(),
        }))
    }

    async fn list(&self, _: &WorkspaceId) -> Result<Vec<WorkflowHead>, StoreError> {
        Ok(Vec::new())
    }

    async fn hook(&self, _: [u8; 32]) -> Result<Option<Hook>, StoreError> {
        Ok(None)
    }
}
