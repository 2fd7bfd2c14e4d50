//! Credentials for tests: what a connection would add, where it is bound, and what it says when a peer refuses it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flowcell_core::capability::{HttpRule, RequestTarget};
use flowcell_core::connection::{Additions, Authorizer, CredentialError, Outgoing};
use flowcell_core::id::ConnectionName;
use flowcell_core::secret::Secret;
use flowcell_sandbox::egress::CallPass;

use crate::network::pass_to;

pub const SECRET: &str = "s3cr3t-t0k3n";

/// Adds the current one of its tokens, in `x-token: Bearer …` or as a parameter of the query.
pub struct Badge {
    name: ConnectionName,
    rule: HttpRule,
    headers: Vec<String>,
    query: Vec<String>,
    tokens: Vec<String>,
    current: AtomicUsize,
    pub refusals: AtomicUsize,
    /// What it says when it is refused and has no further token.
    at_last: Option<CredentialError>,
    /// The messages it was asked for.
    pub messages: Mutex<Vec<String>>,
}

impl Badge {
    fn new(rule: &str) -> Self {
        Self {
            name: "crm".parse().unwrap(),
            rule: rule.parse().unwrap(),
            headers: Vec::new(),
            query: Vec::new(),
            tokens: vec![SECRET.to_owned()],
            current: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
            at_last: None,
            messages: Mutex::default(),
        }
    }
    /// In a header, with a public one beside it.
    pub fn in_header(rule: &str) -> Self {
        Self { headers: vec!["x-token".into(), "x-message".into()], ..Self::new(rule) }
    }
    pub fn in_query(rule: &str, name: &str) -> Self {
        Self { query: vec![name.into()], ..Self::new(rule) }
    }
    pub fn with_tokens(self, tokens: &[&str]) -> Self {
        Self { tokens: tokens.iter().map(|token| (*token).to_owned()).collect(), ..self }
    }
    pub fn at_last(self, error: CredentialError) -> Self {
        Self { at_last: Some(error), ..self }
    }
    fn token(&self) -> String {
        self.tokens[self.current.load(Ordering::SeqCst)].clone()
    }
}

#[async_trait]
impl Authorizer for Badge {
    fn connection(&self) -> &ConnectionName {
        &self.name
    }
    fn headers(&self) -> &[String] {
        &self.headers
    }
    fn query(&self) -> &[String] {
        &self.query
    }
    fn is_bound_to(&self, request: &Outgoing<'_>) -> bool {
        RequestTarget::new(request.method, request.url).is_ok_and(|target| self.rule.matches(&target))
    }
    async fn authorize(&self, request: &Outgoing<'_>) -> Result<Additions, CredentialError> {
        self.messages.lock().unwrap().push(request.message_id.to_owned());
        let mut additions = Additions::default();
        if let [token, message] = &self.headers[..] {
            additions.headers.push((token.clone(), Secret::new(format!("Bearer {}", self.token()))));
            additions.public.push((message.clone(), request.message_id.to_owned()));
        }
        additions.query.extend(self.query.iter().map(|name| (name.clone(), Secret::new(self.token()))));
        Ok(additions)
    }
    async fn refused(&self) -> Result<bool, CredentialError> {
        self.refusals.fetch_add(1, Ordering::SeqCst);
        if self.current.load(Ordering::SeqCst) + 1 < self.tokens.len() {
            self.current.fetch_add(1, Ordering::SeqCst);
            return Ok(true);
        }
        self.at_last.clone().map_or(Ok(false), Err)
    }
    fn secrets(&self) -> Vec<Secret<String>> {
        vec![Secret::new(self.token())]
    }
}

/// A pass to `url`, with this badge.
pub fn pass(url: &str, badge: Badge) -> (CallPass, Arc<Badge>) {
    let badge = Arc::new(badge);
    (pass_to(url).with_authorizer(Arc::clone(&badge) as _, "key-1"), badge)
}
