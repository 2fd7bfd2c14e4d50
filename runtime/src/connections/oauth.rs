//! Tokens: OAuth 2.0 (client credentials, and authorization codes with PKCE) and Google service accounts. A step gets a token that is good now;
//! who renews it, when, and what becomes of a refresh token is nobody's business but this module's.
//!
//! Three rules. One renewal at a time for each connection: whoever comes meanwhile takes what it brings. A new refresh token is on the disk before
//! the access token that came with it is used. A renewal that has begun is finished, whatever becomes of the call that wanted it: a refresh token
//! that the other side has replaced and nobody wrote down would be a lost connection.

mod assertion;
pub(crate) mod consent;
mod endpoint;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::connection::{
    Additions, Asking, Authorizer, ClientAuthentication, CredentialError, Credentials, Kind, OauthClient, Outgoing,
    State, StoredConnection,
};
use flowcell_core::id::{ConnectionName, WorkspaceId};
use flowcell_core::ports::Clock;
use flowcell_core::secret::Secret;
use flowcell_core::time::Timestamp;
use flowcell_sandbox::egress::Door;
use subtle::ConstantTimeEq as _;
use tokio_util::task::TaskTracker;

use self::endpoint::{Endpoint, Granted, Refusal};
use super::authorize::{Bound, authorizer};
use super::broker::{Broker, Change, WriteError, unavailable, why_not_usable};
use super::document::{OauthSecret, SecretDocument};

/// A token is renewed this long before it ends, so that no request carries one that ends on its way; short-lived ones after half their life.
const MARGIN: Duration = Duration::from_mins(1);

type Place = (WorkspaceId, ConnectionName);

/// Gives calls their credentials: tokens from here, everything else from the broker.
pub(crate) struct Tokens {
    broker: Arc<Broker>,
    endpoint: Endpoint,
    clock: Arc<dyn Clock>,
    flights: Mutex<HashMap<Place, Arc<tokio::sync::Mutex<Option<Held>>>>>,
    /// Renewals under way.
    renewals: TaskTracker,
}

/// A token in memory.
#[derive(Clone)]
struct Held {
    token: Secret<String>,
    /// Absent: until it is refused.
    renew_at: Option<Timestamp>,
    /// When the connection it was made for was last changed.
    as_of: Timestamp,
}

impl Tokens {
    pub(crate) fn new(broker: Arc<Broker>, door: Door, clock: Arc<dyn Clock>) -> Self {
        let endpoint = Endpoint::new(door, Arc::clone(&clock));
        Self { broker, endpoint, clock, flights: Mutex::default(), renewals: TaskTracker::new() }
    }

    /// Waits for renewals under way. Nothing is lost without it but the time they took: each is as durable as its own write.
    pub(crate) async fn close(&self) {
        self.renewals.close();
        self.renewals.wait().await;
    }

    /// The authorizer of a connection whoever asks: for its owner, who tries it out.
    pub(crate) async fn authorizer_for_owner(
        self: &Arc<Self>,
        stored: StoredConnection,
    ) -> Result<Arc<dyn Authorizer>, CredentialError> {
        if !has_tokens(&stored.connection.kind) {
            return authorizer(&stored.connection, self.broker.open(&stored)?);
        }
        let bound = Bound::of(&stored.connection);
        let place = (stored.connection.workspace.clone(), stored.connection.name.clone());
        if let Some(reason) = why_not_usable(&stored.connection) {
            return Err(CredentialError::NeedsReconnecting { name: place.1, reason });
        }
        let held = self.token(&place, None).await?;
        Ok(Arc::new(Bearer {
            tokens: Arc::clone(self),
            place,
            bound,
            headers: ["authorization".to_owned()],
            held: Mutex::new(vec![held]),
        }))
    }

