//! Tokens: OAuth 2.0 (client credentials, and authorization codes with PKCE) and Google service accounts. A step gets a token that is good now;
//! who renews it, when, and what becomes of a refresh token is nobody's business but this module's.
//!
//! Three rules. One renewal at a time for each connection: whoever comes meanwhile takes what it brings. A new refresh token is on the disk before
//! the access token that came with it is used. A renewal that has begun is finished, whatever becomes of the call that wanted it: a refresh token
//! that the other side has replaced and nobody wrote down would be a lost connection.

mod assertion;
mod bearer;
pub(crate) mod consent;
mod endpoint;
mod keep;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::connection::{
    Asking, Authorizer, ClientAuthentication, CredentialError, Credentials, Kind, OauthClient, StoredConnection,
};
use flowcell_core::id::{ConnectionName, WorkspaceId};
use flowcell_core::ports::Clock;
use flowcell_core::secret::Secret;
use flowcell_core::time::Timestamp;
use flowcell_sandbox::egress::Door;
use subtle::ConstantTimeEq as _;
use tokio_util::task::TaskTracker;

use self::bearer::{Bearer, Shown};
use self::endpoint::{Endpoint, Granted, Refusal};
use self::keep::{NotKept, Unwritten};
use super::authorize::{Bound, Nothing};
use super::broker::{Broker, needs_owner, unavailable, why_not_usable};
use super::document::{OauthSecret, SecretDocument};
use super::users::Users;

/// A token is renewed this long before it ends, so that no request carries one that ends on its way; short-lived ones after half their life.
const MARGIN: Duration = Duration::from_mins(1);

/// How long a server that ends waits for renewals: as long as a token endpoint may take, and time to write.
const CLOSING_MAX: Duration = Duration::from_secs(25);

/// A peer that answers 401 to whatever it gets must not make every request a renewal: so many in so much time, and then its 401 is the answer.
/// Three: one that was revoked, and a peer of several machines that learn of a new one after each other.
const FORCED_MAX: usize = 3;
const FORCED_WITHIN: Duration = Duration::from_mins(5);

/// How often one call begins anew because somebody changed the connection meanwhile: people change it, and they are slow.
const TRIES: usize = 3;

type Place = (WorkspaceId, ConnectionName);

/// Gives calls their credentials: tokens from here, everything else from the broker.
pub(crate) struct Tokens {
    broker: Arc<Broker>,
    users: Users,
    endpoint: Endpoint,
    clock: Arc<dyn Clock>,
    /// By connection; those that nobody holds and that have ended are given up when another one comes.
    flights: Mutex<HashMap<Place, Arc<tokio::sync::Mutex<Flight>>>>,
    /// Renewals under way.
    renewals: TaskTracker,
}

/// What is known of one connection's token. Whoever holds its lock may renew it.
#[derive(Default)]
struct Flight {
    held: Option<Held>,
    /// Given by the other side, and not on the disk yet: it is written before anything else is done, and nothing is handed out until then.
    unwritten: Option<Unwritten>,
    /// When tokens were renewed because the peer refused one, in the last [`FORCED_WITHIN`].
    forced: VecDeque<Timestamp>,
}

impl Flight {
    /// Whether a token that was refused may be renewed now; then it counts.
    fn may_be_forced(&mut self, now: Timestamp) -> bool {
        self.forced.retain(|at| now.since(*at) < FORCED_WITHIN);
        if self.forced.len() >= FORCED_MAX {
            return false;
        }
        self.forced.push_back(now);
        true
    }

    /// Whether nothing would be lost without it.
    fn is_empty(&self, now: Timestamp) -> bool {
        let is_held = self.held.as_ref().is_some_and(|held| held.renew_at.is_none_or(|at| now < at));
        let was_forced = self.forced.back().is_some_and(|at| now.since(*at) < FORCED_WITHIN);
        self.unwritten.is_none() && !is_held && !was_forced
    }
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
    pub(crate) fn new(broker: Arc<Broker>, users: Users, door: Door, clock: Arc<dyn Clock>) -> Self {
        let endpoint = Endpoint::new(door, Arc::clone(&clock));
        Self { broker, users, endpoint, clock, flights: Mutex::default(), renewals: TaskTracker::new() }
    }

