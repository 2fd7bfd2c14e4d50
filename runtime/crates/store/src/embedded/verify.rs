//! Reads every record once when the store is opened and believes none of it: check sums, counts, the sequence of every
//! journal against its summary, the last group against the mark. sled alone loses rows in silence (PROMISES §2).

mod contacts;
mod journals;
mod parts;

use std::collections::BTreeMap;
use std::ops::Bound;

use flowcell_core::connection::StoredConnection;
use flowcell_core::destination::DestinationRecord;
use flowcell_core::id::{EventId, RunId, WorkspaceId};
use flowcell_core::ports::{Hook, ScheduleCursor};
use flowcell_core::run::fold::{Mark, RunStatus};
use flowcell_core::time::Timestamp;
use memchr::memmem;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::blocks::View;
use super::codec::{self, Body};
use super::group::State;
use super::open::Damage;
use super::payload::{self, Names, Payloads};
use super::shared::{Directory, StoredHead};
use super::tables::{self, STATE_KEY, Table, Trees, WorkspaceNumber};
use super::tracker::{Effect, Tracked, Tracker};
use journals::Journals;

/// A store that holds what it should, and what of it is kept in memory.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) state: State,
    pub(crate) directory: Directory,
    pub(crate) tracker: Tracker,
    /// The payload files that records name.
    pub(crate) payloads: Names,
}

pub(crate) fn verify(trees: &Trees, payloads: &Payloads, acknowledged: u64) -> Result<Verified, Damage> {
    let mut reader = Reader::new(trees, payloads);
    let mut state = state(trees)?;
    if state.group < acknowledged {
        return Err(damage(
            "the database",
            format!("groups {} to {acknowledged} were acknowledged and are not there", state.group + 1),
        ));
    }
    let directory = reader.directory()?;
    let mut found = parts::verify(trees, payloads, &directory)?;
    found.add(reader.found);
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Meta) {
        let (counted, expected) =
            (found.counted.get(&table).copied().unwrap_or(0), state.records.get(table.name()).copied().unwrap_or(0));
        if counted != expected {
            return Err(damage(
                &format!("the table `{}`", table.name()),
                format!("it has {counted} records instead of {expected}"),
            ));
        }
    }
    state.bytes = found.bytes;
    let mut tracker = Tracker::default();
    // In the order of their ids, whichever thread was first.
    found.unfinished.sort_unstable_by_key(Effect::written);
    for effect in found.unfinished {
        tracker.apply(effect, 0);
    }
    Ok(Verified { state, directory, tracker, payloads: found.named })
}

/// What the trees say that they hold.
pub(crate) fn state(trees: &Trees) -> Result<State, Damage> {
    let what = "the state record";
    let record = trees.get(Table::Meta).get(STATE_KEY).map_err(|error| damage(what, error.to_string()))?;
    let record = record.ok_or_else(|| damage(what, "it is missing".to_owned()))?;
    match codec::open(Table::Meta, &STATE_KEY, &record).map_err(|problem| damage(what, problem))?.body {
        Body::Inline(json) => codec::from_json(json).map_err(|problem| damage(what, problem)),
        Body::File(_) => Err(damage(what, "it is in a file".to_owned())),
    }
}

/// What was found in what was verified.
#[derive(Debug, Default)]
struct Found {
    /// The payload files that records name.
    named: Names,
    /// Keys and records.
    bytes: u64,
    counted: BTreeMap<Table, u64>,
    /// The runs that have not ended.
    unfinished: Vec<Effect>,
}

impl Found {
    fn add(&mut self, other: Self) {
        payload::add(&mut self.named, other.named);
        self.bytes += other.bytes;
        for (table, count) in other.counted {
            *self.counted.entry(table).or_default() += count;
        }
        self.unfinished.extend(other.unfinished);
    }
}

struct Reader<'a> {
    trees: &'a Trees,
    payloads: &'a Payloads,
    found: Found,
}

/// Keys from one on, to before another.
type KeyRange<'k> = (Option<&'k sled::IVec>, Option<&'k sled::IVec>);

const EVERYTHING: KeyRange<'static> = (None, None);

fn rows(trees: &Trees, table: Table, (from, to): KeyRange<'_>) -> sled::Iter {
    let from = from.map_or(Bound::Unbounded, Bound::Included);
    trees.get(table).range::<&sled::IVec, _>((from, to.map_or(Bound::Unbounded, Bound::Excluded)))
}

impl<'a> Reader<'a> {
    fn new(trees: &'a Trees, payloads: &'a Payloads) -> Self {
        Self { trees, payloads, found: Found::default() }
    }

