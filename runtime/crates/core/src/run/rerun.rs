//! Repeating a run that has ended: what is taken over, what happens again, and what of that has happened already. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{RunId, StepId, StepRef};
use crate::run::event::{Detail, RunEvent};
use crate::run::fold::{Phase, Run, StepState};
use crate::run::state::Control;
use crate::run::uncertain::is_idempotent;
use crate::workflow::Workflow;
use crate::workflow::step::{Step, StepKind};

/// How a run is repeated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RerunRequest {
    pub from: RerunFrom,
    pub version: RerunVersion,
    /// Instead of the earlier run's `trigger`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Value>,
    pub keys: RerunKeys,
}

/// Where it begins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RerunFrom {
    /// With what did not succeed: what did is taken over.
    #[default]
    Failure,
    /// With the failed items of this loop; what follows it is repeated.
    FailedItems(StepRef),
    /// With every action that did not succeed, also where its `on_error` took the failure; what succeeded after it is taken over, too.
    Undelivered,
    Start,
}

/// Which version of the workflow it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RerunVersion {
    /// That of the earlier run.
    #[default]
    Same,
    /// The one that is published now.
    Latest,
}

/// Whether receivers take a repeated effect for the earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RerunKeys {
    /// Under the same idempotency keys: who heeds them makes nothing twice.
    #[default]
    Keep,
    New,
}

/// What a rerun would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RerunPlan {
    pub of: RunId,
    pub version: u32,
    /// The actions and calls of the earlier run, in the order in which they began.
    pub steps: Vec<RerunStep>,
    /// What somebody should know before, in sentences.
    pub warnings: Vec<String>,
    /// What the new run takes over (see [`crate::run::event::Origin::seed`]).
    #[serde(skip)]
    pub seed: Vec<RunEvent>,
}

/// What becomes of one effect of the earlier run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RerunStep {
    pub step: StepRef,
    pub fate: Fate,
    pub effect: Effect,
    /// Whether its plugin says that making it twice does no harm.
    pub idempotent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Its result is taken over.
    Skipped,
    /// It happens again, if the run comes there again.
    Repeated,
}

/// Whether it has had an effect on the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    Happened,
    /// An attempt was cut short or left without an answer.
    Uncertain,
    /// As far as is known: every attempt failed.
    None,
}

/// Why a run cannot be repeated so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RerunRefusal {
    #[error("{0} has not ended; cancel it first, or decide about its parked step")]
    Unfinished(RunId),
    #[error("step `{0}` is no loop with failed items in this run")]
    NoFailedItems(StepRef),
}

/// Plans to repeat `run`, which followed its own version, on `workflow`, whose version is `version`.
pub fn plan_rerun(
    run: &Run,
    (workflow, version): (&Workflow, u32),
    request: &RerunRequest,
) -> Result<RerunPlan, RerunRefusal> {
    if run.outcome.is_none() {
        return Err(RerunRefusal::Unfinished(run.id));
    }
    let reopened = match &request.from {
        RerunFrom::FailedItems(place) => {
            let control = run.steps.get(place).and_then(|state| state.control.as_deref());
            if control.is_none_or(|control| control.iterations.failed() == 0) {
                return Err(RerunRefusal::NoFailedItems(place.clone()));
            }
            Some(place)
        }
        RerunFrom::Failure | RerunFrom::Undelivered | RerunFrom::Start => None,
    };
    let is_same = version == run.version;
    let takes_handled = request.from != RerunFrom::Undelivered;
    let mut keeper = Keeper { run, reopened, takes_handled, is_same, seed: Vec::new(), kept: BTreeSet::new() };
    if request.from != RerunFrom::Start {
        keeper.block(&workflow.steps, &[]);
    }
    let Keeper { seed, kept, .. } = keeper;
    let steps: Vec<RerunStep> =
        run.steps.iter().filter_map(|(place, state)| effect_of(run, workflow, (place, state), &kept)).collect();
    let warnings = warnings(&steps, run, request);
    Ok(RerunPlan { of: run.id, version, steps, warnings, seed })
}

