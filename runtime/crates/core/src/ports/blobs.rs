//! The bytes that outputs name, kept with their run.

use async_trait::async_trait;

use super::StoreError;
use crate::blob::Blob;
use crate::id::{Digest, RunId, WorkspaceId};

/// Blobs by the run that keeps them: one goes when its run does, unless another run keeps the same bytes.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Keeps bytes for a run; durable when it returns. Again is no more than once. [`StoreError::Refused`] when the run would keep more than
    /// [`crate::blob::RUN_BYTES_MAX`].
    async fn keep(&self, workspace: &WorkspaceId, run: RunId, blob: Blob) -> Result<(), StoreError>;

    /// What the run keeps under this digest.
    async fn blob(&self, workspace: &WorkspaceId, run: RunId, digest: &Digest) -> Result<Option<Blob>, StoreError>;
}

/// Keeps nothing: for tools without a store.
#[derive(Debug, Clone, Copy)]
pub struct NoBlobs;

#[async_trait]
impl Blobs for NoBlobs {
    async fn keep(&self, _: &WorkspaceId, _: RunId, _: Blob) -> Result<(), StoreError> {
        Ok(())
    }
    async fn blob(&self, _: &WorkspaceId, _: RunId, _: &Digest) -> Result<Option<Blob>, StoreError> {
        Ok(None)
    }
}
