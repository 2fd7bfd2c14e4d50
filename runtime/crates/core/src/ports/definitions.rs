//! Workflows in the store: their versions, heads, and the URLs that start them.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::id::{WorkflowId, WorkspaceId};
use crate::plugin::{Pin, Uses};
use crate::ports::StoreError;
use crate::time::Timestamp;

/// A version of a workflow, never changed after it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowVersion {
    pub workspace: WorkspaceId,
    pub id: WorkflowId,
    /// Counted from 1.
    pub version: u32,
    /// The text its author wrote: YAML or JSON.
    pub source: String,
    pub created_at: Timestamp,
    /// What each `uses` was resolved to.
    pub pins: std::collections::BTreeMap<Uses, Pin>,
    /// The version that each `call` without one starts: what was published when this version was applied.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub calls: std::collections::BTreeMap<WorkflowId, u32>,
}

/// Which versions a workflow has and which one runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowHead {
    pub workspace: WorkspaceId,
    pub id: WorkflowId,
    pub name: String,
    pub latest: u32,
    /// The version new runs take; absent while there are only drafts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<u32>,
    /// Counts the rotations of its trigger's URL. The token itself is derived from this and the instance key, and stored nowhere.
    pub hook_generation: u32,
    /// URLs that were replaced and count for a while yet, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_hooks: Vec<FormerHook>,
    pub updated_at: Timestamp,
}

/// A trigger's URL that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerHook {
    pub generation: u32,
    /// From then on it leads nowhere.
    pub valid_until: Timestamp,
}

/// Where a trigger's URL leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    /// The trigger's id within its workflow.
    pub trigger: String,
}

/// The SHA-256 of a trigger URL's token, and where the URL leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookBinding {
    pub token_hash: [u8; 32],
    pub hook: Hook,
}

/// Workflows and their versions.
#[async_trait]
pub trait Definitions: Send + Sync {
    /// Writes a version, the new head and the hook in one transaction; returns after the sync.
    /// [`StoreError::Conflict`] when `version.version` is not the stored head's `latest` + 1, or the trigger's URL was replaced meanwhile.
    async fn put(&self, version: WorkflowVersion, head: WorkflowHead, hook: HookBinding) -> Result<(), StoreError>;

    /// Replaces the trigger's URL: writes the head, whose `hook_generation` is the stored one + 1 (else [`StoreError::Conflict`]), and the hook of
    /// the new URL. The former hooks stay, except those whose token is in `gone`.
    async fn rotate(&self, head: WorkflowHead, hook: HookBinding, gone: Vec<[u8; 32]>) -> Result<(), StoreError>;

    async fn head(&self, workspace: &WorkspaceId, id: &WorkflowId) -> Result<Option<WorkflowHead>, StoreError>;

    async fn version(
        &self,
        workspace: &WorkspaceId,
        id: &WorkflowId,
        version: u32,
    ) -> Result<Option<WorkflowVersion>, StoreError>;

    /// Every workflow of the workspace, by id.
    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<WorkflowHead>, StoreError>;

    /// Looks a trigger URL's token up by the SHA-256 of the token.
    async fn hook(&self, token_hash: [u8; 32]) -> Result<Option<Hook>, StoreError>;
}
