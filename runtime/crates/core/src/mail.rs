//! A mail as a step writes it, and what became of it. Addresses are read and mails are built by the host's mail service; here is what can be
//! said of one without sending it.

use serde::{Deserialize, Serialize};

/// Recipients of one mail, of all three sorts: what common servers take in one transaction (RFC 5321 §4.5.3.1.8 asks for 100).
pub const RECIPIENTS_MAX: usize = 100;

/// Attachments of one mail, and all of them together in bytes: base64 makes 10 MiB of 7.5, what most servers take without a question.
pub const ATTACHMENTS_MAX: usize = 20;
pub const ATTACHED_BYTES_MAX: usize = 7 * 1024 * 1024;

/// Each of the texts: larger ones are cut off by common readers of mail.
pub const TEXT_BYTES_MAX: usize = 512 * 1024;

/// Characters of a subject: RFC 5322 §2.1.1, one line.
pub const SUBJECT_CHARS_MAX: usize = 500;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `Ana <ana@example.com>`; absent: the connection's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    pub subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Tells this mail from others of the same step, whatever their order; absent: its number among the calls of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    pub name: String,
    pub media_type: String,
    #[serde(with = "crate::mail::base64_text")]
    pub content: Vec<u8>,
}

/// What a server said of a mail that it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub message_id: String,
    /// Addresses.
    pub accepted: Vec<String>,
    /// Addresses, and why the server does not take them.
    #[serde(default)]
    pub rejected: Vec<(String, String)>,
    /// It had been sent by an earlier attempt.
    #[serde(default)]
    pub repeated: bool,
}

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

impl Message {
    /// Everybody it goes to, with the place of each in the document.
    pub fn recipients(&self) -> impl Iterator<Item = (String, &str)> {
        let placed = |name: &'static str, list: &'_ [String]| {
            (0..list.len()).map(move |at| format!("/{name}/{at}")).collect::<Vec<_>>()
        };
        [("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc)].into_iter().flat_map(move |(name, list)| {
            placed(name, list).into_iter().zip(list.iter().map(String::as_str)).collect::<Vec<_>>()
        })
    }

    /// Limits, and texts that would add headers of their own.
    pub fn check(&self) -> Result<(), InvalidMail> {
        let wrong = |field: &str, message: String| Err(InvalidMail::new(field, message));
        let recipients = self.recipients().count();
        if recipients == 0 {
            return wrong("/to", "nobody is named: give at least one address in `to`, `cc` or `bcc`".to_owned());
        }
        if recipients > RECIPIENTS_MAX {
            return wrong(
                "/to",
                format!("a mail goes to at most {RECIPIENTS_MAX} addresses; this one has {recipients}. Send several"),
            );
        }
        let lines = self.sender.iter().map(|text| ("/sender".to_owned(), text.as_str()));
        let lines = lines.chain(self.reply_to.iter().map(|text| ("/reply_to".to_owned(), text.as_str())));
        let lines = lines.chain([("/subject".to_owned(), self.subject.as_str())]).chain(self.recipients());
        for (field, text) in lines {
            if text.chars().any(char::is_control) {
                let message =
                    "it has a line break or another control character; what stands in a mail's header is one line";
                return wrong(&field, message.to_owned());
            }
        }
        if self.subject.chars().count() > SUBJECT_CHARS_MAX {
            return wrong("/subject", format!("a subject has at most {SUBJECT_CHARS_MAX} characters"));
        }
        if self.text.is_none() && self.html.is_none() {
            return wrong("/text", "the mail is empty: give `text`, `html` or both".to_owned());
        }
        for (field, text) in [("/text", &self.text), ("/html", &self.html)] {
            if text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
                return wrong(field, format!("it has more than {TEXT_BYTES_MAX} bytes; attach it, or link to it"));
            }
        }
        self.check_attachments()
    }

    fn check_attachments(&self) -> Result<(), InvalidMail> {
        if self.attachments.len() > ATTACHMENTS_MAX {
            return Err(InvalidMail::new("/attachments", format!("a mail has at most {ATTACHMENTS_MAX} attachments")));
        }
        let bytes: usize = self.attachments.iter().map(|attachment| attachment.content.len()).sum();
        if bytes > ATTACHED_BYTES_MAX {
            let message = format!(
                "the attachments have {bytes} bytes together, and at most {ATTACHED_BYTES_MAX} can be sent; link to them instead"
            );
            return Err(InvalidMail::new("/attachments", message));
        }
        for (at, attachment) in self.attachments.iter().enumerate() {
            let name = &attachment.name;
            if name.is_empty()
                || name.chars().count() > 255
                || name.chars().any(|c| c.is_control() || "/\\\"".contains(c))
            {
                let message =
                    "a name of a file has 1 to 255 characters, and neither slashes, quotes nor control characters";
                return Err(InvalidMail::new(format!("/attachments/{at}/name"), message));
            }
        }
        Ok(())
    }
}

pub(crate) mod base64_text {
    //! Bytes as base64 in JSON.
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
