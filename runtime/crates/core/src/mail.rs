//! A mail as a step writes it, and what became of it. Addresses are read and mails are built by the host's mail service; here is what can be
//! said of one without sending it.

use crate::host_call::mail::Message;

/// Recipients of one mail, of all three sorts: what common servers take in one transaction (RFC 5321 §4.5.3.1.8 asks for 100).
pub const RECIPIENTS_MAX: usize = 100;

/// Attachments of one mail, and all of them together in bytes: base64 makes 10 MiB of 7.5, what most servers take without a question.
pub const ATTACHMENTS_MAX: usize = 20;
pub const ATTACHED_BYTES_MAX: usize = 7 * 1024 * 1024;

/// Each of the texts: larger ones are cut off by common readers of mail.
pub const TEXT_BYTES_MAX: usize = 512 * 1024;

/// Characters of a subject: RFC 5322 §2.1.1, one line.
pub const SUBJECT_CHARS_MAX: usize = 500;

/// A mail that cannot be, and the field at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidMail {
    /// A JSON Pointer: `/to/2`.
    pub field: String,
    pub message: String,
}

impl InvalidMail {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Everybody it goes to, with the place of each in the document.
pub fn recipients(message: &Message) -> impl Iterator<Item = (String, &str)> {
    let placed = |name: &'static str, list: &'_ [String]| {
        (0..list.len()).map(move |at| format!("/{name}/{at}")).collect::<Vec<_>>()
    };
    [("to", &message.to), ("cc", &message.cc), ("bcc", &message.bcc)].into_iter().flat_map(move |(name, list)| {
        placed(name, list).into_iter().zip(list.iter().map(String::as_str)).collect::<Vec<_>>()
    })
}

/// Limits, and texts that would add headers of their own.
pub fn check(message: &Message) -> Result<(), InvalidMail> {
    let wrong = |field: &str, message: String| Err(InvalidMail::new(field, message));
    let count = recipients(message).count();
    if count == 0 {
        return wrong("/to", "nobody is named: give at least one address in `to`, `cc` or `bcc`".to_owned());
    }
    if count > RECIPIENTS_MAX {
        return wrong(
            "/to",
            format!("a mail goes to at most {RECIPIENTS_MAX} addresses; this one has {count}. Send several"),
        );
    }
    let lines = message.sender.iter().map(|text| ("/sender".to_owned(), text.as_str()));
    let lines = lines.chain(message.reply_to.iter().map(|text| ("/reply_to".to_owned(), text.as_str())));
    let lines = lines.chain([("/subject".to_owned(), message.subject.as_str())]).chain(recipients(message));
    for (field, text) in lines {
        if text.chars().any(char::is_control) {
            let said = "it has a line break or another control character; what stands in a mail's header is one line";
            return wrong(&field, said.to_owned());
        }
    }
    if message.subject.chars().count() > SUBJECT_CHARS_MAX {
        return wrong("/subject", format!("a subject has at most {SUBJECT_CHARS_MAX} characters"));
    }
    if message.text.is_none() && message.html.is_none() {
        return wrong("/text", "the mail is empty: give `text`, `html` or both".to_owned());
    }
    for (field, text) in [("/text", &message.text), ("/html", &message.html)] {
        if text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
            return wrong(field, format!("it has more than {TEXT_BYTES_MAX} bytes; attach it, or link to it"));
        }
    }
    check_attachments(message)
}

fn check_attachments(message: &Message) -> Result<(), InvalidMail> {
    if message.attachments.len() > ATTACHMENTS_MAX {
        return Err(InvalidMail::new("/attachments", format!("a mail has at most {ATTACHMENTS_MAX} attachments")));
    }
    let bytes: usize = message.attachments.iter().map(|attachment| attachment.content.len()).sum();
    if bytes > ATTACHED_BYTES_MAX {
        let said = format!(
            "the attachments have {bytes} bytes together, and at most {ATTACHED_BYTES_MAX} can be sent; link to them instead"
        );
        return Err(InvalidMail::new("/attachments", said));
    }
    for (at, attachment) in message.attachments.iter().enumerate() {
        let name = &attachment.name;
        if name.is_empty() || name.chars().count() > 255 || name.chars().any(|c| c.is_control() || "/\\\"".contains(c))
        {
            let said = "a name of a file has 1 to 255 characters, and neither slashes, quotes nor control characters";
            return Err(InvalidMail::new(format!("/attachments/{at}/name"), said));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