    /// A token that is good now; another one than `refused`.
    async fn token(self: &Arc<Self>, place: &Place, refused: Option<&Secret<String>>) -> Result<Held, CredentialError> {
        let flight = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(flights.entry(place.clone()).or_default())
        };
        let mut current = flight.lock_owned().await;
        let stored = self.stored(place).await?;
        let now = self.clock.now();
        let fits = |held: &Held| {
            held.as_of == stored.connection.updated_at
                && held.renew_at.is_none_or(|at| now < at)
                && refused.is_none_or(|refused| !is_same(refused, &held.token))
        };
        if let Some(held) = current.as_ref().filter(|held| fits(held)) {
            return Ok(held.clone());
        }
        let document = self.broker.open(&stored)?;
        if let Some(held) = of_document(&document, &stored).filter(&fits) {
            *current = Some(held.clone());
            return Ok(held);
        }
        let tokens = Arc::clone(self);
        let renewal = self.renewals.spawn(async move {
            let renewed = tokens.renew(stored, document).await;
            *current = renewed.as_ref().ok().cloned();
            renewed
        });
        renewal.await.unwrap_or_else(|_| {
            Err(CredentialError::Unavailable {
                name: place.1.clone(),
                reason: "its renewal was cut off".to_owned(),
                retry_after_ms: None,
            })
        })
    }

    async fn stored(&self, (workspace, name): &Place) -> Result<StoredConnection, CredentialError> {
        let stored = self.broker.get(workspace, name).await.map_err(|error| unavailable(name, &error))?;
        let stored = stored.ok_or_else(|| CredentialError::Unknown { name: name.clone() })?;
        match why_not_usable(&stored.connection) {
            Some(reason) => Err(CredentialError::NeedsReconnecting { name: name.clone(), reason }),
            None => Ok(stored),
        }
    }

    async fn renew(&self, stored: StoredConnection, document: SecretDocument) -> Result<Held, CredentialError> {
        let connection = &stored.connection;
        let name = &connection.name;
        let answer = match (&connection.kind, &document) {
            (Kind::OauthClientCredentials(client), SecretDocument::Oauth(secret)) => {
                let form = vec![("grant_type", Secret::new("client_credentials".to_owned()))];
                self.endpoint.ask(client, secret, form).await
            }
            (Kind::OauthCode { client, .. }, SecretDocument::Oauth(secret)) => match &secret.refresh_token {
                Some(token) => {
                    let form =
                        vec![("grant_type", Secret::new("refresh_token".to_owned())), ("refresh_token", token.clone())];
                    self.endpoint.ask(client, secret, form).await
                }
                None => Err(Refusal::ForGood(
                    "its access token has ended, and the other side gave no refresh token; ask for offline access in `authorize_url`".to_owned(),
                )),
            },
            (Kind::GoogleServiceAccount { client_email, token_url, scopes }, SecretDocument::PrivateKey { private_key }) => {
                let claims = assertion::Claims { issuer: client_email, audience: token_url, scopes, now: self.clock.now() };
                match assertion::signed(&claims, private_key) {
                    Ok(assertion) => {
                        let form = vec![
                            ("grant_type", Secret::new("urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned())),
                            ("assertion", assertion),
                        ];
                        self.endpoint.ask(&as_client(token_url), &OauthSecret::default(), form).await
                    }
                    Err(reason) => Err(Refusal::ForGood(reason)),
                }
            }
            (kind, _) => return Err(CredentialError::WrongKind { name: name.clone(), kind: kind.name() }),
        };
        match answer {
            Ok(granted) => self.keep(stored, document, granted).await,
            Err(Refusal::ForGood(reason)) => {
                self.give_up(&stored, &reason).await?;
                Err(CredentialError::NeedsReconnecting { name: name.clone(), reason })
            }
            Err(Refusal::ForNow { reason, retry_after_ms }) => {
                Err(CredentialError::Unavailable { name: name.clone(), reason, retry_after_ms })
            }
        }
    }

    /// Writes down what has to outlive this process, and only then hands the token out.
    async fn keep(
        &self,
        stored: StoredConnection,
        document: SecretDocument,
        granted: Granted,
    ) -> Result<Held, CredentialError> {
        let now = self.clock.now();
        let renew_at = granted.lifetime.map(|lifetime| now + lifetime.saturating_sub(MARGIN).max(lifetime / 2));
        let token = granted.access_token.clone();
        // The other kinds get a new token at any time; a disk write for each would buy nothing.
        let (Kind::OauthCode { .. }, SecretDocument::Oauth(mut secret)) = (&stored.connection.kind, document) else {
            return Ok(Held { token, renew_at, as_of: stored.connection.updated_at });
        };
        put(&mut secret, granted, renew_at);
        let written = self.write(&stored, State::Ready, Some(SecretDocument::Oauth(secret))).await?;
        Ok(Held { token, renew_at, as_of: written.connection.updated_at })
    }

    /// Notes that only its owner can help. Somebody else's change comes first: it may have helped already.
    async fn give_up(&self, stored: &StoredConnection, reason: &str) -> Result<(), CredentialError> {
        let state = State::NeedsReconnecting { since: self.clock.now(), reason: reason.to_owned() };
        self.write(stored, state, None).await?;
        tracing::error!(connection = %stored.connection.name, reason, "a connection needs reconnecting; steps that name it park (`flowcell connection usage` lists their workflows)");
        Ok(())
    }

    /// Uses are noted in the same record, so a write may have to be made again; a change of the secret by somebody else is left alone.
    async fn write(
        &self,
        before: &StoredConnection,
        state: State,
        secret: Option<SecretDocument>,
    ) -> Result<StoredConnection, CredentialError> {
        let (workspace, name) = (&before.connection.workspace, &before.connection.name);
        let changed = self.broker.change::<WriteError>(workspace, name, |latest| {
            if latest.connection.updated_at != before.connection.updated_at {
                return Err(WriteError::Store(flowcell_core::ports::StoreError::Conflict {
                    what: format!("connection `{name}`"),
                    expected: before.revision,
                    actual: latest.revision,
                }));
            }
            let mut connection = latest.connection.clone();
            connection.state = state.clone();
            Ok(Change { connection, usage: latest.usage.clone(), secret: secret.clone() })
        });
        changed.await.map_err(|error| match error {
            WriteError::Sealed(error) => error,
            other => CredentialError::Unavailable {
                name: name.clone(),
                reason: format!("what the other side answered could not be written down: {other}"),
                retry_after_ms: Some(1_000),
            },
        })
    }
}

/// Whether connections of this kind have tokens that end.
fn has_tokens(kind: &Kind) -> bool {
    matches!(kind, Kind::OauthClientCredentials(_) | Kind::OauthCode { .. } | Kind::GoogleServiceAccount { .. })
}

/// A service account is no client: its assertion says who it is.
fn as_client(token_url: &url::Url) -> OauthClient {
    OauthClient {
        token_url: token_url.clone(),
        client_id: String::new(),
        scopes: Vec::new(),
        parameters: serde_json::Map::new(),
        authentication: ClientAuthentication::None,
    }
}

/// Takes what was granted into the secret. A refresh token that is not replaced stays (RFC 6749 §6).
fn put(secret: &mut OauthSecret, granted: Granted, renew_at: Option<Timestamp>) {
    secret.access_token = Some(granted.access_token);
    secret.expires_at = renew_at;
    secret.token_type = Some("Bearer".to_owned());
    if let Some(token) = granted.refresh_token {
        secret.refresh_token = Some(token);
    }
}

fn of_document(document: &SecretDocument, stored: &StoredConnection) -> Option<Held> {
    let SecretDocument::Oauth(secret) = document else { return None };
    let token = secret.access_token.clone()?;
    Some(Held { token, renew_at: secret.expires_at, as_of: stored.connection.updated_at })
}

fn is_same(one: &Secret<String>, other: &Secret<String>) -> bool {
    one.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
}

/// What the sandbox asks.
pub(crate) struct CallTokens(pub(crate) Arc<Tokens>);

#[async_trait]
impl Credentials for CallTokens {
    async fn authorizer(&self, asking: Asking<'_>) -> Result<Arc<dyn Authorizer>, CredentialError> {
        let stored = self.0.broker.admitted(asking).await?;
        let inner = self.0.authorizer_for_owner(stored).await?;
        Ok(self.0.broker.noted(asking, inner))
    }
}

/// `Authorization: Bearer` with a token that may be renewed once during the call.
struct Bearer {
    tokens: Arc<Tokens>,
    place: Place,
    bound: Bound,
    headers: [String; 1],
    /// All that this call has had, the current one last: a peer may echo an old one.
    held: Mutex<Vec<Held>>,
}

impl Bearer {
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
    async fn authorize(&self, request: &Outgoing<'_>) -> Result<Additions, CredentialError> {
        let held = if let Some(held) = self.current().filter(|held| held.renew_at.is_none_or(|at| request.now < at)) {
            held
        } else {
            let held = self.tokens.token(&self.place, None).await?;
            self.take_over(held.clone());
            held
        };
        let value = Secret::new(["Bearer ", held.token.expose()].concat());
        Ok(Additions { headers: vec![("authorization".to_owned(), value)], ..Additions::default() })
    }
    /// Another call may have renewed it already: then its token is taken.
    async fn refused(&self) -> Result<bool, CredentialError> {
        let held = self.tokens.token(&self.place, self.current().as_ref().map(|held| &held.token)).await?;
        self.take_over(held);
        Ok(true)
    }
    fn secrets(&self) -> Vec<Secret<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|held| held.token.clone()).collect()
    }
}
