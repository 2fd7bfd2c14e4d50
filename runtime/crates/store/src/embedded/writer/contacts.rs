//! What a group makes of what is asked of contacts: decided one after the other, each given what the one before has left, and written with
//! everything that leads to them. So two who ask for one person in one group get one contact.

use flowcell_core::contact::decide::{ContactWrite, Decided, Lookup, Refusal, Wish, decide};
use flowcell_core::contact::port::{HISTORY_MAX, REMEMBERED, Remembered, Written};
use flowcell_core::contact::{Contact, Identity};
use flowcell_core::id::ContactId;
use flowcell_core::ports::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::apply::Applied;
use super::{ContactsWrite, Reply};
use crate::embedded::codec::{self, Body, PayloadRef};
use crate::embedded::group::{Group, Row};
use crate::embedded::guard::without_panic;
use crate::embedded::payload::WriteError;
use crate::embedded::shared::Shared;
use crate::embedded::tables::{self, ContactPart, Table, WorkspaceNumber};

const WHAT: &str = "a contact";

/// What a group came to, for contacts.
#[derive(Default)]
pub(super) struct Contacts {
    answers: Vec<(Reply<Answer>, Result<Answer, StoreError>)>,
    /// Files of records that are not there any more.
    gone: Vec<PayloadRef>,
    changes: usize,
}

type Answer = Result<Written, Refusal>;

impl Contacts {
    /// The group is durable now.
    pub(super) fn answer(self, shared: &Shared) {
        for file in &self.gone {
            if let Err(error) = shared.payloads.release(file) {
                tracing::debug!(%error, "a payload file that no record names was not removed");
            }
        }
        if self.changes > 0 {
            shared.contacts_changed.notify_waiters();
        }
        for (reply, answer) in self.answers {
            drop(reply.send(answer));
        }
    }
}

impl Applied<'_> {
    pub(super) fn contact(&mut self, asked: ContactsWrite) {
        let ContactsWrite { workspace, write, reply } = asked;
        let outcome = self.decide_contact(workspace, &write);
        self.contacts.answers.push((reply, outcome));
    }

    fn decide_contact(&mut self, workspace: WorkspaceNumber, write: &ContactWrite) -> Result<Answer, StoreError> {
        let mut look = Look { shared: self.shared, groups: [&self.group, &self.held], workspace };
        if let Some(key) = &write.key
            && let Some(first) = look.read::<Remembered>(&tables::remembered(workspace, key))?
            && write.at.since(first.at) < REMEMBERED
        {
            let contact = look.contact(first.id)?;
            return Ok(Ok(Written::again(first, contact)));
        }
        let decided = match decide(write, &mut look)? {
            Ok(decided) => decided,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let written = Written::of(&decided);
        let mut edit = Edit { shared: self.shared, rows: Vec::new(), remove: Vec::new() };
        if let Some(key) = &write.key {
            edit.put(tables::remembered(workspace, key), &written.remembered(write.at))?;
        }
        edit.all(workspace, &decided)?;
        if let Wish::Delete { id, .. } = write.wish {
            edit.remove.extend(look.keys_of(id, ContactPart::Note)?);
            edit.remove.extend(look.keys_of(id, ContactPart::History)?);
            // What is left is that it was deleted, when and by whom.
            let kept: Vec<sled::IVec> = edit.rows.iter().map(|row| row.key.clone()).collect();
            edit.remove.retain(|key| !kept.contains(key));
        }
        let Edit { rows, remove, .. } = edit;
        let mut gone = Vec::new();
        for key in rows.iter().map(|row| &row.key).chain(&remove) {
            gone.extend(look.file(key)?);
        }
        self.contacts.gone.extend(gone);
        self.contacts.changes += rows.len();
        for key in remove {
            self.group.remove(Table::Contacts, key);
        }
        for row in rows {
            self.group.put(row);
        }
        Ok(Ok(written))
    }
}

/// The contacts as the group leaves them so far.
struct Look<'g> {
    shared: &'g Shared,
    /// This one, and what the trees do not have of those before.
    groups: [&'g Group; 2],
    workspace: WorkspaceNumber,
}

impl Lookup<StoreError> for Look<'_> {
    fn contact(&mut self, id: ContactId) -> Result<Option<Contact>, StoreError> {
        self.read(&tables::contact(self.workspace, id))
    }
    fn owner(&mut self, identity: &Identity) -> Result<Option<ContactId>, StoreError> {
        self.read(&tables::identity(self.workspace, identity))
    }
}

