//! [`Inbox`] and [`Receipts`]: read from the disk. One change at a time, so that a message is delivered once however many attempts are made, and
//! an inbox never grows beyond its limit.

use std::collections::BTreeSet;

use async_trait::async_trait;
use flowcell_core::id::{NotificationId, UserId, WorkspaceId};
use flowcell_core::inbox::{Delivery, Inbox, Item, ItemQuery, KEPT_MAX, Which};
use flowcell_core::ports::StoreError;
use flowcell_core::receipt::{Receipt, Receipts};
use flowcell_core::time::Timestamp;

use super::EmbeddedStore;
use super::guard::without_panic;
use super::journal::Rows;
use super::people::RowsChange;
use super::shared::{Shared, damaged, reading};
use super::tables::{self, Table};

const WHAT: &str = "a message of an inbox";
const RECEIPT: &str = "a receipt";

#[async_trait]
impl Inbox for EmbeddedStore {
    async fn deliver(&self, delivery: Delivery) -> Result<Option<Receipt>, StoreError> {
        let Delivery { notification, recipients, receipt } = delivery;
        let number = self.workspace_number(&notification.workspace).await?;
        let _alone = self.shared.inboxes.lock().await;
        let mut rows = Rows::default();
        if let Some(receipt) = &receipt {
            let key = tables::receipt(number, &receipt.key);
            let found = self.stored_receipt(key.clone()).await?;
            if let Some(first) = found.filter(|first| first.counts_at(receipt.at)) {
                return Ok(Some(first));
            }
            rows.add(Table::Receipts, key, receipt)?;
        }
        let mut remove = Vec::new();
        for user in recipients.into_iter().collect::<BTreeSet<UserId>>() {
            let kept = self.inbox_keys(tables::inbox(number, &user)).await?;
            let too_many = (kept.len() + 1).saturating_sub(KEPT_MAX);
            remove.extend(kept.into_iter().take(too_many).map(|key| (Table::Inbox, key)));
            let key = tables::item(number, &user, notification.id);
            rows.add(Table::Inbox, key, &Item { user, notification: notification.clone(), read_at: None })?;
        }
        let rows = self.persist_payloads(rows).await?;
        self.write_rows(RowsChange { remove, rows }).await?;
        Ok(None)
    }

    async fn items(&self, workspace: &WorkspaceId, user: &UserId, query: ItemQuery) -> Result<Vec<Item>, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(Vec::new()) };
        let from = tables::inbox(number, user);
        let to = tables::item(number, user, query.before.unwrap_or(NotificationId::from_bytes([0xff; 16])));
        reading(&self.shared, move |shared| {
            without_panic(|| {
                let rows = shared.database();
                let rows = rows.trees.get(Table::Inbox).range(from..to).rev();
                let items = rows.map(|row| item(shared, row));
                let wanted =
                    items.filter(|item| !query.only_unread || !matches!(item, Ok(item) if item.read_at.is_some()));
                wanted.take(query.limit).collect()
            })
            .map_err(|problem| damaged(WHAT, problem))?
        })
        .await
    }

    async fn unread(&self, workspace: &WorkspaceId, user: &UserId) -> Result<usize, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(0) };
        let items = self.all_items(tables::inbox(number, user)).await?;
        Ok(items.iter().filter(|item| item.read_at.is_none()).count())
    }

    async fn mark(
        &self,
        (workspace, user): (&WorkspaceId, &UserId),
        which: Which,
        read_at: Option<Timestamp>,
    ) -> Result<usize, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(0) };
        let _alone = self.shared.inboxes.lock().await;
        let items = self.all_items(tables::inbox(number, user)).await?;
        let changed = items.into_iter().filter(|item| which.contains(item.notification.id));
        let changed: Vec<Item> = changed.filter(|item| item.read_at.is_some() != read_at.is_some()).collect();
        let mut rows = Rows::default();
        for item in &changed {
            let key = tables::item(number, user, item.notification.id);
            rows.add(Table::Inbox, key, &Item { read_at, ..item.clone() })?;
        }
        if !changed.is_empty() {
            let rows = self.persist_payloads(rows).await?;
            self.write_rows(RowsChange { rows, ..RowsChange::default() }).await?;
        }
        Ok(changed.len())
    }

    async fn delete(&self, workspace: &WorkspaceId, user: &UserId, which: Which) -> Result<usize, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(0) };
        let _alone = self.shared.inboxes.lock().await;
        let keys = self.inbox_keys(tables::inbox(number, user)).await?;
        let gone = keys.into_iter().filter(|key| tables::item_id(key).is_some_and(|id| which.contains(id)));
        let remove: Vec<_> = gone.map(|key| (Table::Inbox, key)).collect();
        let removed = remove.len();
        if removed > 0 {
            self.write_rows(RowsChange { remove, ..RowsChange::default() }).await?;
        }
        Ok(removed)
    }
}

