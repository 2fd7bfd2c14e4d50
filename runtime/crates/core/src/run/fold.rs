//! What a run is: a fold of its events, and nothing else.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value;

use crate::id::{EventId, RunId, StepId, WorkflowId, WorkspaceId};
use crate::invoke::CallRecord;
use crate::plugin::{Pin, Uses};
use crate::run::event::{Outcome, Recorded, RunEvent, StepError};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    pub version: u32,
    pub event: EventId,
    pub created_at: Timestamp,
    pub pins: BTreeMap<Uses, Pin>,
    pub trigger: Value,
    /// In the order they started.
    pub steps: IndexMap<StepId, StepState>,
    pub outcome: Option<Outcome>,
    pub finished_at: Option<Timestamp>,
    /// The number of events so far: the `seq` of the next.
    pub next_seq: u32,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepState {
    pub attempts: Vec<Attempt>,
    pub phase: Phase,
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Phase {
    /// An attempt has started and nothing is known of its end.
    #[default]
    Started,
    Succeeded,
    /// Failed, to be tried again.
    Retrying {
        at: Timestamp,
    },
    Failed {
        error: StepError,
    },
    Parked {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    pub number: u32,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub input: Option<Value>,
    pub output: Option<Value>,
    pub error: Option<StepError>,
    pub call: Option<CallRecord>,
}

/// What the API and the queue call the state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    Queued,
    Running,
    Waiting,
    Succeeded,
    Failed,
    Cancelled,
}

impl RunStatus {
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What the store keeps beside the journal so that it need not fold: derived here and written with the event that changes it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunSummary {
    pub id: RunId,
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    pub version: u32,
    pub event: EventId,
    pub status: RunStatus,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// When the run wants a worker; absent when it does not: it is finished or parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// The number of events in the journal: a shorter journal is damaged.
    pub events: u32,
    /// The code of the error that ended or parks the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
}

/// The events do not tell a possible story: the journal is damaged, or a writer broke the rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal of {run} is damaged at entry {seq}: {problem}")]
pub struct ImpossibleJournal {
    pub run: RunId,
    pub seq: u32,
    pub problem: &'static str,
}

impl Run {
    /// Folds the whole journal.
    pub fn fold(id: RunId, events: &[Recorded]) -> Result<Self, ImpossibleJournal> {
        let (first, rest) = events.split_first().ok_or_else(|| empty(id))?;
        Self::begin(id, first.clone())?.with(rest)
    }

    /// Folds the whole journal without copying what started the run, which is most of a young journal.
    pub fn fold_owned(id: RunId, mut events: Vec<Recorded>) -> Result<Self, ImpossibleJournal> {
        if events.is_empty() {
            return Err(empty(id));
        }
        let rest = events.split_off(1);
        let first = events.pop().ok_or_else(|| empty(id))?;
        Self::begin(id, first)?.with(&rest)
    }

    fn with(mut self, events: &[Recorded]) -> Result<Self, ImpossibleJournal> {
        for event in events {
            self.apply(event)?;
        }
        Ok(self)
    }

    fn begin(id: RunId, first: Recorded) -> Result<Self, ImpossibleJournal> {
        let impossible = |problem| ImpossibleJournal { run: id, seq: first.seq, problem };
        if first.seq != 0 {
            return Err(impossible("the first entry is missing"));
        }
        let RunEvent::Created { workspace, workflow, version, event, pins, trigger } = first.event else {
            return Err(impossible("the first entry does not create the run"));
        };
        Ok(Self {
            id,
            workspace,
            workflow,
            version,
            event,
            created_at: first.at,
            pins,
            trigger,
            steps: IndexMap::new(),
            outcome: None,
            finished_at: None,
            next_seq: 1,
        })
    }

    /// Takes in the next event.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), ImpossibleJournal> {
        let run = self.id;
        let impossible = |problem| ImpossibleJournal { run, seq: recorded.seq, problem };
        if recorded.seq != self.next_seq {
            return Err(impossible("an entry is missing or doubled"));
        }
        if self.outcome.is_some() {
            return Err(impossible("something happens after the end"));
        }
        match &recorded.event {
            RunEvent::Created { .. } => return Err(impossible("the run is created twice")),
            RunEvent::StepStarted { step, attempt } => {
                let state = self.steps.entry(step.clone()).or_default();
                if *attempt != state.next_attempt() || matches!(state.phase, Phase::Succeeded | Phase::Failed { .. }) {
                    return Err(impossible("an attempt starts out of turn"));
                }
                state.phase = Phase::Started;
                state.attempts.push(Attempt {
                    number: *attempt,
                    started_at: recorded.at,
                    ended_at: None,
                    input: None,
                    output: None,
                    error: None,
                    call: None,
                });
            }
            RunEvent::StepSucceeded { step, attempt, output, input, call } => {
                let (state, last) =
                    self.open_attempt(step, *attempt).ok_or_else(|| impossible("a result without its attempt"))?;
                last.ended_at = Some(recorded.at);
                last.input = Some(input.clone());
                last.output = Some(output.clone());
                last.call = Some(call.clone());
                *state = Phase::Succeeded;
            }
            RunEvent::StepFailed { step, attempt, error, retry_at, input, call } => {
                let (state, last) =
                    self.open_attempt(step, *attempt).ok_or_else(|| impossible("a failure without its attempt"))?;
                last.ended_at = Some(recorded.at);
                last.input.clone_from(input);
                last.error = Some(error.clone());
                last.call = Some(call.clone());
                *state = match retry_at {
                    Some(at) => Phase::Retrying { at: *at },
                    None => Phase::Failed { error: error.clone() },
                };
            }
            RunEvent::StepParked { step, attempt, reason, error, input, call } => {
                let (state, last) =
                    self.open_attempt(step, *attempt).ok_or_else(|| impossible("a parked step without its attempt"))?;
                // What a crash cut off has no end that anybody knows.
                last.ended_at = error.is_some().then_some(recorded.at);
                last.input.clone_from(input);
                last.error.clone_from(error);
                last.call.clone_from(call);
                *state = Phase::Parked { reason: reason.clone() };
            }
            RunEvent::Finished { outcome } => {
                self.outcome = Some(outcome.clone());
                self.finished_at = Some(recorded.at);
            }
        }
        self.next_seq += 1;
        Ok(())
    }

    fn open_attempt(&mut self, step: &StepId, attempt: u32) -> Option<(&mut Phase, &mut Attempt)> {
        let state = self.steps.get_mut(step)?;
        let last = state.attempts.last_mut()?;
        (last.number == attempt && state.phase == Phase::Started).then_some((&mut state.phase, last))
    }

    pub fn status(&self) -> RunStatus {
        match &self.outcome {
            Some(Outcome::Succeeded) => RunStatus::Succeeded,
            Some(Outcome::Failed { .. }) => RunStatus::Failed,
            Some(Outcome::Cancelled { .. }) => RunStatus::Cancelled,
            None if self.steps.is_empty() => RunStatus::Queued,
            None if self.steps.values().any(StepState::is_waiting) => RunStatus::Waiting,
            None => RunStatus::Running,
        }
    }

    /// When the run wants a worker: at once, at the next retry, or (finished, parked) never.
    pub fn due_at(&self) -> Option<Timestamp> {
        if self.outcome.is_some() {
            return None;
        }
        let mut due = Some(self.created_at);
        for step in self.steps.values() {
            match &step.phase {
                Phase::Retrying { at } => due = Some(*at),
                Phase::Parked { .. } => return None,
                Phase::Started | Phase::Succeeded | Phase::Failed { .. } => {}
            }
        }
        due
    }

    /// What the store keeps beside the journal.
    pub fn summary(&self) -> RunSummary {
        let error_code = match &self.outcome {
            Some(Outcome::Failed { error, .. }) => Some(error.code.clone()),
            _ if self.due_at().is_none() && self.outcome.is_none() => Some("parked".to_owned()),
            _ => None,
        };
        RunSummary {
            id: self.id,
            workspace: self.workspace.clone(),
            workflow: self.workflow.clone(),
            version: self.version,
            event: self.event,
            status: self.status(),
            created_at: self.created_at,
            finished_at: self.finished_at,
            due_at: self.due_at(),
            events: self.next_seq,
            error_code,
        }
    }
}

fn empty(run: RunId) -> ImpossibleJournal {
    ImpossibleJournal { run, seq: 0, problem: "it is empty" }
}

impl StepState {
    /// The number the next attempt would have.
    pub fn next_attempt(&self) -> u32 {
        self.attempts.last().map_or(1, |last| last.number + 1)
    }
    /// Attempts that ended in an error; those a crash cut off do not count against the retry budget.
    pub fn failures(&self) -> u32 {
        u32::try_from(self.attempts.iter().filter(|attempt| attempt.error.is_some()).count()).unwrap_or(u32::MAX)
    }
    /// What expressions read as `steps.<id>.output`.
    pub fn output(&self) -> Option<&Value> {
        self.attempts.last().and_then(|last| last.output.as_ref())
    }
    fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Retrying { .. } | Phase::Parked { .. })
    }
}
