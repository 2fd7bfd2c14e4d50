//! [`Contacts`]: decided and written by the writer (`writer/contacts.rs`), read from the one tree in which everything of contacts lies.

use std::sync::Arc;

use async_trait::async_trait;
use flowcell_core::contact::decide::{ContactWrite, Refusal};
use flowcell_core::contact::event::ContactEvent;
use flowcell_core::contact::field::FieldDefinition;
use flowcell_core::contact::filter::{ContactFilter, ContactPage, ContactPageRequest};
use flowcell_core::contact::port::{Contacts, REMEMBERED, Remembered, Written};
use flowcell_core::contact::{Change, Contact, Identity, Note};
use flowcell_core::id::{ContactEventId, ContactId, FieldName, NoteId, WorkspaceId};
use flowcell_core::ports::{Changed, StoreError};
use flowcell_core::time::Timestamp;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::codec::{self, Body, PayloadRef};
use super::guard::without_panic;
use super::journal::Rows;
use super::people::RowsChange;
use super::search::{next, previous};
use super::shared::{Shared, damaged, reading};
use super::tables::{self, ContactPart, Table, WorkspaceNumber};
use super::writer::{ContactsWrite, Write};
use crate::rules;

const WHAT: &str = "a contact";

/// Contacts that one page of a search may look at: at some ten microseconds each a tenth of a second or two.
const LOOKED_AT_MAX: usize = 20_000;

#[async_trait]
impl Contacts for EmbeddedStore {
    async fn write(&self, write: ContactWrite) -> Result<Result<Written, Refusal>, StoreError> {
        self.shared.space.admit_entry()?;
        let workspace = self.workspace_number(&write.workspace).await?;
        let (reply, answer) = oneshot::channel();
        let write = ContactsWrite { workspace, write, reply };
        self.writer.reserve().await?.send(Write::Contact(Box::new(write)));
        self.writer.answer(answer).await
    }

