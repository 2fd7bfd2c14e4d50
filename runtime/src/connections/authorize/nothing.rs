//! Adds nothing: connections that steps use for something else than HTTP, such as mail. A plugin's requests go out as if the step had named none.

use async_trait::async_trait;
use flowcell_core::connection::{Additions, Authorizer, CredentialError, Outgoing};
use flowcell_core::id::ConnectionName;
use flowcell_core::secret::Secret;

pub(crate) struct Nothing {
    connection: ConnectionName,
}

impl Nothing {
    pub(crate) fn new(connection: ConnectionName) -> Self {
        Self { connection }
    }
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