    /// Waits for renewals under way, so that no refresh token is lost that the other side gives in this moment; not for ever.
    pub(crate) async fn close(&self) {
        self.renewals.close();
        if tokio::time::timeout(CLOSING_MAX, self.renewals.wait()).await.is_err() {
            tracing::warn!(
                "a token endpoint did not answer while the server ended; its connection may need reconnecting"
            );
        }
    }

    /// The authorizer of a connection whoever asks: for its owner, who tries it out.
    pub(crate) async fn authorizer_for_owner(
        self: &Arc<Self>,
        stored: StoredConnection,
    ) -> Result<Arc<dyn Authorizer>, CredentialError> {
        if !has_tokens(&stored.connection.kind) {
            return self.broker.fixed(&stored);
        }
        let bound = Bound::of(&stored.connection);
        let place = (stored.connection.workspace.clone(), stored.connection.name.clone());
        if let Some(reason) = why_not_usable(&stored.connection) {
            return Err(needs_owner(&stored.connection, reason));
        }
        let held = self.token(&place).await?;
        Ok(Arc::new(Bearer::new(Arc::clone(self), place, bound, held)))
    }

    /// A token that is good now.
    async fn token(self: &Arc<Self>, place: &Place) -> Result<Held, CredentialError> {
        let held = self.token_other_than(place, None).await?;
        held.ok_or_else(|| cut_off(&place.1))
    }

