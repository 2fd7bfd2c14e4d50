//! What outlives a call of the bodies that the door kept from its guest: those that the output names.

use flowcell_core::blob;
use flowcell_core::invoke::{ActionCall, InvokeError};
use flowcell_core::ports::StoreError;
use serde_json::Value;

use super::Mode;
use crate::Sandbox;
use crate::egress::CallPass;

impl Sandbox {
    /// Makes durable what the output names of the bodies that were kept from the guest; the others go.
    pub(super) async fn keep_blobs(
        &self,
        mode: Mode<'_>,
        call: &ActionCall,
        pass: &CallPass,
        output: &Value,
    ) -> Result<(), InvokeError> {
        let kept = pass.take_blobs();
        if kept.is_empty() || !matches!(mode, Mode::Live) {
            return Ok(());
        }
        let named = blob::named_in(output);
        for blob in kept.into_iter().filter(|blob| named.contains(&blob.facts.blob)) {
            self.ports.blobs.keep(&call.workspace, call.run, blob).await.map_err(|error| InvokeError::BlobNotKept {
                retryable: !matches!(error, StoreError::Refused { .. }),
                message: error.to_string(),
            })?;
        }
        Ok(())
    }
}
