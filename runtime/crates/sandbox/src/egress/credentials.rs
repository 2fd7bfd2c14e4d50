//! What a call's connection adds to its requests, and what of it must not come back. What is added, and where, the
//! [`Authorizer`] says; nothing here knows a kind of credentials.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flowcell_core::connection::{Additions, Authorizer, ConnectionFacts, CredentialError, Outgoing};
use flowcell_core::exchange::AddedCredentials;
use flowcell_core::time::Timestamp;
use http::header::{ACCEPT_ENCODING, IF_RANGE, RANGE};
use http::{HeaderName, HeaderValue};
use url::Url;

use super::echo::{Echo, MASK};
use super::error::SendError;
use super::record::Entry;
use super::request::Prepared;

/// The credentials of one call.
pub(super) struct CallCredentials {
    authorizer: Arc<dyn Authorizer>,
    message_id: String,
    messages: AtomicU32,
    /// What to look for in responses. Made when the first one comes; grows when credentials are renewed.
    echo: Mutex<Option<Echo>>,
    /// Why they could not be had, for the call's outcome: a guest learns less.
    error: Mutex<Option<CredentialError>>,
}

impl fmt::Debug for CallCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallCredentials").field("connection", self.authorizer.connection()).finish_non_exhaustive()
    }
}

impl CallCredentials {
    pub(super) fn new(authorizer: Arc<dyn Authorizer>, message_id: String) -> Self {
        Self { authorizer, message_id, messages: AtomicU32::new(0), echo: Mutex::default(), error: Mutex::default() }
    }

    pub(super) async fn facts(&self) -> ConnectionFacts {
        self.authorizer.facts().await
    }

    /// Whether a header, in lower case, is the connection's: the guest can neither set nor read it.
    pub(super) fn owns_header(&self, name: &str) -> bool {
        self.authorizer.headers().iter().any(|header| header == name)
    }

    /// The first parameter of a URL that is the connection's.
    pub(super) fn owned_parameter(&self, url: &Url) -> Option<&str> {
        let owned = self.authorizer.query();
        if owned.is_empty() {
            return None;
        }
        let parameters: Vec<_> = url.query_pairs().map(|(name, _)| name).collect();
        owned.iter().map(String::as_str).find(|owned| parameters.iter().any(|name| name == owned))
    }

    /// What receivers may know the next request by. Attempts of a call that ask for the same in the same order use the same names.
    pub(super) fn next_message(&self) -> String {
        match self.messages.fetch_add(1, Ordering::Relaxed) {
            0 => self.message_id.clone(),
            before => format!("{}_{}", self.message_id, before + 1),
        }
    }

    pub(super) fn is_bound_to(&self, request: &Prepared, message_id: &str, now: Timestamp) -> bool {
        self.authorizer.is_bound_to(&outgoing(request, message_id, now))
    }

    /// For a request that goes to where the connection is not bound.
    pub(super) fn nothing_added(&self) -> AddedCredentials {
        AddedCredentials {
            connection: self.authorizer.connection().clone(),
            headers: Vec::new(),
            query: Vec::new(),
            renewed: false,
        }
    }

    /// Adds them to `request`; says what was added, masked.
    pub(super) async fn add(
        &self,
        request: &mut Prepared,
        message_id: &str,
        now: Timestamp,
    ) -> Result<AddedCredentials, SendError> {
        let additions = match self.authorizer.authorize(&outgoing(request, message_id, now)).await {
            Ok(additions) => additions,
            Err(error) => return Err(self.failed(error)),
        };
        self.expect_echo_of(&additions);
        self.accept_no_encoding(request);
        let mut added = self.nothing_added();
        for (name, value) in &additions.public {
            self.insert(request, name, value)?;
            added.headers.push((name.to_ascii_lowercase(), value.clone()));
        }
        for (name, value) in &additions.headers {
            self.insert(request, name, value.expose())?.set_sensitive(true);
            added.headers.push((name.to_ascii_lowercase(), MASK.to_owned()));
        }
        if let Some(path) = &additions.path {
            request.url.set_path(path.expose());
        }
        for (name, value) in &additions.query {
            request.url.query_pairs_mut().append_pair(name, value.expose());
            added.query.push(name.clone());
        }
        Ok(added)
    }

