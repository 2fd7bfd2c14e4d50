//! From what a step wrote to a mail: addresses are read, texts become MIME parts. Nothing a step writes can add a header or a recipient.

use std::time::{Duration, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use flowcell_core::host_call::mail::Message;
use flowcell_core::mail::{InvalidMail, recipients};
use flowcell_core::people::EMAIL_BYTES_MAX;
use flowcell_core::time::Timestamp;
use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use sha2::{Digest as _, Sha256};

use super::failure::Failure;

/// A mail as it goes over the wire.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) message_id: String,
    pub(super) from: Address,
    /// Each once, whichever field names it.
    pub(super) recipients: Vec<Address>,
    pub(super) bytes: Vec<u8>,
}

/// Builds the mail. Under the same `key` the Message-ID is the same, so that whoever keeps mails can tell a repetition.
pub(super) fn compose(message: &Message, from: &str, (key, now): (&str, Timestamp)) -> Result<Composed, Failure> {
    let from = mailbox("/sender", from)?;
    let mut addresses: Vec<Address> = Vec::new();
    for (field, text) in recipients(message) {
        let address = mailbox(&field, text)?.email;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let message_id = message_id(key, from.email.domain());
    let envelope = Envelope::new(Some(from.email.clone()), addresses.clone());
    let envelope = envelope.map_err(|error| Failure::invalid("/to", error.to_string()))?;
    let mut builder = lettre::Message::builder()
        .from(from.clone())
        .date(UNIX_EPOCH + Duration::from_millis(now.as_millis()))
        .message_id(Some(message_id.clone()))
        .subject(message.subject.clone())
        .envelope(envelope);
    for (at, text) in message.to.iter().enumerate() {
        builder = builder.to(mailbox(&format!("/to/{at}"), text)?);
    }
    for (at, text) in message.cc.iter().enumerate() {
        builder = builder.cc(mailbox(&format!("/cc/{at}"), text)?);
    }
    if let Some(text) = &message.reply_to {
        builder = builder.reply_to(mailbox("/reply_to", text)?);
    }
    let built = match content(message)? {
        Content::One(part) => builder.singlepart(part),
        Content::Several(parts) => builder.multipart(parts),
    };
    let built = built.map_err(|error| Failure::invalid("", format!("the mail cannot be built: {error}")))?;
    Ok(Composed { message_id, from: from.email, recipients: addresses, bytes: built.formatted() })
}

/// An address without a name.
pub(crate) fn parse_address(text: &str) -> Result<Address, InvalidMail> {
    let wrong = |reason: &str| InvalidMail::new("", format!("`{text}` is no e-mail address: {reason}"));
    if text.len() > EMAIL_BYTES_MAX {
        return Err(wrong(&format!("it has more than {EMAIL_BYTES_MAX} bytes")));
    }
    text.parse::<Address>().map_err(|error| wrong(&error.to_string().to_lowercase()))
}

/// Whether a text can be what a mail comes from.
pub(crate) fn check_sender(text: &str) -> Result<(), InvalidMail> {
    if text.chars().any(char::is_control) {
        return Err(InvalidMail::new("", "an address has no line breaks"));
    }
    mailbox("", text).map(drop)
}

/// `Ana <ana@example.com>` or the address alone.
fn mailbox(field: &str, text: &str) -> Result<Mailbox, InvalidMail> {
    let wrong = |reason: String| {
        InvalidMail::new(
            field,
            format!("`{text}` is no e-mail address: {reason}; write `ana@example.com` or `Ana <ana@example.com>`"),
        )
    };
    let mailbox = text.trim().parse::<Mailbox>().map_err(|error| wrong(error.to_string().to_lowercase()))?;
    parse_address(mailbox.email.as_ref()).map_err(|error| InvalidMail::new(field, error.message))?;
    Ok(mailbox)
}

enum Content {
    One(SinglePart),
    Several(MultiPart),
}

/// The texts, alternatives of each other, and behind them what is attached.
fn content(message: &Message) -> Result<Content, Failure> {
    let texts = match (&message.text, &message.html) {
        (Some(text), Some(html)) => Content::Several(MultiPart::alternative_plain_html(text.clone(), html.clone())),
        (None, Some(html)) => Content::One(SinglePart::html(html.clone())),
        (text, None) => Content::One(SinglePart::plain(text.clone().unwrap_or_default())),
    };
    if message.attachments.is_empty() {
        return Ok(texts);
    }
    let mut parts = match texts {
        Content::One(part) => MultiPart::mixed().singlepart(part),
        Content::Several(part) => MultiPart::mixed().multipart(part),
    };
    for (at, attachment) in message.attachments.iter().enumerate() {
        let media_type = ContentType::parse(&attachment.media_type).map_err(|_| {
            let said = format!("`{}` is no media type such as application/pdf", attachment.media_type);
            Failure::invalid(&format!("/attachments/{at}/media_type"), said)
        })?;
        parts = parts.singlepart(Attachment::new(attachment.name.clone()).body(attachment.content.clone(), media_type));
    }
    Ok(Content::Several(parts))
}

/// RFC 5322 §3.6.4: unique, and the same for the same key.
fn message_id(key: &str, domain: &str) -> String {
    let digest = Sha256::digest(format!("flowcell mail {key}"));
    let unique = digest.get(..16).map(|bytes| HEXLOWER.encode(bytes)).unwrap_or_default();
    format!("<{unique}@{domain}>")
}
