//! [`People`]: read from the disk, at most a thousand of a workspace. One write at a time, so that what a write was made from is still there.

use async_trait::async_trait;
use flowcell_core::id::{UserId, WorkspaceId};
use flowcell_core::people::{People, StoredPerson};
use flowcell_core::ports::StoreError;
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::group::Row;
use super::guard::without_panic;
use super::journal::Rows;
use super::shared::{damaged, reading};
use super::tables::{self, Table};
use super::writer::{RowsWrite, Write};
use crate::rules;

const WHAT: &str = "a user";

#[async_trait]
impl People for EmbeddedStore {
    async fn put(&self, stored: StoredPerson) -> Result<(), StoreError> {
        let number = self.workspace_number(&stored.person.workspace).await?;
        let key = tables::person(number, &stored.person.id);
        let _alone = self.shared.people.lock().await;
        let before = self.stored_person(key.clone()).await?;
        rules::check_person(&stored, before.map_or(0, |before| before.revision))?;
        let mut rows = Rows::default();
        rows.add(Table::People, key, &stored)?;
        let rows = self.persist_payloads(rows).await?;
        self.write_rows(RowsChange { rows, ..RowsChange::default() }).await
    }

    async fn get(&self, workspace: &WorkspaceId, id: &UserId) -> Result<Option<StoredPerson>, StoreError> {
        match self.known_workspace(workspace) {
            Some(number) => self.stored_person(tables::person(number, id)).await,
            None => Ok(None),
        }
    }

    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<StoredPerson>, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(Vec::new()) };
        reading(&self.shared, move |shared| {
            without_panic(|| {
                let rows = shared.database();
                let rows = rows.trees.get(Table::People).scan_prefix(tables::workspace(number));
                rows.map(|row| {
                    let (key, record) = row.map_err(|error| damaged(WHAT, error.to_string()))?;
                    shared.decode(Table::People, &key, &record, WHAT)
                })
                .collect()
            })
            .map_err(|problem| damaged(WHAT, problem))?
        })
        .await
    }

    async fn remove(&self, workspace: &WorkspaceId, id: &UserId) -> Result<bool, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(false) };
        let key = tables::person(number, id);
        let _alone = self.shared.people.lock().await;
        if self.stored_person(key.clone()).await?.is_none() {
            return Ok(false);
        }
        // Whoever delivers looks at nobody's record: what is on its way now stays, unseen, until a user of this name is removed again.
        let _no_delivery = self.shared.inboxes.lock().await;
        let items = self.inbox_keys(tables::inbox(number, id)).await?;
        let remove = items.into_iter().map(|key| (Table::Inbox, key)).chain([(Table::People, key)]).collect();
        self.write_rows(RowsChange { remove, ..RowsChange::default() }).await?;
        Ok(true)
    }
}

/// Records that go and records that come, in one transaction.
#[derive(Debug, Default)]
pub(crate) struct RowsChange {
    pub(crate) remove: Vec<(Table, sled::IVec)>,
    pub(crate) rows: Vec<Row>,
}

impl EmbeddedStore {
    async fn stored_person(&self, key: sled::IVec) -> Result<Option<StoredPerson>, StoreError> {
        reading(&self.shared, move |shared| shared.read(Table::People, &key, WHAT)).await
    }

    /// Queues records that stand for themselves, and waits until they are durable.
    pub(crate) async fn write_rows(&self, changes: RowsChange) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let RowsChange { remove, rows } = changes;
        self.writer.reserve().await?.send(Write::Rows(Box::new(RowsWrite { remove, rows, reply })));
        self.writer.answer(answer).await
    }
}
