//! Removals: what goes is looked up in the trees, which have everything that is durable then.

use std::collections::BTreeSet;

use flowcell_core::ports::StoreError;

use super::{Answer, Applied, Seen};
use crate::embedded::blocks::{self, Unchanged};
use crate::embedded::codec::{self, Body};
use crate::embedded::disk::Disk;
use crate::embedded::group::Row;
use crate::embedded::guard::without_panic;
use crate::embedded::tables::{self, Table};
use crate::embedded::writer::RemoveWrite;

impl Applied<'_> {
    pub(super) fn remove(&mut self, write: RemoveWrite, disk: &mut Disk) {
        let outcome = self.changed_blocks(&write);
        if let Ok(changed) = &outcome {
            for (key, _) in changed {
                disk.blocks.close(key);
            }
        }
        let outcome = outcome.and_then(|changed| Ok((changed, self.expired(&write)?)));
        let done = outcome.map(|(changed, expired)| {
            for (key, row) in changed {
                match row {
                    Some(row) => self.group.put(row),
                    None => self.group.remove(Table::Index, key),
                }
            }
            for key in expired {
                self.group.remove(Table::Dedupe, key);
            }
            for (table, key) in write.remove {
                self.group.remove(table, key);
            }
            for row in write.rows {
                self.group.put(row);
            }
        });
        self.answers.extend(write.reply.map(|reply| Answer::Done(reply, done)));
    }

    /// The blocks that the runs leave, as they are without them. Removals come one at a time, so none of them has changed in this group.
    fn changed_blocks(&self, write: &RemoveWrite) -> Result<Vec<(sled::IVec, Option<Row>)>, StoreError> {
        let what = "a block of the index of runs";
        let damaged = |problem: String| StoreError::Damaged { what: what.to_owned(), problem };
        let buckets: BTreeSet<u32> = write.gone.iter().map(|run| blocks::bucket(*run)).collect();
        let mut changed = Vec::new();
        for bucket in buckets {
            let prefix = tables::bucket(write.workspace, bucket);
            let rows = without_panic(|| {
                self.shared.database().trees.get(Table::Index).scan_prefix(prefix).collect::<Result<Vec<_>, _>>()
            })
            .and_then(|rows| rows.map_err(|error| error.to_string()))
            .map_err(damaged)?;
            for (key, record) in rows {
                let Body::Inline(body) = codec::open(Table::Index, &key, &record).map_err(damaged)?.body else {
                    return Err(damaged("it is in a file".to_owned()));
                };
                match blocks::without(&key, body, &write.gone) {
                    Ok(row) => changed.push((key, row)),
                    Err(Unchanged::HasNone) => {}
                    Err(Unchanged::Damaged) => return Err(damaged("it does not read".to_owned())),
                }
            }
        }
        Ok(changed)
    }

    /// The dedupe records that are still those of the deliveries which are forgotten.
    fn expired(&self, write: &RemoveWrite) -> Result<Vec<sled::IVec>, StoreError> {
        let mut expired = Vec::new();
        for (key, event) in &write.expired {
            let stored = self.shared.read::<Seen>(Table::Dedupe, key, "the record of an earlier delivery")?;
            let is_taken = self.seen.contains_key(key) || self.group.writes(Table::Dedupe, key);
            if !is_taken && stored.is_some_and(|seen| seen.event == *event) {
                expired.push(key.clone());
            }
        }
        Ok(expired)
    }
}
