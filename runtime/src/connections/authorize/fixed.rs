//! The same texts on every request: bearer tokens, API keys, basic authentication, and whatever a plugin's manifest declares.

use async_trait::async_trait;
use data_encoding::BASE64;
use flowcell_core::connection::{Additions, Authorizer, CredentialError, KeyPlace, Outgoing};
use flowcell_core::id::ConnectionName;
use flowcell_core::secret::Secret;
use zeroize::Zeroizing;

use super::Bound;

pub(super) struct Fixed {
    bound: Bound,
    /// Names in lower case; the same in `additions`.
    headers: Vec<String>,
    query: Vec<String>,
    additions: Additions,
    secrets: Vec<Secret<String>>,
}

impl Fixed {
    /// `secrets` are what stands in the texts of `additions`.
    pub(super) fn new(bound: Bound, additions: Additions, secrets: Vec<Secret<String>>) -> Self {
        let names = |of: &[(String, Secret<String>)]| of.iter().map(|(name, _)| name.clone()).collect();
        Self { bound, headers: names(&additions.headers), query: names(&additions.query), additions, secrets }
    }

    /// RFC 6750 §2.1.
    pub(super) fn bearer(bound: Bound, token: Secret<String>) -> Self {
        let value = prefixed("Bearer ", &token);
        Self::new(bound, in_header("authorization", value), vec![token])
    }

    pub(super) fn api_key(bound: Bound, place: &KeyPlace, key: Secret<String>) -> Self {
        let additions = match place {
            KeyPlace::Header { name, prefix } => in_header(name, prefixed(prefix, &key)),
            KeyPlace::Query { name } => Additions { query: vec![(name.clone(), key.clone())], ..Additions::default() },
        };
        Self::new(bound, additions, vec![key])
    }

    /// RFC 7617, in UTF-8.
    pub(super) fn basic(bound: Bound, username: &str, password: Secret<String>) -> Self {
        let pair = Zeroizing::new([username, ":", password.expose()].concat());
        let encoded = Secret::new(BASE64.encode(pair.as_bytes()));
        let value = prefixed("Basic ", &encoded);
        Self::new(bound, in_header("authorization", value), vec![password, encoded])
    }
}

fn in_header(name: &str, value: Secret<String>) -> Additions {
    Additions { headers: vec![(name.to_ascii_lowercase(), value)], ..Additions::default() }
}

fn prefixed(prefix: &str, secret: &Secret<String>) -> Secret<String> {
    Secret::new([prefix, secret.expose()].concat())
}

#[async_trait]
impl Authorizer for Fixed {
    fn connection(&self) -> &ConnectionName {
        self.bound.name()
    }
    fn headers(&self) -> &[String] {
        &self.headers
    }
    fn query(&self) -> &[String] {
        &self.query
    }
    fn is_bound_to(&self, request: &Outgoing<'_>) -> bool {
        self.bound.admits(request)
    }
    async fn authorize(&self, _: &Outgoing<'_>) -> Result<Additions, CredentialError> {
        Ok(self.additions.clone())
    }
    /// It stays as it is until its owner rotates it.
    async fn refused(&self) -> Result<bool, CredentialError> {
        Ok(false)
    }
    fn secrets(&self) -> Vec<Secret<String>> {
        self.secrets.clone()
    }
}
