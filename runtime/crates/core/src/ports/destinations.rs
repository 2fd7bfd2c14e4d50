//! What is known of the receivers of deliveries, so that it outlives a restart.

use async_trait::async_trait;

use super::StoreError;
use crate::destination::DestinationRecord;

/// The destinations of all workspaces. Whoever uses it holds them in memory and writes what has changed.
#[async_trait]
pub trait Destinations: Send + Sync {
    /// Writes records over those of before, and removes others, in one transaction; returns after the sync.
    async fn put(&self, changed: Vec<DestinationRecord>, removed: Vec<DestinationRecord>) -> Result<(), StoreError>;

    /// Every record there is, by workspace and URL.
    async fn list(&self) -> Result<Vec<DestinationRecord>, StoreError>;
}
