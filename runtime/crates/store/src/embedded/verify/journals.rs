//! Walks the journal beside the summaries: both are sorted by workspace and run, so one pass over each is enough.

use flowcell_core::id::RunId;

use super::{KeyRange, damage, rows};
use crate::embedded::codec::{self, Body, PayloadRef};
use crate::embedded::open::Damage;
use crate::embedded::tables::{self, Table, Trees, WorkspaceNumber};

pub(crate) struct Journals {
    rows: sled::Iter,
    /// The entry that was read and not yet counted.
    ahead: Option<Place>,
    pub(crate) count: u64,
    /// The payload files that entries name.
    pub(crate) named: Vec<PayloadRef>,
    /// Keys and records.
    pub(crate) bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    workspace: WorkspaceNumber,
    run: RunId,
    seq: u32,
    /// From `seq` on.
    entries: u32,
}

impl Journals {
    /// The journals of the runs in a range, whose borders are keys of runs.
    pub(super) fn open(trees: &Trees, range: KeyRange<'_>) -> Result<Self, Damage> {
        let rows = rows(trees, Table::Journal, range);
        let mut journals = Self { rows, ahead: None, count: 0, named: Vec::new(), bytes: 0 };
        journals.advance()?;
        Ok(journals)
    }

    /// The number of entries of a run, which must follow the runs asked for before.
    pub(crate) fn length(&mut self, workspace: WorkspaceNumber, run: RunId) -> Result<u32, Damage> {
        let mut length = 0;
        while let Some(place) = self.ahead
            && (place.workspace, place.run) <= (workspace, run)
        {
            if (place.workspace, place.run) != (workspace, run) {
                return Err(without_summary(place));
            }
            if place.seq != length {
                return Err(damage(&format!("the journal of {run}"), format!("entry {length} is missing")));
            }
            length += place.entries;
            self.advance()?;
        }
        Ok(length)
    }

    /// Refuses entries after those of the last run.
    pub(crate) fn finish(&self) -> Result<(), Damage> {
        self.ahead.map_or(Ok(()), |place| Err(without_summary(place)))
    }

    fn advance(&mut self) -> Result<(), Damage> {
        let what = "an entry of the journal";
        let Some(row) = self.rows.next() else {
            self.ahead = None;
            return Ok(());
        };
        let (key, record) = row.map_err(|error| damage(what, error.to_string()))?;
        let place = tables::split_run(&key).and_then(|(workspace, run, seq)| {
            Some(Place { workspace, run, seq: u32::from_be_bytes(seq.try_into().ok()?), entries: 1 })
        });
        let mut place = place.ok_or_else(|| damage(what, "its key is malformed".to_owned()))?;
        let opened = codec::open(Table::Journal, &key, &record)
            .map_err(|problem| damage(&format!("entry {} of {}", place.seq, place.run), problem))?;
        place.entries = opened.entries.map_or(1, u32::from);
        if let Body::File(file) = opened.body {
            self.named.push(file);
        }
        self.count += 1;
        self.bytes += (key.len() + record.len()) as u64;
        self.ahead = Some(place);
        Ok(())
    }
}

fn without_summary(place: Place) -> Damage {
    damage(&format!("the journal of {}", place.run), "the run has no summary".to_owned())
}
