//! What is kept about triggers beside their workflows: the request a mapping is made against, and who still calls by what was replaced.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StoreError;
use crate::id::{WorkflowId, WorkspaceId};
use crate::time::Timestamp;

/// What the expressions of a workflow are written against: requests that came, as its steps see them (`trigger`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    pub saved_at: Timestamp,
    /// The requests it is made of, the newest first.
    pub requests: Vec<String>,
    /// What the trigger made of each of them; secrets of the headers are masked.
    pub samples: Vec<Value>,
    /// The JSON Schema that fits all samples.
    pub schema: Value,
}

/// How often something that was replaced is still used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LateUse {
    pub count: u64,
    pub last_at: Option<Timestamp>,
}

/// Who still calls a trigger by what was replaced. Counted in memory and written now and then: after a crash the last minute is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateCallers {
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    /// By the generation of the URL.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub urls: BTreeMap<u32, LateUse>,
    /// Requests that were verified by another secret than the current one.
    #[serde(default)]
    pub previous_secret: LateUse,
}

impl LateUse {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { count: self.count.saturating_add(other.count), last_at: self.last_at.max(other.last_at) }
    }
}

impl LateCallers {
    pub fn none(workspace: WorkspaceId, workflow: WorkflowId) -> Self {
        Self { workspace, workflow, urls: BTreeMap::new(), previous_secret: LateUse::default() }
    }

    /// Counts what came since.
    pub fn add(&mut self, urls: &BTreeMap<u32, LateUse>, previous_secret: LateUse) {
        for (generation, late) in urls {
            let known = self.urls.entry(*generation).or_default();
            *known = known.plus(*late);
        }
        self.previous_secret = self.previous_secret.plus(previous_secret);
    }
}

/// What is kept about triggers. Every write is synced before it returns.
#[async_trait]
pub trait Triggers: Send + Sync {
    /// Writes a workflow's reference, over an earlier one.
    async fn put_reference(&self, reference: Reference) -> Result<(), StoreError>;
    async fn reference(&self, workspace: &WorkspaceId, workflow: &WorkflowId) -> Result<Option<Reference>, StoreError>;
    /// Writes who is late for a workflow, over what was there.
    async fn put_late(&self, late: LateCallers) -> Result<(), StoreError>;
    async fn late(&self, workspace: &WorkspaceId, workflow: &WorkflowId) -> Result<Option<LateCallers>, StoreError>;
}
