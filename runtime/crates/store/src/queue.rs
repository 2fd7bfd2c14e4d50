//! Who is due and who is claimed, in memory. Claims are kept nowhere else, so a crash releases them all. Pure.

use std::collections::{BTreeSet, HashMap};

use flowcell_core::id::RunId;
use flowcell_core::time::Timestamp;

/// The runs that have not finished.
#[derive(Debug, Default)]
pub(crate) struct DueQueue {
    /// Every unfinished run, parked and claimed ones too.
    runs: HashMap<RunId, Place>,
    /// Those that are due some time and not claimed, the longest due first.
    waiting: BTreeSet<(Timestamp, RunId)>,
    /// Those of them that are due since they were created: they are due by any clock, also by one that was set back after that.
    at_once: BTreeSet<RunId>,
}

#[derive(Debug, Default)]
struct Place {
    due: Option<Timestamp>,
    is_claimed: bool,
}

impl DueQueue {
    /// Sets when a run wants a worker. A claimed run stays claimed; the new time counts from its release on.
    /// Returns whether a worker may have something new to look at.
    pub(crate) fn set_due(&mut self, run: RunId, due: Option<Timestamp>) -> bool {
        let place = self.runs.entry(run).or_default();
        let before = std::mem::replace(&mut place.due, due);
        if place.is_claimed || before == due {
            return false;
        }
        if let Some(at) = before {
            self.remove(at, run);
        }
        due.is_some_and(|at| self.insert(at, run))
    }

    fn insert(&mut self, at: Timestamp, run: RunId) -> bool {
        // A timer may lie before the creation when the clock was set back in between: only this very moment stands for "at once".
        if at == run.created_at() {
            self.at_once.insert(run);
        }
        self.waiting.insert((at, run))
    }

    fn remove(&mut self, at: Timestamp, run: RunId) {
        self.at_once.remove(&run);
        self.waiting.remove(&(at, run));
    }

    /// Forgets a run that has finished, and its claim.
    pub(crate) fn finish(&mut self, run: RunId) {
        if let Some(Place { due: Some(at), .. }) = self.runs.remove(&run) {
            self.remove(at, run);
        }
    }

    pub(crate) fn claim(&mut self, now: Timestamp, limit: usize) -> Vec<RunId> {
        let mut claimed = Vec::new();
        while claimed.len() < limit {
            let first = self.waiting.first().copied().filter(|(at, _)| *at <= now);
            let Some((at, run)) = first.or_else(|| self.first_at_once()) else { break };
            self.remove(at, run);
            if let Some(place) = self.runs.get_mut(&run) {
                place.is_claimed = true;
            }
            claimed.push(run);
        }
        claimed
    }

    fn first_at_once(&self) -> Option<(Timestamp, RunId)> {
        let run = *self.at_once.first()?;
        Some((self.runs.get(&run)?.due?, run))
    }

    /// Returns whether the run waits for a worker again.
    pub(crate) fn release(&mut self, run: RunId) -> bool {
        let Some(place) = self.runs.get_mut(&run) else { return false };
        if !std::mem::take(&mut place.is_claimed) {
            return false;
        }
        let due = place.due;
        due.is_some_and(|at| self.insert(at, run))
    }

    /// Does what a crash does.
    pub(crate) fn release_all(&mut self) {
        let claimed: Vec<_> = self.runs.iter().filter(|(_, place)| place.is_claimed).map(|(run, _)| *run).collect();
        for run in claimed {
            self.release(run);
        }
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        if self.at_once.is_empty() { self.waiting.first().map(|(at, _)| *at) } else { Some(Timestamp::from_millis(0)) }
    }
}