    async fn get(&self, workspace: &WorkspaceId, id: ContactId) -> Result<Option<Contact>, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(None) };
        self.look(move |shared| contact(shared, number, id)).await
    }

    async fn find(&self, workspace: &WorkspaceId, identity: &Identity) -> Result<Option<Contact>, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(None) };
        let identity = identity.clone();
        self.look(move |shared| found(shared, number, &identity)).await
    }

    async fn search(
        &self,
        workspace: &WorkspaceId,
        filter: &ContactFilter,
        page: ContactPageRequest,
    ) -> Result<ContactPage, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(ContactPage::default()) };
        let filter = filter.clone();
        self.look(move |shared| search(shared, number, &filter, page)).await
    }

    async fn notes(
        &self,
        workspace: &WorkspaceId,
        id: ContactId,
        (before, limit): (Option<NoteId>, usize),
    ) -> Result<Vec<Note>, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(Vec::new()) };
        let before = before.map(NoteId::to_bytes);
        self.look(move |shared| {
            let from = tables::of_contact(number, ContactPart::Note, (id, &[]));
            let to = tables::of_contact(number, ContactPart::Note, (id, &before.unwrap_or([u8::MAX; 16])));
            newest(shared, (from, to), limit)
        })
        .await
    }

    async fn history(
        &self,
        workspace: &WorkspaceId,
        id: ContactId,
        (before, limit): (Option<u32>, usize),
    ) -> Result<Vec<Change>, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(Vec::new()) };
        let before = before.unwrap_or(u32::MAX).to_be_bytes();
        self.look(move |shared| {
            let from = tables::of_contact(number, ContactPart::History, (id, &[]));
            newest(shared, (from, tables::of_contact(number, ContactPart::History, (id, &before))), limit)
        })
        .await
    }

    async fn definitions(&self, workspace: &WorkspaceId) -> Result<Vec<FieldDefinition>, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(Vec::new()) };
        self.look(move |shared| oldest(shared, &tables::contacts(number, ContactPart::Definition), usize::MAX)).await
    }

    async fn define(&self, workspace: &WorkspaceId, definition: FieldDefinition) -> Result<(), StoreError> {
        let number = self.workspace_number(workspace).await?;
        let key = tables::definition(number, &definition.name);
        let before = self.files_of(vec![key.clone()]).await?;
        let mut rows = Rows::default();
        rows.add(Table::Contacts, key, &definition)?;
        let rows = self.persist_payloads(rows).await?;
        self.write_rows(RowsChange { rows, remove: Vec::new() }).await?;
        self.drop_payloads(before).await;
        Ok(())
    }

    async fn undefine(&self, workspace: &WorkspaceId, name: &FieldName) -> Result<bool, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(false) };
        let key = tables::definition(number, name);
        let is_there = {
            let key = key.clone();
            reading(&self.shared, move |shared| shared.holds(Table::Contacts, &key)).await?
        };
        if is_there {
            self.remove_keys(vec![key]).await?;
        }
        Ok(is_there)
    }

    async fn waiting(&self, limit: usize) -> Result<Vec<ContactEvent>, StoreError> {
        self.shared.check_alive()?;
        let numbers: Vec<WorkspaceNumber> = self.shared.directory().workspaces.values().copied().collect();
        self.look(move |shared| {
            let mut events = Vec::new();
            for number in numbers {
                let left = limit.saturating_sub(events.len());
                events.extend(oldest(shared, &tables::contacts(number, ContactPart::Waiting), left)?);
            }
            Ok(events)
        })
        .await
    }

    async fn dispatched(&self, events: &[(WorkspaceId, ContactEventId)]) -> Result<(), StoreError> {
        let keys = events
            .iter()
            .filter_map(|(workspace, event)| Some(tables::waiting(self.known_workspace(workspace)?, *event)));
        self.remove_keys(keys.collect()).await
    }

    async fn forget_keys(&self, now: Timestamp) -> Result<usize, StoreError> {
        let numbers: Vec<WorkspaceNumber> = self.shared.directory().workspaces.values().copied().collect();
        let old = self.look(move |shared| {
            let mut old = Vec::new();
            for number in numbers {
                each(shared, &tables::contacts(number, ContactPart::Remembered), |key, remembered: Remembered| {
                    if now.since(remembered.at) >= REMEMBERED {
                        old.push(key);
                    }
                    Ok(old.len() < FORGOTTEN_MAX)
                })?;
            }
            Ok(old)
        });
        let old = old.await?;
        let count = old.len();
        self.remove_keys(old).await?;
        Ok(count)
    }

    fn changed(&self) -> Changed {
        // `notify_waiters` reaches every future made before it, polled or not: that is the subscription.
        Box::pin(Arc::clone(&self.shared.contacts_changed).notified_owned())
    }
}

/// Keys that are forgotten at a time: some hundred KiB of a group.
const FORGOTTEN_MAX: usize = 1_000;

impl EmbeddedStore {
    /// Reads, and returns when what was read is durable.
    async fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        reading(&self.shared, read).await
    }

    async fn remove_keys(&self, keys: Vec<sled::IVec>) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let files = self.files_of(keys.clone()).await?;
        let remove = keys.into_iter().map(|key| (Table::Contacts, key)).collect();
        self.write_rows(RowsChange { rows: Vec::new(), remove }).await?;
        self.drop_payloads(files).await;
        Ok(())
    }

    /// The files that the records name.
    async fn files_of(&self, keys: Vec<sled::IVec>) -> Result<Vec<PayloadRef>, StoreError> {
        reading(&self.shared, move |shared| {
            let mut files = Vec::new();
            for key in keys {
                let Some(record) = shared.record(Table::Contacts, &key, WHAT)? else { continue };
                let opened = codec::open(Table::Contacts, &key, &record).map_err(|problem| damaged(WHAT, problem))?;
                if let Body::File(file) = opened.body {
                    files.push(file);
                }
            }
            Ok(files)
        })
        .await
    }
}

