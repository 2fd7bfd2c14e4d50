//! [`Journal`]: encodes on the caller's thread, writes large records to files before anything is queued, and leaves the rest to
//! the writer.

use async_trait::async_trait;
use flowcell_core::id::{RunId, WorkspaceId};
use flowcell_core::ports::{Accepted, Append, Delivery, Durability, Journal, StoreError};
use flowcell_core::run::event::Recorded;
use serde::Serialize;
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::blocks::Ended;
use super::codec::{self, PayloadRef};
use super::delivered::delivered;
use super::group::Row;
use super::guard::without_panic;
use super::index::summary;
use super::payload::WriteError;
use super::shared::{Shared, blocking, damaged, reading};
use super::tables::{self, Table, WorkspaceNumber};
use super::tracker::{Effect, Tracked};
use super::writer::{AcceptWrite, AppendWrite, DeliveredRows, Reply, Write};
use crate::rules;
use crate::tail::Grown;

/// Records in the making.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    payloads: Vec<(PayloadRef, Vec<u8>)>,
}

impl Rows {
    pub(crate) fn add<T: Serialize>(&mut self, table: Table, key: sled::IVec, value: &T) -> Result<(), StoreError> {
        let encoded = codec::encode(table, &key, value)?;
        self.payloads.extend(encoded.payload);
        self.rows.push(Row { table, key, record: encoded.record });
        Ok(())
    }

    /// A record that names a file, and the file.
    pub(crate) fn with_file(row: Row, payload: (PayloadRef, Vec<u8>)) -> Self {
        Self { rows: vec![row], payloads: vec![payload] }
    }

    /// The payload files that its records name.
    pub(crate) fn files(&self) -> Vec<PayloadRef> {
        self.payloads.iter().map(|(name, _)| *name).collect()
    }

    /// Takes over the files of other records, which are written apart from these.
    pub(crate) fn take_payloads(&mut self, other: &mut Self) {
        self.payloads.append(&mut other.payloads);
    }

    /// The last record, whose file somebody has taken over.
    pub(crate) fn last(mut self) -> Option<Row> {
        self.rows.pop()
    }

    /// The last record, when it names no file.
    pub(crate) fn only(mut self) -> Option<Row> {
        self.rows.pop().filter(|_| self.payloads.is_empty())
    }

