//! One conversation with a mail server: connect through the door, encrypt, sign in, hand over one mail. Every phase has its time.

use std::time::Duration;

use flowcell_core::connection::SmtpTls;
use flowcell_core::host_call::mail::Receipt;
use flowcell_core::id::ConnectionName;
use flowcell_core::secret::Secret;
use flowcell_sandbox::egress::Door;
use lettre::Address;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};

use super::compose::Composed;
use super::failure::{Failure, Phase};
use super::tls;

/// For TLS and the greeting: servers that look a client up before they greet it take some seconds.
const OPENING: Duration = Duration::from_secs(30);

/// For each command. RFC 5321 §4.5.3.2 asks for five minutes, for servers that expand lists while one waits; a step does not wait that long.
const COMMAND: Duration = Duration::from_mins(1);

/// For the answer to a whole mail, which scanners look at: RFC 5321 §4.5.3.2.6 asks for ten minutes. The call's own deadline comes mostly before.
const TAKEN: Duration = Duration::from_mins(10);

/// For a goodbye: nothing depends on it.
const LEAVING: Duration = Duration::from_secs(2);

/// A mail server as a connection names it.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) connection: ConnectionName,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: SmtpTls,
    pub(super) ca: Option<String>,
    pub(super) sender: Option<String>,
}

/// As whom.
pub(super) struct Account {
    pub(super) username: String,
    pub(super) password: Secret<String>,
}

/// A conversation with a server that knows who we are.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
}

/// Connects and signs in.
pub(super) async fn open(door: &Door, server: &Server, account: Account) -> Result<Session, Failure> {
    let stream = door.dial(&server.host, server.port).await?;
    let opening = async {
        let stream: Box<dyn AsyncTokioStream> = match server.tls {
            SmtpTls::Starttls => Box::new(tls::starttls(stream, server).await?),
            SmtpTls::Implicit => Box::new(tls::implicit(stream, server).await?),
            SmtpTls::None => Box::new(stream),
        };
        let greeted = AsyncSmtpConnection::connect_with_transport(stream, &ClientId::default()).await;
        greeted.map_err(|error| Failure::of(&error, Phase::Greeting))
    };
    let opened = tokio::time::timeout(OPENING, opening).await;
    let mut connection = opened.unwrap_or_else(|_| Err(Failure::out_of_time("greeting the server", false)))?;
    let credentials = Credentials::new(account.username, account.password.expose().clone());
    if connection.server_info().get_auth_mechanism(DEFAULT_MECHANISMS).is_none() {
        return Err(Failure::denied(format!(
            "the mail server {} offers neither AUTH PLAIN nor AUTH LOGIN{}",
            server.host,
            if server.tls == SmtpTls::None {
                " without encryption; use `--smtp-tls starttls` or `implicit`"
            } else {
                ""
            }
        )));
    }
    within(COMMAND, Phase::SigningIn, connection.auth(DEFAULT_MECHANISMS, &credentials)).await?;
    Ok(Session { connection })
}

impl Session {
    /// Hands over one mail. Whoever the server refuses is named; the mail goes to the others.
    pub(super) async fn hand_over(&mut self, mail: &Composed) -> Result<Receipt, Failure> {
        let mut options = Vec::new();
        let info = self.connection.server_info();
        if let Some(address) = mail.addresses().find(|address| !AsRef::<str>::as_ref(*address).is_ascii()) {
            if !info.supports_feature(Extension::SmtpUtfEight) {
                let message =
                    format!("the mail server takes no addresses with letters beyond ASCII, such as {address}");
                return Err(Failure::invalid("/to", message));
            }
            options.push(MailParameter::SmtpUtfEight);
        }
        if info.supports_feature(Extension::EightBitMime) {
            options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let sender = Mail::new(Some(mail.from.clone()), options);
        within(COMMAND, Phase::Sender, self.connection.command(sender)).await?;
        let (mut accepted, mut rejected) = (Vec::new(), Vec::new());
        for address in &mail.recipients {
            let named = self.connection.command(Rcpt::new(address.clone(), Vec::new()));
            match within(COMMAND, Phase::Recipient, named).await {
                Ok(()) => accepted.push(address.to_string()),
                // The server answered, and speaks of this one alone.
                Err(failure) if failure.details.is_some() && !failure.is_unauthorized() => {
                    rejected.push((address.to_string(), failure));
                }
                Err(failure) => return Err(failure),
            }
        }
        if accepted.is_empty() {
            return Err(Failure::nobody(&rejected));
        }
        within(COMMAND, Phase::Data, self.connection.command(Data)).await?;
        within(TAKEN, Phase::Taken, self.connection.message(&mail.bytes)).await?;
        let rejected = rejected.into_iter().map(|(address, failure)| (address, failure.said())).collect();
        Ok(Receipt { message_id: mail.message_id.clone(), accepted, rejected, repeated: false })
    }

    pub(super) async fn leave(mut self) -> Result<(), Failure> {
        within(LEAVING, Phase::Leaving, self.connection.quit()).await
    }
}

async fn within<T>(
    limit: Duration,
    phase: Phase,
    command: impl Future<Output = Result<T, smtp::Error>>,
) -> Result<(), Failure> {
    match tokio::time::timeout(limit, command).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::of(&error, phase)),
        Err(_) => Err(Failure::out_of_time("waiting for its answer", phase == Phase::Taken)),
    }
}

impl Composed {
    fn addresses(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.from).chain(&self.recipients)
    }
}