    /// Makes `request` look as it would go out, without asking for credentials: for dry runs.
    pub(super) fn show(&self, request: &mut Prepared, entry: &mut Entry<'_>, now: Timestamp) {
        let mut added = self.nothing_added();
        if self.is_bound_to(request, &self.next_message(), now) {
            self.accept_no_encoding(request);
            for name in self.authorizer.headers() {
                if let Ok(name) = HeaderName::try_from(name) {
                    let mut value = HeaderValue::from_static("");
                    value.set_sensitive(true);
                    request.headers.insert(name, value);
                }
                added.headers.push((name.clone(), MASK.to_owned()));
            }
            added.query = self.authorizer.query().to_vec();
            entry.show_query(&added.query);
        }
        entry.set_credentials(added);
    }

    /// The peer refused them: whether it makes sense to ask for others and try again.
    pub(super) async fn renew(&self) -> Result<bool, SendError> {
        self.authorizer.refused().await.map_err(|error| self.failed(error))
    }

    pub(super) fn note_error(&self, error: CredentialError) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(super) fn take_error(&self) -> Option<CredentialError> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// `bytes` with the secrets masked; `None` where none stands in them.
    pub(super) fn masked(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if bytes.is_empty() {
            return None;
        }
        self.with_echo(|echo| echo.masked(bytes))
    }

    /// A body that was cut off, without the part of a secret that it may end in.
    pub(super) fn without_cut_secret<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let kept = bytes.len() - self.with_echo(|echo| echo.cut_at_the_end(bytes));
        bytes.get(..kept).unwrap_or(bytes)
    }

    /// Headers of a response as the guest may read them.
    pub(super) fn masked_headers(&self, mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
        headers.retain(|(name, _)| !self.owns_header(name));
        self.with_echo(|echo| {
            headers.retain(|(name, _)| !echo.stands_in(name.as_bytes()));
            for (name, value) in &mut headers {
                if name == "location" && !self.authorizer.query().is_empty() {
                    // A redirect often keeps the query. Whoever follows it gets the parameter again, where the connection is bound.
                    *value = without_parameters(value, self.authorizer.query());
                }
                if let Some(masked) = echo.masked(value.as_bytes()) {
                    *value = String::from_utf8_lossy(&masked).into_owned();
                }
            }
        });
        headers
    }

    fn with_echo<T>(&self, look: impl FnOnce(&Echo) -> T) -> T {
        let mut echo = self.echo.lock().unwrap_or_else(PoisonError::into_inner);
        look(echo.get_or_insert_with(|| Echo::of(&self.authorizer.secrets())))
    }

    fn expect_echo_of(&self, additions: &Additions) {
        let mut echo = self.echo.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets = self.authorizer.secrets();
        let echo = echo.get_or_insert_with(Echo::default);
        echo.expect(&secrets);
        for (_, value) in additions.headers.iter().chain(&additions.query) {
            echo.expect_parts_of(value.expose());
        }
    }

    /// Whether what is sent is secret itself, and not only made with a secret.
    pub(super) fn are_secret(&self) -> bool {
        !self.authorizer.secrets().is_empty()
    }

    /// An answer that is compressed, or comes in pieces of the guest's choice, could not be searched for what was sent. Servers may ignore a range.
    fn accept_no_encoding(&self, request: &mut Prepared) {
        if self.are_secret() {
            request.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            request.headers.remove(RANGE);
            request.headers.remove(IF_RANGE);
        }
    }

    fn insert<'r>(&self, request: &'r mut Prepared, name: &str, value: &str) -> Result<&'r mut HeaderValue, SendError> {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) else {
            return Err(SendError::invalid(format!(
                "what connection `{}` holds cannot stand in the header `{}`: it contains a line break or control character; rotate it with `flowcell connection rotate`",
                self.authorizer.connection(),
                name.escape_debug()
            )));
        };
        request.headers.insert(name.clone(), value);
        Ok(request.headers.get_mut(name).expect("it was inserted just now"))
    }

    fn failed(&self, error: CredentialError) -> SendError {
        let shown = SendError::from(&error);
        self.note_error(error);
        shown
    }
}

fn outgoing<'r>(request: &'r Prepared, message_id: &'r str, now: Timestamp) -> Outgoing<'r> {
    Outgoing { method: &request.method, url: &request.url, body: &request.body, message_id, now }
}

/// A URL, absolute or not, without some parameters of its query.
fn without_parameters(url: &str, names: &[String]) -> String {
    let (before, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
    let Some((path, query)) = before.split_once('?') else { return url.to_owned() };
    let is_named =
        |pair: &&str| form_urlencoded::parse(pair.as_bytes()).any(|(name, _)| names.iter().any(|owned| *owned == name));
    let kept = query.split('&').filter(|pair| !is_named(pair)).collect::<Vec<_>>().join("&");
    let mark = if kept.is_empty() { "" } else { "?" };
    format!("{path}{mark}{kept}{fragment}")
}
