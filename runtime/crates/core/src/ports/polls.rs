//! How far polling triggers have come: what must change together with the runs that a poll starts.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Accepted, Delivery, StoreError};
use crate::id::{ConnectionName, Digest, WorkflowId, WorkspaceId};
use crate::time::Timestamp;

/// Where the polls of one trigger stand. There is one for each workflow that was ever polled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollState {
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    /// The trigger's id within its workflow.
    pub trigger: String,
    /// Counts its writes from 1: a write names the revision it was made from.
    pub revision: u64,
    /// What is polled ([`crate::polling::Source::digest`]): the cursor of another source means nothing.
    pub source: Digest,
    /// Where the next poll goes on, as the plugin said; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// When it is asked next.
    pub next_at: Timestamp,
    /// The last poll said that there is more already.
    #[serde(default)]
    pub more: bool,
    /// Polls in a row that failed.
    #[serde(default)]
    pub failures: u32,
    /// Of the last poll, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TriggerFailure>,
    /// Why it is not asked although it may be time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<Timestamp>,
    #[serde(default)]
    pub counts: PollCounts,
    /// The workflow polls no more, or something else. Its cursor stays, in case that it comes back.
    #[serde(default)]
    pub is_ended: bool,
}

/// What came of all polls of a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PollCounts {
    /// Those that brought an answer.
    pub polls: u64,
    pub failed: u64,
    /// What they brought, and what became of that.
    pub events: u64,
    pub started: u64,
    pub duplicate: u64,
    pub filtered: u64,
    /// Not started, because a run about the same subject goes on.
    pub skipped: u64,
}

/// A call of a trigger that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerFailure {
    pub at: Timestamp,
    /// Stable and machine-readable.
    pub code: String,
    /// For people: what happened and what to do.
    pub message: String,
    /// The trigger's setting that it is about, as a JSON Pointer into its `with`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

/// Why a trigger's plugin is not called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "kebab-case")]
pub enum Hold {
    /// Its connection waits for its owner. `since` is when the refused call began: what the owner did before that did not help.
    Reconnecting { connection: ConnectionName, since: Timestamp },
    /// The sandbox had to end its calls again and again.
    Quarantined { digest: Digest },
    /// So many runs of its workflow have yet to be executed.
    Backlog { runs: u64 },
}

impl PollState {
    /// A trigger that was never polled.
    pub fn new(
        (workspace, workflow, trigger): (WorkspaceId, WorkflowId, String),
        source: Digest,
        now: Timestamp,
    ) -> Self {
        Self {
            workspace,
            workflow,
            trigger,
            revision: 0,
            source,
            cursor: None,
            next_at: now,
            more: false,
            failures: 0,
            error: None,
            hold: None,
            last_at: None,
            last_success_at: None,
            counts: PollCounts::default(),
            is_ended: false,
        }
    }
}

/// The states of all polling triggers.
#[async_trait]
pub trait Polls: Send + Sync {
    /// Writes a state and the deliveries, with their runs, that the poll brought, in one transaction: all or nothing. Returns after the sync, with
    /// what became of each delivery. `state.revision` is the stored one + 1, or 1 for the first; else [`StoreError::Conflict`]. The
    /// deliveries have one workspace, that of the state, and no two share an id.
    async fn record(&self, state: PollState, deliveries: Vec<Delivery>) -> Result<Vec<Accepted>, StoreError>;

    async fn get(&self, workspace: &WorkspaceId, workflow: &WorkflowId) -> Result<Option<PollState>, StoreError>;

    /// Every state of the workspace, by workflow.
    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<PollState>, StoreError>;

    /// Whether a delivery with this key at `delivery.received_at` would start nothing, because one came before.
    async fn is_known(&self, delivery: &Delivery) -> Result<bool, StoreError>;
}
