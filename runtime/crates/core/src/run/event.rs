//! What can happen to a run: the entries of its journal. A released event never changes its meaning; new ones are added.
//!
//! Most are written by the worker that drives the run. Six come from outside ([`RunEvent::is_outside`]): whoever brings one appends it, and
//! the worker takes it in.
//!
//! What may be large is shared: an event goes to the fold and to the journal, and neither copies a document.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::Explanation;
use crate::id::{ContactId, EventId, RunId, StepRef, WorkflowId, WorkspaceId};
use crate::invoke::CallRecord;
use crate::plugin::{Pin, Uses};
use crate::time::Timestamp;
use crate::workflow::TriggerKind;

/// An entry of the journal: the `seq`-th thing that happened to a run, counted from 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    pub seq: u32,
    pub at: Timestamp,
    #[serde(flatten)]
    pub event: RunEvent,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum RunEvent {
    /// Always the first: why the run exists and what it is bound to.
    Created {
        workspace: WorkspaceId,
        workflow: WorkflowId,
        /// The version of the workflow this run executes, to its end.
        version: u32,
        /// The delivery that started it.
        event: EventId,
        /// Plugin digests, by the `uses` in the workflow.
        pins: BTreeMap<Uses, Pin>,
        /// What expressions read as `trigger`.
        trigger: Arc<Value>,
        #[serde(default, skip_serializing_if = "Origin::is_plain")]
        origin: Origin,
    },
    /// An attempt begins. Whatever follows may already have happened when no end of it is in the journal.
    /// Its input is not here: it is a pure function of the workflow version and the entries before, and the end of the attempt has it.
    StepStarted { step: StepRef, attempt: u32 },
    /// An attempt that was due is not made before `until`, because its receiver fails: none is used up. `reason` is for people.
    StepDeferred { step: StepRef, until: Timestamp, reason: String },
    StepSucceeded {
        step: StepRef,
        attempt: u32,
        /// What expressions read as `steps.<id>.output`.
        output: Arc<Value>,
        /// The rendered input.
        input: Arc<Value>,
        call: Arc<CallRecord>,
    },
    /// An attempt failed; or a control step did, then as attempt 1 with an empty call.
    StepFailed {
        step: StepRef,
        attempt: u32,
        error: StepError,
        /// When it is tried again; absent: the step has failed for good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
        /// Absent when the input could not be rendered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<Arc<Value>>,
        /// The step inside a control step that failed first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<StepRef>,
        call: Arc<CallRecord>,
    },
    /// It is unknown whether a step that must not be repeated has happened, or it must not be begun; somebody has to decide.
    /// A crash cut the attempt off, or it ended (then with `error`, `input` and `call`) without an answer to what it sent.
    StepParked {
        step: StepRef,
        attempt: u32,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<StepError>,
        /// The rendered input.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<Arc<Value>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<Arc<CallRecord>>,
    },
    /// A control step begins: what was decided, or what it waits for.
    Entered { step: StepRef, detail: Detail },
    /// A control step ended well.
    Left { step: StepRef, output: Value },
    /// An iteration of a loop ended: well, or with `error`.
    Iterated {
        step: StepRef,
        index: u32,
        #[serde(default, skip_serializing_if = "Value::is_null")]
        collected: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
    /// A wait was in vain; its `on_timeout` steps begin.
    TimedOut { step: StepRef },
    /// The step's `on_error` took its failure; the run goes on with this output.
    Handled { step: StepRef, output: Value },
    /// A step in progress was ended, because what it belongs to needs it no longer.
    Cancelled { step: StepRef, reason: String },
    /// The answer to the sender that waits for this run.
    Responded {
        step: StepRef,
        status: u16,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<ResponseBody>,
    },
    /// A rerun took the step's result over from the earlier run.
    Kept { step: StepRef, output: Value },
    /// There is nothing to do before `until`, or (without it) before something comes from outside. Written where the entries before leave that
    /// open: several steps go on at a time, the workflow's window is closed, a child run has been started.
    Rested {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// From outside: somebody opened a wait's resume link.
    Resumed { step: StepRef, payload: Value },
    /// From outside: the event came that a wait is for.
    EventArrived { step: StepRef, payload: Value },
    /// From outside: the run that a `call` started has ended.
    ChildEnded {
        step: StepRef,
        outcome: Outcome,
        #[serde(default, skip_serializing_if = "Value::is_null")]
        output: Value,
    },
    /// From outside: the run is to end.
    CancelRequested { reason: String },
    /// From outside: somebody decided about a parked step.
    Decided { step: StepRef, decision: Decision },
    /// From outside, for a step that is under way: this is the run's contact from now on.
    ContactEnrolled { step: StepRef, contact: ContactId },
    /// Always the last.
    Finished {
        outcome: Outcome,
        /// The workflow's `output`, rendered: what a `call` gets.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        output: Value,
    },
}

/// What a run has to do with others.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The `call` that started it: told when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The failed run whose error workflow it is. It starts none itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_of: Option<RunId>,
    /// The run that it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<RunId>,
    /// The run under whose id its idempotency keys are made; its own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_of: Option<RunId>,
    /// Of the runs with one slot, no more go on at a time than the workflow's `concurrency.limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// What the run is about: the value of the workflow's `reentry.key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The unfinished runs about the same subject that end for its sake (`reentry.policy: replace`). Written with its creation, so that
    /// no crash leaves both: whoever drives it ends them first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<RunId>,
    /// The run's contact from its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactId>,
    /// What a rerun takes over: `Kept`, `Entered` and `Iterated` of the earlier run. They count as having happened at its creation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seed: Vec<RunEvent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    pub run: RunId,
    pub step: StepRef,
}

/// What a control step is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Detail {
    /// An `if`: the first branch that holds, counted from 0; without one its `else`.
    Decided {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        branch: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// For each branch that was looked at, in order.
        because: Vec<Explanation>,
    },
    /// A `for_each` over `items` in `count` iterations.
    Each { items: Value, count: u32 },
    /// A `parallel`.
    Parallel,
    /// A `wait`.
    Waiting {
        /// When it is over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// When it was in vain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<Timestamp>,
        /// The name of the event it waits for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<String>,
        /// Whether a resume link ends it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        resume: bool,
    },
    /// A `call`: the run that was started for it.
    Called {
        run: RunId,
        workflow: WorkflowId,
        version: u32,
        /// The rendered `with`.
        input: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<Timestamp>,
    },
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResponseBody {
    Json(Value),
    Text(String),
}

/// What somebody decided about a parked step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "lowercase")]
pub enum Decision {
    /// Make it again, under the same idempotency key.
    Repeat,
    /// It has happened; this is its output.
    Succeeded { output: Value },
    /// It has not happened, and is not to.
    Failed,
}

/// A step that failed, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub step: StepRef,
    pub error: StepError,
}

