//! Mail: sends one message through a connection of the kind `smtp`, once.
//!
//! Read in this order: [`compose`] (from what a step wrote to a mail), [`session`] (one conversation with a server), [`tls`] (how it is encrypted) and
//! [`failure`] (what a server's answers mean). A mail that a server has taken is remembered under the step's key, so that an attempt that is made
//! again gets the first receipt. Only between the server's answer and that note is there a moment in which a crash makes a second mail possible;
//! it carries the same Message-ID, and the step's `on_uncertain` decides whether it is sent at all.

mod compose;
mod failure;
mod session;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use flowcell_core::connection::{Asking, Connection, CredentialError, Kind, Remedy, State, StoredConnection};
use flowcell_core::host_call::mail::{Message, Receipt};
use flowcell_core::host_call::{Caller, HostError};
use flowcell_core::id::{ConnectionName, WorkspaceId};
use flowcell_core::mail;
use flowcell_core::plugin::PluginId;
use flowcell_core::ports::Clock;
use flowcell_core::receipt::{self, Receipts};
use flowcell_core::time::Timestamp;
use flowcell_sandbox::egress::Door;
use serde_json::Value;
use tokio_util::task::TaskTracker;

pub(crate) use compose::{check_sender, parse_address};
pub(crate) use failure::Failure;
pub(crate) use tls::are_certificates;

use crate::connections::broker::{Broker, Change, WriteError};
use crate::connections::document::SecretDocument;
use compose::Composed;
use session::{Account, Server};

/// Waiting for conversations under way when the server ends: a server that has a whole mail answers within that, mostly.
const CLOSING_MAX: Duration = Duration::from_secs(25);

/// Which step sends, and under which key it is remembered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) workspace: &'a WorkspaceId,
    pub(crate) plugin: &'a PluginId,
    pub(crate) connection: Option<&'a ConnectionName>,
    /// Unique to the mail: the step's idempotency key and which of its mails it is. Empty: it is not remembered.
    pub(crate) key: &'a str,
    pub(crate) deadline: Timestamp,
}

/// Sends what a step asks to be sent.
pub(super) async fn answer(mailer: &Arc<Mailer>, caller: &Caller, message: Message) -> Result<Value, HostError> {
    let key = caller.ledger_key_of(message.key.as_deref()).unwrap_or_default();
    let sender = Sender {
        workspace: &caller.workspace,
        plugin: &caller.plugin,
        connection: caller.connection.as_ref(),
        key: &key,
        deadline: caller.deadline,
    };
    let receipt = mailer.send(sender, message).await.map_err(HostError::from)?;
    Ok(serde_json::to_value(receipt).unwrap_or_default())
}

/// Sends mails. One for all workspaces.
pub(crate) struct Mailer {
    broker: Arc<Broker>,
    door: Door,
    receipts: Arc<dyn Receipts>,
    clock: Arc<dyn Clock>,
    /// One attempt at a time for each key: an attempt that was given up may still be at it.
    flights: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    sending: TaskTracker,
}

