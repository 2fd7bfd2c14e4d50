//! What is done about an attempt of which nobody knows whether it happened.

use crate::id::StepId;
use crate::run::fold::Run;
use crate::workflow::{Action, OnUncertain, Step, Workflow};

/// How often in a row a crash may cut an attempt of one step off. After that the step is suspected to be the reason, and waits for somebody.
/// A machine that is restarted five times within one attempt, and not by it, is rare.
pub const CRASHES_MAX: u32 = 5;

/// The reason of a parked step, after what has happened.
pub fn why_parked(action: &Action, what_happened: &str) -> String {
    let so = match action.on_uncertain {
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
pub fn may_repeat(action: &Action, run: &Run) -> bool {
    match action.on_uncertain {
        OnUncertain::Repeat => true,
        OnUncertain::Park => false,
        OnUncertain::Auto => is_idempotent(action, run),
    }
}

/// What the manifest said when the workflow version was published.
pub(super) fn is_idempotent(action: &Action, run: &Run) -> bool {
    run.pins.get(&action.uses).is_some_and(|pin| pin.idempotent)
}
