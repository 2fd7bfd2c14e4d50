//! The inbox: messages to the people of a workspace, kept for each of them, with whether they were read.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::id::{NotificationId, RunId, StepRef, UserId, WorkflowId, WorkspaceId};
use crate::people::Audience;
use crate::ports::StoreError;
use crate::receipt::Receipt;
use crate::time::Timestamp;

/// Messages that one inbox keeps; the oldest go. Nobody reads further back, and a list of them is a read of a few MiB at most.
pub const KEPT_MAX: usize = 1_000;

/// Characters of a title: two lines. Of a link: longer ones are for machines. Bytes of a body: with them a message fits into one record of the
/// store (4 KiB) for each of its recipients, and is short enough to be read.
pub const TITLE_CHARS_MAX: usize = 200;
pub const LINK_CHARS_MAX: usize = 1_000;
pub const BODY_BYTES_MAX: usize = 2_000;

/// A message as a step writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    pub to: Audience,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Where a click leads: `https://…`, or a path of this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    #[serde(default)]
    pub priority: Priority,
    /// Tells this message from others of the same step, whatever their order; absent: its number among the calls of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
    /// Disturbs in quiet hours, too.
    Urgent,
}

/// A message that cannot be, and the field at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidMessage {
    /// A JSON Pointer.
    pub field: &'static str,
    pub message: String,
}

impl Message {
    pub fn check(&self) -> Result<(), InvalidMessage> {
        let wrong = |field, message: &str| Err(InvalidMessage { field, message: message.to_owned() });
        if self.title.trim().is_empty() {
            return wrong("/title", "a message has a title; give it a few words");
        }
        if self.title.chars().any(char::is_control) {
            return wrong(
                "/title",
                "a title is one line without control characters; what is longer belongs into `body`",
            );
        }
        for (field, text, max) in
            [("/title", Some(&self.title), TITLE_CHARS_MAX), ("/link", self.link.as_ref(), LINK_CHARS_MAX)]
        {
            if text.is_some_and(|text| text.chars().count() > max) {
                return wrong(field, &format!("it has more than {max} characters; say less"));
            }
        }
        if self.body.as_ref().is_some_and(|body| body.len() > BODY_BYTES_MAX) {
            let message = format!("it has more than {BODY_BYTES_MAX} bytes; say less, or put it behind the `link`");
            return wrong("/body", &message);
        }
        match &self.link {
            Some(link) if !is_safe_link(link) => wrong(
                "/link",
                "a link begins with https:// or http://, or is a path of this server that begins with one `/`",
            ),
            _ => Ok(()),
        }
    }
}

/// Whether whoever clicks on it gets to a web page, and not into a script, a file or another server than it looks like.
fn is_safe_link(link: &str) -> bool {
    // Browsers drop tabs and line breaks and read `\` as `/`: what remains must still be what was judged.
    if link.chars().any(|c| c.is_control() || c == '\\' || c.is_whitespace()) {
        return false;
    }
    if let Some(path) = link.strip_prefix('/') {
        return !path.starts_with('/');
    }
    Url::parse(link).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && (link.starts_with("https://") || link.starts_with("http://"))
    })
}

/// A message as it was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    pub id: NotificationId,
    pub workspace: WorkspaceId,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    pub priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<From>,
    pub created_at: Timestamp,
}

/// The step that sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct From {
    pub workflow: WorkflowId,
    pub run: RunId,
    pub step: StepRef,
}

/// A message in one inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub user: UserId,
    pub notification: Notification,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
}

/// A message on its way into inboxes, and what is remembered of it, written together.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    pub notification: Notification,
    pub recipients: Vec<UserId>,
    pub receipt: Option<Receipt>,
}

/// Which items of one inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    One(NotificationId),
    /// All up to this one, which is the newest that somebody has seen; what came since stays as it is.
    UpTo(NotificationId),
    All,
}

impl Which {
    pub fn contains(self, id: NotificationId) -> bool {
        match self {
            Self::One(one) => one == id,
            Self::UpTo(last) => id <= last,
            Self::All => true,
        }
    }
}

/// What is wanted of an inbox, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemQuery {
    /// The last one of the page before.
    pub before: Option<NotificationId>,
    pub limit: usize,
    pub only_unread: bool,
}

/// Inboxes in the store. Every write is synced before it returns.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Puts the message into every recipient's inbox, and the receipt beside it, in one write. Where a receipt with this key is there and counts at
    /// the time of the new one, nothing is written, and it is returned. An inbox that would have more than [`KEPT_MAX`] loses its oldest.
    async fn deliver(&self, delivery: Delivery) -> Result<Option<Receipt>, StoreError>;
    async fn items(&self, workspace: &WorkspaceId, user: &UserId, query: ItemQuery) -> Result<Vec<Item>, StoreError>;
    async fn unread(&self, workspace: &WorkspaceId, user: &UserId) -> Result<usize, StoreError>;
    /// Makes items read at `read_at`, or unread. How many changed; those that were read already keep their time.
    async fn mark(
        &self,
        (workspace, user): (&WorkspaceId, &UserId),
        which: Which,
        read_at: Option<Timestamp>,
    ) -> Result<usize, StoreError>;
    /// How many went.
    async fn delete(&self, workspace: &WorkspaceId, user: &UserId, which: Which) -> Result<usize, StoreError>;
}

#[cfg(test)]
mod tests;