impl Mailer {
    pub(crate) fn new(
        broker: Arc<Broker>,
        door: Door,
        receipts: Arc<dyn Receipts>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Self { broker, door, receipts, clock, flights: Mutex::default(), sending: TaskTracker::new() })
    }

    /// Sends `message`, or says what an earlier attempt got.
    pub(crate) async fn send(self: &Arc<Self>, sender: Sender<'_>, message: Message) -> Result<Receipt, Failure> {
        mail::check(&message)?;
        let stored = self.admitted(sender).await?;
        let (server, account) = self.server(&stored)?;
        let now = self.clock.now();
        let from = message.sender.as_deref().or(server.sender.as_deref());
        let from = from.ok_or_else(|| no_sender(&stored.connection))?;
        let composed = compose::compose(&message, from, (&message_key(sender), now))?;
        let key = (!sender.key.is_empty()).then(|| format!("mail/{}", sender.key));
        let workspace = sender.workspace.clone();
        let mailer = Arc::clone(self);
        let deadline = sender.deadline;
        // Once it is under way it ends, also when nobody waits for it any more: what the server has taken is remembered.
        let sent = self.sending.spawn(async move {
            let flight = key.as_ref().map(|key| mailer.flight(key));
            let _alone = match &flight {
                Some(flight) => Some(flight.lock().await),
                None => None,
            };
            if let Some(receipt) = mailer.earlier(&workspace, key.as_deref()).await? {
                return Ok(receipt);
            }
            let receipt = mailer.converse(&server, account, (&composed, deadline)).await?;
            mailer.remember(&workspace, key, &receipt).await;
            Ok(receipt)
        });
        let sent = sent.await.unwrap_or_else(|_| Err(Failure::unavailable("the mail was cut off; it is tried again")));
        match sent {
            Err(failure) if failure.is_unauthorized() => Err(self.give_up(&stored, failure).await),
            sent => sent,
        }
    }

    /// Signs in and sends nothing: whether the server takes the credentials.
    pub(crate) async fn try_out(
        self: &Arc<Self>,
        stored: &StoredConnection,
        deadline: Timestamp,
    ) -> Result<(), Failure> {
        let (server, account) = self.server(stored)?;
        let left = deadline.since(self.clock.now());
        let tried = async { session::open(&self.door, &server, account).await?.leave().await };
        tokio::time::timeout(left, tried).await.unwrap_or_else(|_| Err(Failure::out_of_time("signing in", false)))
    }

    /// Waits for conversations under way; not for ever.
    pub(crate) async fn close(&self) {
        self.sending.close();
        if tokio::time::timeout(CLOSING_MAX, self.sending.wait()).await.is_err() {
            tracing::warn!(
                "a mail server did not answer while the server ended; whether it has taken a mail is not known"
            );
        }
    }

    async fn admitted(&self, sender: Sender<'_>) -> Result<StoredConnection, Failure> {
        let Some(name) = sender.connection else {
            return Err(Failure::denied(
                "mail goes through a connection of the kind smtp, and the step names none: write `connection: NAME`; `flowcell connection add NAME --kind smtp` makes one",
            ));
        };
        let asking = Asking { workspace: sender.workspace, name, plugin: sender.plugin };
        Ok(self.broker.admitted_for_mail(asking).await?)
    }

    /// Where to, and as whom.
    fn server(&self, stored: &StoredConnection) -> Result<(Server, Account), Failure> {
        let Connection { name, kind, .. } = &stored.connection;
        let Kind::Smtp { host, port, tls, username, sender, ca } = kind else {
            return Err(Failure::denied(format!(
                "connection `{name}` is of the kind {}, and mail goes through one of the kind smtp",
                kind.name()
            )));
        };
        let SecretDocument::Password { password } = self.broker.open(stored)? else {
            let reason = "it holds no password".to_owned();
            return Err(CredentialError::Sealed { name: name.clone(), reason }.into());
        };
        let sender = sender.clone().or_else(|| parse_address(username).is_ok().then(|| username.clone()));
        let server =
            Server { connection: name.clone(), host: host.clone(), port: *port, tls: *tls, ca: ca.clone(), sender };
        Ok((server, Account { username: username.clone(), password }))
    }

    async fn earlier(&self, workspace: &WorkspaceId, key: Option<&str>) -> Result<Option<Receipt>, Failure> {
        let Some(key) = key else { return Ok(None) };
        let found = self.receipts.get(workspace, key).await?;
        let found = found.filter(|found| found.counts_at(self.clock.now()));
        let read = found.and_then(|found| serde_json::from_value::<Receipt>(found.result).ok());
        Ok(read.map(|receipt| Receipt { repeated: true, ..receipt }))
    }

    async fn converse(
        &self,
        server: &Server,
        account: Account,
        (composed, deadline): (&Composed, Timestamp),
    ) -> Result<Receipt, Failure> {
        let left = deadline.since(self.clock.now());
        let opened = tokio::time::timeout(left, session::open(&self.door, server, account)).await;
        let mut session = opened.unwrap_or_else(|_| Err(Failure::out_of_time("connecting and signing in", false)))?;
        let left = deadline.since(self.clock.now());
        let handed = tokio::time::timeout(left, session.hand_over(composed)).await;
        let receipt = handed.unwrap_or_else(|_| Err(Failure::out_of_time("handing over the mail", true)))?;
        // It is sent, whatever becomes of the goodbye.
        drop(session.leave().await);
        Ok(receipt)
    }

    async fn remember(&self, workspace: &WorkspaceId, key: Option<String>, receipt: &Receipt) {
        let Some(key) = key else { return };
        let result = serde_json::to_value(receipt).unwrap_or_default();
        let kept = receipt::Receipt { workspace: workspace.clone(), key, at: self.clock.now(), result };
        if let Err(error) = self.receipts.put(kept).await {
            let message_id = &receipt.message_id;
            tracing::error!(%error, message_id, "a mail was sent, and that it was could not be written down");
        }
    }

    fn flight(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        // No code that holds the lock can panic half-way through a change.
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, flight| flight.strong_count() > 0);
        if let Some(flight) = flights.get(key).and_then(Weak::upgrade) {
            return flight;
        }
        let flight = Arc::new(tokio::sync::Mutex::new(()));
        flights.insert(key.to_owned(), Arc::downgrade(&flight));
        flight
    }

    /// The server does not take the password: the connection needs its owner, and the runs that use it wait for that.
    async fn give_up(&self, stored: &StoredConnection, failure: Failure) -> Failure {
        let Connection { workspace, name, .. } = &stored.connection;
        let since = self.clock.now();
        let reason = failure.message.clone();
        let written = self.broker.change::<WriteError>(workspace, name, |latest| {
            let mut connection = latest.connection.clone();
            // Somebody else's change comes first: it may have helped already.
            if connection.updated_at == stored.connection.updated_at {
                connection.state = State::NeedsReconnecting { since, reason: reason.clone() };
            }
            Ok(Change { connection, usage: latest.usage.clone(), secret: None })
        });
        match written.await {
            Ok(_) => {
                tracing::error!(connection = %name, reason, "a mail server refuses a connection's password: runs that use it park until it has another");
                CredentialError::NeedsReconnecting { name: name.clone(), reason, remedy: Remedy::Secret }.into()
            }
            Err(error) => {
                tracing::error!(connection = %name, %error, "that a connection needs another password could not be written down");
                failure
            }
        }
    }
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mailer")
    }
}

/// What the Message-ID is made from: unique among workspaces, the same for every attempt.
fn message_key(sender: Sender<'_>) -> String {
    format!("{}/{}", sender.workspace, sender.key)
}

fn no_sender(connection: &Connection) -> Failure {
    Failure::invalid(
        "/sender",
        format!(
            "nobody is named as the sender, and the user name of connection `{}` is no address: give the step a sender, or the connection one (`--smtp-sender`)",
            connection.name
        ),
    )
}

#[cfg(test)]
mod tests;
