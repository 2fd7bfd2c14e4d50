//! [`People`], [`Inbox`] and [`Receipts`] in maps.

use async_trait::async_trait;
use flowcell_core::id::{UserId, WorkspaceId};
use flowcell_core::inbox::{Delivery, Inbox, Item, ItemQuery, KEPT_MAX, Which};
use flowcell_core::people::{People, StoredPerson};
use flowcell_core::ports::StoreError;
use flowcell_core::receipt::{Receipt, Receipts};
use flowcell_core::time::Timestamp;

use super::MemoryStore;
use crate::rules;

#[async_trait]
impl People for MemoryStore {
    async fn put(&self, stored: StoredPerson) -> Result<(), StoreError> {
        let mut state = self.state();
        let place = (stored.person.workspace.clone(), stored.person.id.clone());
        rules::check_person(&stored, state.people.get(&place).map_or(0, |before| before.revision))?;
        state.people.insert(place, stored);
        Ok(())
    }

    async fn get(&self, workspace: &WorkspaceId, id: &UserId) -> Result<Option<StoredPerson>, StoreError> {
        Ok(self.state().people.get(&(workspace.clone(), id.clone())).cloned())
    }

    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<StoredPerson>, StoreError> {
        let state = self.state();
        let of_workspace = state.people.iter().filter(|((owner, _), _)| owner == workspace);
        Ok(of_workspace.map(|(_, stored)| stored.clone()).collect())
    }

    async fn remove(&self, workspace: &WorkspaceId, id: &UserId) -> Result<bool, StoreError> {
        let mut state = self.state();
        let place = (workspace.clone(), id.clone());
        if state.people.remove(&place).is_none() {
            return Ok(false);
        }
        state.inboxes.remove(&place);
        Ok(true)
    }
}

#[async_trait]
impl Inbox for MemoryStore {
    async fn deliver(&self, delivery: Delivery) -> Result<Option<Receipt>, StoreError> {
        let Delivery { notification, recipients, receipt } = delivery;
        let mut state = self.state();
        if let Some(receipt) = receipt {
            let place = (receipt.workspace.clone(), receipt.key.clone());
            if let Some(first) = state.receipts.get(&place).filter(|first| first.counts_at(receipt.at)) {
                return Ok(Some(first.clone()));
            }
            state.receipts.insert(place, receipt);
        }
        for user in recipients {
            let inbox = state.inboxes.entry((notification.workspace.clone(), user.clone())).or_default();
            inbox.insert(notification.id, Item { user, notification: notification.clone(), read_at: None });
            while inbox.len() > KEPT_MAX {
                inbox.pop_first();
            }
        }
        Ok(None)
    }

    async fn items(&self, workspace: &WorkspaceId, user: &UserId, query: ItemQuery) -> Result<Vec<Item>, StoreError> {
        let state = self.state();
        let items = state.inboxes.get(&(workspace.clone(), user.clone())).into_iter().flatten().rev();
        let items = items.map(|(_, item)| item).filter(|item| !query.only_unread || item.read_at.is_none());
        let items = items.filter(|item| query.before.is_none_or(|before| item.notification.id < before));
        Ok(items.take(query.limit).cloned().collect())
    }

    async fn unread(&self, workspace: &WorkspaceId, user: &UserId) -> Result<usize, StoreError> {
        let state = self.state();
        let items = state.inboxes.get(&(workspace.clone(), user.clone())).into_iter().flatten();
        Ok(items.filter(|(_, item)| item.read_at.is_none()).count())
    }

    async fn mark(
        &self,
        (workspace, user): (&WorkspaceId, &UserId),
        which: Which,
        read_at: Option<Timestamp>,
    ) -> Result<usize, StoreError> {
        let mut state = self.state();
        let mut changed = 0;
        for (id, item) in state.inboxes.get_mut(&(workspace.clone(), user.clone())).into_iter().flatten() {
            if which.contains(*id) && item.read_at.is_some() != read_at.is_some() {
                item.read_at = read_at;
                changed += 1;
            }
        }
        Ok(changed)
    }

    async fn delete(&self, workspace: &WorkspaceId, user: &UserId, which: Which) -> Result<usize, StoreError> {
        let mut state = self.state();
        let Some(inbox) = state.inboxes.get_mut(&(workspace.clone(), user.clone())) else { return Ok(0) };
        let before = inbox.len();
        inbox.retain(|id, _| !which.contains(*id));
        Ok(before - inbox.len())
    }
}

#[async_trait]
impl Receipts for MemoryStore {
    async fn put(&self, receipt: Receipt) -> Result<(), StoreError> {
        self.state().receipts.insert((receipt.workspace.clone(), receipt.key.clone()), receipt);
        Ok(())
    }

    async fn get(&self, workspace: &WorkspaceId, key: &str) -> Result<Option<Receipt>, StoreError> {
        Ok(self.state().receipts.get(&(workspace.clone(), key.to_owned())).cloned())
    }

    async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut state = self.state();
        let old = state.receipts.iter().filter(|(_, receipt)| receipt.at < before).take(limit);
        let old: Vec<_> = old.map(|(place, _)| place.clone()).collect();
        for place in &old {
            state.receipts.remove(place);
        }
        Ok(old.len())
    }
}