    fn flight(&self, place: &Place) -> Arc<tokio::sync::Mutex<Flight>> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if !flights.contains_key(place) {
            let now = self.clock.now();
            let is_wanted = |flight: &Arc<tokio::sync::Mutex<Flight>>| {
                Arc::strong_count(flight) > 1 || flight.try_lock().is_ok_and(|flight| !flight.is_empty(now))
            };
            flights.retain(|_, flight| is_wanted(flight));
        }
        Arc::clone(flights.entry(place.clone()).or_default())
    }

    /// A token that is good now; another one than `refused`. Nothing when one was refused, and too many were in the last minutes.
    async fn token_other_than(
        self: &Arc<Self>,
        place: &Place,
        refused: Option<&Secret<String>>,
    ) -> Result<Option<Held>, CredentialError> {
        let mut flight = self.flight(place).lock_owned().await;
        for _ in 0..TRIES {
            let stored = self.stored(place).await?;
            let now = self.clock.now();
            let fits = |held: &Held| {
                held.as_of == stored.connection.updated_at
                    && held.renew_at.is_none_or(|at| now < at)
                    && refused.is_none_or(|refused| !is_same(refused, &held.token))
            };
            if flight.unwritten.is_none() {
                if let Some(held) = flight.held.as_ref().filter(|held| fits(held)) {
                    return Ok(Some(held.clone()));
                }
                if let Some(held) = of_document(&self.broker.open(&stored)?, &stored).filter(&fits) {
                    flight.held = Some(held.clone());
                    return Ok(Some(held));
                }
                if refused.is_some() && !flight.may_be_forced(now) {
                    tracing::warn!(connection = %place.1, "its tokens are refused again and again; they are left as they are for some minutes");
                    return Ok(None);
                }
            }
            let tokens = Arc::clone(self);
            let renewal = self.renewals.spawn(async move {
                let renewed = tokens.renew(&mut flight, stored).await;
                (flight, renewed)
            });
            let Ok((back, renewed)) = renewal.await else { return Err(cut_off(&place.1)) };
            flight = back;
            match renewed {
                Ok(held) => return Ok(Some(held)),
                Err(NotKept::Changed) => {}
                Err(NotKept::Failed(error)) => return Err(error),
            }
        }
        Err(CredentialError::Unavailable {
            name: place.1.clone(),
            reason: "it was changed again and again while a token was fetched".to_owned(),
            retry_after_ms: Some(1_000),
        })
    }

    async fn stored(&self, (workspace, name): &Place) -> Result<StoredConnection, CredentialError> {
        let stored = self.broker.get(workspace, name).await.map_err(|error| unavailable(name, &error))?;
        let stored = stored.ok_or_else(|| CredentialError::Unknown { name: name.clone() })?;
        match why_not_usable(&stored.connection) {
            Some(reason) => Err(needs_owner(&stored.connection, reason)),
            None => Ok(stored),
        }
    }

    /// Leaves in `flight` what it hands out, or what it could not write down.
    async fn renew(&self, flight: &mut Flight, stored: StoredConnection) -> Result<Held, NotKept> {
        flight.held = None;
        let unwritten = match flight.unwritten.take() {
            Some(unwritten) => unwritten,
            None => match self.ask(&stored).await? {
                Asked::Kept(held) => {
                    flight.held = Some(held.clone());
                    return Ok(held);
                }
                Asked::ToWrite(unwritten) => unwritten,
            },
        };
        let place = (stored.connection.workspace, stored.connection.name);
        let kept = self.keep(&place, &unwritten).await;
        match &kept {
            Ok(held) => flight.held = Some(held.clone()),
            Err(NotKept::Failed(error)) => {
                tracing::error!(connection = %place.1, %error, "a new refresh token is only in memory; it is written down at the next use");
                flight.unwritten = Some(unwritten);
            }
            Err(NotKept::Changed) => {}
        }
        kept
    }

    /// Asks the token endpoint.
    async fn ask(&self, stored: &StoredConnection) -> Result<Asked, NotKept> {
        let document = self.broker.open(stored)?;
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
            (kind, _) => return Err(CredentialError::WrongKind { name: name.clone(), kind: kind.name() }.into()),
        };
        match answer {
            Ok(granted) => Ok(self.granted(stored, document, granted)),
            Err(Refusal::ForGood(reason)) => {
                self.give_up(stored, &reason).await?;
                Err(needs_owner(connection, reason).into())
            }
            Err(Refusal::ForNow { reason, retry_after_ms }) => {
                Err(CredentialError::Unavailable { name: name.clone(), reason, retry_after_ms }.into())
            }
        }
    }

    fn granted(&self, stored: &StoredConnection, document: SecretDocument, granted: Granted) -> Asked {
        let renew_at = self.renew_at(&granted);
        match (&stored.connection.kind, document) {
            (Kind::OauthCode { .. }, SecretDocument::Oauth(secret)) => {
                Asked::ToWrite(Unwritten { replaced: secret.refresh_token, granted, renew_at })
            }
            // The other kinds get a new token at any time; a disk write for each would buy nothing.
            _ => Asked::Kept(Held { token: granted.access_token, renew_at, as_of: stored.connection.updated_at }),
        }
    }

    fn renew_at(&self, granted: &Granted) -> Option<Timestamp> {
        granted.lifetime.map(|lifetime| self.clock.now() + lifetime.saturating_sub(MARGIN).max(lifetime / 2))
    }
}

/// What a token endpoint gave.
enum Asked {
    /// Good as it is.
    Kept(Held),
    /// Good once it is on the disk.
    ToWrite(Unwritten),
}

fn cut_off(name: &ConnectionName) -> CredentialError {
    CredentialError::Unavailable {
        name: name.clone(),
        reason: "its renewal was cut off".to_owned(),
        retry_after_ms: None,
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
        let inner: Arc<dyn Authorizer> = match &stored.connection.kind {
            // Mail goes another way; its step's requests go without credentials.
            Kind::Smtp { .. } => Arc::new(Nothing::new(stored.connection.name)),
            _ => self.0.authorizer_for_owner(stored).await?,
        };
        Ok(self.0.broker.noted(asking, inner))
    }

    async fn shown(&self, asking: Asking<'_>) -> Result<Arc<dyn Authorizer>, CredentialError> {
        let stored = self.0.broker.admitted(asking).await?;
        Ok(match &stored.connection.kind {
            Kind::Smtp { .. } => Arc::new(Nothing::new(stored.connection.name)),
            kind if has_tokens(kind) => Arc::new(Shown::new(Bound::of(&stored.connection))),
            _ => self.0.broker.fixed(&stored)?,
        })
    }
}

#[cfg(test)]
mod tests;
