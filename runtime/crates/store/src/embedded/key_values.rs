//! [`KeyValues`]: read from the disk. One write at a time, so that what it was decided on is still there; its receipt goes into the same transaction.

use async_trait::async_trait;
use flowcell_core::host_call::HostError;
use flowcell_core::host_call::key_value::Entry;
use flowcell_core::id::WorkspaceId;
use flowcell_core::key_value::{Holding, KeyRange, KeyValues, Space, StoredValue, ValueWrite};
use flowcell_core::plugin::PluginId;
use flowcell_core::ports::StoreError;
use flowcell_core::time::Timestamp;
use serde_json::Value;

use super::EmbeddedStore;
use super::codec::{self, Body, PayloadRef};
use super::guard::without_panic;
use super::journal::Rows;
use super::people::RowsChange;
use super::shared::{Shared, damaged, reading};
use super::tables::{self, Table};

const WHAT: &str = "a value of a plugin";

#[async_trait]
impl KeyValues for EmbeddedStore {
    async fn get(&self, space: &Space, key: &str) -> Result<Option<Entry>, StoreError> {
        let Some(number) = self.known_workspace(&space.workspace) else { return Ok(None) };
        let key = tables::value(number, space, key);
        let stored =
            reading(&self.shared, move |shared| shared.read::<StoredValue>(Table::KeyValues, &key, WHAT)).await?;
        Ok(stored.map(|stored| stored.entry))
    }

    async fn write(&self, write: ValueWrite) -> Result<Result<Value, HostError>, StoreError> {
        let number = self.workspace_number(&write.space.workspace).await?;
        let key = tables::value(number, &write.space, write.request.place().1);
        let _alone = self.shared.values.lock().await;
        if let Some(receipt) = &write.receipt_key {
            let found = self.stored_receipt(tables::receipt(number, receipt)).await?;
            if let Some(first) = found.filter(|first| first.counts_at(write.now)) {
                return Ok(Ok(first.result));
            }
        }
        let holding_key = tables::holding(number, &write.space.plugin);
        let (current, holding) = self.value_and_holding(key.clone(), holding_key.clone()).await?;
        let decided = match write.decide(current.as_ref().map(|(stored, _)| &stored.entry), holding) {
            Ok(decided) => decided,
            Err(error) => return Ok(Err(error)),
        };
        let mut rows = Rows::default();
        let mut remove = Vec::new();
        rows.add(Table::KeyValues, holding_key, &decided.holding)?;
        match decided.entry {
            Some(entry) => {
                let name = write.request.place().1.to_owned();
                rows.add(Table::KeyValues, key, &StoredValue { space: write.space, key: name, entry })?;
            }
            None if current.is_some() => remove.push((Table::KeyValues, key)),
            None => {}
        }
        if let Some(receipt) = &decided.receipt {
            rows.add(Table::Receipts, tables::receipt(number, &receipt.key), receipt)?;
        }
        let rows = self.persist_payloads(rows).await?;
        self.write_rows(RowsChange { remove, rows }).await?;
        self.drop_payloads(current.into_iter().filter_map(|(_, file)| file).collect()).await;
        Ok(Ok(decided.answer))
    }

    async fn keys(&self, space: &Space, range: KeyRange, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let Some(number) = self.known_workspace(&space.workspace) else { return Ok(Vec::new()) };
        let KeyRange { prefix, after, limit } = range;
        let scan = tables::value(number, space, &prefix);
        let after = after.map(|after| tables::value(number, space, &after));
        reading(&self.shared, move |shared| {
            without_panic(|| {
                let rows = shared.database();
                let there = rows.trees.get(Table::KeyValues).scan_prefix(scan).map(|row| value(shared, row));
                let there = there.filter(|read| match read {
                    Ok((key, stored)) => stored.entry.is_there(now) && after.as_ref().is_none_or(|after| key > after),
                    Err(_) => true,
                });
                there.take(limit).map(|read| read.map(|(_, stored)| stored.key)).collect()
            })
            .map_err(|problem| damaged(WHAT, problem))?
        })
        .await
    }

