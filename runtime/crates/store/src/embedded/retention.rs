//! [`Retention`]: what goes is looked up by the caller and removed by the writer, in one transaction with the index. Payload files go after
//! the sync; a crash in between leaves files that no record names, and the next open removes those.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use flowcell_core::id::{EventId, RunId, WorkspaceId};
use flowcell_core::ports::{Kept, Pinning, Removed, Retention, StoreError, Usage};
use flowcell_core::run::fold::RunSummary;
use flowcell_core::time::Timestamp;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::codec::{self, Body, PayloadRef};
use super::delivered::EventRecord;
use super::group::Row;
use super::guard::without_panic;
use super::index::summary;
use super::journal::Rows;
use super::search::next;
use super::shared::{Shared, damaged, reading};
use super::tables::{self, Table, WorkspaceNumber};
use super::writer::{RemoveWrite, Seen, Write};
use crate::rules;

/// Runs of one removal: its transaction takes a few milliseconds, so that deliveries hardly notice.
const RUNS_PER_REMOVAL: usize = 64;

/// Deliveries that one call looks at to find some that can be forgotten.
const DELIVERIES_LOOKED_AT_MAX: usize = 10_000;

#[async_trait]
impl Retention for EmbeddedStore {
    async fn oldest(
        &self,
        workspace: &WorkspaceId,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<Kept>, StoreError> {
        let start =
            after.map_or([0; 16], |after| (u128::from_be_bytes(after.to_bytes()).saturating_add(1)).to_be_bytes());
        self.kept(workspace, (Some(RunId::from_bytes(start)), None), limit).await
    }

    async fn newest(
        &self,
        workspace: &WorkspaceId,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<Kept>, StoreError> {
        self.kept(workspace, (None, before), limit).await
    }

    async fn remove(&self, workspace: &WorkspaceId, runs: &[RunId]) -> Result<Removed, StoreError> {
        self.shared.check_alive()?;
        let Some(number) = self.known_workspace(workspace) else { return Ok(Removed::default()) };
        let mut removed = Removed::default();
        for some in runs.chunks(RUNS_PER_REMOVAL) {
            // What is found here must still be so when it is removed; only removals and pins could change it.
            let _alone = self.shared.removal.lock().await;
            let some = some.to_vec();
            let found = reading(&self.shared, move |shared| Removal::of(shared, number, &some)).await?;
            let Removal { write, payloads, bytes } = found;
            let count = write.gone.len();
            self.remove_now(write).await?;
            self.drop_payloads(payloads).await;
            removed.runs += count;
            removed.bytes += bytes;
        }
        Ok(removed)
    }

    async fn forget_deliveries(
        &self,
        workspace: &WorkspaceId,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.shared.check_alive()?;
        let Some(number) = self.known_workspace(workspace) else { return Ok(0) };
        let mut alone = self.shared.removal.lock().await;
        let sweep = alone.swept.get(&number).cloned().unwrap_or_default();
        let found = reading(&self.shared, move |shared| forgettable(shared, number, (sweep, now), limit)).await?;
        let (write, sweep) = found;
        let count = write.remove.len() + write.expired.len();
        self.remove_now(write).await?;
        alone.swept.insert(number, sweep);
        Ok(count)
    }

    async fn pin(&self, workspace: &WorkspaceId, run: RunId, pinning: Pinning) -> Result<(), StoreError> {
        self.shared.check_alive()?;
        let not_found = || StoreError::NotFound { what: run.to_string() };
        let number = self.known_workspace(workspace).ok_or_else(not_found)?;
        let _alone = self.shared.removal.lock().await;
        let found = reading(&self.shared, move |shared| summary(shared, number, run)).await?;
        found.ok_or_else(not_found)?;
        let key = tables::run(number, run);
        let mut write = RemoveWrite::new(number);
        match pinning {
            Pinning::Pinned => {
                let record = codec::encode(Table::Pins, &key, &true)?.record;
                write.rows.push(Row { table: Table::Pins, key, record });
            }
            Pinning::Free => write.remove.push((Table::Pins, key)),
        }
        self.remove_now(write).await
    }

    async fn is_pinned(&self, workspace: &WorkspaceId, run: RunId) -> Result<bool, StoreError> {
        self.shared.check_alive()?;
        let Some(number) = self.known_workspace(workspace) else { return Ok(false) };
        reading(&self.shared, move |shared| shared.holds(Table::Pins, &tables::run(number, run))).await
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        reading(&self.shared, Shared::usage).await
    }

    async fn compact(&self) -> Result<u64, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.writer.reserve().await?.send(Write::Compact { reply });
        self.writer.answer(answer).await
    }
}

impl EmbeddedStore {
    /// Runs between `from` and `before`: from the oldest on if there is a `from`, else from the newest.
    async fn kept(
        &self,
        workspace: &WorkspaceId,
        (from, before): (Option<RunId>, Option<RunId>),
        limit: usize,
    ) -> Result<Vec<Kept>, StoreError> {
        self.shared.check_alive()?;
        let Some(number) = self.known_workspace(workspace) else { return Ok(Vec::new()) };
        let limit = limit.min(rules::PAGE_RUNS_MAX);
        reading(&self.shared, move |shared| {
            let start = tables::run(number, from.unwrap_or(RunId::from_bytes([0; 16])));
            let end = match before {
                Some(before) => tables::run(number, before),
                None => tables::workspace(number.saturating_add(1)),
            };
            let mut rows = shared.database().trees.get(Table::Runs).range(start..end);
            let mut kept = Vec::new();
            while kept.len() < limit {
                let next = without_panic(|| if from.is_some() { rows.next() } else { rows.next_back() })
                    .and_then(|row| row.transpose().map_err(|error| error.to_string()))
                    .map_err(|problem| damaged("the list of runs", problem))?;
                let Some((key, record)) = next else { break };
                let summary: RunSummary = shared.decode(Table::Runs, &key, &record, "the summary of a run")?;
                kept.push(Kept { summary, is_pinned: shared.holds(Table::Pins, &key)? });
            }
            Ok(kept)
        })
        .await
    }

