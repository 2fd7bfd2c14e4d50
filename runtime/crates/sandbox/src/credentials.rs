//! Credentials where there are no connections: what [`crate::Ports`] gets from tools that keep none.

use std::sync::Arc;

use async_trait::async_trait;
use flowcell_core::connection::{Additions, Asking, Authorizer, CredentialError, Credentials, Outgoing};
use flowcell_core::id::ConnectionName;
use flowcell_core::secret::Secret;

/// There are no connections: a step that names one fails.
#[derive(Debug, Clone, Copy)]
pub struct NoCredentials;

#[async_trait]
impl Credentials for NoCredentials {
    async fn authorizer(&self, asking: Asking<'_>) -> Result<Arc<dyn Authorizer>, CredentialError> {
        Err(CredentialError::Unknown { name: asking.name.clone() })
    }
}

/// There are connections, and nobody here knows them: requests go without. For dry runs away from a server, which send nothing.
#[derive(Debug, Clone, Copy)]
pub struct UnknownCredentials;

#[async_trait]
impl Credentials for UnknownCredentials {
    async fn authorizer(&self, asking: Asking<'_>) -> Result<Arc<dyn Authorizer>, CredentialError> {
        Ok(Arc::new(Nothing { connection: asking.name.clone() }))
    }
}

/// Adds nothing anywhere.
struct Nothing {
    connection: ConnectionName,
}

#[async_trait]
impl Authorizer for Nothing {
    fn connection(&self) -> &ConnectionName {
        &self.connection
    }
    fn headers(&self) -> &[String] {
        &[]
    }
    fn query(&self) -> &[String] {
        &[]
    }
    fn is_bound_to(&self, _: &Outgoing<'_>) -> bool {
        false
    }
    async fn authorize(&self, _: &Outgoing<'_>) -> Result<Additions, CredentialError> {
        Ok(Additions::default())
    }
    async fn refused(&self) -> Result<bool, CredentialError> {
        Ok(false)
    }
    fn secrets(&self) -> Vec<Secret<String>> {
        Vec::new()
    }
}
