//! What came to each trigger and became of it, since the server started: counts, and the latest deliveries that started nothing, with the
//! reason. Kept in memory: a delivery that is filtered costs no write.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use flowcell_core::condition::Explanation;
use flowcell_core::id::{EventId, WorkflowId};
use flowcell_core::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::ingress::late::Late;
use crate::ingress::recent::{Limits, Recent};

/// How many of the latest are kept of each sort and workflow. An explanation has some hundred bytes for each operand, so that they stay below
/// 100 KiB for a filter of fifty comparisons; a person who looks for a reason looks at the last few.
pub(crate) const LATEST_MAX: usize = 20;

/// Of every workflow that something came to.
#[derive(Debug)]
pub(crate) struct Tallies {
    since: Timestamp,
    recent: Arc<Limits>,
    /// Held while what was counted goes to the store.
    pub(crate) writing_late: tokio::sync::Mutex<()>,
    by_workflow: RwLock<HashMap<WorkflowId, Arc<Tally>>>,
}

#[derive(Debug)]
pub(crate) struct Tally {
    started: AtomicU64,
    duplicate: AtomicU64,
    filtered: AtomicU64,
    ignored: AtomicU64,
    rejected: AtomicU64,
    latest: Mutex<Latest>,
    pub(crate) recent: Recent,
    pub(crate) late: Late,
}

#[derive(Debug, Default)]
struct Latest {
    filtered: VecDeque<Filtered>,
    rejected: VecDeque<Rejected>,
}

/// A delivery for which the trigger's filter did not hold.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Filtered {
    pub(crate) event_id: EventId,
    pub(crate) at: Timestamp,
    pub(crate) because: Explanation,
}

/// A request that was refused.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Rejected {
    pub(crate) at: Timestamp,
    pub(crate) status: u16,
    /// Stable and machine-readable.
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// What became of a delivery, where there is nothing more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    Started,
    Duplicate,
    Ignored,
}

impl Tallies {
    pub(crate) fn new(since: Timestamp, recent: Limits) -> Self {
        let (recent, writing_late) = (Arc::new(recent), tokio::sync::Mutex::default());
        Self { since, recent, writing_late, by_workflow: RwLock::default() }
    }

    /// A workflow's own. Only workflows that exist are asked for, so that there are no more than those.
    pub(crate) fn of(&self, workflow: &WorkflowId) -> Arc<Tally> {
        if let Some(tally) = self.by_workflow.read().unwrap_or_else(PoisonError::into_inner).get(workflow) {
            return Arc::clone(tally);
        }
        let mut all = self.by_workflow.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(workflow.clone()).or_insert_with(|| Arc::new(Tally::new(Arc::clone(&self.recent)))))
    }

    pub(crate) fn all(&self) -> Vec<(WorkflowId, Arc<Tally>)> {
        let all = self.by_workflow.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(workflow, tally)| (workflow.clone(), Arc::clone(tally))).collect()
    }

    pub(crate) fn since(&self) -> Timestamp {
        self.since
    }
}

impl Tally {
    fn new(recent: Arc<Limits>) -> Self {
        Self {
            started: AtomicU64::default(),
            duplicate: AtomicU64::default(),
            filtered: AtomicU64::default(),
            ignored: AtomicU64::default(),
            rejected: AtomicU64::default(),
            latest: Mutex::default(),
            recent: Recent::new(recent),
            late: Late::default(),
        }
    }

    pub(crate) fn count(&self, came: Came) {
        let counter = match came {
            Came::Started => &self.started,
            Came::Duplicate => &self.duplicate,
            Came::Ignored => &self.ignored,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn filtered(&self, filtered: Filtered) {
        self.filtered.fetch_add(1, Ordering::Relaxed);
        keep(&mut self.latest().filtered, filtered);
    }

    pub(crate) fn rejected(&self, rejected: Rejected) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        keep(&mut self.latest().rejected, rejected);
    }

    /// For the API: the counts, and the latest first.
    pub(crate) fn view(&self) -> Value {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let latest = self.latest();
        json!({
            "counts": {
                "started": count(&self.started),
                "duplicate": count(&self.duplicate),
                "filtered": count(&self.filtered),
                "ignored": count(&self.ignored),
                "rejected": count(&self.rejected),
            },
            "last_filtered": latest.filtered,
            "last_rejected": latest.rejected,
        })
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep<T>(latest: &mut VecDeque<T>, newest: T) {
    latest.truncate(LATEST_MAX - 1);
    latest.push_front(newest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted_and_the_latest_are_kept_newest_first() {
        let tallies = Tallies::new(Timestamp::from_millis(5), Limits::new(5, 1_000_000));
        let workflow: WorkflowId = "w".parse().unwrap();
        for number in 0..25_u16 {
            let message = format!("no. {number}");
            tallies.of(&workflow).rejected(Rejected {
                at: Timestamp::from_millis(6),
                status: 400 + number,
                code: "c",
                message,
            });
        }
        tallies.of(&workflow).count(Came::Duplicate);
        let view = tallies.of(&workflow).view();
        assert_eq!((&view["counts"]["rejected"], &view["counts"]["duplicate"]), (&json!(25), &json!(1)));
        let kept = view["last_rejected"].as_array().unwrap();
        assert_eq!((kept.len(), &kept[0]["status"], &kept[19]["status"]), (LATEST_MAX, &json!(424), &json!(405)));
        assert_eq!(tallies.of(&"other".parse().unwrap()).view()["counts"]["rejected"], 0);
    }
}