    /// As few records as the limit of a record in the tree allows: what is written together is mostly read together.
    pub(crate) fn add_entries(
        &mut self,
        workspace: WorkspaceNumber,
        run: RunId,
        entries: &[Recorded],
    ) -> Result<(), StoreError> {
        let mut rest = entries;
        while let Some(first) = rest.first() {
            let key = tables::entry(workspace, run, first.seq);
            let (encoded, taken) = codec::encode_entries(&key, rest)?;
            self.payloads.extend(encoded.payload);
            self.rows.push(Row { table: Table::Journal, key, record: encoded.record });
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for EmbeddedStore {
    async fn accept(&self, delivery: Delivery) -> Result<Accepted, StoreError> {
        rules::check_delivery(&delivery)?;
        self.shared.space.admit_delivery()?;
        let workspace = self.workspace_number(&delivery.workspace).await?;
        let (rows, delivered) = delivered(workspace, &delivery)?;
        let files: Vec<PayloadRef> = rows.payloads.iter().map(|(name, _)| *name).collect();
        let delivered = DeliveredRows { rows: self.persist_payloads(rows).await?, ..delivered };
        let place = match self.writer.try_reserve() {
            Ok(place) => place,
            Err(error) => {
                self.drop_payloads(files).await;
                return Err(error);
            }
        };
        if files.is_empty() {
            for run in delivery.runs {
                self.shared.fresh.keep(run.id, run.created);
            }
        }
        let (reply, answer) = oneshot::channel();
        let own = delivered.accepted.clone();
        place.send(Write::Accept(Box::new(AcceptWrite { delivered, reply })));
        let answered = self.writer.answer(answer).await;
        if !matches!(&answered, Ok(accepted) if !accepted.duplicate) {
            for run in &own.runs {
                self.shared.fresh.take(*run);
            }
        }
        let accepted = answered?;
        if accepted.duplicate && accepted.event != own.event {
            self.drop_payloads(files).await;
        }
        Ok(accepted)
    }

    async fn append(&self, append: Append) -> Result<(), StoreError> {
        let first_seq = rules::check_append(&append)?;
        self.shared.space.admit_entry()?;
        let run = append.run;
        let not_found = || StoreError::NotFound { what: run.to_string() };
        self.shared.check_alive()?;
        let workspace = self.known_workspace(&append.summary.workspace).ok_or_else(not_found)?;
        // A bound copy: the guard must not live across an await.
        let tracked = self.shared.tracker().get(run);
        let Some(tracked) = tracked else {
            return Err(self.why_no_append(append, first_seq, workspace).await);
        };
        check_tracked(&append, first_seq, workspace, &tracked)?;

        let mut rows = Rows::default();
        rows.add_entries(workspace, run, &append.entries)?;
        rows.add(Table::Runs, tables::run(workspace, run), &append.summary)?;
        let rows = self.persist_payloads(rows).await?;
        let (reply, answer) = match append.durability {
            Durability::Synced => Some(oneshot::channel()).unzip(),
            Durability::NextGroup => (None, None),
        };
        let indexed = self.shared.indexed(&append.summary.workspace, &append.summary.workflow);
        let facts = self.facts_before(run, first_seq, &indexed).await?;
        let place = self.writer.reserve().await?;
        let queued = {
            // Under the lock, so that the queue has the writes of a run in the order in which they were checked.
            let mut tracker = self.shared.tracker();
            let tracker = &mut *tracker;
            tracker.get_mut(run).copied().map(|tracked| {
                check_tracked(&append, first_seq, workspace, &tracked)?;
                let ended = tracker.note(&append, workspace, (facts, &indexed));
                if let Some(tracked) = tracker.get_mut(run) {
                    let rows = AppendRows { rows, ended, reply };
                    place.send(Write::Append(write(&append, first_seq, tracked, rows)));
                }
                Ok(())
            })
        };
        match queued {
            Some(queued) => queued?,
            // It has finished since it was looked up.
            None => return Err(self.why_no_append(append, first_seq, workspace).await),
        }
        match answer {
            Some(answer) => self.writer.answer(answer).await,
            None => Ok(()),
        }
    }

    async fn load(&self, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        let tracked = self.shared.tracker().get(run);
        let entries = match tracked {
            // An unfinished run was written moments ago and lies in memory: another thread would cost more than the read.
            Some(tracked) => {
                if let Some(created) = self.shared.fresh.take(run).filter(|_| tracked.events == 1) {
                    vec![created]
                } else {
                    self.shared.catch_up(tracked.group).await?;
                    load(&self.shared, run)?
                }
            }
            None => reading(&self.shared, move |shared| load(shared, run)).await?,
        };
        self.shared.check_alive()?;
        Ok(entries)
    }

    async fn load_from(&self, run: RunId, seq: u32) -> Result<Vec<Recorded>, StoreError> {
        let Some(tracked) = self.shared.tracker().get(run) else {
            // It has ended, and is read a last time.
            let mut entries = self.load(run).await?;
            entries.retain(|entry| entry.seq >= seq);
            return Ok(entries);
        };
        self.shared.catch_up(tracked.group).await?;
        load_from(&self.shared, (tracked.workspace, run), seq)
    }
}

impl EmbeddedStore {
    pub(crate) fn known_workspace(&self, name: &WorkspaceId) -> Option<WorkspaceNumber> {
        self.shared.directory().workspaces.get(name).copied()
    }

    /// The number of a workspace; a new one is given one, durably.
    pub(crate) async fn workspace_number(&self, name: &WorkspaceId) -> Result<WorkspaceNumber, StoreError> {
        if let Some(number) = self.known_workspace(name) {
            return Ok(number);
        }
        let (reply, answer) = oneshot::channel();
        self.writer.reserve().await?.send(Write::Workspace { name: name.clone(), reply });
        self.writer.answer(answer).await
    }

    /// Makes the payload files durable and leaves the records that name them.
    pub(crate) async fn persist_payloads(&self, rows: Rows) -> Result<Vec<Row>, StoreError> {
        let Rows { rows, payloads } = rows;
        if payloads.is_empty() {
            return Ok(rows);
        }
        blocking(&self.shared, move |shared| {
            for (name, payload) in &payloads {
                shared.payloads.write(name, payload).map_err(|error| match error {
                    WriteError::Write(error) => {
                        StoreError::Failed { message: format!("a payload file could not be written: {error}") }
                    }
                    WriteError::Sync(error) => {
                        shared.stop(&format!("the sync of a payload file failed: {error}"));
                        StoreError::Stopped
                    }
                })?;
            }
            Ok(rows)
        })
        .await
    }

    /// Gives back the files of records that are gone, or were never written. What stays in spite of this is removed at the next open.
    pub(crate) async fn drop_payloads(&self, files: Vec<PayloadRef>) {
        if files.is_empty() {
            return;
        }
        let removed = blocking(&self.shared, move |shared| {
            files
                .iter()
                .try_for_each(|name| shared.payloads.release(name))
                .map_err(|error| damaged("a payload file", error.to_string()))
        });
        if let Err(error) = removed.await {
            tracing::debug!(%error, "a payload file that no record names was not removed");
        }
    }

    /// Why a run that is not among the unfinished ones takes no entry.
    async fn why_no_append(&self, append: Append, first_seq: u32, workspace: WorkspaceNumber) -> StoreError {
        let run = append.run;
        match reading(&self.shared, move |shared| summary(shared, workspace, run)).await {
            Ok(Some(found)) => {
                rules::check_length(&append, first_seq, found.events).err().unwrap_or_else(|| rules::finished(&append))
            }
            Ok(None) => StoreError::NotFound { what: run.to_string() },
            Err(error) => error,
        }
    }
}

fn check_tracked(
    append: &Append,
    first_seq: u32,
    workspace: WorkspaceNumber,
    tracked: &Tracked,
) -> Result<(), StoreError> {
    if tracked.workspace != workspace {
        return Err(StoreError::NotFound { what: append.run.to_string() });
    }
    rules::check_length(append, first_seq, tracked.events)?;
    if tracked.is_finished { Err(rules::finished(append)) } else { Ok(()) }
}

struct AppendRows {
    rows: Vec<Row>,
    ended: Option<Box<Ended>>,
    reply: Option<Reply<()>>,
}

/// The write of an append; from here on the run is tracked as it will be after it.
fn write(append: &Append, first_seq: u32, tracked: &mut Tracked, rows: AppendRows) -> AppendWrite {
    let AppendRows { rows, ended, reply } = rows;
    let run = append.run;
    let is_finished = append.summary.status.is_final();
    tracked.events = append.summary.events;
    tracked.is_finished = is_finished;
    let (due, marks) = (append.summary.due_at, append.summary.marks.clone());
    let effect = if is_finished { Effect::Finished { run } } else { Effect::Due { run, due, marks } };
    let grown = Grown { workspace: tracked.workspace, run, first_seq, next_seq: append.summary.events };
    AppendWrite { rows, effect, grown, ended, reply }
}

/// The entries of an unfinished run from `seq` on. Whether those before are whole is found out by whoever loads them all.
fn load_from(
    shared: &Shared,
    (workspace, run): (WorkspaceNumber, RunId),
    seq: u32,
) -> Result<Vec<Recorded>, StoreError> {
    let what = format!("the journal of {run}");
    let rows = without_panic(|| {
        let trees = &shared.database().trees;
        let journal = trees.get(Table::Journal);
        // A record may hold several entries, and is filed under its first.
        let (first, from) = (tables::entry(workspace, run, 0), tables::entry(workspace, run, seq));
        let start = journal.range(first..=from).next_back().transpose()?.map(|(key, _)| key);
        let start = start.unwrap_or_else(|| tables::entry(workspace, run, 0));
        journal.range(start..=tables::entry(workspace, run, u32::MAX)).collect::<Result<Vec<_>, _>>()
    })
    .and_then(|rows| rows.map_err(|error: sled::Error| error.to_string()))
    .map_err(|problem| damaged(&what, problem))?;
    let mut entries = Vec::new();
    for (key, record) in rows {
        for entry in shared.entries(&key, &record, &what)?.into_iter().filter(|entry| entry.seq >= seq) {
            if entry.seq as usize != seq as usize + entries.len() {
                return Err(damaged(&what, format!("entry {} is missing", seq as usize + entries.len())));
            }
            entries.push(entry);
        }
    }
    Ok(entries)
}

pub(crate) fn load(shared: &Shared, run: RunId) -> Result<Vec<Recorded>, StoreError> {
    let what = format!("the journal of {run}");
    let tracked = shared.tracker().get(run);
    // The port names no workspace: an unfinished run is known, a finished one is looked for, a microsecond per workspace.
    let candidates = match tracked {
        Some(tracked) => vec![tracked.workspace],
        None => shared.directory().workspaces.values().copied().collect(),
    };
    for workspace in candidates {
        // The summary first: the journal may grow between the two reads, and must not be shorter.
        let Some(found) = summary(shared, workspace, run)? else { continue };
        let mut entries: Vec<Recorded> = Vec::new();
        let rows = without_panic(|| {
            shared
                .database()
                .trees
                .get(Table::Journal)
                .scan_prefix(tables::run(workspace, run))
                .collect::<Result<Vec<_>, _>>()
        })
        .and_then(|rows| rows.map_err(|error| error.to_string()))
        .map_err(|problem| damaged(&what, problem))?;
        for (key, record) in rows {
            for entry in shared.entries(&key, &record, &what)? {
                if entry.seq as usize != entries.len() {
                    return Err(damaged(&what, format!("entry {} is missing", entries.len())));
                }
                entries.push(entry);
            }
        }
        if entries.len() < found.events as usize {
            return Err(damaged(&what, format!("it has {} entries instead of {}", entries.len(), found.events)));
        }
        return Ok(entries);
    }
    Err(StoreError::NotFound { what: run.to_string() })
}
