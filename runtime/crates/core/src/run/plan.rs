//! What should happen next to a run: a pure function of the workflow, the run's events and the time.

use crate::id::StepId;
use crate::run::event::Outcome;
use crate::run::fold::{Phase, Run};
use crate::time::Timestamp;
use crate::workflow::{Action, OnUncertain, Step, Workflow};

#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Begin this attempt.
    Start {
        step: StepId,
        attempt: u32,
    },
    WaitUntil(Timestamp),
    /// Write down that nobody can know whether the step happened.
    Park {
        step: StepId,
        attempt: u32,
        reason: String,
    },
    Finish(Outcome),
    /// Nothing, until somebody decides about a parked step.
    Rest,
    /// Nothing, ever: the run has ended.
    Done,
}

/// Decides the next thing for a run that nobody is working on at the moment.
///
/// An attempt without an end was therefore cut off by a crash: it is repeated when that is harmless or allowed, and parked otherwise.
pub fn plan(workflow: &Workflow, run: &Run, now: Timestamp) -> Next {
    if run.outcome.is_some() {
        return Next::Done;
    }
    for step in &workflow.steps {
        let Some(state) = run.steps.get(&step.id) else {
            return Next::Start { step: step.id.clone(), attempt: 1 };
        };
        match &state.phase {
            Phase::Succeeded => {}
            Phase::Failed { error } => {
                return Next::Finish(Outcome::Failed { step: step.id.clone(), error: error.clone() });
            }
            Phase::Retrying { at } if *at > now => return Next::WaitUntil(*at),
            Phase::Retrying { .. } => return Next::Start { step: step.id.clone(), attempt: state.next_attempt() },
            Phase::Parked { .. } => return Next::Rest,
            Phase::Started if step.action().is_some_and(|action| may_repeat(action, run)) => {
                return Next::Start { step: step.id.clone(), attempt: state.next_attempt() };
            }
            Phase::Started => {
                return Next::Park {
                    step: step.id.clone(),
                    attempt: state.next_attempt().saturating_sub(1),
                    reason: step.action().map_or_else(String::new, |action| {
                        why_parked(action, &format!("Flowcell stopped while step `{}` was running", step.id))
                    }),
                };
            }
        }
    }
    Next::Finish(Outcome::Succeeded)
}

/// The reason of a parked step, after what has happened.
pub fn why_parked(step: &Action, what_happened: &str) -> String {
    let so = match step.on_uncertain {
        OnUncertain::Park => "its `on_uncertain: park` asks for somebody to decide",
        OnUncertain::Auto | OnUncertain::Repeat => "its action must not be repeated unasked, so somebody has to decide",
    };
    format!("{what_happened}: it may or may not have happened, and {so}")
}

/// Whether an attempt may begin only once its `StepStarted` is on disk (invariant 2).
///
/// Without it a crash would hide that the step may have happened, which does no harm only where a repetition does none.
pub fn start_must_be_durable(workflow: &Workflow, run: &Run, step: &StepId) -> bool {
    let action = workflow.step(step).and_then(Step::action);
    action.is_none_or(|action| action.on_uncertain == OnUncertain::Park || !is_idempotent(action, run))
}

/// Whether an attempt of unknown end (cut off by a crash or by its deadline, or left without an answer) is simply made again.
pub fn may_repeat(step: &Action, run: &Run) -> bool {
    match step.on_uncertain {
        OnUncertain::Repeat => true,
        OnUncertain::Park => false,
        OnUncertain::Auto => is_idempotent(step, run),
    }
}

/// What the manifest said when the workflow version was published.
fn is_idempotent(step: &Action, run: &Run) -> bool {
    run.pins.get(&step.uses).is_some_and(|pin| pin.idempotent)
}

#[cfg(test)]
mod tests;
