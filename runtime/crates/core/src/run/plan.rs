//! What should happen next to a run: a pure function of the workflow, the run's events and the time.
//!
//! The workflow is a tree of steps, and so is the plan: [`walk`](super::walk) goes through everything that has begun and not ended, and says
//! what each place needs. What needs nothing from outside (a decision, the end of a loop) is an event to note, found here by pure evaluation;
//! the worker notes it and asks again, until there is nothing to note. Only then does it begin attempts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::expression::Scope;
use crate::id::{RunId, StepRef, WorkflowId};
use crate::run::calendar::Calendar;
use crate::run::event::{Outcome, RunEvent, StepError};
use crate::run::fold::{Run, RunStatus};
use crate::run::resume::ResumeLinks;
pub use crate::run::uncertain::{may_repeat, start_must_be_durable, why_parked};
use crate::run::walk::{Standing, Walk, cancelled};
use crate::time::Timestamp;
use crate::workflow::compiled::CompiledWorkflow;

/// What a run follows.
#[derive(Clone, Copy)]
pub struct Definition<'w> {
    pub compiled: &'w CompiledWorkflow,
    /// The version that a `call` without one starts.
    pub calls: &'w BTreeMap<WorkflowId, u32>,
    pub calendar: &'w dyn Calendar,
    /// What expressions read as `custom_values`, an object.
    pub custom_values: &'w Value,
    /// What expressions read as `resume`.
    pub resume_links: &'w dyn ResumeLinks,
}

impl<'w> Definition<'w> {
    /// What expressions see of `run` at `now`.
    pub(super) fn scope<'s>(&self, run: &'s Run, now: Timestamp) -> Scope<'s>
    where
        'w: 's,
    {
        let scope = Scope::of(run, &self.compiled.workflow).with_custom_values(self.custom_values);
        scope.with_resume_links(self.resume_links).now_is(now)
    }
}

/// The moment for which is planned.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'m> {
    pub now: Timestamp,
    /// The attempts that the asking worker has under way. Any other without an end was cut off by a crash.
    pub in_flight: &'m BTreeSet<StepRef>,
}

impl std::fmt::Debug for Definition<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Definition").field("workflow", &self.compiled.workflow.id).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a handful of them lives for a moment; boxing each event would cost more"
)]
pub enum Next {
    /// Write this down: it follows from what is known. Nothing else of the plan counts until that is done.
    Note(RunEvent),
    /// Begin this attempt.
    Start { step: StepRef, attempt: u32 },
    /// See to it that the run which this `call` names exists.
    Call { step: StepRef, run: RunId },
    /// End the run.
    Finish { outcome: Outcome, output: Value },
    /// Ask again then; at most once in a plan.
    WaitUntil(Timestamp),
    /// Nothing, until something comes from outside or an attempt in flight ends.
    Rest,
    /// Nothing, ever: the run has ended.
    Done,
}

/// Decides everything that should happen now.
pub fn plan(definition: Definition<'_>, run: &Run, moment: Moment<'_>) -> Vec<Next> {
    if run.outcome.is_some() {
        return vec![Next::Done];
    }
    let workflow = &definition.compiled.workflow;
    let mut walk = Walk::new(definition, run, moment);
    match walk.block(&workflow.steps) {
        Standing::Done => vec![succeed(definition, run, moment.now)],
        Standing::Failed(failure) => {
            end(run, "the run has failed", Outcome::Failed { step: failure.step, error: failure.error })
        }
        Standing::Stopped(outcome) => end(run, "the run was stopped", outcome),
        Standing::Open => {
            if let Some(reason) = &run.cancel {
                return end(run, reason, Outcome::Cancelled { reason: reason.clone() });
            }
            if let Some(limit_ms) = workflow.settings.timeout_ms {
                let ends_at = run.created_at + std::time::Duration::from_millis(limit_ms);
                if ends_at <= moment.now {
                    return end(run, "the run took too long", too_long(definition, run, limit_ms));
                }
                walk.wake(ends_at);
            }
            walk.into_plan()
        }
    }
}

fn succeed(definition: Definition<'_>, run: &Run, now: Timestamp) -> Next {
    let output = definition.compiled.output.as_ref().map(|output| output.render(&definition.scope(run, now)));
    match output {
        None => Next::Finish { outcome: Outcome::Succeeded, output: Value::Null },
        Some(Ok(output)) => Next::Finish { outcome: Outcome::Succeeded, output },
        Some(Err(error)) => {
            let message =
                format!("the workflow's output cannot be built: {} (at `output{}`)", error.message, error.pointer);
            match last_place(run) {
                Some(step) => {
                    let error = StepError::permanent("expression", message);
                    Next::Finish { outcome: Outcome::Failed { step, error }, output: Value::Null }
                }
                None => Next::Finish { outcome: Outcome::Cancelled { reason: message }, output: Value::Null },
            }
        }
    }
}

fn too_long(definition: Definition<'_>, run: &Run, limit_ms: u64) -> Outcome {
    let limit = crate::workflow::duration::format(limit_ms);
    if run.steps.is_empty()
        && let Some(first) = definition.compiled.workflow.steps.first()
    {
        let message = format!(
            "the run had not begun after {limit}, its workflow's `settings.timeout`: {} raise the limit",
            held_up(definition, run)
        );
        let step = first.id.clone().into();
        return Outcome::Failed { step, error: StepError::permanent("run-timeout", message) };
    }
    let step = run.open().map(|(step, _)| step.clone()).next();
    let first = || definition.compiled.workflow.steps.first().map(|step| step.id.clone().into());
    match step.or_else(|| last_place(run)).or_else(first) {
        Some(step) => {
            let message = format!(
                "the run was not over after {limit}, its workflow's `settings.timeout`; step `{step}` was in progress. Raise the limit if that was not too long"
            );
            Outcome::Failed { step, error: StepError::permanent("run-timeout", message) }
        }
        None => Outcome::Cancelled { reason: format!("the run was not over after {limit}") },
    }
}

/// What kept a run from beginning, and what to do about it.
fn held_up(definition: Definition<'_>, run: &Run) -> &'static str {
    let settings = &definition.compiled.workflow.settings;
    if run.origin.slot.is_some() && run.status() == RunStatus::Queued {
        "it waited for a place in `settings.concurrency` all the time. Let more runs go on at a time, or"
    } else if settings.window.is_some() || !settings.paused.is_empty() {
        "it waited for a time at which steps may begin (`settings.window`, `settings.paused`). Allow more of them, or"
    } else {
        "Flowcell was not running then, or had too much else to do. Start the run again, or"
    }
}

fn last_place(run: &Run) -> Option<StepRef> {
    run.steps.keys().last().cloned()
}

/// Cuts everything short that is in progress, and ends.
fn end(run: &Run, reason: &str, outcome: Outcome) -> Vec<Next> {
    let mut plan = cancelled(run, |_| true, reason);
    plan.push(Next::Finish { outcome, output: Value::Null });
    plan
}

#[cfg(test)]
mod tests;
