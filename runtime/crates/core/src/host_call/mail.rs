//! `mail`: one message through a connection of kind `smtp`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::Digest;

/// A message to be sent. Answer: a [`Receipt`].
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Message {
    /// `Ana <ana@example.com>`; absent: the connection's own address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    pub to: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    pub subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Tells it from other messages of the step, whatever their order; absent: its number among the writing calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A file that goes with a message. The record keeps its size and its digest.
#[derive(Clone, PartialEq, Serialize)]
pub struct Attachment {
    pub name: String,
    pub media_type: String,
    pub bytes: u64,
    pub digest: Digest,
    #[serde(skip)]
    pub content: Vec<u8>,
}

impl Attachment {
    pub fn new(name: impl Into<String>, media_type: impl Into<String>, content: Vec<u8>) -> Self {
        let (bytes, digest) = (content.len() as u64, Digest::of(&content));
        Self { name: name.into(), media_type: media_type.into(), bytes, digest, content }
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {} bytes)", self.name, self.media_type, self.bytes)
    }
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Receipt {
    pub message_id: String,
    pub accepted: Vec<String>,
    /// Addresses that the server refused, and what it said.
    pub rejected: Vec<(String, String)>,
    /// It had been sent by an earlier attempt.
    pub repeated: bool,
}