impl Look<'_> {
    fn record(&self, key: &sled::IVec) -> Result<Option<sled::IVec>, StoreError> {
        match self.groups.iter().find_map(|group| group.pending(Table::Contacts, key)) {
            Some(record) => Ok(record.map(sled::IVec::from)),
            None => self.shared.record(Table::Contacts, key, WHAT),
        }
    }

    fn read<T: DeserializeOwned>(&self, key: &sled::IVec) -> Result<Option<T>, StoreError> {
        let record = self.record(key)?;
        record.map(|record| self.shared.decode(Table::Contacts, key, &record, WHAT)).transpose()
    }

    /// The file that the record names, if there is one and it does.
    fn file(&self, key: &sled::IVec) -> Result<Option<PayloadRef>, StoreError> {
        let Some(record) = self.record(key)? else { return Ok(None) };
        let opened = codec::open(Table::Contacts, key, &record);
        match opened.map_err(damaged)?.body {
            Body::File(file) => Ok(Some(file)),
            Body::Inline(_) => Ok(None),
        }
    }

    /// The keys of a part of what is kept of a contact.
    fn keys_of(&self, id: ContactId, part: ContactPart) -> Result<Vec<sled::IVec>, StoreError> {
        let prefix = tables::of_contact(self.workspace, part, (id, &[]));
        let stored = without_panic(|| {
            self.shared.database().trees.get(Table::Contacts).scan_prefix(&prefix).keys().collect::<Result<Vec<_>, _>>()
        });
        let mut keys = stored.and_then(|keys| keys.map_err(|error| error.to_string())).map_err(damaged)?;
        let fresh = self.groups.iter().flat_map(|group| group.changes());
        let fresh = fresh.filter(|(table, key, _)| *table == Table::Contacts && key.starts_with(&prefix));
        keys.extend(fresh.map(|(_, key, _)| key.clone()));
        Ok(keys)
    }
}

/// Records to write and to remove. Those that are large have their files when they are put here: it is rare, and the group waits.
struct Edit<'g> {
    shared: &'g Shared,
    rows: Vec<Row>,
    remove: Vec<sled::IVec>,
}

impl Edit<'_> {
    fn all(&mut self, workspace: WorkspaceNumber, decided: &Decided) -> Result<(), StoreError> {
        let Decided { after, event, note, before, .. } = decided;
        let (gone, come) = decided.keys();
        self.remove.extend(gone.iter().map(|identity| tables::identity(workspace, identity)));
        if let Some(note) = note
            && let Some(contact) = after
        {
            let key = tables::of_contact(workspace, ContactPart::Note, (contact.id, &note.id.to_bytes()));
            self.put(key, note)?;
        }
        let Some(event) = event else { return Ok(()) };
        let id = event.contact.id;
        for identity in &come {
            self.put(tables::identity(workspace, identity), &id)?;
        }
        match after {
            Some(contact) => self.put(tables::contact(workspace, id), contact)?,
            None => self.remove.extend(before.as_ref().map(|before| tables::contact(workspace, before.id))),
        }
        let of_version =
            |version: u32| tables::of_contact(workspace, ContactPart::History, (id, &version.to_be_bytes()));
        self.put(of_version(event.change.version), &event.change)?;
        self.remove.extend(event.change.version.checked_sub(HISTORY_MAX).filter(|old| *old > 0).map(of_version));
        self.put(tables::waiting(workspace, event.id), event)
    }

    fn put<T: Serialize>(&mut self, key: sled::IVec, value: &T) -> Result<(), StoreError> {
        let encoded = codec::encode(Table::Contacts, &key, value)?;
        if let Some((file, payload)) = &encoded.payload {
            self.shared.payloads.write(file, payload).map_err(|error| match error {
                WriteError::Write(error) => {
                    StoreError::Failed { message: format!("a payload file could not be written: {error}") }
                }
                WriteError::Sync(error) => {
                    self.shared.stop(&format!("the sync of a payload file failed: {error}"));
                    StoreError::Stopped
                }
            })?;
        }
        self.rows.push(Row { table: Table::Contacts, key, record: encoded.record });
        Ok(())
    }
}

fn damaged(problem: String) -> StoreError {
    StoreError::Damaged { what: WHAT.to_owned(), problem }
}
