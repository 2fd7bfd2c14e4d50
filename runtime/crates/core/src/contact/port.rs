//! Contacts in the store. Every write is synced before it returns.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::decide::{ContactWrite, Decided, Outcome, Refusal};
use super::event::ContactEvent;
use super::field::FieldDefinition;
use super::filter::{ContactFilter, ContactPage, ContactPageRequest};
use super::{Change, Contact, Identity, Note};
use crate::id::{ContactEventId, ContactId, FieldName, NoteId, WorkspaceId};
use crate::ports::{Changed, StoreError};
use crate::time::Timestamp;

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    pub outcome: Outcome,
    pub id: ContactId,
    /// As it is now; nothing when it was deleted.
    pub contact: Option<Contact>,
    /// The names of what changed.
    pub changed: Vec<String>,
    pub note: Option<NoteId>,
    /// It had been done before, under the same key.
    pub is_repeated: bool,
}

/// What is remembered of a write with a key, for [`REMEMBERED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    pub outcome: Outcome,
    pub id: ContactId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<NoteId>,
    pub at: Timestamp,
}

impl Written {
    /// What a decision comes to.
    pub fn of(decided: &Decided) -> Self {
        let either = decided.after.as_ref().or(decided.before.as_ref());
        Self {
            outcome: decided.outcome,
            // One of both is there: nothing is decided about nobody.
            id: either.map_or(ContactId::from_bytes([0; 16]), |contact| contact.id),
            contact: decided.after.clone(),
            changed: decided.changed(),
            note: decided.note.as_ref().map(|note| note.id),
            is_repeated: false,
        }
    }

    /// The answer to what is asked again.
    pub fn again(first: Remembered, contact: Option<Contact>) -> Self {
        let Remembered { outcome, id, changed, note, at: _ } = first;
        Self { outcome, id, contact, changed, note, is_repeated: true }
    }

    /// What is remembered of it.
    pub fn remembered(&self, at: Timestamp) -> Remembered {
        Remembered { outcome: self.outcome, id: self.id, changed: self.changed.clone(), note: self.note, at }
    }
}

/// How long a write's key is remembered: as long as the keys of deliveries, longer than any step is tried again by itself.
pub const REMEMBERED: std::time::Duration = std::time::Duration::from_hours(72);

/// Entries of a contact's history that are kept, the newest ones: at some 300 bytes each less than a megabyte for the busiest contact.
pub const HISTORY_MAX: u32 = 1_000;

#[async_trait]
pub trait Contacts: Send + Sync {
    /// Decides ([`super::decide::decide`]) and writes the contact, what it is found by, its history and the event that waits to be
    /// dispatched, in one transaction.
    async fn write(&self, write: ContactWrite) -> Result<Result<Written, Refusal>, StoreError>;

    async fn get(&self, workspace: &WorkspaceId, id: ContactId) -> Result<Option<Contact>, StoreError>;

    async fn find(&self, workspace: &WorkspaceId, identity: &Identity) -> Result<Option<Contact>, StoreError>;

    /// The newest first. An implementation may stop before the page is full, when it has looked at more than it allows itself.
    async fn search(
        &self,
        workspace: &WorkspaceId,
        filter: &ContactFilter,
        page: ContactPageRequest,
    ) -> Result<ContactPage, StoreError>;

    /// The newest first, from the one before `before` on.
    async fn notes(
        &self,
        workspace: &WorkspaceId,
        id: ContactId,
        (before, limit): (Option<NoteId>, usize),
    ) -> Result<Vec<Note>, StoreError>;

    /// The newest first, from the version before `before` on; of one that was deleted, too.
    async fn history(
        &self,
        workspace: &WorkspaceId,
        id: ContactId,
        (before, limit): (Option<u32>, usize),
    ) -> Result<Vec<Change>, StoreError>;

    /// By name.
    async fn definitions(&self, workspace: &WorkspaceId) -> Result<Vec<FieldDefinition>, StoreError>;
    async fn define(&self, workspace: &WorkspaceId, definition: FieldDefinition) -> Result<(), StoreError>;
    /// Whether it was there. Values that contacts have of it stay, and are not shown as fields that can be set.
    async fn undefine(&self, workspace: &WorkspaceId, name: &FieldName) -> Result<bool, StoreError>;

    /// The oldest events that wait to be dispatched, of every workspace.
    async fn waiting(&self, limit: usize) -> Result<Vec<ContactEvent>, StoreError>;
    /// These were dispatched.
    async fn dispatched(&self, events: &[(WorkspaceId, ContactEventId)]) -> Result<(), StoreError>;
    /// Forgets the keys of writes that are older than [`REMEMBERED`] at `now`; returns how many.
    async fn forget_keys(&self, now: Timestamp) -> Result<usize, StoreError>;

    /// Resolves at the first change of a contact after the call: subscribe before looking, so that nothing is missed.
    fn changed(&self) -> Changed;
}
