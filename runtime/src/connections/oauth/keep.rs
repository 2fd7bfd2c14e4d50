//! What a token endpoint said, written down: a new refresh token before its access token is used, and a refusal for good before it is reported.
//! Somebody may change the connection at the same time; nothing that was given for another consent takes the place of a newer one.

use flowcell_core::connection::{Connection, CredentialError, State, StoredConnection};
use flowcell_core::secret::Secret;
use flowcell_core::time::Timestamp;

use super::super::broker::{Change, WriteError};
use super::super::document::{OauthSecret, SecretDocument};
use super::endpoint::Granted;
use super::{Held, Place, Tokens, is_same};

/// What was given for a refresh token, and is not on the disk yet.
pub(super) struct Unwritten {
    /// What it was given for.
    pub(super) replaced: Option<Secret<String>>,
    pub(super) granted: Granted,
    pub(super) renew_at: Option<Timestamp>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotKept {
    /// Somebody changed the connection meanwhile: look again.
    #[error("it was changed meanwhile")]
    Changed,
    #[error(transparent)]
    Failed(#[from] CredentialError),
}

/// Why the connection was not written.
pub(super) enum NotWritten {
    Changed,
    Failed(WriteError),
}

impl From<WriteError> for NotWritten {
    fn from(error: WriteError) -> Self {
        Self::Failed(error)
    }
}

impl Tokens {
    /// Writes down what has to outlive this process, and only then hands the token out. A change of anything but the refresh token leaves it good.
    pub(super) async fn keep(&self, place: &Place, unwritten: &Unwritten) -> Result<Held, NotKept> {
        let Unwritten { replaced, granted, renew_at } = unwritten;
        let written = self.broker.change::<NotWritten>(&place.0, &place.1, |latest| {
            let SecretDocument::Oauth(mut secret) = self.broker.open(latest).map_err(WriteError::Sealed)? else {
                return Err(NotWritten::Changed);
            };
            let is_still = match (&secret.refresh_token, replaced) {
                (Some(latest), Some(replaced)) => is_same(latest, replaced),
                (latest, replaced) => latest.is_none() && replaced.is_none(),
            };
            if !is_still {
                return Err(NotWritten::Changed);
            }
            put(&mut secret, granted.clone(), *renew_at);
            let connection = Connection { state: State::Ready, ..latest.connection.clone() };
            Ok(Change { connection, usage: latest.usage.clone(), secret: Some(SecretDocument::Oauth(secret)) })
        });
        match written.await {
            Ok(written) => Ok(Held {
                token: granted.access_token.clone(),
                renew_at: *renew_at,
                as_of: written.connection.updated_at,
            }),
            Err(error) => Err(not_kept(place, error)),
        }
    }

    /// Notes that only its owner can help. Somebody else's change comes first: it may have helped already.
    pub(super) async fn give_up(&self, stored: &StoredConnection, reason: &str) -> Result<(), NotKept> {
        let place = (stored.connection.workspace.clone(), stored.connection.name.clone());
        let since = self.clock.now();
        let written = self.broker.change::<NotWritten>(&place.0, &place.1, |latest| {
            if latest.connection.updated_at != stored.connection.updated_at {
                return Err(NotWritten::Changed);
            }
            let state = State::NeedsReconnecting { since, reason: reason.to_owned() };
            let connection = Connection { state, ..latest.connection.clone() };
            Ok(Change { connection, usage: latest.usage.clone(), secret: None })
        });
        written.await.map_err(|error| not_kept(&place, error))?;
        let workflows = self.workflows(&place).await;
        let name = &place.1;
        tracing::error!(connection = %name, reason, workflows, "a connection needs reconnecting: runs of these workflows park until then; `flowcell connection usage {name}` lists them");
        Ok(())
    }

    async fn workflows(&self, (workspace, name): &Place) -> String {
        match self.users.of(workspace, name).await {
            Ok(users) => users.iter().map(|user| user.id.to_string()).collect::<Vec<_>>().join(", "),
            Err(error) => format!("unknown: {error}"),
        }
    }
}

fn not_kept((_, name): &Place, error: NotWritten) -> NotKept {
    match error {
        // Removed meanwhile: whoever looks again is told so.
        NotWritten::Changed | NotWritten::Failed(WriteError::Unknown(_)) => NotKept::Changed,
        NotWritten::Failed(WriteError::Sealed(error)) => error.into(),
        NotWritten::Failed(error) => CredentialError::Unavailable {
            name: name.clone(),
            reason: format!("what the other side answered could not be written down: {error}"),
            retry_after_ms: Some(1_000),
        }
        .into(),
    }
}

/// Takes what was granted into the secret. A refresh token that is not replaced stays (RFC 6749 §6).
pub(super) fn put(secret: &mut OauthSecret, granted: Granted, renew_at: Option<Timestamp>) {
    secret.access_token = Some(granted.access_token);
    secret.expires_at = renew_at;
    secret.token_type = Some("Bearer".to_owned());
    if let Some(token) = granted.refresh_token {
        secret.refresh_token = Some(token);
    }
}
