//! The state of a trigger and what it brought: all of it, or nothing.

use flowcell_core::id::WorkflowId;
use flowcell_core::ports::{Accepted, StoreError};
use serde::Deserialize;

use super::{Answer, Applied, DeliveredRows};
use crate::embedded::group::Row;
use crate::embedded::tables::Table;
use crate::embedded::writer::Reply;
use crate::rules;

/// A state of a trigger that follows the one it was made from, and the deliveries that belong to it.
#[derive(Debug)]
pub(crate) struct TriggerWrite {
    pub(crate) workflow: WorkflowId,
    pub(crate) key: sled::IVec,
    pub(crate) revision: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) deliveries: Vec<DeliveredRows>,
    pub(crate) reply: Reply<Vec<Accepted>>,
}

/// The part of every such record that decides which one follows.
#[derive(Deserialize)]
struct Revision {
    revision: u64,
}

impl Applied<'_> {
    pub(super) fn trigger(&mut self, write: TriggerWrite) {
        let TriggerWrite { workflow, key, revision, rows, deliveries, reply } = write;
        let outcome = self.stored_revision(&key).and_then(|stored| {
            rules::check_trigger_revision(&workflow, revision, stored)?;
            // All of them before any: nothing that was put is taken back.
            deliveries.iter().try_for_each(|delivered| self.check(delivered).map(drop))
        });
        let outcome = outcome.and_then(|()| {
            let accepted: Result<Vec<Accepted>, StoreError> =
                deliveries.into_iter().map(|delivered| self.accept(delivered)).collect();
            let accepted = accepted?;
            self.revisions.insert(key, revision);
            for row in rows {
                self.group.put(row);
            }
            Ok(accepted)
        });
        self.answers.push(Answer::Polled(reply, outcome));
    }

    fn stored_revision(&self, key: &sled::IVec) -> Result<u64, StoreError> {
        if let Some(written) = self.revisions.get(key) {
            return Ok(*written);
        }
        let stored = self.before::<Revision>(Table::Triggers, key, "what is kept about a trigger")?;
        Ok(stored.map_or(0, |stored| stored.revision))
    }
}
