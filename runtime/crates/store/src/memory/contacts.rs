//! [`Contacts`] as it is meant: one decision after the other, under the lock.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use async_trait::async_trait;
use flowcell_core::contact::decide::{ContactWrite, Lookup, Refusal, decide};
use flowcell_core::contact::event::ContactEvent;
use flowcell_core::contact::field::FieldDefinition;
use flowcell_core::contact::filter::{ContactFilter, ContactPage, ContactPageRequest};
use flowcell_core::contact::port::{Contacts, HISTORY_MAX, REMEMBERED, Remembered, Written};
use flowcell_core::contact::{Change, Contact, Identity, Note};
use flowcell_core::id::{ContactEventId, ContactId, FieldName, NoteId, WorkspaceId};
use flowcell_core::ports::{Changed, StoreError};
use flowcell_core::time::Timestamp;

use super::MemoryStore;
use crate::rules;

/// Everything there is of the contacts of all workspaces.
#[derive(Debug, Default)]
pub(super) struct Book {
    contacts: BTreeMap<(WorkspaceId, ContactId), Contact>,
    notes: BTreeMap<(WorkspaceId, ContactId, NoteId), Note>,
    history: BTreeMap<(WorkspaceId, ContactId, u32), Change>,
    waiting: BTreeMap<(WorkspaceId, ContactEventId), ContactEvent>,
    definitions: BTreeMap<(WorkspaceId, FieldName), FieldDefinition>,
    remembered: HashMap<(WorkspaceId, String), Remembered>,
}

struct Look<'b>(&'b Book, &'b WorkspaceId);

impl Lookup<Infallible> for Look<'_> {
    fn contact(&mut self, id: ContactId) -> Result<Option<Contact>, Infallible> {
        Ok(self.0.contacts.get(&(self.1.clone(), id)).cloned())
    }
    fn owner(&mut self, identity: &Identity) -> Result<Option<ContactId>, Infallible> {
        Ok(self.0.find(self.1, identity).map(|contact| contact.id))
    }
}

impl Book {
    fn find(&self, workspace: &WorkspaceId, identity: &Identity) -> Option<&Contact> {
        let of_workspace = self.contacts.iter().filter(|((owner, _), _)| owner == workspace);
        of_workspace.map(|(_, contact)| contact).find(|contact| contact.identities().any(|own| own == *identity))
    }

    fn write(&mut self, write: &ContactWrite) -> Result<Written, Refusal> {
        let workspace = &write.workspace;
        let place = write.key.clone().map(|key| (workspace.clone(), key));
        if let Some(first) = place.as_ref().and_then(|place| self.remembered.get(place))
            && write.at.since(first.at) < REMEMBERED
        {
            let contact = self.contacts.get(&(workspace.clone(), first.id)).cloned();
            return Ok(Written::again(first.clone(), contact));
        }
        let Ok(decided) = decide(write, &mut Look(self, workspace));
        let decided = decided?;
        let written = Written::of(&decided);
        let id = written.id;
        if let Some(place) = place {
            self.remembered.insert(place, written.remembered(write.at));
        }
        if let Some(note) = decided.note {
            self.notes.insert((workspace.clone(), id, note.id), note);
        }
        let Some(event) = decided.event else { return Ok(written) };
        if let Some(contact) = decided.after {
            self.contacts.insert((workspace.clone(), id), contact);
        } else {
            self.contacts.remove(&(workspace.clone(), id));
            self.notes.retain(|(owner, contact, _), _| owner != workspace || *contact != id);
            self.history.retain(|(owner, contact, _), _| owner != workspace || *contact != id);
        }
        self.history.insert((workspace.clone(), id, event.change.version), event.change.clone());
        if let Some(old) = event.change.version.checked_sub(HISTORY_MAX) {
            self.history.remove(&(workspace.clone(), id, old));
        }
        self.waiting.insert((workspace.clone(), event.id), event);
        Ok(written)
    }
}

#[async_trait]
impl Contacts for MemoryStore {
    async fn write(&self, write: ContactWrite) -> Result<Result<Written, Refusal>, StoreError> {
        let written = self.state().book.write(&write);
        self.contacts_changed.notify_waiters();
        Ok(written)
    }

