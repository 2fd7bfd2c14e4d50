//! Consent in a browser: authorization codes with PKCE (RFC 6749 §4.1, RFC 7636, RFC 9700). A ticket opens the way once; a state is good once, for ten
//! minutes, and only in the browser that began.
//!
//! All of it lives in memory: whoever is in the middle of it when the server restarts begins again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use flowcell_core::connection::{Connection, CredentialError, Kind, State, StoredConnection};
use flowcell_core::id::{ConnectionName, WorkspaceId};
use flowcell_core::ports::{Clock, Entropy};
use flowcell_core::secret::Secret;
use flowcell_core::time::Timestamp;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::Url;

use super::super::broker::{Change, WriteError};
use super::super::document::SecretDocument;
use super::endpoint::Refusal;
use super::keep::{NotWritten, put};
use super::{Place, Tokens};

/// How long somebody may take to sign in and consent.
pub(crate) const TIME_MAX: Duration = Duration::from_mins(10);

/// Consents under way; each takes some hundred bytes, and people give one at a time.
const PENDING_MAX: usize = 1_000;

type Hash = [u8; 32];

pub(crate) struct Consents {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    pending: Mutex<HashMap<Hash, Pending>>,
}

enum Pending {
    /// Somebody may begin.
    Ticket { place: Place, until: Timestamp },
    /// Somebody has begun.
    State { place: Place, until: Timestamp, session: Hash, verifier: Secret<String>, issuer: Issuer },
}

impl Pending {
    fn until(&self) -> Timestamp {
        match self {
            Self::Ticket { until, .. } | Self::State { until, .. } => *until,
        }
    }
}

/// Who may have given an answer (RFC 9207): a state goes to one server, and another one that is made to see it must not get the code answered with it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Issuer {
    /// It names itself so, always.
    Named(String),
    /// If it names itself, it is of one of these origins.
    Of(Vec<String>),
}

impl Issuer {
    fn of(issuer: Option<&String>, urls: [&Url; 2]) -> Self {
        match issuer {
            Some(issuer) => Self::Named(issuer.clone()),
            None => Self::Of(urls.map(|url| url.origin().ascii_serialization()).to_vec()),
        }
    }

    /// Whether an answer with this `iss` can be its own. Compared as it stands (RFC 9207 §2.4).
    fn admits(&self, iss: Option<&str>) -> Result<(), String> {
        match (self, iss) {
            (Self::Named(issuer), Some(iss)) if issuer == iss => Ok(()),
            (Self::Named(issuer), None) => Err(format!("it does not say who gives it, and `{issuer}` always does")),
            (Self::Of(_), None) => Ok(()),
            (Self::Of(origins), Some(iss)) => {
                let origin = iss.parse::<Url>().ok().map(|url| url.origin().ascii_serialization());
                if origin.is_some_and(|origin| origins.contains(&origin)) {
                    return Ok(());
                }
                Err(format!(
                    "it comes from `{iss}`, which is none of {}; if that is right, name it as the connection's `issuer`",
                    origins.join(", ")
                ))
            }
            (Self::Named(issuer), Some(iss)) => {
                Err(format!("it comes from `{iss}`, and this connection is with `{issuer}`"))
            }
        }
    }
}

/// What a browser is sent away with.
pub(crate) struct Departure {
    pub(crate) to: Url,
    /// For its cookie.
    pub(crate) session: Secret<String>,
}

/// A state that came back to the browser it was given to.
pub(crate) struct Return {
    pub(crate) place: (WorkspaceId, ConnectionName),
    pub(crate) verifier: Secret<String>,
    issuer: Issuer,
}

impl Return {
    /// One that may come from anywhere.
    #[cfg(test)]
    pub(super) fn of(place: Place, verifier: Secret<String>) -> Self {
        Self { place, verifier, issuer: Issuer::Of(Vec::new()) }
    }

    /// Why an answer that names `iss` as its giver is not the one that was asked for.
    pub(crate) fn is_from(&self, iss: Option<&str>) -> Result<(), String> {
        self.issuer.admits(iss)
    }
}

/// Too many people consent at the same moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowded;

