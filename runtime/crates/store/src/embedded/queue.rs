//! [`RunQueue`]: claims happen in memory; a release goes through the writer, behind the writes that were queued before it.

use std::sync::Arc;

use async_trait::async_trait;
use flowcell_core::id::RunId;
use flowcell_core::ports::{Changed, RunQueue, StoreError};
use flowcell_core::time::Timestamp;

use super::EmbeddedStore;
use super::writer::Write;

#[async_trait]
impl RunQueue for EmbeddedStore {
    async fn claim(&self, now: Timestamp, limit: usize) -> Result<Vec<RunId>, StoreError> {
        self.shared.check_alive()?;
        Ok(self.shared.tracker().queue.claim(now, limit))
    }

    async fn release(&self, run: RunId) -> Result<(), StoreError> {
        self.writer.reserve().await?.send(Write::Release { run });
        Ok(())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.shared.check_alive()?;
        Ok(self.shared.tracker().queue.next_due())
    }

    fn changed(&self) -> Changed {
        // `notify_waiters` reaches every future made before it, polled or not: that is the subscription.
        Box::pin(Arc::clone(&self.shared.changed).notified_owned())
    }
}
