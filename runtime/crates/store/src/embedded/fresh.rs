//! First entries of runs that nobody has loaded yet, kept so that the worker need not read back what was written a moment ago.
//! A cache and nothing more: what is not here is read from the tree.

use std::collections::HashMap;
use std::sync::Mutex;

use flowcell_core::id::RunId;
use flowcell_core::run::event::Recorded;

use super::ignore_poison;

/// As many as may wait for a worker in a burst; a run beyond that is read from the tree. With small payloads some megabytes.
const RUNS_MAX: usize = 4_096;

/// A first entry with a payload beyond the inline limit is in a file, and is read from there: memory is for the small ones.
#[derive(Debug, Default)]
pub(crate) struct Fresh(Mutex<HashMap<RunId, Recorded>>);

impl Fresh {
    pub(crate) fn keep(&self, run: RunId, created: Recorded) {
        let mut runs = ignore_poison(self.0.lock());
        if runs.len() < RUNS_MAX {
            runs.insert(run, created);
        }
    }

    /// The entry, once.
    pub(crate) fn take(&self, run: RunId) -> Option<Recorded> {
        ignore_poison(self.0.lock()).remove(&run)
    }
}