    async fn values(&self, workspace: &WorkspaceId, plugin: Option<&PluginId>) -> Result<Vec<StoredValue>, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(Vec::new()) };
        let scan = plugin.map_or_else(|| tables::workspace(number), |plugin| tables::values(number, plugin));
        let mut values: Vec<StoredValue> =
            self.scan_values(scan).await?.into_iter().map(|(_, stored)| stored).collect();
        values.sort_by(|a, b| (&a.space, &a.key).cmp(&(&b.space, &b.key)));
        Ok(values)
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let _alone = self.shared.values.lock().await;
        let mut expired = self.scan_values(sled::IVec::default()).await?;
        expired.retain(|(_, stored)| !stored.entry.is_there(now));
        expired.truncate(limit);
        let mut remove = Vec::new();
        let mut files = Vec::new();
        let mut holdings: std::collections::BTreeMap<sled::IVec, Holding> = std::collections::BTreeMap::new();
        for (key, stored) in &expired {
            let Some(number) = tables::workspace_of(key) else { continue };
            let holding_key = tables::holding(number, &stored.space.plugin);
            let (current, held) = self.value_and_holding(key.clone(), holding_key.clone()).await?;
            files.extend(current.and_then(|(_, file)| file));
            let holding = holdings.entry(holding_key).or_insert(held);
            holding.bytes = holding.bytes.saturating_sub(StoredValue::bytes(&stored.key, &stored.entry));
            remove.push((Table::KeyValues, key.clone()));
        }
        let removed = remove.len();
        if removed > 0 {
            let mut rows = Rows::default();
            for (key, holding) in holdings {
                rows.add(Table::KeyValues, key, &holding)?;
            }
            let rows = self.persist_payloads(rows).await?;
            self.write_rows(RowsChange { remove, rows }).await?;
            self.drop_payloads(files).await;
        }
        Ok(removed)
    }
}

impl EmbeddedStore {
    /// A value with the file that its record names, if there is one, and what its plugin holds.
    async fn value_and_holding(
        &self,
        key: sled::IVec,
        holding: sled::IVec,
    ) -> Result<(Option<(StoredValue, Option<PayloadRef>)>, Holding), StoreError> {
        reading(&self.shared, move |shared| {
            let stored = match shared.record(Table::KeyValues, &key, WHAT)? {
                None => None,
                Some(record) => {
                    let opened =
                        codec::open(Table::KeyValues, &key, &record).map_err(|problem| damaged(WHAT, problem))?;
                    let file = match opened.body {
                        Body::File(name) => Some(name),
                        Body::Inline(_) => None,
                    };
                    Some((shared.decode(Table::KeyValues, &key, &record, WHAT)?, file))
                }
            };
            let held = shared.read(Table::KeyValues, &holding, "what a plugin holds")?;
            Ok((stored, held.unwrap_or_default()))
        })
        .await
    }

    async fn scan_values(&self, scan: sled::IVec) -> Result<Vec<(sled::IVec, StoredValue)>, StoreError> {
        reading(&self.shared, move |shared| {
            without_panic(|| {
                let rows = shared.database();
                let rows = rows.trees.get(Table::KeyValues).scan_prefix(scan);
                let rows = rows.filter(|row| !matches!(row, Ok((key, _)) if tables::is_holding(key)));
                rows.map(|row| value(shared, row)).collect()
            })
            .map_err(|problem| damaged(WHAT, problem))?
        })
        .await
    }
}

fn value(
    shared: &Shared,
    row: sled::Result<(sled::IVec, sled::IVec)>,
) -> Result<(sled::IVec, StoredValue), StoreError> {
    let (key, record) = row.map_err(|error| damaged(WHAT, error.to_string()))?;
    let stored = shared.decode(Table::KeyValues, &key, &record, WHAT)?;
    Ok((key, stored))
}
