//! What can happen to a run: the entries of its journal. A released event never changes its meaning; new ones are added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{EventId, StepId, WorkflowId, WorkspaceId};
use crate::invoke::CallRecord;
use crate::plugin::{Pin, Uses};
use crate::time::Timestamp;

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
        trigger: Value,
    },
    /// An attempt begins. Whatever follows may already have happened when no end of it is in the journal.
    /// Its input is not here: it is a pure function of the workflow version and the entries before, and the end of the attempt has it.
    StepStarted { step: StepId, attempt: u32 },
    StepSucceeded {
        step: StepId,
        attempt: u32,
        /// What expressions read as `steps.<id>.output`.
        output: Value,
        /// The rendered input.
        input: Value,
        call: CallRecord,
    },
    StepFailed {
        step: StepId,
        attempt: u32,
        error: StepError,
        /// When it is tried again; absent: the step has failed for good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
        /// Absent when the input could not be rendered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<Value>,
        call: CallRecord,
    },
    /// It is unknown whether a step that must not be repeated has happened; somebody has to decide.
    /// A crash cut the attempt off, or it ended (then with `error`, `input` and `call`) without an answer to what it sent.
    StepParked {
        step: StepId,
        attempt: u32,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<StepError>,
        /// The rendered input.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<CallRecord>,
    },
    /// Always the last.
    Finished { outcome: Outcome },
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
        step: StepId,
        error: StepError,
    },
    Cancelled {
        reason: String,
    },
}
