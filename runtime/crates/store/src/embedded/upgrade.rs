//! What a store of an older format lacks, added at its first open by this version. Group by group, so that a crash leaves an older store that
//! is upgraded at the next open; the manifest says the new format last, and from then on an older Flowcell refuses it by name.

use std::collections::HashSet;

use flowcell_core::id::RunId;
use flowcell_core::ports::StoreError;
use flowcell_core::run::fold::RunSummary;

use super::blocks::View;
use super::codec::{self, Body};
use super::disk::Disk;
use super::group::Group;
use super::search;
use super::shared::{Shared, damaged};
use super::tables::{self, Table};

/// Runs of one group: their entries in the index are some 25 bytes each, far below what a group may hold.
const RUNS_PER_GROUP: usize = 1_024;

/// From format 1 to 2: runs that ended before there was an index of them come into it. Searches would not find them otherwise.
pub(crate) fn index_ended_runs(shared: &Shared, disk: &mut Disk) -> Result<usize, StoreError> {
    let known = indexed(shared)?;
    let mut added = 0;
    let mut ended = Vec::new();
    let mut rows = shared.database().trees.get(Table::Runs).iter();
    while let Some((key, record)) = search::next(&mut rows, "the list of runs")? {
        let summary: RunSummary = shared.decode(Table::Runs, &key, &record, "the summary of a run")?;
        if !summary.status.is_final() || known.contains(&summary.id) {
            continue;
        }
        let (workspace, run, _) = tables::split_run(&key)
            .ok_or_else(|| damaged("the summary of a run", "its key is malformed".to_owned()))?;
        let mut facts = search::facts(shared, run, u32::MAX, &[])?;
        facts.close(&[]);
        ended.push(search::ended(workspace, &summary, facts));
        added += 1;
        if ended.len() == RUNS_PER_GROUP {
            write(shared, disk, &mut ended)?;
        }
    }
    write(shared, disk, &mut ended)?;
    Ok(added)
}

fn write(shared: &Shared, disk: &mut Disk, ended: &mut Vec<super::blocks::Ended>) -> Result<(), StoreError> {
    let mut group = Group::default();
    disk.blocks.add(ended, disk.last_number() + 1, &mut group);
    ended.clear();
    disk.write_through(group, shared).map_err(|message| StoreError::Failed { message })
}

/// The runs that are in a block already.
fn indexed(shared: &Shared) -> Result<HashSet<RunId>, StoreError> {
    let what = "a block of the index of runs";
    let malformed = || damaged(what, "it does not read".to_owned());
    let mut known = HashSet::new();
    let mut rows = shared.database().trees.get(Table::Index).iter();
    while let Some((key, record)) = search::next(&mut rows, what)? {
        let opened = codec::open(Table::Index, &key, &record).map_err(|problem| damaged(what, problem))?;
        let Body::Inline(body) = opened.body else { return Err(malformed()) };
        let mut view = View::open(&key, body).ok_or_else(malformed)?;
        for _ in 0..view.len() {
            known.insert(view.next().ok_or_else(malformed)?.run);
        }
    }
    Ok(known)
}
