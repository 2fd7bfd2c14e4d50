//! Blobs as runs see them: their own, and those of the runs that they were made from or that they started. What one run takes from another it
//! keeps as well, so that it does not go with the other.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use flowcell_core::blob::Blob;
use flowcell_core::id::{Digest, RunId, WorkspaceId};
use flowcell_core::ports::{Blobs, Journal, StoreError};
use flowcell_core::run::event::{Detail, Recorded, RunEvent};

/// Runs that are looked at for one blob: a rerun of a rerun, the callers of a call, a loop of calls. Each is one read of a journal.
const RUNS_MAX: usize = 100;

pub(crate) struct RelatedBlobs {
    store: Arc<dyn Blobs>,
    journal: Arc<dyn Journal>,
}

impl RelatedBlobs {
    pub(crate) fn new(store: Arc<dyn Blobs>, journal: Arc<dyn Journal>) -> Self {
        Self { store, journal }
    }

    /// The runs whose outputs this one can have: what it repeats, who called it, whose failure it handles, and whom it called.
    async fn relatives(&self, run: RunId) -> Result<Vec<RunId>, StoreError> {
        match self.journal.load(run).await {
            Ok(entries) => Ok(entries.iter().flat_map(relatives_of).collect()),
            Err(StoreError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

fn relatives_of(entry: &Recorded) -> Vec<RunId> {
    match &entry.event {
        RunEvent::Created { origin, .. } => {
            let parent = origin.parent.as_ref().map(|parent| parent.run);
            let seeded = origin.seed.iter().filter_map(|event| match event {
                RunEvent::Entered { detail: Detail::Called { run, .. }, .. } => Some(*run),
                _ => None,
            });
            origin.rerun_of.into_iter().chain(parent).chain(origin.failure_of).chain(seeded).collect()
        }
        RunEvent::Entered { detail: Detail::Called { run, .. }, .. } => vec![*run],
        _ => Vec::new(),
    }
}

#[async_trait]
impl Blobs for RelatedBlobs {
    async fn keep(&self, workspace: &WorkspaceId, run: RunId, blob: Blob) -> Result<(), StoreError> {
        self.store.keep(workspace, run, blob).await
    }

    async fn blob(&self, workspace: &WorkspaceId, run: RunId, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        let (mut seen, mut next) = (HashSet::from([run]), VecDeque::from([run]));
        while let Some(looked_at) = next.pop_front() {
            if let Some(blob) = self.store.blob(workspace, looked_at, digest).await? {
                if looked_at != run {
                    self.store.keep(workspace, run, blob.clone()).await?;
                }
                return Ok(Some(blob));
            }
            for relative in self.relatives(looked_at).await? {
                if seen.len() < RUNS_MAX && seen.insert(relative) {
                    next.push_back(relative);
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowcell_core::blob::BlobFacts;
    use flowcell_core::id::EventId;
    use flowcell_core::ports::{DedupeTerms, Delivery, NewRun};
    use flowcell_core::run::event::Origin;
    use flowcell_core::run::fold::Run;
    use flowcell_core::time::Timestamp;
    use flowcell_store::memory::MemoryStore;
    use serde_json::Value;

    async fn begin(store: &MemoryStore, number: u64, origin: Origin) -> RunId {
        let at = Timestamp::from_millis(1_764_000_000_000 + number);
        let (id, event) = (RunId::from_parts(at, 1), EventId::from_parts(at, 1));
        let created = RunEvent::Created {
            workspace: WorkspaceId::default_workspace(),
            workflow: "push".parse().unwrap(),
            version: 1,
            event,
            pins: std::collections::BTreeMap::new(),
            trigger: Value::Null.into(),
            origin,
        };
        let created = Recorded { seq: 0, at, event: created };
        let summary = Run::fold(id, std::slice::from_ref(&created)).unwrap().summary();
        let delivery = Delivery {
            event,
            workspace: WorkspaceId::default_workspace(),
            trigger: "t".into(),
            received_at: at,
            dedupe_key: None,
            dedupe: DedupeTerms::default(),
            runs: vec![NewRun { id, created, summary }],
        };
        store.accept(delivery).await.unwrap();
        id
    }

    #[tokio::test]
    async fn a_rerun_has_the_blobs_of_the_run_it_repeats_and_keeps_them_and_a_stranger_has_none() {
        let store = Arc::new(MemoryStore::new());
        let blobs = RelatedBlobs::new(Arc::clone(&store) as _, Arc::clone(&store) as _);
        let workspace = WorkspaceId::default_workspace();
        let first = begin(&store, 1, Origin::default()).await;
        let second = begin(&store, 2, Origin { rerun_of: Some(first), ..Origin::default() }).await;
        let third = begin(&store, 3, Origin { rerun_of: Some(second), ..Origin::default() }).await;
        let stranger = begin(&store, 4, Origin::default()).await;
        let digest = Digest::of(b"pdf");
        let facts = BlobFacts { blob: digest, bytes: 3, content_type: None, filename: None };
        blobs.keep(&workspace, first, Blob { facts, bytes: b"pdf".to_vec() }).await.unwrap();
        assert_eq!(blobs.blob(&workspace, stranger, &digest).await.unwrap(), None);
        assert_eq!(blobs.blob(&workspace, third, &digest).await.unwrap().unwrap().bytes, b"pdf");
        assert!(store.blob(&workspace, third, &digest).await.unwrap().is_some(), "it keeps it itself now");
    }
}
