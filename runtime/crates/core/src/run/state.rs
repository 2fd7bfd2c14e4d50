//! Where the steps of a run stand: the parts that [`super::fold`] puts together.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::id::{ConnectionName, Digest, StepRef};
use crate::invoke::CallRecord;
use crate::run::event::{Detail, Failure, Outcome, StepError};
use crate::time::Timestamp;

/// The code of an attempt that was not made, because its plugin is quarantined; its details name the `digest`.
pub const QUARANTINED: &str = "plugin-quarantined";

/// The code of the error of a step that is parked because its connection needs its owner.
pub const NEEDS_RECONNECTING: &str = "connection-needs-reconnecting";

/// In the details of that error: the connection could be used, and the other side refused what it was used for.
pub const REFUSED: &str = "refused";

/// How often a step waits for the owner of a connection that the other side refuses; then it fails. Rights that are never given are no reason to wait for
/// ever, and once more than twice is for owners who mend one thing at a time.
pub const REFUSALS_MAX: u32 = 3;

/// How long such a step waits before it is tried again although nobody did anything here: the rights may have been given on the other side.
pub const REFUSED_WAIT: Duration = Duration::from_hours(24);

/// A place of the run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepState {
    /// Of an action; a control step has none.
    pub attempts: Vec<Attempt>,
    pub phase: Phase,
    /// What an `if`, `for_each`, `parallel`, `wait` or `call` is about.
    pub control: Option<Box<Control>>,
    /// The output of a control step, or what stands in for an action's.
    pub output: Option<Value>,
    /// Of a control step: the step inside it that failed first.
    pub origin: Option<StepRef>,
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Phase {
    /// An attempt has started and nothing is known of its end.
    #[default]
    Started,
    /// A control step is in progress.
    Entered,
    Succeeded,
    /// Failed, to be tried again.
    Retrying {
        at: Timestamp,
    },
    /// Its next attempt is not made before `until`, because the receiver fails. Whatever was written last says until when; `since` is the first
    /// time in a row.
    Deferred {
        since: Timestamp,
        until: Timestamp,
        reason: String,
    },
    Failed {
        error: StepError,
    },
    /// It failed and its `on_error` took care of that.
    Handled {
        error: StepError,
    },
    Parked {
        reason: String,
    },
    Cancelled {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    pub number: u32,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub input: Option<Arc<Value>>,
    pub output: Option<Arc<Value>>,
    pub error: Option<StepError>,
    pub call: Option<Arc<CallRecord>>,
}

/// A control step in progress or after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    pub detail: Detail,
    pub entered_at: Timestamp,
    /// Of a loop.
    pub iterations: Iterations,
    /// What came from outside for a `wait` or `call`.
    pub arrival: Option<Arrival>,
    /// Whether a wait was in vain.
    pub has_timed_out: bool,
}

/// What came from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrival {
    Event(Value),
    Resumed(Value),
    Child { outcome: Outcome, output: Value },
}

/// The iterations of a loop that have ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Iterations {
    /// By index; those that have not ended are absent.
    ended: Vec<Option<Iteration>>,
    /// The indices below `ended.len()` that have not ended.
    gaps: BTreeSet<u32>,
    failed: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Iteration {
    pub collected: Value,
    pub error: Option<Failure>,
}

