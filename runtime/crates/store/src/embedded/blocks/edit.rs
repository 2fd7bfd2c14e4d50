//! How blocks come about and how runs leave them: the writer's part.

use std::collections::HashSet;

use flowcell_core::id::RunId;

use super::{BODY_BYTES_MAX, Block, Ended, View, bucket};
use crate::embedded::codec;
use crate::embedded::group::{Group, Row};
use crate::embedded::tables::{self, Table, WorkspaceNumber};

/// A block below this is written again with the runs that end next, so that an instance with few runs has few blocks; a larger one
/// is left alone, since writing it again would cost more than the runs that are added.
const GROWS_BELOW_BYTES: usize = 1 << 10;

/// Blocks that may still grow: runs that end now began a moment ago, or after one of a few usual waits.
const OPEN_MAX: usize = 8;

/// The blocks that may still grow, the one used last at the end.
#[derive(Debug, Default)]
pub(crate) struct OpenBlocks(Vec<Open>);

#[derive(Debug)]
struct Open {
    workspace: WorkspaceNumber,
    bucket: u32,
    key: sled::IVec,
    block: Block,
    has_changed: bool,
}

impl OpenBlocks {
    /// Writes runs that end in group number `number` into blocks, and the blocks into `group`.
    pub(crate) fn add(&mut self, ended: &[Ended], number: u64, group: &mut Group) {
        let mut part = 0;
        for run in ended {
            let (workspace, bucket) = (run.workspace, bucket(run.run));
            let known = self.0.iter().position(|open| (open.workspace, open.bucket) == (workspace, bucket));
            if let Some(at) = known {
                let mut open = self.0.remove(at);
                let may_grow = open.has_changed || open.block.encoded_bytes() < GROWS_BELOW_BYTES;
                if may_grow && open.block.add(run, BODY_BYTES_MAX) {
                    open.has_changed = true;
                    self.0.push(open);
                    continue;
                }
                open.write(group);
            }
            let mut block = Block::default();
            // The first run always fits: its facts are limited.
            block.add(run, BODY_BYTES_MAX);
            let key = tables::block(workspace, bucket, (number << 12) | part);
            part += 1;
            self.0.push(Open { workspace, bucket, key, block, has_changed: true });
            if self.0.len() > OPEN_MAX {
                self.0.remove(0).write(group);
            }
        }
        for open in &mut self.0 {
            open.write(group);
            open.has_changed = false;
        }
    }

    /// A block that was changed on the disk does not grow any more.
    pub(crate) fn close(&mut self, key: &sled::IVec) {
        self.0.retain(|open| open.key != *key);
    }
}

impl Open {
    fn write(&self, group: &mut Group) {
        if self.has_changed {
            group.put(row(self.key.clone(), &self.block));
        }
    }
}

/// What a block becomes without these runs: nothing when none is left. No change is an error: the caller looked in vain.
pub(crate) fn without(key: &sled::IVec, body: &[u8], gone: &HashSet<RunId>) -> Result<Option<Row>, Unchanged> {
    let mut view = View::open(key, body).ok_or(Unchanged::Damaged)?;
    let mut block = Block::default();
    for name in &view.names {
        block.bytes += 1 + name.len();
        block.names.push((*name).into());
    }
    let count = view.len();
    for _ in 0..count {
        let run = view.next().ok_or(Unchanged::Damaged)?;
        if !gone.contains(&run.run) {
            block.bytes += run.raw.len();
            block.runs.push(run.raw.to_vec());
        }
    }
    if block.runs.len() == count {
        return Err(Unchanged::HasNone);
    }
    Ok((!block.runs.is_empty()).then(|| row(key.clone(), &block)))
}

/// Why a block stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unchanged {
    HasNone,
    Damaged,
}

fn row(key: sled::IVec, block: &Block) -> Row {
    let record = codec::encode_bytes(Table::Index, &key, &block.body());
    Row { table: Table::Index, key, record }
}