impl Consents {
    pub(crate) fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, pending: Mutex::default() }
    }

    /// A ticket for one consent, for the address that is handed to whoever gives it.
    pub(crate) fn ticket(&self, place: Place) -> Result<(Secret<String>, Timestamp), Crowded> {
        let ticket = self.random();
        let until = self.clock.now() + TIME_MAX;
        self.put(hash(ticket.expose()), Pending::Ticket { place, until })?;
        Ok((ticket, until))
    }

    /// Which connection a ticket is for. It is used up.
    pub(crate) fn redeem(&self, ticket: &str) -> Option<Place> {
        match self.take(ticket)? {
            Pending::Ticket { place, .. } => Some(place),
            Pending::State { .. } => None,
        }
    }

    /// Whether a ticket would open something. Looking does not use it up: mail scanners and previews look, too.
    pub(crate) fn opens(&self, ticket: &str) -> Option<Place> {
        let now = self.clock.now();
        match self.lock().get(&hash(ticket)) {
            Some(Pending::Ticket { place, until }) if now < *until => Some(place.clone()),
            _ => None,
        }
    }

    /// Where to send the browser.
    pub(crate) fn begin(&self, stored: &StoredConnection, redirect: &Url) -> Result<Option<Departure>, Crowded> {
        let Kind::OauthCode { authorize_url, issuer, client } = &stored.connection.kind else { return Ok(None) };
        let (state, session, verifier) = (self.random(), self.random(), self.random());
        let mut to = authorize_url.clone();
        let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(verifier.expose().as_bytes()));
        {
            let mut query = to.query_pairs_mut();
            query.append_pair("response_type", "code").append_pair("client_id", &client.client_id);
            query.append_pair("redirect_uri", redirect.as_str());
            if !client.scopes.is_empty() {
                query.append_pair("scope", &client.scopes.join(" "));
            }
            query.append_pair("state", state.expose());
            query.append_pair("code_challenge", &challenge).append_pair("code_challenge_method", "S256");
        }
        let place = (stored.connection.workspace.clone(), stored.connection.name.clone());
        let until = self.clock.now() + TIME_MAX;
        let issuer = Issuer::of(issuer.as_ref(), [authorize_url, &client.token_url]);
        let pending = Pending::State { place, until, session: hash(session.expose()), verifier, issuer };
        self.put(hash(state.expose()), pending)?;
        Ok(Some(Departure { to, session }))
    }

    /// What a state was given for, when `session` is that of the browser it was given to. It is used up, whatever comes of it.
    pub(crate) fn come_back(&self, state: &str, session: Option<&str>) -> Option<Return> {
        let Pending::State { place, session: given, verifier, issuer, .. } = self.take(state)? else { return None };
        let is_same: bool = session.is_some_and(|session| hash(session).ct_eq(&given).into());
        is_same.then_some(Return { place, verifier, issuer })
    }

    fn put(&self, key: Hash, pending: Pending) -> Result<(), Crowded> {
        let now = self.clock.now();
        let mut all = self.lock();
        all.retain(|_, pending| now < pending.until());
        if all.len() >= PENDING_MAX {
            return Err(Crowded);
        }
        all.insert(key, pending);
        Ok(())
    }

    fn take(&self, text: &str) -> Option<Pending> {
        let now = self.clock.now();
        self.lock().remove(&hash(text)).filter(|pending| now < pending.until())
    }

    /// 256 bits as 43 characters: also what RFC 7636 §4.1 wants of a verifier.
    fn random(&self) -> Secret<String> {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        self.entropy.fill(&mut *bytes);
        Secret::new(BASE64URL_NOPAD.encode(&*bytes))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hash, Pending>> {
        // No code that holds the lock can panic half-way through a change.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

/// Why a consent came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotConnected {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Connection(#[from] CredentialError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// How a consent ended.
pub(crate) struct Connected {
    pub(crate) stored: StoredConnection,
    /// Whether it can be renewed without its owner.
    pub(crate) can_renew: bool,
}

impl Tokens {
    /// Exchanges a code for tokens and makes the connection ready. Finished even if the browser goes away meanwhile.
    pub(crate) async fn connect(
        self: &Arc<Self>,
        back: Return,
        code: Secret<String>,
        redirect: Url,
    ) -> Result<Connected, NotConnected> {
        let tokens = Arc::clone(self);
        let exchange = self.renewals.spawn(async move { tokens.exchange(back, code, redirect).await });
        exchange.await.unwrap_or_else(|_| Err(NotConnected::Refused("the exchange was cut off".to_owned())))
    }

    async fn exchange(&self, back: Return, code: Secret<String>, redirect: Url) -> Result<Connected, NotConnected> {
        let Return { place: (workspace, name), verifier, .. } = back;
        let stored = self.broker.get(&workspace, &name).await.map_err(WriteError::from)?;
        let stored = stored.ok_or_else(|| WriteError::Unknown(name.clone()))?;
        let (Kind::OauthCode { client, .. }, SecretDocument::Oauth(secret)) =
            (&stored.connection.kind, self.broker.open(&stored)?)
        else {
            return Err(CredentialError::WrongKind { name, kind: stored.connection.kind.name() }.into());
        };
        let form = vec![
            ("grant_type", Secret::new("authorization_code".to_owned())),
            ("code", code),
            ("redirect_uri", Secret::new(redirect.to_string())),
            ("code_verifier", verifier),
        ];
        let granted = self.endpoint.ask(client, &secret, form).await.map_err(|refusal| match refusal {
            Refusal::ForGood(reason) | Refusal::ForNow { reason, .. } => NotConnected::Refused(reason),
        })?;
        let renew_at = self.renew_at(&granted);
        let can_renew = granted.refresh_token.is_some() || renew_at.is_none();
        let written = self.broker.change::<NotWritten>(&workspace, &name, |latest| {
            let (true, SecretDocument::Oauth(mut secret)) = (
                latest.connection.kind == stored.connection.kind,
                self.broker.open(latest).map_err(WriteError::Sealed)?,
            ) else {
                return Err(NotWritten::Changed);
            };
            // What an earlier consent gave does not outlive this one.
            (secret.access_token, secret.refresh_token, secret.expires_at) = (None, None, None);
            put(&mut secret, granted.clone(), renew_at);
            let connection = Connection { state: State::Ready, ..latest.connection.clone() };
            Ok(Change { connection, usage: latest.usage.clone(), secret: Some(SecretDocument::Oauth(secret)) })
        });
        let stored = written.await.map_err(|error| match error {
            NotWritten::Changed => {
                NotConnected::Refused("the connection was changed meanwhile; connect it again".to_owned())
            }
            NotWritten::Failed(error) => error.into(),
        })?;
        Ok(Connected { stored, can_renew })
    }
}

#[cfg(test)]
mod tests;
