//! [`KeyValues`] in maps.

use std::collections::BTreeMap;

use async_trait::async_trait;
use flowcell_core::host_call::HostError;
use flowcell_core::host_call::key_value::Entry;
use flowcell_core::id::WorkspaceId;
use flowcell_core::key_value::{Holding, KeyRange, KeyValues, Space, StoredValue, ValueWrite};
use flowcell_core::plugin::PluginId;
use flowcell_core::ports::StoreError;
use flowcell_core::time::Timestamp;
use serde_json::Value;

use super::MemoryStore;

#[derive(Debug, Default)]
pub(super) struct Values {
    entries: BTreeMap<(Space, String), Entry>,
    holdings: BTreeMap<(WorkspaceId, PluginId), Holding>,
}

#[async_trait]
impl KeyValues for MemoryStore {
    async fn get(&self, space: &Space, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.state().values.entries.get(&(space.clone(), key.to_owned())).cloned())
    }

    async fn write(&self, write: ValueWrite) -> Result<Result<Value, HostError>, StoreError> {
        let mut state = self.state();
        let workspace = write.space.workspace.clone();
        if let Some(key) = &write.receipt_key {
            let place = (workspace.clone(), key.clone());
            if let Some(first) = state.receipts.get(&place).filter(|first| first.counts_at(write.now)) {
                return Ok(Ok(first.result.clone()));
            }
        }
        let place = (write.space.clone(), write.request.place().1.to_owned());
        let owner = (workspace.clone(), write.space.plugin.clone());
        let holding = state.values.holdings.get(&owner).copied().unwrap_or_default();
        let decided = match write.decide(state.values.entries.get(&place), holding) {
            Ok(decided) => decided,
            Err(error) => return Ok(Err(error)),
        };
        state.values.holdings.insert(owner, decided.holding);
        match decided.entry {
            Some(entry) => state.values.entries.insert(place, entry),
            None => state.values.entries.remove(&place),
        };
        if let Some(receipt) = decided.receipt {
            state.receipts.insert((workspace, receipt.key.clone()), receipt);
        }
        Ok(Ok(decided.answer))
    }

    async fn keys(&self, space: &Space, range: KeyRange, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let state = self.state();
        let of_space = state.values.entries.range((space.clone(), range.prefix.clone())..);
        let of_space = of_space.take_while(|((of, key), _)| of == space && key.starts_with(&range.prefix));
        let there = of_space.filter(|(_, entry)| entry.is_there(now)).map(|((_, key), _)| key);
        Ok(there
            .filter(|key| range.after.as_ref().is_none_or(|after| *key > after))
            .take(range.limit)
            .cloned()
            .collect())
    }

    async fn values(&self, workspace: &WorkspaceId, plugin: Option<&PluginId>) -> Result<Vec<StoredValue>, StoreError> {
        let state = self.state();
        let of_workspace = state.values.entries.iter().filter(|((space, _), _)| space.workspace == *workspace);
        let wanted = of_workspace.filter(|((space, _), _)| plugin.is_none_or(|plugin| space.plugin == *plugin));
        Ok(wanted
            .map(|((space, key), entry)| StoredValue { space: space.clone(), key: key.clone(), entry: entry.clone() })
            .collect())
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut state = self.state();
        let values = &mut state.values;
        let expired = values.entries.iter().filter(|(_, entry)| !entry.is_there(now));
        let expired: Vec<_> = expired.map(|(place, _)| place.clone()).take(limit).collect();
        for place in &expired {
            let Some(entry) = values.entries.remove(place) else { continue };
            let (space, key) = place;
            let owner = (space.workspace.clone(), space.plugin.clone());
            let holding = values.holdings.entry(owner).or_default();
            holding.bytes = holding.bytes.saturating_sub(StoredValue::bytes(key, &entry));
        }
        Ok(expired.len())
    }
}
