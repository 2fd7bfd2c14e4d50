//! How far the schedules have come: the one thing about them that must outlive a crash.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::id::{Digest, WorkflowId, WorkspaceId};
use crate::time::Timestamp;

/// How far the schedule of one trigger has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleCursor {
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    /// The trigger's id within its workflow.
    pub trigger: String,
    /// Which times are meant ([`crate::schedule::Schedule::digest`]): a changed schedule begins anew.
    pub schedule: Digest,
    /// Every occurrence up to here, and at it, has its run or was passed over. It never goes back for one schedule.
    pub decided: Timestamp,
    /// The last occurrence that started a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired: Option<Timestamp>,
    /// The workflow has this schedule no more; when it comes back, nothing of the time between was missed.
    #[serde(default)]
    pub is_ended: bool,
}

impl ScheduleCursor {
    /// Whose cursor it is.
    pub fn place(&self) -> (WorkspaceId, WorkflowId, String) {
        (self.workspace.clone(), self.workflow.clone(), self.trigger.clone())
    }
}

/// The cursors of all schedules, one for each trigger.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Writes a cursor, over an earlier one of its trigger; returns after the sync.
    async fn put(&self, cursor: ScheduleCursor) -> Result<(), StoreError>;

    async fn get(
        &self,
        workspace: &WorkspaceId,
        workflow: &WorkflowId,
        trigger: &str,
    ) -> Result<Option<ScheduleCursor>, StoreError>;

    /// Every cursor there is, by workspace, workflow and trigger.
    async fn list(&self) -> Result<Vec<ScheduleCursor>, StoreError>;
}
