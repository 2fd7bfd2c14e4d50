//! From a connection and its secret to what is added to requests.

use std::sync::Arc;

use async_trait::async_trait;
use flowcell_core::capability::RequestTarget;
use flowcell_core::connection::{Additions, Authorizer, Connection, CredentialError, Outgoing};
use flowcell_core::id::ConnectionName;
use flowcell_core::secret::Secret;

use super::document::SecretDocument;

/// The authorizer of one call. `revision` is that of the stored connection.
pub(crate) fn authorizer(
    connection: &Connection,
    secret: SecretDocument,
    _revision: u32,
) -> Result<Arc<dyn Authorizer>, CredentialError> {
    match secret {
        SecretDocument::Bearer { token } => {
            Ok(Arc::new(Bearer { connection: connection.clone(), headers: ["authorization".to_owned()], token }))
        }
        _ => Err(CredentialError::WrongKind { name: connection.name.clone(), kind: connection.kind.name() }),
    }
}

struct Bearer {
    connection: Connection,
    headers: [String; 1],
    token: Secret<String>,
}

#[async_trait]
impl Authorizer for Bearer {
    fn connection(&self) -> &ConnectionName {
        &self.connection.name
    }

    fn headers(&self) -> &[String] {
        &self.headers
    }

    fn query(&self) -> &[String] {
        &[]
    }

    async fn authorize(&self, request: &Outgoing<'_>) -> Result<Option<Additions>, CredentialError> {
        let is_bound = RequestTarget::new(request.method, request.url)
            .is_ok_and(|target| self.connection.bound.hosts.iter().any(|rule| rule.matches(&target)));
        let value = Secret::new(["Bearer ", self.token.expose()].concat());
        Ok(is_bound.then(|| Additions { headers: vec![("authorization".to_owned(), value)], query: Vec::new() }))
    }

    async fn refused(&self) -> Result<bool, CredentialError> {
        Ok(false)
    }

    fn secrets(&self) -> Vec<Secret<String>> {
        vec![self.token.clone()]
    }
}
