//! Tells the drive of a run that something was appended from outside, so that it looks at once and not at its next write.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flowcell_core::id::RunId;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Hub {
    /// Held for look-ups only.
    state: Mutex<State>,
    /// Told when a run was poked that nobody drives.
    pub(crate) strayed: Notify,
}

#[derive(Debug, Default)]
struct State {
    drives: HashMap<RunId, Arc<Notify>>,
    /// Poked while nobody drove them; a worker that holds one back looks at it again.
    strays: BTreeSet<RunId>,
}

/// A drive's place in the hub, given up when dropped.
pub(crate) struct Listening<'h> {
    hub: &'h Hub,
    run: RunId,
    poked: Arc<Notify>,
}

impl Hub {
    pub(crate) fn listen(&self, run: RunId) -> Listening<'_> {
        let poked = Arc::new(Notify::new());
        self.lock().drives.insert(run, Arc::clone(&poked));
        Listening { hub: self, run, poked }
    }

    pub(crate) fn poke(&self, run: RunId) {
        let mut state = self.lock();
        if let Some(drive) = state.drives.get(&run) {
            drive.notify_one();
            return;
        }
        state.strays.insert(run);
        drop(state);
        self.strayed.notify_one();
    }

    pub(crate) fn take_strays(&self) -> BTreeSet<RunId> {
        std::mem::take(&mut self.lock().strays)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listening<'_> {
    pub(crate) fn poked(&self) -> Arc<Notify> {
        Arc::clone(&self.poked)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        // Another worker of the same process may have taken the run over.
        if state.drives.get(&self.run).is_some_and(|poked| Arc::ptr_eq(poked, &self.poked)) {
            state.drives.remove(&self.run);
        }
    }
}
