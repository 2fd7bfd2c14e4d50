//! The unfinished runs in memory: how long each journal is with everything that is queued (so that a conflict is known before
//! a write is queued), and, once a write is synced, who is due.

use std::collections::HashMap;

use flowcell_core::id::RunId;
use flowcell_core::run::fold::Mark;
use flowcell_core::time::Timestamp;

use super::tables::WorkspaceNumber;
use crate::marks::Marks;
use crate::queue::DueQueue;

#[derive(Debug, Default)]
pub(crate) struct Tracker {
    runs: HashMap<RunId, Tracked>,
    pub(crate) queue: DueQueue,
    pub(crate) marks: Marks,
}

/// A run that has not finished on the disk, as it will be when the queued writes are applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tracked {
    pub(crate) workspace: WorkspaceNumber,
    /// The length of its journal.
    pub(crate) events: u32,
    pub(crate) is_finished: bool,
}

/// What a synced write does to the queue.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Created { run: RunId, tracked: Tracked, due: Option<Timestamp>, marks: Vec<Mark> },
    Due { run: RunId, due: Option<Timestamp>, marks: Vec<Mark> },
    Finished { run: RunId },
    Released { run: RunId },
}

impl Effect {
    /// The run whose records the write changes.
    pub(crate) fn written(&self) -> Option<RunId> {
        match self {
            Self::Created { run, .. } | Self::Due { run, .. } | Self::Finished { run } => Some(*run),
            Self::Released { .. } => None,
        }
    }
}

impl Tracker {
    pub(crate) fn get(&self, run: RunId) -> Option<Tracked> {
        self.runs.get(&run).copied()
    }

    pub(crate) fn get_mut(&mut self, run: RunId) -> Option<&mut Tracked> {
        self.runs.get_mut(&run)
    }

    /// Returns whether a worker may have something new to look at.
    pub(crate) fn apply(&mut self, effect: Effect) -> bool {
        match effect {
            Effect::Created { run, tracked, .. } if tracked.is_finished => {
                self.runs.remove(&run);
                false
            }
            Effect::Created { run, tracked, due, marks } => {
                self.runs.insert(run, tracked);
                self.marks.set(run, &marks);
                self.queue.set_due(run, due)
            }
            Effect::Due { run, due, marks } => {
                self.marks.set(run, &marks);
                self.queue.set_due(run, due)
            }
            Effect::Finished { run } => {
                self.runs.remove(&run);
                self.marks.set(run, &[]);
                self.queue.finish(run);
                false
            }
            Effect::Released { run } => self.queue.release(run),
        }
    }
}
