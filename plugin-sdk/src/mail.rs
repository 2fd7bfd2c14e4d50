//! Mail through the step's connection of the kind `smtp`. Needs the capability `mail` in `plugin.toml`.
//!
//! ```no_run
//! # use flowcell_sdk::{ActionError, mail::Message};
//! # fn run() -> Result<(), ActionError> {
//! let receipt = Message::new("ana@example.com", "Your order").text("It is on its way.").send()?;
//! # Ok(()) }
//! ```
//! Sending the same message in a later attempt of the step sends no second one.

use crate::HostError;

/// One message. At least `text` or `html`; attachments have at most 7 MiB together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// `Ana <ana@example.com>`; none: the connection's own address.
    pub sender: Option<String>,
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
    pub reply_to: Option<String>,
    pub subject: String,
    pub text: Option<String>,
    pub html: Option<String>,
    pub attachments: Vec<Attachment>,
    /// Tells it from other messages of the step, whatever their order; none: its number among the step's writing calls.
    pub key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The file's name, without folders.
    pub name: String,
    pub media_type: String,
    pub content: Vec<u8>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    pub message_id: String,
    pub accepted: Vec<String>,
    /// Addresses that the server refused, and what it said.
    pub rejected: Vec<(String, String)>,
    /// It had been sent by an earlier attempt.
    pub repeated: bool,
}

impl Message {
    pub fn new(to: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { to: vec![to.into()], subject: subject.into(), ..Self::default() }
    }

    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    #[must_use]
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.html = Some(html.into());
        self
    }

    #[must_use]
    pub fn attach(mut self, name: impl Into<String>, media_type: impl Into<String>, content: Vec<u8>) -> Self {
        self.attachments.push(Attachment { name: name.into(), media_type: media_type.into(), content });
        self
    }

    /// For a step that sends several, and not always all of them: under the same key it is the same message.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Hands it to the connection's server and waits for its answer.
    pub fn send(self) -> Result<Receipt, HostError> {
        crate::host::mail_send(self)
    }
}