/// What is taken over, found in one walk through the workflow that is followed now.
struct Keeper<'r> {
    run: &'r Run,
    reopened: Option<&'r StepRef>,
    /// Whether a failure that the workflow has handled is over.
    takes_handled: bool,
    /// Whether the workflow's version is that of the earlier run: its decisions hold only then.
    is_same: bool,
    seed: Vec<RunEvent>,
    kept: BTreeSet<StepRef>,
}

impl Keeper<'_> {
    /// Takes over the beginning of a list of steps; whether that was all of it.
    fn block(&mut self, steps: &[Step], at: &[u32]) -> bool {
        if self.takes_handled {
            return steps.iter().all(|step| self.step(step, at));
        }
        // What succeeded after a failure that was handled stays, too.
        let mut is_over = true;
        for step in steps {
            is_over &= self.step(step, at);
        }
        is_over
    }

    fn step(&mut self, step: &Step, at: &[u32]) -> bool {
        let run = self.run;
        let Some(state) = run.step(&step.id, at) else { return false };
        let place = StepRef::new(step.id.clone(), at);
        let is_over = matches!(state.phase, Phase::Succeeded | Phase::Handled { .. });
        let is_reopened = (!self.takes_handled && self.has_failed_inside(step, at))
            || self.reopened.is_some_and(|reopened| reopened.is_within(at) && holds(step, reopened.id()));
        if is_over && !is_reopened && !matches!(step.kind, StepKind::Stop(_)) {
            self.take_over(step, place, state);
            return true;
        }
        if let Some(control) = state.control.as_deref().filter(|_| self.is_same) {
            self.open(step, &place, control);
        }
        false
    }

    /// Whether an action here or inside has failed, whatever was done about it.
    fn has_failed_inside(&self, step: &Step, at: &[u32]) -> bool {
        let mut ids = vec![&step.id];
        collect(step, &mut ids);
        let here = self.run.steps.iter().filter(|(place, _)| place.is_within(at) && ids.contains(&place.id()));
        here.into_iter().any(|(_, state)| state.error().is_some())
    }

    /// Takes over a step that is over, and what is inside it.
    fn take_over(&mut self, step: &Step, place: StepRef, state: &StepState) {
        let mut ids = vec![&step.id];
        collect(step, &mut ids);
        let is_loop = matches!(step.kind, StepKind::ForEach(_));
        let inside: Vec<_> = self
            .run
            .steps
            .iter()
            .filter(|(other, _)| other.is_within(place.at()) && ids.contains(&other.id()))
            .collect();
        for (other, inner) in inside {
            self.kept.insert(other.clone());
            // What is inside a loop is read by nobody outside of it.
            let is_read = other.at().len() == place.at().len() && !is_loop && *other != place;
            if let Some(output) = inner.output().filter(|_| is_read && inner.error().is_none()) {
                self.seed.push(RunEvent::Kept { step: other.clone(), output: output.clone() });
            }
        }
        self.seed.push(RunEvent::Kept { step: place, output: state.output().cloned().unwrap_or_default() });
    }

    /// Takes over what is done inside a control step that goes on.
    fn open(&mut self, step: &Step, place: &StepRef, control: &Control) {
        let at = place.at();
        let entered = RunEvent::Entered { step: place.clone(), detail: control.detail.clone() };
        match (&step.kind, &control.detail) {
            (StepKind::If(each), Detail::Decided { branch, .. }) => {
                self.seed.push(entered);
                let steps = match branch {
                    Some(index) => each.branches.get(*index as usize).map(|branch| branch.steps.as_slice()),
                    None => each.otherwise.as_deref(),
                };
                self.block(steps.unwrap_or_default(), at);
            }
            (StepKind::Parallel(parallel), Detail::Parallel) => {
                self.seed.push(entered);
                for steps in parallel.branches.values() {
                    self.block(steps, at);
                }
            }
            (StepKind::ForEach(each), Detail::Each { count, .. }) => {
                self.seed.push(entered);
                for index in 0..*count {
                    let inner: Vec<u32> = at.iter().copied().chain([index]).collect();
                    let is_reopened =
                        !self.takes_handled && each.steps.iter().any(|step| self.has_failed_inside(step, &inner));
                    let ended = control.iterations.get(index).filter(|_| !is_reopened);
                    match ended.filter(|iteration| iteration.error.is_none()) {
                        Some(iteration) => {
                            let collected = iteration.collected.clone();
                            self.seed.push(RunEvent::Iterated { step: place.clone(), index, collected, error: None });
                            let mut ids = Vec::new();
                            collect(step, &mut ids);
                            let done = self
                                .run
                                .steps
                                .keys()
                                .filter(|other| other.is_within(&inner) && ids.contains(&other.id()));
                            self.kept.extend(done.cloned());
                        }
                        None => drop(self.block(&each.steps, &inner)),
                    }
                }
            }
            // What it waits for has to come again.
            _ => {}
        }
    }
}

