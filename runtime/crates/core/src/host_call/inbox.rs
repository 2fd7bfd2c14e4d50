//! `inbox`: messages to the people of a workspace. The documents are those of `docs/notifications.md`.

use serde::Serialize;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// `{"to": {"users"?, "roles"?, "everyone"?}, "title", "body"?, "link"?, "priority"?}`. Answer: `{"id", "recipients", "repeated"}`.
    Notify { notification: Value },
    /// Answer: `[{"id", "name", "email"?, "phone"?, "quiet_hours"?, "channels"?}]`.
    People { audience: Value },
}

impl Request {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Notify { .. } => "inbox.notify",
            Self::People { .. } => "inbox.people",
        }
    }
}
