//! Where the secrets come from that senders sign with: connections of the kind `webhook-secret`.

use async_trait::async_trait;
use flowcell_core::connection::CredentialError;
use flowcell_core::id::{ConnectionName, WorkspaceId};
use flowcell_core::secret::Secret;

/// Opens the secrets of a trigger's scheme.
#[async_trait]
pub(crate) trait VerificationSecrets: Send + Sync {
    /// Every secret that counts now, the current one first: where a request was verified by another one, its sender is told of as late. Asked for
    /// each request, so that a secret that was taken away verifies nothing any more; what does not fit the kind is an error.
    async fn secrets(
        &self,
        workspace: &WorkspaceId,
        name: &ConnectionName,
    ) -> Result<Vec<Secret<Vec<u8>>>, CredentialError>;
}

/// Where there are no connections: nothing is verified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoSecrets;

#[async_trait]
impl VerificationSecrets for NoSecrets {
    async fn secrets(
        &self,
        _: &WorkspaceId,
        name: &ConnectionName,
    ) -> Result<Vec<Secret<Vec<u8>>>, CredentialError> {
        Err(CredentialError::Unknown { name: name.clone() })
    }
}
