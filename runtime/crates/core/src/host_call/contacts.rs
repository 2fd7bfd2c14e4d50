//! `contacts`: the contacts of a workspace. The documents are those of `docs/contacts.md`; [`crate::capability::ContactsCapability`] says which of their
//! fields a plugin sees.

use serde::Serialize;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// One of `id`, `email`, `phone`, `external_id`. Answer: the contact, or null.
    Find { by: Value },
    /// Answer: `{"contact", "outcome": "created" | "changed" | "unchanged", "changed": [..]}`.
    Upsert { contact: Value },
    /// `{"set"?, "add_tags"?, "remove_tags"?, "if_version"?}`. Answer: as of `Upsert`.
    Change { id: String, changes: Value },
    /// Answer: `{"note": {"id", ..}}`.
    AddNote { id: String, text: String },
    /// Answer: whether it was there.
    Delete { id: String },
    /// Answer: null.
    Enroll { id: String },
}

impl Request {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Find { .. } => "contacts.find",
            Self::Upsert { .. } => "contacts.upsert",
            Self::Change { .. } => "contacts.change",
            Self::AddNote { .. } => "contacts.add-note",
            Self::Delete { .. } => "contacts.delete",
            Self::Enroll { .. } => "contacts.enroll",
        }
    }
}
