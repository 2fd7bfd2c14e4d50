//! Deliveries and their runs: which of two with one key is first, and that no id is taken twice.

use flowcell_core::id::{Digest, EventId, RunId};
use flowcell_core::ports::{Accepted, DedupeTerms, StoreError};
use flowcell_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Applied;
use crate::embedded::blocks::Ended;
use crate::embedded::group::Row;
use crate::embedded::guard::without_panic;
use crate::embedded::tables::Table;
use crate::embedded::tracker::Effect;
use crate::rules;
use crate::tail::Grown;

/// A delivery and its runs, as records.
#[derive(Debug)]
pub(crate) struct DeliveredRows {
    pub(crate) rows: Vec<Row>,
    /// Keys that must be free: those of the event and of its runs.
    pub(crate) taken_if: Vec<(Table, sled::IVec)>,
    pub(crate) dedupe: Option<Row>,
    pub(crate) received_at: Timestamp,
    pub(crate) terms: DedupeTerms,
    pub(crate) accepted: Accepted,
    pub(crate) effects: Vec<Effect>,
    /// Runs that have ended before they began, for the index.
    pub(crate) ended: Vec<Ended>,
}

/// The record of [`Table::Dedupe`]: the first delivery with a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) event: EventId,
    pub(crate) runs: Vec<RunId>,
    pub(crate) at: Timestamp,
    /// The SHA-256 of its body, where it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<Digest>,
}

impl Applied<'_> {
    /// Whether a delivery may be written; what it repeats, if it does.
    pub(super) fn check(&self, delivered: &DeliveredRows) -> Result<Option<Seen>, StoreError> {
        if let Some(row) = &delivered.dedupe
            && let Some(first) = self.first(&row.key, delivered.received_at, &delivered.terms)?
        {
            return Ok(Some(first));
        }
        for (table, key) in &delivered.taken_if {
            if self.is_taken(*table, key)? {
                return Err(rules::exists(&delivered.accepted.event.to_string()));
            }
        }
        Ok(None)
    }

    pub(super) fn accept(&mut self, delivered: DeliveredRows) -> Result<Accepted, StoreError> {
        if let Some(first) = self.check(&delivered)? {
            return Ok(Accepted { event: first.event, runs: first.runs, duplicate: true });
        }
        if let Some(row) = delivered.dedupe {
            let (event, runs) = (delivered.accepted.event, delivered.accepted.runs.clone());
            let seen = Seen { event, runs, at: delivered.received_at, body: delivered.terms.body };
            self.seen.insert(row.key.clone(), seen);
            self.group.put(row);
        }
        for row in delivered.rows {
            self.group.put(row);
        }
        for effect in &delivered.effects {
            if let Effect::Created { run, tracked, .. } = effect {
                self.grown.push(Grown {
                    workspace: tracked.workspace,
                    run: *run,
                    first_seq: 0,
                    next_seq: tracked.events,
                });
            }
        }
        self.effects.extend(delivered.effects);
        self.ended.extend(delivered.ended);
        Ok(delivered.accepted)
    }

    /// The delivery that one at `now` with this key repeats.
    fn first(&self, key: &sled::IVec, now: Timestamp, terms: &DedupeTerms) -> Result<Option<Seen>, StoreError> {
        let seen = match self.seen.get(key) {
            Some(seen) => Some(seen.clone()),
            None => self.before::<Seen>(Table::Dedupe, key, "the record of an earlier delivery")?,
        };
        let Some(seen) = seen else { return Ok(None) };
        let earlier = rules::Earlier { event: seen.event, at: seen.at, body: seen.body };
        Ok(rules::repeats(earlier, now, terms)?.then_some(seen))
    }

    fn is_taken(&self, table: Table, key: &sled::IVec) -> Result<bool, StoreError> {
        if self.group.writes(table, key) {
            return Ok(true);
        }
        if let Some(change) = self.held.pending(table, key) {
            return Ok(change.is_some());
        }
        without_panic(|| self.shared.database().trees.get(table).contains_key(key))
            .and_then(|found| found.map_err(|error| error.to_string()))
            .map_err(|problem| StoreError::Damaged { what: format!("the table `{}`", table.name()), problem })
    }
}
