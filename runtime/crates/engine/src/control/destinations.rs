//! How it goes at the receivers of deliveries, and whether anything is sent to them.

use flowcell_core::destination::{DestinationId, Disabled};
use flowcell_core::id::WorkspaceId;
use flowcell_core::ports::StoreError;

use super::RunControl;
use crate::destinations::DestinationView;

impl RunControl {
    /// Every destination that is known, by URL.
    pub async fn destinations(&self, workspace: &WorkspaceId) -> Result<Vec<DestinationView>, StoreError> {
        self.0.destinations.load(&self.0.ports).await?;
        Ok(self.0.destinations.list(workspace))
    }

    pub async fn destination(
        &self,
        workspace: &WorkspaceId,
        id: DestinationId,
    ) -> Result<Option<DestinationView>, StoreError> {
        self.0.destinations.load(&self.0.ports).await?;
        Ok(self.0.destinations.get(workspace, id))
    }

    /// Lets deliveries through again; `None` when nothing is known of it. Steps that have failed meanwhile stay failed: their runs are dead letters.
    pub async fn enable_destination(
        &self,
        workspace: &WorkspaceId,
        id: DestinationId,
    ) -> Result<Option<DestinationView>, StoreError> {
        self.0.destinations.load(&self.0.ports).await?;
        self.0.destinations.enable(&self.0.ports, (workspace, id)).await?;
        Ok(self.0.destinations.get(workspace, id))
    }

    /// Sends nothing to a URL (as [`flowcell_core::destination::Destination::url`] writes it) any more; returns after the sync.
    pub async fn disable_destination(
        &self,
        workspace: &WorkspaceId,
        url: &str,
        reason: &str,
    ) -> Result<Option<DestinationView>, StoreError> {
        self.0.destinations.load(&self.0.ports).await?;
        let disabled = Disabled { since: self.0.ports.clock.now(), run: None, reason: reason.to_owned() };
        self.0.destinations.disable(&self.0.ports, (workspace, url), disabled).await?;
        Ok(self.0.destinations.get(workspace, DestinationId::of(url)))
    }

    /// Writes down how it went since the last time: what the store has of it outlives a restart.
    pub async fn flush_destinations(&self) -> Result<(), StoreError> {
        self.0.destinations.flush(&self.0.ports).await
    }
}