/// Why an attempt failed, for people and machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepError {
    pub code: String,
    pub message: String,
    pub retryable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Outcome {
    Succeeded,
    /// The step that ended the run, with its last error.
    Failed {
        step: StepRef,
        error: StepError,
    },
    Cancelled {
        reason: String,
    },
}

impl RunEvent {
    /// Whether somebody other than the run's worker writes it.
    pub fn is_outside(&self) -> bool {
        matches!(
            self,
            Self::Resumed { .. }
                | Self::EventArrived { .. }
                | Self::ChildEnded { .. }
                | Self::CancelRequested { .. }
                | Self::Decided { .. }
                | Self::ContactEnrolled { .. }
        )
    }

    /// The place that it is about.
    pub fn step(&self) -> Option<&StepRef> {
        match self {
            Self::StepStarted { step, .. }
            | Self::StepDeferred { step, .. }
            | Self::StepSucceeded { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepParked { step, .. }
            | Self::Entered { step, .. }
            | Self::Left { step, .. }
            | Self::Iterated { step, .. }
            | Self::TimedOut { step }
            | Self::Handled { step, .. }
            | Self::Cancelled { step, .. }
            | Self::Responded { step, .. }
            | Self::Kept { step, .. }
            | Self::Resumed { step, .. }
            | Self::EventArrived { step, .. }
            | Self::ChildEnded { step, .. }
            | Self::Decided { step, .. }
            | Self::ContactEnrolled { step, .. }
            | Self::Finished { outcome: Outcome::Failed { step, .. }, .. } => Some(step),
            Self::Created { .. } | Self::Rested { .. } | Self::CancelRequested { .. } | Self::Finished { .. } => None,
        }
    }
}

impl Origin {
    /// What the payload of a trigger says of the run: a contact trigger brings the contact.
    pub fn of_trigger(trigger: &TriggerKind, payload: &Value) -> Self {
        let id = match trigger {
            TriggerKind::Contact(_) => payload.pointer("/contact/id").and_then(Value::as_str),
            _ => None,
        };
        Self { contact: id.and_then(|id| id.parse().ok()), ..Self::default() }
    }

    /// Whether an ordinary delivery started the run.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

impl StepError {
    /// An error that no repetition mends.
    pub fn permanent(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), retryable: false, details: None }
    }
}
