//! One walk through the tree of steps: where each place stands, and what it needs.

use std::sync::Arc;
use std::time::Duration;

use crate::expression::{ExpressionError, Program};
use crate::id::StepRef;
use crate::run::event::{Failure, Outcome, RunEvent, StepError};
use crate::run::fold::{Phase, Run, StepState};
use crate::run::place;
use crate::run::plan::{Definition, Moment, Next};
use crate::run::state::Control;
use crate::run::uncertain::{CRASHES_MAX, may_repeat, why_parked};
use crate::time::Timestamp;
use crate::workflow::compiled::CompiledStep;
use crate::workflow::step::{OnError, StepKind};
use crate::workflow::{Action, Step};

/// Where a step, or a list of steps, stands.
pub(super) enum Standing {
    /// Over, and what follows may begin.
    Done,
    /// In progress, or about to begin.
    Open,
    Failed(Failure),
    /// A `stop` ends the run.
    Stopped(Outcome),
}

pub(super) struct Walk<'w> {
    pub(super) definition: Definition<'w>,
    pub(super) run: &'w Run,
    pub(super) moment: Moment<'w>,
    /// The iteration of the loops around the place that is looked at.
    pub(super) at: Vec<u32>,
    next: Vec<Next>,
    wake_at: Option<Timestamp>,
    /// When steps may begin; found out when it is first asked.
    #[expect(clippy::option_option, reason = "not asked yet is not the same as never")]
    opens: Option<Option<Timestamp>>,
}

impl<'w> Walk<'w> {
    pub(super) fn new(definition: Definition<'w>, run: &'w Run, moment: Moment<'w>) -> Self {
        Self { definition, run, moment, at: Vec::new(), next: Vec::new(), wake_at: None, opens: None }
    }

    /// What was found to do. Notes go first and alone: they may change everything else.
    pub(super) fn into_plan(self) -> Vec<Next> {
        let mut plan = self.next;
        if plan.iter().any(|next| matches!(next, Next::Note(_))) {
            plan.retain(|next| matches!(next, Next::Note(_)));
            return plan;
        }
        plan.extend(self.wake_at.map(Next::WaitUntil));
        if plan.is_empty() {
            plan.push(Next::Rest);
        }
        plan
    }

    /// Goes through steps that follow one another, up to the first that is not over.
    pub(super) fn block(&mut self, steps: &'w [Step]) -> Standing {
        for step in steps {
            match self.step(step) {
                Standing::Done => {}
                other => return other,
            }
        }
        Standing::Done
    }

    fn step(&mut self, step: &'w Step) -> Standing {
        let Some(state) = self.run.step(&step.id, &self.at) else { return self.begin(step) };
        match &state.phase {
            Phase::Succeeded => match &step.kind {
                StepKind::Stop(stop) => Standing::Stopped(super::control::stopped(stop, state, || self.place(step))),
                _ => Standing::Done,
            },
            Phase::Handled { .. } => Standing::Done,
            Phase::Failed { error } => self.failed(step, state, error),
            Phase::Entered => match state.control.as_deref() {
                Some(control) => self.go_on(step, control),
                None => Standing::Open,
            },
            Phase::Retrying { at } | Phase::Deferred { until: at, .. } if *at > self.moment.now => {
                self.wake(*at);
                Standing::Open
            }
            Phase::Retrying { .. } | Phase::Deferred { .. } => {
                if self.may_begin() {
                    self.start(step, state);
                }
                Standing::Open
            }
            Phase::Started => self.started(step, state),
            // What is cancelled belongs to something that ends, in this walk or by an event that was written with it.
            Phase::Parked { .. } | Phase::Cancelled { .. } => Standing::Open,
        }
    }

    fn begin(&mut self, step: &'w Step) -> Standing {
        if !self.may_begin() {
            return Standing::Open;
        }
        match self.definition.compiled.steps.get(&step.id) {
            Some(compiled) if step.action().is_none() => self.enter(step, compiled),
            // An action; or a step that could not be compiled, for which the attempt says why.
            _ => self.next.push(Next::Start { step: self.place(step), attempt: 1 }),
        }
        Standing::Open
    }