fn contact(shared: &Shared, workspace: WorkspaceNumber, id: ContactId) -> Result<Option<Contact>, StoreError> {
    shared.read(Table::Contacts, &tables::contact(workspace, id), &id.to_string())
}

fn found(shared: &Shared, workspace: WorkspaceNumber, identity: &Identity) -> Result<Option<Contact>, StoreError> {
    let id: Option<ContactId> = shared.read(Table::Contacts, &tables::identity(workspace, identity), WHAT)?;
    let Some(id) = id else { return Ok(None) };
    // It may have been given to another one between both looks: then it is the other's.
    let contact = contact(shared, workspace, id)?;
    Ok(contact.filter(|contact| contact.identities().any(|own| own == *identity)))
}

fn search(
    shared: &Shared,
    workspace: WorkspaceNumber,
    filter: &ContactFilter,
    page: ContactPageRequest,
) -> Result<ContactPage, StoreError> {
    let limit = page.limit.min(rules::PAGE_CONTACTS_MAX);
    if let Some(identity) = &filter.identity {
        let contact = found(shared, workspace, identity)?.filter(|contact| filter.passes(contact));
        let contact = contact.filter(|contact| page.before.is_none_or(|before| contact.id < before));
        return Ok(ContactPage { contacts: contact.into_iter().collect(), ..ContactPage::default() });
    }
    let from = tables::contacts(workspace, ContactPart::Contact);
    let to = match page.before {
        Some(before) => tables::contact(workspace, before),
        None => tables::contacts(workspace, ContactPart::Identity),
    };
    let mut rows = shared.database().trees.get(Table::Contacts).range(from..to);
    let (mut found, mut looked_at) = (ContactPage::default(), 0);
    while let Some((key, record)) = previous(&mut rows, WHAT)? {
        let contact: Contact = shared.decode(Table::Contacts, &key, &record, WHAT)?;
        let id = contact.id;
        if filter.passes(&contact) {
            if found.contacts.len() == limit {
                found.next = found.contacts.last().map(|contact| contact.id);
                return Ok(found);
            }
            found.contacts.push(contact);
        }
        looked_at += 1;
        if looked_at == LOOKED_AT_MAX {
            return Ok(ContactPage { next: Some(id), is_cut: true, ..found });
        }
    }
    Ok(found)
}

/// The records of a range, the last ones first.
fn newest<T: DeserializeOwned>(
    shared: &Shared,
    (from, to): (sled::IVec, sled::IVec),
    limit: usize,
) -> Result<Vec<T>, StoreError> {
    let mut rows = shared.database().trees.get(Table::Contacts).range(from..to);
    let mut found = Vec::new();
    while found.len() < limit
        && let Some((key, record)) = previous(&mut rows, WHAT)?
    {
        found.push(shared.decode(Table::Contacts, &key, &record, WHAT)?);
    }
    Ok(found)
}

/// The first records that begin so.
fn oldest<T: DeserializeOwned>(shared: &Shared, prefix: &[u8], limit: usize) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    if limit > 0 {
        each(shared, prefix, |_, value| {
            found.push(value);
            Ok(found.len() < limit)
        })?;
    }
    Ok(found)
}

/// Calls `take` with each record whose key begins so, until it has enough.
fn each<T: DeserializeOwned>(
    shared: &Shared,
    prefix: &[u8],
    mut take: impl FnMut(sled::IVec, T) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let rows = without_panic(|| shared.database().trees.get(Table::Contacts).scan_prefix(prefix));
    let mut rows = rows.map_err(|problem| damaged(WHAT, problem))?;
    while let Some((key, record)) = next(&mut rows, WHAT)? {
        let value = shared.decode(Table::Contacts, &key, &record, WHAT)?;
        if !take(key, value)? {
            break;
        }
    }
    Ok(())
}
