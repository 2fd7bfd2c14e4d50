//! The secrets that senders sign with: connections of the kind `webhook-secret`.

use flowcell_core::connection::{CredentialError, Kind};
use flowcell_core::id::{ConnectionName, WorkspaceId};
use flowcell_core::secret::Secret;

use crate::app::App;
use crate::connections::document::SecretDocument;

/// Every secret that counts now, the current one first. Opened for each request, so that one that was taken away verifies nothing any more.
pub(crate) async fn of(
    app: &App,
    workspace: &WorkspaceId,
    name: &ConnectionName,
) -> Result<Vec<Secret<Vec<u8>>>, CredentialError> {
    let stored = app.connections.get(workspace, name).await.map_err(|error| CredentialError::Unavailable {
        name: name.clone(),
        reason: error.to_string(),
        retry_after_ms: None,
    })?;
    let stored = stored.ok_or_else(|| CredentialError::Unknown { name: name.clone() })?;
    let kind = &stored.connection.kind;
    let wrong = || CredentialError::WrongKind { name: name.clone(), kind: kind.name() };
    if !matches!(kind, Kind::WebhookSecret) {
        return Err(wrong());
    }
    let SecretDocument::Signing(signing) = app.connections.open(&stored)? else { return Err(wrong()) };
    let now = app.ports.clock.now();
    Ok(signing.valid_secrets(now).map(|secret| Secret::new(secret.expose().as_bytes().to_vec())).collect())
}