    /// Begins a control step.
    fn enter(&mut self, step: &'w Step, compiled: &'w CompiledStep) {
        let place = self.place(step);
        let locals = place::locals(self.definition.compiled, self.run, &place);
        let scope = self.definition.scope(self.run, self.moment.now).within(&self.at, &locals);
        let entered = super::control::enter(self, (step, &place), compiled, &scope);
        let event = entered.unwrap_or_else(|error| failure_of(place, error, None));
        self.note(event);
    }

    fn start(&mut self, step: &Step, state: &StepState) {
        self.next.push(Next::Start { step: self.place(step), attempt: state.next_attempt() });
    }

    /// An attempt has begun: it is under way, or a crash cut it off.
    fn started(&mut self, step: &'w Step, state: &StepState) -> Standing {
        let place = self.place(step);
        if self.moment.in_flight.contains(&place) {
            return Standing::Open;
        }
        let Some(action) = step.action() else {
            // It could not be compiled when it began; whoever attempts it again says why.
            self.start(step, state);
            return Standing::Open;
        };
        match why_not_again(action, state, self.run, &place) {
            None if self.may_begin() => self.start(step, state),
            None => {}
            Some(reason) => {
                let attempt = state.next_attempt().saturating_sub(1);
                self.note(RunEvent::StepParked { step: place, attempt, reason, error: None, input: None, call: None });
            }
        }
        Standing::Open
    }

    /// A step has failed for good: what its author wants done.
    fn failed(&mut self, step: &'w Step, state: &'w StepState, error: &StepError) -> Standing {
        let place = self.place(step);
        let failure = || Failure { step: state.origin.clone().unwrap_or_else(|| place.clone()), error: error.clone() };
        let output = match &step.on_error {
            OnError::Fail => return Standing::Failed(failure()),
            OnError::Continue => serde_json::Value::Null,
            OnError::Substitute(_) => {
                let program = self.definition.compiled.steps.get(&step.id).and_then(|step| step.substitute.as_ref());
                let Some(program) = program else { return Standing::Failed(failure()) };
                match self.render(program, &place) {
                    Ok(output) => output,
                    Err(error) => {
                        let error = expression_error("the substitute", "on_error/substitute", &error);
                        return Standing::Failed(Failure { step: place, error });
                    }
                }
            }
            OnError::Steps(steps) => match self.block(steps) {
                Standing::Done => serde_json::Value::Null,
                other => return other,
            },
        };
        self.note(RunEvent::Handled { step: place, output });
        Standing::Open
    }

    fn go_on(&mut self, step: &'w Step, control: &'w Control) -> Standing {
        match &step.kind {
            StepKind::If(each) => self.branch(step, each, control),
            StepKind::ForEach(each) => self.each(step, each, control),
            StepKind::Parallel(parallel) => self.parallel(step, parallel),
            StepKind::Wait(wait) => self.wait(step, wait, control),
            StepKind::Call(_) => self.call(step, control),
            StepKind::Action(_) | StepKind::Stop(_) | StepKind::Set(_) | StepKind::Respond(_) => Standing::Open,
        }
    }
}

/// What the kinds of steps are made of.
impl<'w> Walk<'w> {
    pub(super) fn place(&self, step: &Step) -> StepRef {
        StepRef::new(step.id.clone(), &self.at)
    }

    pub(super) fn note(&mut self, event: RunEvent) {
        self.next.push(Next::Note(event));
    }

    pub(super) fn do_next(&mut self, next: Next) {
        self.next.push(next);
    }

