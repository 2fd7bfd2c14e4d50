//! The changes of one group commit, or of several, the last one of each record, and the transaction that applies them to the trees.
//!
//! One transaction over all trees is what keeps them in agreement after a crash: sled marks its entries in the log as a batch
//! and drops a batch that is not there to its end. A transaction per write costs much more: several runs share their pages here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sled::transaction::{ConflictableTransactionError, TransactionResult, Transactional as _, TransactionalTree};

use super::codec;
use super::guard::without_panic;
use super::tables::{STATE_KEY, Table, Trees};

/// A record to write.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) table: Table,
    pub(crate) key: sled::IVec,
    pub(crate) record: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    /// Nothing: the record is removed.
    changes: BTreeMap<(Table, sled::IVec), Option<Vec<u8>>>,
    bytes: usize,
}

/// What the trees must hold: the one record of [`Table::Meta`], written with every transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The number of the last group they have, from 1.
    pub(crate) group: u64,
    /// How many records each other table has, by its name.
    pub(crate) records: BTreeMap<String, u64>,
    /// Their keys and records, in bytes; measured at each open.
    #[serde(skip)]
    pub(crate) bytes: u64,
}

impl Group {
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The keys and records it holds, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the group writes this record.
    pub(crate) fn writes(&self, table: Table, key: &sled::IVec) -> bool {
        matches!(self.pending(table, key), Some(Some(_)))
    }

    /// The record as the group leaves it; nothing when it does not touch it, and nothing in that when it removes it.
    #[expect(clippy::option_option, reason = "it may leave it alone or take it away")]
    pub(crate) fn pending(&self, table: Table, key: &sled::IVec) -> Option<Option<&[u8]>> {
        self.changes.get(&(table, key.clone())).map(Option::as_deref)
    }

    /// Writes a record, over an earlier one of this key.
    pub(crate) fn put(&mut self, row: Row) {
        self.change((row.table, row.key), Some(row.record));
    }

    pub(crate) fn remove(&mut self, table: Table, key: sled::IVec) {
        self.change((table, key), None);
    }

    /// Takes in what a later group changes.
    pub(crate) fn take(&mut self, later: Self) {
        if self.changes.is_empty() {
            *self = later;
            return;
        }
        for (place, change) in later.changes {
            self.change(place, change);
        }
    }

    fn change(&mut self, place: (Table, sled::IVec), change: Option<Vec<u8>>) {
        let bytes = |change: &Option<Vec<u8>>| change.as_ref().map_or(0, Vec::len);
        let key_bytes = place.1.len();
        self.bytes += bytes(&change);
        match self.changes.insert(place, change) {
            Some(replaced) => self.bytes -= bytes(&replaced),
            None => self.bytes += key_bytes,
        }
    }

    /// What it changes; without a record: it is removed.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (Table, &sled::IVec, Option<&[u8]>)> {
        self.changes.iter().map(|((table, key), record)| (*table, key, record.as_deref()))
    }

    /// What it writes.
    #[cfg(test)]
    pub(crate) fn into_rows(self) -> Vec<Row> {
        let rows = self.changes.into_iter();
        rows.filter_map(|((table, key), record)| Some(Row { table, key, record: record? })).collect()
    }

    /// Applies the changes in one transaction, together with the state they lead to, that of group `number`. Nothing is durable by that.
    pub(crate) fn commit(&self, trees: &Trees, before: &State, number: u64) -> Result<State, String> {
        let committed: Result<TransactionResult<State, &'static str>, String> =
            without_panic(|| trees.all().transaction(|views| self.write(views, before, number)));
        committed?.map_err(|error| format!("the transaction failed: {error}"))
    }

    fn write(
        &self,
        views: &[TransactionalTree],
        before: &State,
        number: u64,
    ) -> Result<State, ConflictableTransactionError<&'static str>> {
        let view = |table: Table| {
            views.get(usize::from(table.kind())).ok_or(ConflictableTransactionError::Abort("a tree is not open"))
        };
        let mut after = State { group: number, records: before.records.clone(), bytes: before.bytes };
        let mut gained = [0_i64; Table::ALL.len()];
        for ((table, key), change) in &self.changes {
            let view = view(*table)?;
            let replaced = match change {
                Some(record) => {
                    after.bytes += (key.len() + record.len()) as u64;
                    view.insert(key, record.as_slice())?
                }
                None => view.remove(key)?,
            };
            let gain = i64::from(change.is_some()) - i64::from(replaced.is_some());
            after.bytes = after.bytes.saturating_sub(replaced.map_or(0, |old| (key.len() + old.len()) as u64));
            if let Some(sum) = gained.get_mut(usize::from(table.kind())) {
                *sum += gain;
            }
        }
        for (table, gain) in Table::ALL.iter().zip(gained).filter(|(_, gain)| *gain != 0) {
            let count = after.records.entry(table.name().to_owned()).or_default();
            *count = count.saturating_add_signed(gain);
        }
        let state = codec::encode(Table::Meta, &STATE_KEY, &after)
            .map_err(|_| ConflictableTransactionError::Abort("the state does not encode"))?;
        view(Table::Meta)?.insert(&STATE_KEY, state.record)?;
        Ok(after)
    }
}
