//! Addresses that are secrets themselves, as chat services give them for incoming webhooks. A step sends to the address's origin; the host puts the
//! path and query of the secret address in their place. The origin is the step's own, and was judged: a secret moves no request elsewhere.

use async_trait::async_trait;
use flowcell_core::connection::{Additions, Authorizer, CredentialError, Outgoing};
use flowcell_core::id::ConnectionName;
use flowcell_core::secret::Secret;
use url::Url;

use super::Bound;

/// Parts of a path from this length on are masked by themselves where a peer echoes them: ids and tokens, not words such as `services`.
const TOKEN_CHARS_MIN: usize = 9;

pub(super) struct WebhookUrl {
    bound: Bound,
    origin: url::Origin,
    path: Secret<String>,
    query: Vec<(String, Secret<String>)>,
    /// Names of the parameters, which the guest can neither set nor read.
    names: Vec<String>,
    secrets: Vec<Secret<String>>,
}

impl WebhookUrl {
    /// Fails, with the reason, when the secret is no URL of HTTP.
    pub(super) fn new(bound: Bound, address: &Secret<String>) -> Result<Self, String> {
        let url = Url::parse(address.expose()).map_err(|_| "it is no URL".to_owned())?;
        let query: Vec<(String, Secret<String>)> =
            url.query_pairs().map(|(name, value)| (name.into_owned(), Secret::new(value.into_owned()))).collect();
        let mut secrets = vec![address.clone(), Secret::new(url.path().to_owned())];
        let segments = url.path_segments().into_iter().flatten().filter(|part| part.len() >= TOKEN_CHARS_MIN);
        secrets.extend(segments.map(|part| Secret::new(part.to_owned())));
        let values = query.iter().map(|(_, value)| value.clone());
        secrets.extend(values.filter(|value| value.expose().len() >= TOKEN_CHARS_MIN));
        Ok(Self {
            bound,
            origin: url.origin(),
            path: Secret::new(url.path().to_owned()),
            names: query.iter().map(|(name, _)| name.clone()).collect(),
            query,
            secrets,
        })
    }
}

#[async_trait]
impl Authorizer for WebhookUrl {
    fn connection(&self) -> &ConnectionName {
        self.bound.name()
    }
    fn headers(&self) -> &[String] {
        &[]
    }
    fn query(&self) -> &[String] {
        &self.names
    }
    fn is_bound_to(&self, request: &Outgoing<'_>) -> bool {
        request.url.origin() == self.origin && self.bound.admits(request)
    }
    async fn authorize(&self, _: &Outgoing<'_>) -> Result<Additions, CredentialError> {
        Ok(Additions { path: Some(self.path.clone()), query: self.query.clone(), ..Additions::default() })
    }
    async fn refused(&self) -> Result<bool, CredentialError> {
        Ok(false)
    }
    fn secrets(&self) -> Vec<Secret<String>> {
        self.secrets.clone()
    }
}
