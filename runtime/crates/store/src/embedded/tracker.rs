//! The unfinished runs in memory: how long each journal is with everything that is queued (so that a conflict is known before
//! a write is queued), and, once a write is synced, who is due.

use std::collections::HashMap;

use flowcell_core::id::RunId;
use flowcell_core::ports::Append;
use flowcell_core::run::fold::Mark;
use flowcell_core::search::{FieldPath, RunFacts};
use flowcell_core::time::Timestamp;

use super::blocks::Ended;
use super::search::ended;
use super::tables::WorkspaceNumber;
use crate::marks::Marks;
use crate::queue::DueQueue;

#[derive(Debug, Default)]
pub(crate) struct Tracker {
    runs: HashMap<RunId, Tracked>,
    /// What the index will have of the runs that are being driven, as far as their entries are queued. A cache: what is not here is
    /// read from the journal.
    pub(crate) facts: HashMap<RunId, RunFacts>,
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
    /// The last group that changed it, as far as this process knows: the trees may not have it yet.
    pub(crate) group: u64,
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

    /// Takes in what an append adds to the facts of its run; `before` are those of the entries before it, if they had to be read. Returns
    /// what the index gets when the run ends.
    pub(crate) fn note(
        &mut self,
        append: &Append,
        workspace: WorkspaceNumber,
        (before, indexed): (Option<RunFacts>, &[FieldPath]),
    ) -> Option<Box<Ended>> {
        let first = append.entries.first()?.seq;
        let known = self.facts.remove(&append.run).filter(|facts| facts.next_seq() == first);
        let mut facts = known.or(before).unwrap_or_default();
        if facts.next_seq() != first {
            facts.leave_out();
        }
        for entry in &append.entries {
            facts.note(&entry.event, indexed);
        }
        if append.summary.status.is_final() {
            facts.close(indexed);
            return Some(Box::new(ended(workspace, &append.summary, facts)));
        }
        self.facts.insert(append.run, facts);
        None
    }

    /// The unfinished runs of a workspace.
    pub(crate) fn unfinished(&self, workspace: WorkspaceNumber) -> impl Iterator<Item = RunId> {
        self.runs.iter().filter(move |(_, tracked)| tracked.workspace == workspace).map(|(run, _)| *run)
    }

    /// Takes in what group `group` did. Returns whether a worker may have something new to look at.
    pub(crate) fn apply(&mut self, effect: Effect, group: u64) -> bool {
        match effect {
            Effect::Created { run, tracked, .. } if tracked.is_finished => {
                self.runs.remove(&run);
                false
            }
            Effect::Created { run, tracked, due, marks } => {
                self.runs.insert(run, Tracked { group, ..tracked });
                self.marks.set(run, &marks);
                self.queue.set_due(run, due)
            }
            Effect::Due { run, due, marks } => {
                if let Some(tracked) = self.runs.get_mut(&run) {
                    tracked.group = group;
                }
                self.marks.set(run, &marks);
                self.queue.set_due(run, due)
            }
            Effect::Finished { run } => {
                self.runs.remove(&run);
                self.facts.remove(&run);
                self.marks.set(run, &[]);
                self.queue.finish(run);
                false
            }
            Effect::Released { run } => {
                // It may rest for days.
                self.facts.remove(&run);
                self.queue.release(run)
            }
        }
    }
}
