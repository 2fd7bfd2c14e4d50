//! `Authorization: Bearer` with a token that is renewed when its time comes, or when the other side refuses it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flowcell_core::connection::{Additions, Authorizer, CredentialError, Outgoing};
use flowcell_core::id::ConnectionName;
use flowcell_core::secret::Secret;

use super::super::authorize::Bound;
use super::{Held, Place, Tokens, is_same};

/// `Authorization: Bearer` with a token that may be renewed once during the call.
pub(super) struct Bearer {
    tokens: Arc<Tokens>,
    place: Place,
    bound: Bound,
    headers: [String; 1],
    /// All that this call has had, the current one last: a peer may echo an old one.
    held: Mutex<Vec<Held>>,
}

impl Bearer {
    pub(super) fn new(tokens: Arc<Tokens>, place: Place, bound: Bound, held: Held) -> Self {
        Self { tokens, place, bound, headers: ["authorization".to_owned()], held: Mutex::new(vec![held]) }
    }

    fn current(&self) -> Option<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    fn take_over(&self, held: Held) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(held);
    }
}

#[async_trait]
impl Authorizer for Bearer {
    fn connection(&self) -> &ConnectionName {
        &self.place.1
    }
    fn headers(&self) -> &[String] {
        &self.headers
    }
    fn query(&self) -> &[String] {
        &[]
    }
    fn is_bound_to(&self, request: &Outgoing<'_>) -> bool {
        self.bound.admits(request)
    }
    async fn authorize(&self, _: &Outgoing<'_>) -> Result<Additions, CredentialError> {
        // Asked each time: somebody may have changed the connection since the call began.
        let held = self.tokens.token(&self.place).await?;
        if self.current().is_none_or(|current| !is_same(&current.token, &held.token)) {
            self.take_over(held.clone());
        }
        let value = Secret::new(["Bearer ", held.token.expose()].concat());
        Ok(Additions { headers: vec![("authorization".to_owned(), value)], ..Additions::default() })
    }
    /// Another call may have renewed it already: then its token is taken.
    async fn refused(&self) -> Result<bool, CredentialError> {
        let refused = self.current();
        let held = self.tokens.token_other_than(&self.place, refused.as_ref().map(|held| &held.token)).await?;
        Ok(held.map(|held| self.take_over(held)).is_some())
    }
    fn secrets(&self) -> Vec<Secret<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|held| held.token.clone()).collect()
    }
}

/// The same for show: it has no token, and needs none.
pub(super) struct Shown {
    bound: Bound,
    headers: [String; 1],
}

impl Shown {
    pub(super) fn new(bound: Bound) -> Self {
        Self { bound, headers: ["authorization".to_owned()] }
    }
}

#[async_trait]
impl Authorizer for Shown {
    fn connection(&self) -> &ConnectionName {
        self.bound.name()
    }
    fn headers(&self) -> &[String] {
        &self.headers
    }
    fn query(&self) -> &[String] {
        &[]
    }
    fn is_bound_to(&self, request: &Outgoing<'_>) -> bool {
        self.bound.admits(request)
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
