//! What the store keeps beside a run's journal so that it need not fold: derived from the fold, written with the event that changes it.

use serde::{Deserialize, Serialize};

use crate::id::{ConnectionName, ContactId, Digest, EventId, RunId, WorkflowId, WorkspaceId};
use crate::run::event::{Detail, Outcome};
use crate::run::fold::Run;
use crate::run::state::{Phase, StepState};
use crate::time::Timestamp;

/// What the API and the queue call the state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// When the run wants a worker; absent when it does not: it is finished, parked, or waits for something from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// The number of events in the journal: a shorter journal is damaged.
    pub events: u32,
    /// The code of the error that ended or parks the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The person it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactId>,
    /// What an unfinished run is looked up by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
}

/// What an unfinished run is looked up by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// It waits for an event of this name.
    Awaits(String),
    /// It counts against a limit of runs at a time (see [`crate::run::event::Origin::slot`]).
    Slot(String),
    /// It is about this (see [`crate::run::event::Origin::subject`]).
    Subject(String),
    /// It is parked because this plugin is quarantined.
    Quarantined(Digest),
    /// It is parked until the owner of this connection has done something.
    Reconnecting(ConnectionName),
    /// It is a rerun of this run.
    RerunOf(RunId),
}

impl Run {
    pub fn status(&self) -> RunStatus {
        match &self.outcome {
            Some(Outcome::Succeeded) => return RunStatus::Succeeded,
            Some(Outcome::Failed { .. }) => return RunStatus::Failed,
            Some(Outcome::Cancelled { .. }) => return RunStatus::Cancelled,
            None => {}
        }
        if !self.has_begun() {
            return RunStatus::Queued;
        }
        let mut open = self.open_states().peekable();
        if self.rested.is_some() {
            return RunStatus::Waiting;
        }
        let is_idle = open.peek().is_some() && open.all(|state| !is_at_work(state));
        if is_idle && self.open_states().any(is_waiting) { RunStatus::Waiting } else { RunStatus::Running }
    }

    /// When the run wants a worker: at once, at the end of a wait, or (finished, parked, waiting for something from outside) never.
    pub fn due_at(&self) -> Option<Timestamp> {
        // By its id, because the queue knows by that that the run is due whatever the clock says now.
        let at_once = Some(self.id.created_at());
        if self.outcome.is_some() {
            return None;
        }
        if self.cancel.is_some() {
            return at_once;
        }
        if let Some(until) = self.rested {
            return until;
        }
        // Beside a wait, something else may be there to do: only a worker that looks can tell, and then says so (`Rested`).
        if self.open_states().any(StepState::forks) {
            return at_once;
        }
        let mut due = at_once;
        for state in self.open_states() {
            match &state.phase {
                Phase::Retrying { at: until } | Phase::Deferred { until, .. } => due = Some(*until),
                Phase::Parked { .. } => return None,
                Phase::Entered => match state.waiting() {
                    Some(wait) if wait.arrival.is_some() || matches!(wait.detail, Detail::Called { .. }) => {
                        return at_once;
                    }
                    Some(wait) => due = wait.ends_at(),
                    None => {}
                },
                _ => return at_once,
            }
        }
        due
    }

    /// What the store keeps beside the journal.
    pub fn summary(&self) -> RunSummary {
        let due_at = self.due_at();
        let is_parked = || self.outcome.is_none() && due_at.is_none() && self.parked().next().is_some();
        let error_code = match &self.outcome {
            Some(Outcome::Failed { error, .. }) => Some(error.code.clone()),
            _ => is_parked().then(|| "parked".to_owned()),
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
            due_at,
            events: self.next_seq,
            error_code,
            contact: self.contact.as_ref().map(|contact| contact.id),
            marks: if self.outcome.is_none() { self.marks() } else { Vec::new() },
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let mut marks = Vec::new();
        marks.extend(self.origin.slot.clone().map(Mark::Slot));
        marks.extend(self.origin.subject.clone().map(Mark::Subject));
        marks.extend(self.origin.rerun_of.map(Mark::RerunOf));
        for state in self.open_states() {
            if let Some(name) = state.waiting().and_then(awaited) {
                marks.push(Mark::Awaits(name.to_owned()));
            }
            if matches!(state.phase, Phase::Parked { .. }) {
                marks.extend(state.quarantine().map(Mark::Quarantined));
                marks.extend(state.reconnecting().map(Mark::Reconnecting));
            }
        }
        marks.sort_unstable();
        marks.dedup();
        marks
    }
}

/// The event that a wait is for, while it has not come.
fn awaited(wait: &super::state::Control) -> Option<&str> {
    match &wait.detail {
        Detail::Waiting { event, .. } if wait.arrival.is_none() => event.as_deref(),
        _ => None,
    }
}

/// Whether something happens here, or would if a worker looked.
fn is_at_work(state: &StepState) -> bool {
    match &state.phase {
        Phase::Started => true,
        Phase::Entered => state.waiting().is_some_and(|wait| wait.arrival.is_some()),
        _ => false,
    }
}

fn is_waiting(state: &StepState) -> bool {
    match &state.phase {
        Phase::Retrying { .. } | Phase::Deferred { .. } | Phase::Parked { .. } => true,
        Phase::Entered => state.waiting().is_some(),
        _ => false,
    }
}