    /// Asks to be asked again at `at`.
    pub(super) fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |wake| wake.min(at)));
    }

    /// Renders at a place, with what is known there.
    pub(super) fn render(&self, program: &Program, place: &StepRef) -> Result<serde_json::Value, ExpressionError> {
        let locals = place::locals(self.definition.compiled, self.run, place);
        let scope = self.definition.scope(self.run, self.moment.now).within(place.at(), &locals);
        program.render(&scope)
    }

    /// Fails a control step for what happened inside it, and cuts short what is in progress there.
    pub(super) fn fail(&mut self, step: &'w Step, failure: Failure) -> Standing {
        self.cancel_inside(step, &format!("step `{}` has failed", failure.step));
        let event = failure_of(self.place(step), failure.error, Some(failure.step));
        self.note(event);
        Standing::Open
    }

    /// Cuts short what is in progress inside a step, and forgets what this walk wanted to begin there.
    pub(super) fn cancel_inside(&mut self, step: &Step, reason: &str) {
        let mut ids = Vec::new();
        collect_ids(step, &mut ids);
        let is_inside = |place: &StepRef, at: &[u32]| place.is_within(at) && ids.contains(&place.id());
        let at = &self.at;
        self.next.retain(|next| match next {
            Next::Note(event) => !event.step().is_some_and(|place| is_inside(place, at)),
            Next::Start { step, .. } | Next::Call { step, .. } => !is_inside(step, at),
            Next::Finish { .. } | Next::WaitUntil(_) | Next::Rest | Next::Done => true,
        });
        self.next.extend(cancelled(self.run, |place| is_inside(place, at), reason));
    }

    /// Whether the workflow's window is open.
    fn may_begin(&mut self) -> bool {
        let settings = &self.definition.compiled.workflow.settings;
        if settings.window.is_none() && settings.paused.is_empty() {
            return true;
        }
        let now = self.moment.now;
        let opens = *self.opens.get_or_insert_with(|| {
            let (window, zone) = (settings.window.as_ref(), settings.timezone.as_deref());
            self.definition.calendar.opens(window, &settings.paused, zone, now)
        });
        match opens {
            Some(at) if at <= now => true,
            Some(at) => {
                self.wake(at);
                false
            }
            None => false,
        }
    }
}

/// Cuts short what is in progress. Attempts come first: what follows from them is decided again, should something from outside come between.
pub(super) fn cancelled(run: &Run, is_meant: impl Fn(&StepRef) -> bool, reason: &str) -> Vec<Next> {
    let mut open: Vec<_> = run.open().filter(|(place, _)| is_meant(place)).collect();
    open.sort_by_key(|(_, state)| state.attempts.is_empty());
    let cancelled =
        open.into_iter().map(|(step, _)| RunEvent::Cancelled { step: step.clone(), reason: reason.to_owned() });
    cancelled.map(Next::Note).collect()
}

/// Why an attempt that was cut off is not simply made again.
fn why_not_again(action: &Action, state: &StepState, run: &Run, place: &StepRef) -> Option<String> {
    let times = state.cut_off();
    if times >= CRASHES_MAX {
        return Some(format!(
            "Flowcell stopped {times} times in a row while step `{place}` was running, so it may be the reason: somebody has to decide whether it is tried again"
        ));
    }
    let happened = format!("Flowcell stopped while step `{place}` was running");
    (!may_repeat(action, run)).then(|| why_parked(action, &happened))
}

/// The ids of all steps inside one.
fn collect_ids<'s>(step: &'s Step, ids: &mut Vec<&'s crate::id::StepId>) {
    for (_, steps) in step.lists() {
        for step in steps {
            ids.push(&step.id);
            collect_ids(step, ids);
        }
    }
}

pub(super) fn failure_of(step: StepRef, error: StepError, origin: Option<StepRef>) -> RunEvent {
    let call = Arc::default();
    RunEvent::StepFailed { step, attempt: 1, error, retry_at: None, input: None, origin, call }
}

pub(super) fn expression_error(what: &str, key: &str, error: &ExpressionError) -> StepError {
    StepError {
        code: "expression".to_owned(),
        message: format!("{what} cannot be built: {} (at `{key}{}`)", error.message, error.pointer),
        retryable: false,
        details: Some(serde_json::json!({ "field": error.pointer })),
    }
}

pub(super) fn after(now: Timestamp, millis: u64) -> Timestamp {
    now + Duration::from_millis(millis)
}
