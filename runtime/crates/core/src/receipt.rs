//! Receipts: what a step has done with the host's help, kept for a while, so that an attempt that is made again gets the first result instead of
//! doing it twice.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::WorkspaceId;
use crate::ports::StoreError;
use crate::time::Timestamp;

/// How long one is kept: as long as a delivery's key is remembered, longer than any step is tried again (PROMISES §1, 5).
pub const KEPT: Duration = Duration::from_hours(72);

/// What was done under one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    pub workspace: WorkspaceId,
    /// Unique in the workspace: what was done, the step's idempotency key, and which of its calls it was.
    pub key: String,
    pub at: Timestamp,
    /// What the step was told.
    pub result: Value,
}

impl Receipt {
    pub fn counts_at(&self, now: Timestamp) -> bool {
        now.since(self.at) < KEPT
    }
}

/// Receipts in the store. Every write is synced before it returns.
#[async_trait]
pub trait Receipts: Send + Sync {
    /// Writes it, over an earlier one with its key.
    async fn put(&self, receipt: Receipt) -> Result<(), StoreError>;
    async fn get(&self, workspace: &WorkspaceId, key: &str) -> Result<Option<Receipt>, StoreError>;
    /// Removes those from before `before`, at most `limit` of them; how many there were.
    async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;
}