    async fn remove_now(&self, mut write: RemoveWrite) -> Result<(), StoreError> {
        if write.is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        write.reply = Some(reply);
        self.writer.reserve().await?.send(Write::Remove(Box::new(write)));
        self.writer.answer(answer).await
    }
}

/// What a removal comes to.
struct Removal {
    write: RemoveWrite,
    payloads: Vec<PayloadRef>,
    bytes: u64,
}

impl Removal {
    fn of(shared: &Shared, workspace: WorkspaceNumber, runs: &[RunId]) -> Result<Self, StoreError> {
        let mut removal = Self { write: RemoveWrite::new(workspace), payloads: Vec::new(), bytes: 0 };
        let mut events = BTreeMap::<EventId, HashSet<RunId>>::new();
        for run in runs {
            let key = tables::run(workspace, *run);
            let Some(found) = summary(shared, workspace, *run)? else { continue };
            // A run that the writer still holds as unfinished ends in a group that is not synced yet.
            let is_driven = shared.tracker().get(*run).is_some();
            if !found.status.is_final() || is_driven || shared.holds(Table::Pins, &key)? {
                continue;
            }
            removal.write.gone.insert(*run);
            events.entry(found.event).or_default().insert(*run);
            removal.take(shared, Table::Runs, &key)?;
            removal.take(shared, Table::Journal, &key)?;
            removal.take(shared, Table::Blobs, &key)?;
        }
        for (event, gone) in events {
            removal.write.rows.extend(without_runs(shared, workspace, event, &gone)?);
        }
        Ok(removal)
    }