    /// Calls `each` with every record of a table within a range, in the order of their keys, after its check sum was verified.
    fn scan(
        &mut self,
        (table, range): (Table, KeyRange<'_>),
        mut each: impl FnMut(&mut Self, &[u8], Body<'_>) -> Result<(), Damage>,
    ) -> Result<(), Damage> {
        let mut count = 0;
        for row in rows(self.trees, table, range) {
            let (key, record) =
                row.map_err(|error| damage(&format!("the table `{}`", table.name()), error.to_string()))?;
            let body = codec::open(table, &key, &record).map_err(|problem| damage(&name(table, &key), problem))?.body;
            if let Body::File(file) = body {
                payload::note(&mut self.found.named, file);
            }
            each(self, &key, body)?;
            count += 1;
            self.found.bytes += (key.len() + record.len()) as u64;
        }
        self.found.counted.insert(table, count);
        Ok(())
    }

    fn decode<T: DeserializeOwned>(&self, table: Table, key: &[u8], body: Body<'_>) -> Result<T, Damage> {
        let decoded = match body {
            Body::Inline(json) => codec::from_json(json),
            Body::File(file) => self.payloads.read(&file).and_then(|json| codec::from_json(&json)),
        };
        decoded.map_err(|problem| damage(&name(table, key), problem))
    }

    fn directory(&mut self) -> Result<Directory, Damage> {
        let mut directory = Directory::default();
        self.scan((Table::Workspaces, EVERYTHING), |reader, key, body| {
            let number = key.try_into().map(WorkspaceNumber::from_be_bytes);
            let number = number.map_err(|_| damage("a workspace", "its key is malformed".to_owned()))?;
            let workspace: WorkspaceId = reader.decode(Table::Workspaces, key, body)?;
            directory.workspaces.insert(workspace, number);
            Ok(())
        })?;
        self.scan((Table::Hooks, EVERYTHING), |reader, key, body| {
            let token = key.try_into().map_err(|_| damage("a hook", "its key is malformed".to_owned()))?;
            let hook: Hook = reader.decode(Table::Hooks, key, body)?;
            directory.hooks.insert(token, hook);
            Ok(())
        })?;
        self.scan((Table::Versions, EVERYTHING), |_, _, _| Ok(()))?;
        self.scan((Table::Heads, EVERYTHING), |reader, key, body| {
            let stored: StoredHead = reader.decode(Table::Heads, key, body)?;
            let workflow = (stored.head.workspace.clone(), stored.head.id.clone());
            let what = format!("workflow `{}`", workflow.1);
            if !directory.hooks.contains_key(&stored.token_hash) {
                return Err(damage(&what, "its hook is missing".to_owned()));
            }
            let number = directory.workspaces.get(&workflow.0).copied().unwrap_or(0);
            for version in 1..=stored.head.latest {
                let key = tables::version(number, &workflow.1, version);
                if !reader.holds(Table::Versions, &key)? {
                    return Err(damage(&what, format!("its version {version} is missing")));
                }
            }
            directory.heads.insert(workflow, stored);
            Ok(())
        })?;
        self.scan((Table::Schedules, EVERYTHING), |reader, key, body| {
            let cursor: ScheduleCursor = reader.decode(Table::Schedules, key, body)?;
            directory.cursors.insert(cursor.place(), cursor);
            Ok(())
        })?;
        self.scan((Table::Connections, EVERYTHING), |reader, key, body| {
            let stored: StoredConnection = reader.decode(Table::Connections, key, body)?;
            let place = (stored.connection.workspace.clone(), stored.connection.name.clone());
            directory.connections.insert(place, stored);
            Ok(())
        })?;
        self.scan((Table::Destinations, EVERYTHING), |reader, key, body| {
            reader.decode::<DestinationRecord>(Table::Destinations, key, body).map(drop)
        })?;
        self.contacts()?;
        // Only that they can be read: nothing depends on them.
        self.scan((Table::Triggers, EVERYTHING), |reader, key, body| {
            reader.decode::<serde_json::Value>(Table::Triggers, key, body).map(drop)
        })?;
        // Of whom they are, nobody needs to know: they go with their run, and what is left of a cut-off write is harmless.
        self.scan((Table::Blobs, EVERYTHING), |_, key, body| match body {
            Body::File(_) => Ok(()),
            Body::Inline(_) => Err(damage(&name(Table::Blobs, key), "it names no file".to_owned())),
        })?;
        for table in [Table::People, Table::Inbox, Table::Receipts, Table::KeyValues] {
            self.scan((table, EVERYTHING), |reader, key, body| {
                reader.decode::<serde_json::Value>(table, key, body).map(drop)
            })?;
        }
        Ok(directory)
    }

    /// Summaries and journals, each against the other. The queue is what the summaries say: a second truth could only disagree.
    fn runs(&mut self, range: KeyRange<'_>) -> Result<(), Damage> {
        let mut journals = Journals::open(self.trees, range)?;
        self.scan((Table::Runs, range), |reader, key, body| {
            let (workspace, run, _) = tables::split_run(key)
                .ok_or_else(|| damage(&name(Table::Runs, key), "its key is malformed".to_owned()))?;
            let summary: Brief = reader.decode(Table::Runs, key, body)?;
            let found = journals.length(workspace, run)?;
            if found != summary.events {
                let problem = format!("it has {found} entries instead of {}", summary.events);
                return Err(damage(&format!("the journal of {run}"), problem));
            }
            if !summary.status.is_final() {
                let tracked = Tracked { workspace, events: summary.events, is_finished: false, group: 0 };
                let effect = Effect::Created { run, tracked, due: summary.due_at, marks: summary.marks };
                reader.found.unfinished.push(effect);
            }
            Ok(())
        })?;
        journals.finish()?;
        self.found.counted.insert(Table::Journal, journals.count);
        for file in journals.named {
            payload::note(&mut self.found.named, file);
        }
        self.found.bytes += journals.bytes;
        Ok(())
    }

    /// Every run a delivery's own record names must be there.
    fn events(&mut self) -> Result<(), Damage> {
        self.scan((Table::Events, EVERYTHING), |reader, key, body| {
            let event: Started = reader.decode(Table::Events, key, body)?;
            reader.check_runs(Table::Events, key, &event.runs)
        })
    }

    /// The delivery that a key without runs names must be there.
    fn dedupe(&mut self) -> Result<(), Damage> {
        self.scan((Table::Dedupe, EVERYTHING), |reader, key, body| {
            // Most have runs, and nothing more is to be looked at.
            if let Body::Inline(json) = body
                && memmem::find(json, b"\"runs\":[]").is_none()
            {
                return Ok(());
            }
            let first: First = reader.decode(Table::Dedupe, key, body)?;
            if first.runs.is_empty() {
                let workspace = key.first_chunk::<4>().map_or(0, |number| WorkspaceNumber::from_be_bytes(*number));
                if !reader.holds(Table::Events, &tables::event(workspace, first.event))? {
                    return Err(damage(&first.event.to_string(), "a record names it, and it is missing".to_owned()));
                }
            }
            // Its runs may have been removed by retention; that none was lost, the counts say.
            Ok(())
        })
    }

    /// Blocks must read to their end; pins must be of runs.
    fn index(&mut self) -> Result<(), Damage> {
        self.scan((Table::Index, EVERYTHING), |_, key, body| {
            let malformed = || damage("a block of the index of runs", "it does not read".to_owned());
            let Body::Inline(body) = body else { return Err(malformed()) };
            let mut view = View::open(key, body).ok_or_else(malformed)?;
            (0..view.len()).try_for_each(|_| view.next().map(|_| ())).ok_or_else(malformed)
        })?;
        self.scan((Table::Pins, EVERYTHING), |reader, key, _| {
            if reader.holds(Table::Runs, key)? {
                return Ok(());
            }
            Err(damage(&name(Table::Pins, key), "it is kept for good, and missing".to_owned()))
        })
    }

    fn check_runs(&self, table: Table, key: &[u8], runs: &[RunId]) -> Result<(), Damage> {
        let workspace = key.first_chunk::<4>().map_or(0, |number| WorkspaceNumber::from_be_bytes(*number));
        for run in runs {
            if !self.holds(Table::Runs, &tables::run(workspace, *run))? {
                return Err(damage(&run.to_string(), format!("{} names it, and it is missing", name(table, key))));
            }
        }
        Ok(())
    }

    fn holds(&self, table: Table, key: &[u8]) -> Result<bool, Damage> {
        let found = self.trees.get(table).contains_key(key);
        found.map_err(|error| damage(&format!("the table `{}`", table.name()), error.to_string()))
    }
}

/// What verification needs of a run's summary: the rest is as it was written, and taking it apart would cost as much again.
#[derive(Deserialize)]
struct Brief {
    status: RunStatus,
    #[serde(default)]
    due_at: Option<Timestamp>,
    events: u32,
    #[serde(default)]
    marks: Vec<Mark>,
}

/// What verification needs of the record of [`Table::Events`].
#[derive(Deserialize)]
struct Started {
    runs: Vec<RunId>,
}

/// What verification needs of the record of [`Table::Dedupe`].
#[derive(Deserialize)]
struct First {
    event: EventId,
    runs: Vec<RunId>,
}

fn damage(what: &str, problem: String) -> Damage {
    Damage { what: what.to_owned(), problem }
}

/// Names a record by its table and, where there is one, its run.
fn name(table: Table, key: &[u8]) -> String {
    match (table, tables::split_run(key)) {
        (Table::Runs, Some((_, run, _))) => format!("the summary of {run}"),
        (Table::Events, Some((_, id, _))) => format!("the record of {}", EventId::from_bytes(id.to_bytes())),
        _ => format!("a record of the table `{}`", table.name()),
    }
}