    async fn get(&self, workspace: &WorkspaceId, id: ContactId) -> Result<Option<Contact>, StoreError> {
        Ok(self.state().book.contacts.get(&(workspace.clone(), id)).cloned())
    }

    async fn find(&self, workspace: &WorkspaceId, identity: &Identity) -> Result<Option<Contact>, StoreError> {
        Ok(self.state().book.find(workspace, identity).cloned())
    }

    async fn search(
        &self,
        workspace: &WorkspaceId,
        filter: &ContactFilter,
        page: ContactPageRequest,
    ) -> Result<ContactPage, StoreError> {
        let limit = page.limit.min(rules::PAGE_CONTACTS_MAX);
        let state = self.state();
        let of_workspace = state.book.contacts.iter().rev().filter(|((owner, _), _)| owner == workspace);
        let mut contacts: Vec<Contact> = of_workspace
            .map(|(_, contact)| contact)
            .filter(|contact| page.before.is_none_or(|before| contact.id < before) && filter.passes(contact))
            .take(limit + 1)
            .cloned()
            .collect();
        let has_more = contacts.len() > limit;
        contacts.truncate(limit);
        let next = contacts.last().map(|contact| contact.id).filter(|_| has_more);
        Ok(ContactPage { contacts, next, is_cut: false })
    }

    async fn notes(
        &self,
        workspace: &WorkspaceId,
        id: ContactId,
        (before, limit): (Option<NoteId>, usize),
    ) -> Result<Vec<Note>, StoreError> {
        let state = self.state();
        let of_contact =
            state.book.notes.iter().rev().filter(|((owner, contact, _), _)| owner == workspace && *contact == id);
        let notes = of_contact.filter(|((_, _, note), _)| before.is_none_or(|before| *note < before));
        Ok(notes.map(|(_, note)| note.clone()).take(limit).collect())
    }

    async fn history(
        &self,
        workspace: &WorkspaceId,
        id: ContactId,
        (before, limit): (Option<u32>, usize),
    ) -> Result<Vec<Change>, StoreError> {
        let state = self.state();
        let of_contact =
            state.book.history.iter().rev().filter(|((owner, contact, _), _)| owner == workspace && *contact == id);
        let changes = of_contact.filter(|((_, _, version), _)| before.is_none_or(|before| *version < before));
        Ok(changes.map(|(_, change)| change.clone()).take(limit).collect())
    }

    async fn definitions(&self, workspace: &WorkspaceId) -> Result<Vec<FieldDefinition>, StoreError> {
        let state = self.state();
        let of_workspace = state.book.definitions.iter().filter(|((owner, _), _)| owner == workspace);
        Ok(of_workspace.map(|(_, definition)| definition.clone()).collect())
    }

    async fn define(&self, workspace: &WorkspaceId, definition: FieldDefinition) -> Result<(), StoreError> {
        self.state().book.definitions.insert((workspace.clone(), definition.name.clone()), definition);
        Ok(())
    }

    async fn undefine(&self, workspace: &WorkspaceId, name: &FieldName) -> Result<bool, StoreError> {
        Ok(self.state().book.definitions.remove(&(workspace.clone(), name.clone())).is_some())
    }

    async fn waiting(&self, limit: usize) -> Result<Vec<ContactEvent>, StoreError> {
        Ok(self.state().book.waiting.values().take(limit).cloned().collect())
    }

    async fn dispatched(&self, events: &[(WorkspaceId, ContactEventId)]) -> Result<(), StoreError> {
        let mut state = self.state();
        for event in events {
            state.book.waiting.remove(event);
        }
        Ok(())
    }

    async fn forget_keys(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut state = self.state();
        let before = state.book.remembered.len();
        state.book.remembered.retain(|_, remembered| now.since(remembered.at) < REMEMBERED);
        Ok(before - state.book.remembered.len())
    }

    fn changed(&self) -> Changed {
        // `notify_waiters` reaches every future made before it, polled or not: that is the subscription.
        Box::pin(Arc::clone(&self.contacts_changed).notified_owned())
    }
}
