//! What a run did, in the terms in which people ask about it: read from its journal, and nothing else.

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use crate::exchange::Exchange;
use crate::id::{RunId, StepRef, WorkflowId};
use crate::run::event::{Detail, Outcome, Recorded, ResponseBody, RunEvent};
use crate::run::fold::{ImpossibleJournal, Phase, Run, RunStatus, StepState};
use crate::time::Timestamp;

/// A run from its first event to its last.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Story {
    pub workflow: WorkflowId,
    pub run: RunId,
    pub status: RunStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<StoryError>,
    /// The workflow's `output`.
    pub output: Value,
    /// By the run's clock; a dry run skips its waits.
    pub began_at: Timestamp,
    pub ended_at: Timestamp,
    pub steps: IndexMap<StepRef, StoryStep>,
    pub requests: Vec<Request>,
    /// What the `respond` step answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<Value>,
}

/// Why a run ended badly.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoryError {
    pub code: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepRef>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct StoryStep {
    /// `succeeded`, `failed`, `handled`, `cancelled`, `waiting`, `parked`, `running`.
    pub status: &'static str,
    /// Of an action.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<StoryError>,
    /// Of an `if`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<Branch>,
    /// Of a `for_each`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<Iterations>,
}

/// The branch that an `if` took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Branch {
    /// Counted from 0; absent: none held, so its `else`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Iterations {
    pub count: u32,
    pub succeeded: u32,
    pub failed: u32,
}

/// A request that a step sent, or in a dry run would have sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request {
    /// Its place; of another workflow's run `workflow:place`.
    pub step: String,
    pub attempt: u32,
    #[serde(flatten)]
    pub exchange: Exchange,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Story {
    /// Reads a journal.
    pub fn of(run: RunId, journal: &[Recorded]) -> Result<Self, ImpossibleJournal> {
        let folded = Run::fold(run, journal)?;
        let mut requests = Vec::new();
        let mut response = None;
        for entry in journal {
            match &entry.event {
                RunEvent::StepSucceeded { step, attempt, call, .. }
                | RunEvent::StepFailed { step, attempt, call, .. }
                | RunEvent::StepParked { step, attempt, call: Some(call), .. } => {
                    requests.extend(call.http.iter().map(|exchange| Request {
                        step: step.to_string(),
                        attempt: *attempt,
                        exchange: exchange.clone(),
                    }));
                }
                RunEvent::Responded { status, headers, body, .. } => {
                    let body = body.as_ref().map(|body| match body {
                        ResponseBody::Json(json) => ("json", json.clone()),
                        ResponseBody::Text(text) => ("text", Value::from(text.clone())),
                    });
                    let mut document = serde_json::json!({ "status": status, "headers": headers });
                    if let (Some((kind, body)), Some(fields)) = (body, document.as_object_mut()) {
                        fields.insert(kind.to_owned(), body);
                    }
                    response = Some(document);
                }
                _ => {}
            }
        }
        let ended_at = journal.last().map_or(folded.created_at, |last| last.at);
        Ok(Self {
            workflow: folded.workflow.clone(),
            run,
            status: folded.status(),
            error: error_of(&folded),
            output: folded.output.clone(),
            began_at: folded.created_at,
            ended_at,
            steps: folded.steps.iter().map(|(place, state)| (place.clone(), StoryStep::of(state))).collect(),
            requests,
            response,
        })
    }

    /// Adds the requests of a run that this one has led to.
    pub fn add_requests_of(&mut self, other: &Self) {
        let foreign =
            |request: &Request| Request { step: format!("{}:{}", other.workflow, request.step), ..request.clone() };
        self.requests.extend(other.requests.iter().map(foreign));
        self.requests.sort_by_key(|request| request.exchange.started_at);
    }
}

fn error_of(run: &Run) -> Option<StoryError> {
    match run.outcome.as_ref()? {
        Outcome::Succeeded => None,
        Outcome::Failed { step, error } => {
            Some(StoryError { code: error.code.clone(), message: error.message.clone(), step: Some(step.clone()) })
        }
        Outcome::Cancelled { reason } => {
            Some(StoryError { code: "cancelled".to_owned(), message: reason.clone(), step: None })
        }
    }
}

impl StoryStep {
    fn of(state: &StepState) -> Self {
        let detail = state.control.as_deref();
        let waits =
            matches!(detail.map(|control| &control.detail), Some(Detail::Waiting { .. } | Detail::Called { .. }));
        let status = match &state.phase {
            Phase::Succeeded => "succeeded",
            Phase::Failed { .. } => "failed",
            Phase::Handled { .. } => "handled",
            Phase::Cancelled { .. } => "cancelled",
            Phase::Parked { .. } => "parked",
            Phase::Retrying { .. } | Phase::Deferred { .. } => "waiting",
            Phase::Entered if waits => "waiting",
            Phase::Started | Phase::Entered => "running",
        };
        let branch = detail.and_then(|control| match &control.detail {
            Detail::Decided { branch, name, .. } => Some(Branch { index: *branch, name: name.clone() }),
            _ => None,
        });
        let iterations = detail.and_then(|control| match &control.detail {
            Detail::Each { count, .. } => {
                let (count, failed) = (*count, control.iterations.failed());
                let ended = u32::try_from(control.iterations.ended().count()).unwrap_or(u32::MAX);
                Some(Iterations { count, succeeded: ended.saturating_sub(failed), failed })
            }
            _ => None,
        });
        let error = state.error().map(|error| StoryError {
            code: error.code.clone(),
            message: error.message.clone(),
            step: state.origin.clone(),
        });
        let attempts = state.attempts.last().map_or(0, |last| last.number);
        Self { status, attempts, output: state.output().cloned(), error, branch, iterations }
    }
}