impl StepState {
    /// Puts its next attempt off; `None` when none is due.
    pub(crate) fn defer(&mut self, at: Timestamp, until: Timestamp, reason: &str) -> Option<()> {
        let since = match &self.phase {
            Phase::Deferred { since, .. } => *since,
            // It begins, is tried again, or was cut off by a crash and would be made again.
            Phase::Started | Phase::Retrying { .. } => at,
            _ => return None,
        };
        self.phase = Phase::Deferred { since, until, reason: reason.to_owned() };
        Some(())
    }
    /// The number the next attempt would have.
    pub fn next_attempt(&self) -> u32 {
        self.attempts.last().map_or(1, |last| last.number + 1)
    }
    /// Attempts that ended in an error; those a crash cut off, or a quarantine or a connection prevented, do not count against the retry budget.
    pub fn failures(&self) -> u32 {
        let failed = |error: &StepError| error.code != QUARANTINED && error.code != NEEDS_RECONNECTING;
        count(self.attempts.iter().filter(|attempt| attempt.error.as_ref().is_some_and(failed)))
    }
    /// How many attempts in a row, up to the last, nobody knows the end of: a crash cut them off.
    pub fn cut_off(&self) -> u32 {
        count(self.attempts.iter().rev().take_while(|attempt| attempt.ended_at.is_none()))
    }
    /// What expressions read as `steps.<id>.output`.
    pub fn output(&self) -> Option<&Value> {
        self.output.as_ref().or_else(|| self.attempts.last().and_then(|last| last.output.as_deref()))
    }
    /// Why it failed, if it did, whatever became of that.
    pub fn error(&self) -> Option<&StepError> {
        match &self.phase {
            Phase::Failed { error } | Phase::Handled { error } => Some(error),
            _ => None,
        }
    }
    /// The plugin in quarantine that it is parked for.
    pub fn quarantine(&self) -> Option<Digest> {
        let error = self.attempts.last()?.error.as_ref().filter(|error| error.code == QUARANTINED)?;
        error.details.as_ref()?.get("digest")?.as_str()?.parse().ok()
    }
    /// The connection whose owner it is parked for.
    pub fn reconnecting(&self) -> Option<ConnectionName> {
        let error = self.attempts.last()?.error.as_ref().filter(|error| error.code == NEEDS_RECONNECTING)?;
        error.details.as_ref()?.get("connection")?.as_str()?.parse().ok()
    }
    /// How often in all the other side refused its connection's credentials, and it waited for their owner.
    pub fn refusals(&self) -> u32 {
        count(self.attempts.iter().filter(|attempt| attempt.error.as_ref().is_some_and(is_refusal)))
    }
    /// Whether an act of its connection's owner at `at` lets it go on, or `now` is time to see whether the other side has changed its mind.
    pub fn goes_on_after(&self, at: Timestamp, now: Timestamp) -> bool {
        let Some(last) = self.attempts.last().filter(|last| last.error.as_ref().is_some_and(is_refusal)) else {
            return true;
        };
        // What the owner did before the attempt began did not help it.
        last.started_at < at || now.since(last.started_at) >= REFUSED_WAIT
    }
    /// Whether it has begun and not ended.
    pub fn is_open(&self) -> bool {
        matches!(
            self.phase,
            Phase::Started | Phase::Entered | Phase::Retrying { .. } | Phase::Deferred { .. } | Phase::Parked { .. }
        )
    }
    /// Whether something inside it goes on beside something else.
    pub(crate) fn forks(&self) -> bool {
        let forks = |control: &Control| matches!(control.detail, Detail::Each { .. } | Detail::Parallel);
        self.phase == Phase::Entered && self.control.as_deref().is_some_and(forks)
    }
    /// The wait that is going on here.
    pub(crate) fn waiting(&self) -> Option<&Control> {
        let waits = |control: &&Control| {
            matches!(control.detail, Detail::Waiting { .. } | Detail::Called { .. }) && !control.has_timed_out
        };
        self.control.as_deref().filter(waits).filter(|_| self.phase == Phase::Entered)
    }
}

impl Control {
    pub(crate) fn new(detail: Detail, entered_at: Timestamp) -> Self {
        Self { detail, entered_at, iterations: Iterations::default(), arrival: None, has_timed_out: false }
    }
    /// When a wait ends by itself.
    pub fn ends_at(&self) -> Option<Timestamp> {
        match &self.detail {
            Detail::Waiting { until, deadline, .. } => [*until, *deadline].into_iter().flatten().min(),
            Detail::Called { deadline, .. } => *deadline,
            Detail::Decided { .. } | Detail::Each { .. } | Detail::Parallel => None,
        }
    }
}

impl Iterations {
    /// Takes an end in; `false` when that iteration has ended before.
    pub(crate) fn end(&mut self, index: u32, iteration: Iteration) -> bool {
        let place = index as usize;
        self.gaps.extend(count(self.ended.iter())..index);
        if self.ended.len() <= place {
            self.ended.resize(place + 1, None);
        } else if !self.gaps.remove(&index) {
            return false;
        }
        self.failed += u32::from(iteration.error.is_some());
        if let Some(slot) = self.ended.get_mut(place) {
            *slot = Some(iteration);
        }
        true
    }
    /// The first `limit` of `total` iterations that have not ended.
    pub fn to_do(&self, total: u32, limit: u32) -> Vec<u32> {
        let fresh = count(self.ended.iter())..total;
        self.gaps.iter().copied().chain(fresh).take(limit as usize).collect()
    }
    pub fn get(&self, index: u32) -> Option<&Iteration> {
        self.ended.get(index as usize)?.as_ref()
    }
    /// Those that have ended, with their indices.
    pub fn ended(&self) -> impl Iterator<Item = (u32, &Iteration)> {
        (0..).zip(&self.ended).filter_map(|(index, iteration)| Some((index, iteration.as_ref()?)))
    }
    pub fn failed(&self) -> u32 {
        self.failed
    }
}

fn is_refusal(error: &StepError) -> bool {
    let details = error.details.as_ref();
    error.code == NEEDS_RECONNECTING && details.is_some_and(|details| details.get(REFUSED) == Some(&Value::Bool(true)))
}

fn count<T>(each: impl Iterator<Item = T>) -> u32 {
    u32::try_from(each.count()).unwrap_or(u32::MAX)
}