    /// Every record of the table whose key begins with `prefix`, and the files they name.
    fn take(&mut self, shared: &Shared, table: Table, prefix: &sled::IVec) -> Result<(), StoreError> {
        let what = "a record that goes";
        let rows =
            without_panic(|| shared.database().trees.get(table).scan_prefix(prefix).collect::<Result<Vec<_>, _>>())
                .and_then(|rows| rows.map_err(|error| error.to_string()))
                .map_err(|problem| damaged(what, problem))?;
        for (key, record) in rows {
            self.bytes += (key.len() + record.len()) as u64;
            if let Body::File(file) = codec::open(table, &key, &record).map_err(|problem| damaged(what, problem))?.body
            {
                self.bytes += file.bytes;
                self.payloads.push(file);
            }
            self.write.remove.push((table, key));
        }
        Ok(())
    }
}

/// The record of a delivery without these runs, if it has one: format 1 wrote one for each. It stays until it is forgotten.
fn without_runs(
    shared: &Shared,
    workspace: WorkspaceNumber,
    event: EventId,
    gone: &HashSet<RunId>,
) -> Result<Option<Row>, StoreError> {
    let key = tables::event(workspace, event);
    let found = shared.read::<StoredEvent>(Table::Events, &key, &event.to_string())?;
    let Some(mut found) = found else { return Ok(None) };
    found.runs.retain(|run| !gone.contains(run));
    let mut rows = Rows::default();
    let record = EventRecord { trigger: &found.trigger, received_at: found.received_at, runs: &found.runs };
    rows.add(Table::Events, key, &record)?;
    Ok(rows.only())
}

/// [`EventRecord`] as it is read.
#[derive(Debug, Deserialize)]
struct StoredEvent {
    trigger: String,
    received_at: Timestamp,
    runs: Vec<RunId>,
}

/// How far the deliveries of a workspace have been looked through.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sweep {
    /// Where the dedupe records go on, and when that pass began; absent: at the beginning.
    keys: Option<(sled::IVec, Timestamp)>,
    /// When the last whole pass over them began: no expired key is older.
    swept: Timestamp,
    /// Where the deliveries that started nothing go on.
    events: Option<sled::IVec>,
}

/// The records that go, and how far this got. Keys first: a key that is remembered may name a delivery.
fn forgettable(
    shared: &Shared,
    workspace: WorkspaceNumber,
    (sweep, now): (Sweep, Timestamp),
    limit: usize,
) -> Result<(RemoveWrite, Sweep), StoreError> {
    let mut write = RemoveWrite::new(workspace);
    let mut sweep = sweep;
    let end = || tables::workspace(workspace.saturating_add(1));
    let (from, began) = sweep.keys.take().unwrap_or_else(|| (tables::workspace(workspace), now));
    let mut keys = shared.database().trees.get(Table::Dedupe).range(from..end());
    let mut looked_at = 0;
    loop {
        let Some((key, record)) = next(&mut keys, "the record of an earlier delivery")? else {
            sweep.swept = began;
            break;
        };
        if looked_at == DELIVERIES_LOOKED_AT_MAX || write.expired.len() == limit {
            sweep.keys = Some((key, began));
            return Ok((write, sweep));
        }
        looked_at += 1;
        let seen: Seen = shared.decode(Table::Dedupe, &key, &record, "the record of an earlier delivery")?;
        if !rules::is_remembered(seen.at, now) {
            write.expired.push((key, seen.event));
        }
    }
    let from = sweep.events.take().unwrap_or_else(|| tables::workspace(workspace));
    let mut events = shared.database().trees.get(Table::Events).range(from..end());
    while let Some((key, record)) = next(&mut events, "the record of a delivery")? {
        if looked_at == DELIVERIES_LOOKED_AT_MAX || write.remove.len() == limit {
            sweep.events = Some(key);
            break;
        }
        looked_at += 1;
        let event: StoredEvent = shared.decode(Table::Events, &key, &record, "the record of a delivery")?;
        // They lie in the order of their time.
        if rules::is_remembered(event.received_at, sweep.swept) {
            break;
        }
        if event.runs.is_empty() {
            write.remove.push((Table::Events, key));
        }
    }
    Ok((write, sweep))
}