/// Whether a step is this one, or has it inside.
fn holds(step: &Step, id: &StepId) -> bool {
    let mut ids = vec![&step.id];
    collect(step, &mut ids);
    ids.contains(&id)
}

fn collect<'s>(step: &'s Step, ids: &mut Vec<&'s StepId>) {
    for (_, steps) in step.lists() {
        for step in steps {
            ids.push(&step.id);
            collect(step, ids);
        }
    }
}

fn effect_of(
    run: &Run,
    workflow: &Workflow,
    (place, state): (&StepRef, &StepState),
    kept: &BTreeSet<StepRef>,
) -> Option<RerunStep> {
    let is_call = state.control.as_deref().is_some_and(|control| matches!(control.detail, Detail::Called { .. }));
    if state.attempts.is_empty() && !is_call {
        return None;
    }
    let is_uncertain = state.attempts.iter().any(|attempt| {
        let told = attempt.call.as_deref();
        (attempt.output.is_none() && attempt.error.is_none())
            || told.is_some_and(crate::invoke::CallRecord::is_uncertain)
            || attempt.error.as_ref().is_some_and(|error| error.code == "deadline-exceeded")
    });
    let effect = match &state.phase {
        Phase::Succeeded => Effect::Happened,
        _ if is_uncertain || is_call => Effect::Uncertain,
        _ => Effect::None,
    };
    let fate = if kept.contains(place) { Fate::Skipped } else { Fate::Repeated };
    let action = workflow.step(place.id()).and_then(Step::action);
    let idempotent = action.is_some_and(|action| is_idempotent(action, run));
    Some(RerunStep { step: place.clone(), fate, effect, idempotent })
}

fn warnings(steps: &[RerunStep], run: &Run, request: &RerunRequest) -> Vec<String> {
    let keys = match request.keys {
        RerunKeys::Keep => "under the same idempotency key",
        RerunKeys::New => "under a new idempotency key",
    };
    let repeated = steps.iter().filter(|step| step.fate == Fate::Repeated && !step.idempotent);
    let mut warnings: Vec<String> = repeated
        .filter_map(|step| {
            let place = &step.step;
            match step.effect {
                Effect::Happened => Some(format!("step `{place}` has happened and will happen again, {keys}")),
                Effect::Uncertain => Some(format!("step `{place}` may have happened and will happen again, {keys}")),
                Effect::None => None,
            }
        })
        .collect();
    if request.trigger.is_some() && steps.iter().any(|step| step.fate == Fate::Skipped) {
        warnings.push("the results that are taken over were made from the earlier payload".to_owned());
    }
    if run.origin.parent.is_some() {
        warnings.push("the run that called this one has its answer already, and is not told again".to_owned());
    }
    warnings
}
