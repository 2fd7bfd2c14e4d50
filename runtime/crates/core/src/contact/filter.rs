//! Which contacts a search wants.

use serde_json::Value;

use super::{Contact, Identity};
use crate::id::ContactId;

/// Everything that is given has to hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ContactFilter {
    pub identity: Option<Identity>,
    pub tag: Option<String>,
    /// A path (see [`Contact::value`]) and its value as a text.
    pub field: Option<(String, String)>,
}

/// Where a page begins and how long it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContactPageRequest {
    /// The last contact that the page before has dealt with.
    pub before: Option<ContactId>,
    pub limit: usize,
}

/// Contacts, the newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ContactPage {
    pub contacts: Vec<Contact>,
    /// Where the next page begins; absent: there are no more.
    pub next: Option<ContactId>,
    /// The search came to its bound before the page was full: there may be contacts behind `next`, or none.
    pub is_cut: bool,
}

impl ContactFilter {
    pub fn passes(&self, contact: &Contact) -> bool {
        self.identity.as_ref().is_none_or(|wanted| contact.identities().any(|identity| identity == *wanted))
            && self.tag.as_ref().is_none_or(|tag| contact.tags.contains(tag))
            && self
                .field
                .as_ref()
                .is_none_or(|(path, wanted)| contact.value(path).is_some_and(|value| is(&value, wanted)))
    }
}

fn is(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        // One of a list.
        Value::Array(items) => items.iter().any(|item| is(item, wanted)),
        other => *other == wanted,
    }
}
