//! Deliveries that did not arrive: the run that ended with one (a dead letter), and the steps of any run that sent nothing with success. Pure.

use sha2::{Digest as _, Sha256};

use crate::destination::{Destination, DestinationId};
use crate::id::{EventId, RunId, StepId, StepRef, WorkflowId};
use crate::run::event::{Detail, Outcome, StepError};
use crate::run::fold::{Phase, Run, StepState};
use crate::time::Timestamp;
use crate::workflow::Step;
use crate::workflow::compiled::{CompiledKind, CompiledWorkflow, List};

/// A run that failed because an action failed for good.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    pub run: RunId,
    pub workflow: WorkflowId,
    pub version: u32,
    pub created_at: Timestamp,
    pub failed_at: Timestamp,
    /// The step that could not do its work.
    pub step: StepRef,
    /// How often it was tried.
    pub attempts: u32,
    pub error: StepError,
    /// What the receiver answered last, if it did.
    pub last_status: Option<u16>,
    /// Absent where run data decides the receiver, or the plugin always asks the same one.
    pub destination: Option<Destination>,
}

impl DeadLetter {
    /// `None` unless the run failed with a step that is an action.
    pub fn of(run: &Run, compiled: &CompiledWorkflow) -> Option<Self> {
        let Some(Outcome::Failed { step, error }) = &run.outcome else { return None };
        let state = run.steps.get(step).filter(|state| !state.attempts.is_empty())?;
        let last = state.attempts.last()?.call.as_ref().and_then(|call| call.http.last());
        Some(Self {
            run: run.id,
            workflow: run.workflow.clone(),
            version: run.version,
            created_at: run.created_at,
            failed_at: run.finished_at?,
            step: step.clone(),
            attempts: u32::try_from(state.attempts.len()).unwrap_or(u32::MAX),
            error: error.clone(),
            last_status: last.and_then(|exchange| exchange.response.as_ref()).map(|response| response.status),
            destination: destination_of(compiled, step).cloned(),
        })
    }
}

/// Which deliveries are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Only to this one; else to any.
    pub destination: Option<DestinationId>,
}

impl Wanted {
    pub fn includes(&self, destination: &Destination) -> bool {
        self.destination.is_none_or(|id| id == destination.id())
    }
}

/// The deliveries of an ended run that never succeeded: its steps with a destination that began and failed, whatever the workflow then did about it,
/// and, where the run did not succeed, those it did not come to.
pub fn undelivered(run: &Run, compiled: &CompiledWorkflow, wanted: &Wanted) -> Vec<StepRef> {
    let Some(outcome) = &run.outcome else { return Vec::new() };
    let is_wanted = |step: &Step| {
        let CompiledKind::Action { destination: Some(destination), .. } = &compiled.steps.get(&step.id)?.kind else {
            return None;
        };
        wanted.includes(destination).then_some(())
    };
    let mut missing = Vec::new();
    for placed in compiled.workflow.all_steps() {
        if is_wanted(placed.step).is_none() {
            continue;
        }
        let mut began = run.steps.iter().filter(|(place, _)| *place.id() == placed.step.id).peekable();
        if began.peek().is_none() && *outcome != Outcome::Succeeded && may_come(run, compiled, &placed.step.id) {
            missing.push(placed.step.id.clone().into());
        }
        missing.extend(began.filter(|(_, state)| !is_delivered(state)).map(|(place, _)| place.clone()));
    }
    missing
}

/// Whether a step that the run did not come to would have come, had it gone on: not one in a branch that was decided against, or in what handles
/// failures.
fn may_come(run: &Run, compiled: &CompiledWorkflow, step: &StepId) -> bool {
    let around = compiled.steps.get(step).map(|step| step.around.as_slice()).unwrap_or_default();
    around.iter().all(|enclosing| {
        if matches!(enclosing.list, List::OnError | List::OnTimeout) {
            return false;
        }
        match run.steps.iter().find(|(place, _)| *place.id() == enclosing.step) {
            None => true,
            Some((_, state)) => {
                !matches!(state.phase, Phase::Succeeded | Phase::Handled { .. }) && leads_to(state, &enclosing.list)
            }
        }
    })
}

/// Whether what was decided at a control step leads into this list of its steps.
fn leads_to(state: &StepState, list: &List) -> bool {
    match (state.control.as_deref().map(|control| &control.detail), list) {
        (Some(Detail::Decided { branch, .. }), List::Branch(index)) => *branch == u32::try_from(*index).ok(),
        (Some(Detail::Decided { branch, .. }), List::Else) => branch.is_none(),
        _ => true,
    }
}

fn is_delivered(state: &StepState) -> bool {
    state.phase == Phase::Succeeded
}

fn destination_of<'w>(compiled: &'w CompiledWorkflow, step: &StepRef) -> Option<&'w Destination> {
    match &compiled.steps.get(step.id())?.kind {
        CompiledKind::Action { destination, .. } => destination.as_ref(),
        _ => None,
    }
}

/// The random part of the event that a rerun of `run` stands under: it tells, from summaries alone, which run repeats which. The lowest 16 of its
/// 80 bits are `chance`, so that a run may be repeated more than once in the same millisecond.
pub fn rerun_bits(run: RunId, chance: u16) -> u128 {
    u128::from(rerun_mark(run)) << 16 | u128::from(chance)
}

/// What [`rerun_bits`] of a run have in common.
pub fn rerun_mark(run: RunId) -> u64 {
    let digest: [u8; 32] = Sha256::new_with_prefix(b"rerun\0").chain_update(run.to_bytes()).finalize().into();
    digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// The mark of the run that a run with this event repeats, if it repeats one.
pub fn mark_of(event: EventId) -> u64 {
    // Six bytes of time, eight of the mark, two of chance.
    event.to_bytes().iter().skip(6).take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rerun_is_known_by_its_event() {
        let at = Timestamp::from_millis(1_767_225_600_000);
        let (one, other) = (RunId::from_parts(at, 1), RunId::from_parts(at, 2));
        for chance in [0, 1, u16::MAX] {
            let event = EventId::from_parts(at, rerun_bits(one, chance));
            assert_eq!(mark_of(event), rerun_mark(one));
            assert_ne!(mark_of(event), rerun_mark(other));
        }
    }
}
