//! Which unfinished runs have which marks, in memory: rebuilt from their summaries at each start. Pure.

use std::collections::{BTreeSet, HashMap};

use flowcell_core::id::RunId;
use flowcell_core::run::fold::Mark;

#[derive(Debug, Default)]
pub(crate) struct Marks {
    runs: HashMap<Mark, BTreeSet<RunId>>,
    /// Runs without marks, which are most, are absent.
    of: HashMap<RunId, Vec<Mark>>,
}

impl Marks {
    /// Replaces a run's marks; a finished run has none.
    pub(crate) fn set(&mut self, run: RunId, marks: &[Mark]) {
        if self.of.get(&run).map_or(&[][..], Vec::as_slice) == marks {
            return;
        }
        for old in self.of.remove(&run).unwrap_or_default() {
            if let Some(runs) = self.runs.get_mut(&old) {
                runs.remove(&run);
                if runs.is_empty() {
                    self.runs.remove(&old);
                }
            }
        }
        if !marks.is_empty() {
            for mark in marks {
                self.runs.entry(mark.clone()).or_default().insert(run);
            }
            self.of.insert(run, marks.to_vec());
        }
    }

    /// The runs with a mark, the oldest first.
    pub(crate) fn runs(&self, mark: &Mark) -> impl Iterator<Item = RunId> {
        self.runs.get(mark).into_iter().flatten().copied()
    }
}