#[async_trait]
impl Receipts for EmbeddedStore {
    async fn put(&self, receipt: Receipt) -> Result<(), StoreError> {
        let number = self.workspace_number(&receipt.workspace).await?;
        let mut rows = Rows::default();
        rows.add(Table::Receipts, tables::receipt(number, &receipt.key), &receipt)?;
        let rows = self.persist_payloads(rows).await?;
        self.write_rows(RowsChange { rows, ..RowsChange::default() }).await
    }

    async fn get(&self, workspace: &WorkspaceId, key: &str) -> Result<Option<Receipt>, StoreError> {
        match self.known_workspace(workspace) {
            Some(number) => self.stored_receipt(tables::receipt(number, key)).await,
            None => Ok(None),
        }
    }

    async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let old = reading(&self.shared, move |shared| {
            without_panic(|| {
                let mut old = Vec::new();
                for row in shared.database().trees.get(Table::Receipts) {
                    let (key, record) = row.map_err(|error| damaged(RECEIPT, error.to_string()))?;
                    let receipt: Receipt = shared.decode(Table::Receipts, &key, &record, RECEIPT)?;
                    if receipt.at < before {
                        old.push((Table::Receipts, key));
                    }
                    if old.len() == limit {
                        break;
                    }
                }
                Ok(old)
            })
            .map_err(|problem| damaged(RECEIPT, problem))?
        });
        let remove = old.await?;
        let removed = remove.len();
        if removed > 0 {
            self.write_rows(RowsChange { remove, ..RowsChange::default() }).await?;
        }
        Ok(removed)
    }
}

impl EmbeddedStore {
    pub(crate) async fn stored_receipt(&self, key: sled::IVec) -> Result<Option<Receipt>, StoreError> {
        reading(&self.shared, move |shared| shared.read(Table::Receipts, &key, RECEIPT)).await
    }

    /// The keys of one inbox, the oldest first.
    pub(crate) async fn inbox_keys(&self, inbox: sled::IVec) -> Result<Vec<sled::IVec>, StoreError> {
        reading(&self.shared, move |shared| {
            let keys = without_panic(|| {
                shared.database().trees.get(Table::Inbox).scan_prefix(inbox).keys().collect::<Result<Vec<_>, _>>()
            });
            keys.and_then(|keys| keys.map_err(|error| error.to_string())).map_err(|problem| damaged(WHAT, problem))
        })
        .await
    }

    async fn all_items(&self, inbox: sled::IVec) -> Result<Vec<Item>, StoreError> {
        reading(&self.shared, move |shared| {
            without_panic(|| {
                let rows = shared.database();
                rows.trees.get(Table::Inbox).scan_prefix(inbox).map(|row| item(shared, row)).collect()
            })
            .map_err(|problem| damaged(WHAT, problem))?
        })
        .await
    }
}

fn item(shared: &Shared, row: sled::Result<(sled::IVec, sled::IVec)>) -> Result<Item, StoreError> {
    let (key, record) = row.map_err(|error| damaged(WHAT, error.to_string()))?;
    shared.decode(Table::Inbox, &key, &record, WHAT)
}
