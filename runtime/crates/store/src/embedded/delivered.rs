//! A delivery as records.

use flowcell_core::id::RunId;
use flowcell_core::ports::{Accepted, Delivery, StoreError};
use flowcell_core::search::RunFacts;
use flowcell_core::time::Timestamp;
use serde::Serialize;

use super::journal::Rows;
use super::search;
use super::tables::{self, Table, WorkspaceNumber};
use super::tracker::{Effect, Tracked};
use super::writer::{DeliveredRows, Seen};

/// The records of a delivery: those that may need payload files, and what else it comes to, without rows yet.
pub(crate) fn delivered(workspace: WorkspaceNumber, delivery: &Delivery) -> Result<(Rows, DeliveredRows), StoreError> {
    let seen = Seen {
        event: delivery.event,
        runs: delivery.runs.iter().map(|run| run.id).collect(),
        at: delivery.received_at,
        body: delivery.dedupe.body,
    };
    let accepted = Accepted { event: seen.event, runs: seen.runs.clone(), duplicate: false };
    let mut rows = Rows::default();
    let mut taken_if = Vec::with_capacity(delivery.runs.len().max(1));
    if delivery.runs.is_empty() {
        // Only a delivery that started nothing needs a record of its own: a run names its delivery in its first entry.
        let key = tables::event(workspace, delivery.event);
        let record = EventRecord { trigger: &delivery.trigger, received_at: seen.at, runs: &seen.runs };
        rows.add(Table::Events, key.clone(), &record)?;
        taken_if.push((Table::Events, key));
    }
    let mut effects = Vec::with_capacity(delivery.runs.len());
    let mut ended = Vec::new();
    for run in &delivery.runs {
        let key = tables::run(workspace, run.id);
        rows.add_entries(workspace, run.id, std::slice::from_ref(&run.created))?;
        rows.add(Table::Runs, key.clone(), &run.summary)?;
        taken_if.push((Table::Runs, key));
        let is_finished = run.summary.status.is_final();
        let tracked = Tracked { workspace, events: 1, is_finished, group: 0 };
        let (due, marks) = (run.summary.due_at, run.summary.marks.clone());
        effects.push(Effect::Created { run: run.id, tracked, due, marks });
        if is_finished {
            ended.push(search::ended(workspace, &run.summary, RunFacts::default()));
        }
    }
    let dedupe = match &delivery.dedupe_key {
        Some(key) => {
            let mut dedupe = Rows::default();
            dedupe.add(Table::Dedupe, tables::dedupe(workspace, &delivery.trigger, key), &seen)?;
            rows.take_payloads(&mut dedupe);
            dedupe.last()
        }
        None => None,
    };
    let (received_at, terms) = (seen.at, delivery.dedupe);
    let delivered = DeliveredRows { rows: Vec::new(), taken_if, dedupe, received_at, terms, accepted, effects, ended };
    Ok((rows, delivered))
}

/// The record of [`Table::Events`].
#[derive(Serialize)]
pub(crate) struct EventRecord<'a> {
    pub(crate) trigger: &'a str,
    pub(crate) received_at: Timestamp,
    /// Those that are still there.
    pub(crate) runs: &'a [RunId],
}
