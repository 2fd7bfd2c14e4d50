//! What a run is: a fold of its events, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use crate::id::{ContactId, EventId, RunId, StepId, StepRef, StepRefKey, WorkflowId, WorkspaceId};
use crate::plugin::{Pin, Uses};
use crate::run::event::{Decision, Detail, Origin, Outcome, Recorded, RunEvent, StepError};
use crate::run::state::{Arrival, Control, Iteration};
pub use crate::run::state::{Attempt, Phase, StepState};
pub use crate::run::summary::{Mark, RunStatus, RunSummary};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    pub version: u32,
    pub event: EventId,
    pub created_at: Timestamp,
    pub pins: BTreeMap<Uses, Pin>,
    pub trigger: Arc<Value>,
    pub origin: Origin,
    /// In the order they started.
    pub steps: IndexMap<StepRef, StepState>,
    /// The person it is about, if there is one.
    pub contact: Option<RunContact>,
    /// Why the run is to end, if somebody wants that.
    pub cancel: Option<String>,
    pub outcome: Option<Outcome>,
    /// What a `call` gets; null until the run has succeeded.
    pub output: Value,
    pub finished_at: Option<Timestamp>,
    /// The number of events so far: the `seq` of the next.
    pub next_seq: u32,
    /// The steps that have begun and not ended.
    pub(super) open: BTreeSet<StepRef>,
    /// Until when there is nothing to do, if that was the last thing written.
    #[expect(clippy::option_option, reason = "it may rest without an end in sight")]
    pub(super) rested: Option<Option<Timestamp>>,
}

/// The contact of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunContact {
    pub id: ContactId,
    /// What expressions read. No event has it: whoever is about to read shows it to the run ([`Run::see_contact`]), as it is then. From the
    /// beginning it is what the trigger brought; nothing when the contact is gone.
    pub document: Option<Value>,
}

/// The events do not tell a possible story: the journal is damaged, or a writer broke the rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal of {run} is damaged at entry {seq}: {problem}")]
pub struct ImpossibleJournal {
    pub run: RunId,
    pub seq: u32,
    pub problem: &'static str,
}

impl Run {
    /// Folds the whole journal.
    pub fn fold(id: RunId, events: &[Recorded]) -> Result<Self, ImpossibleJournal> {
        let (first, rest) = events.split_first().ok_or_else(|| empty(id))?;
        Self::begin(id, first.clone())?.with(rest)
    }

    /// Folds the whole journal without copying what started the run, which is most of a young journal.
    pub fn fold_owned(id: RunId, mut events: Vec<Recorded>) -> Result<Self, ImpossibleJournal> {
        if events.is_empty() {
            return Err(empty(id));
        }
        let rest = events.split_off(1);
        let first = events.pop().ok_or_else(|| empty(id))?;
        Self::begin(id, first)?.with(&rest)
    }

    fn with(mut self, events: &[Recorded]) -> Result<Self, ImpossibleJournal> {
        for event in events {
            self.apply(event)?;
        }
        Ok(self)
    }

    fn begin(id: RunId, first: Recorded) -> Result<Self, ImpossibleJournal> {
        let impossible = |problem| ImpossibleJournal { run: id, seq: first.seq, problem };
        if first.seq != 0 {
            return Err(impossible("the first entry is missing"));
        }
        let RunEvent::Created { workspace, workflow, version, event, pins, trigger, mut origin } = first.event else {
            return Err(impossible("the first entry does not create the run"));
        };
        let seed = std::mem::take(&mut origin.seed);
        let contact = origin.contact.map(|id| RunContact { id, document: trigger.get("contact").cloned() });
        let mut run = Self {
            id,
            workspace,
            workflow,
            version,
            event,
            created_at: first.at,
            pins,
            trigger,
            origin,
            steps: IndexMap::new(),
            contact,
            cancel: None,
            outcome: None,
            output: Value::Null,
            finished_at: None,
            next_seq: 1,
            open: BTreeSet::new(),
            rested: None,
        };
        for event in &seed {
            let is_seed = matches!(event, RunEvent::Kept { .. } | RunEvent::Entered { .. } | RunEvent::Iterated { .. });
            if !is_seed {
                return Err(impossible("it takes over what cannot be"));
            }
            run.take_in(first.at, event).map_err(impossible)?;
        }
        Ok(run)
    }

    /// Shows the run its contact as it is now; nothing: it is gone.
    pub fn see_contact(&mut self, document: Option<Value>) {
        if let Some(contact) = &mut self.contact {
            contact.document = document;
        }
    }

    /// Takes in the next event.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), ImpossibleJournal> {
        let run = self.id;
        let impossible = |problem| ImpossibleJournal { run, seq: recorded.seq, problem };
        if recorded.seq != self.next_seq {
            return Err(impossible("an entry is missing or doubled"));
        }
        if self.outcome.is_some() {
            return Err(impossible("something happens after the end"));
        }
        self.take_in(recorded.at, &recorded.event).map_err(impossible)?;
        self.rested = match &recorded.event {
            RunEvent::Rested { until } => Some(*until),
            _ => None,
        };
        self.next_seq += 1;
        Ok(())
    }

    fn take_in(&mut self, at: Timestamp, event: &RunEvent) -> Result<(), &'static str> {
        match event {
            RunEvent::Created { .. } => return Err("the run is created twice"),
            RunEvent::Finished { outcome, output } => {
                self.outcome = Some(outcome.clone());
                self.output = output.clone();
                self.finished_at = Some(at);
            }
            RunEvent::CancelRequested { reason } => {
                self.cancel.get_or_insert_with(|| reason.clone());
            }
            RunEvent::Rested { .. } => {}
            RunEvent::ContactEnrolled { contact, .. } => {
                self.contact = Some(RunContact { id: *contact, document: None });
            }
            RunEvent::StepStarted { .. }
            | RunEvent::StepDeferred { .. }
            | RunEvent::StepSucceeded { .. }
            | RunEvent::StepFailed { .. }
            | RunEvent::StepParked { .. }
            | RunEvent::Decided { .. } => self.attempted(at, event)?,
            _ => self.controlled(at, event)?,
        }
        let Some(step) = event.step() else { return Ok(()) };
        match self.steps.get(step) {
            Some(state) if state.is_open() => {
                if !self.open.contains(step) {
                    self.open.insert(step.clone());
                }
            }
            _ => drop(self.open.remove(step)),
        }
        Ok(())
    }

    /// What happened to an attempt.
    fn attempted(&mut self, at: Timestamp, event: &RunEvent) -> Result<(), &'static str> {
        match event {
            RunEvent::StepStarted { step, attempt } => {
                let state = self.steps.entry(step.clone()).or_default();
                let may_start = match &state.phase {
                    Phase::Started | Phase::Deferred { .. } => true,
                    Phase::Retrying { .. } | Phase::Parked { .. } => !state.attempts.is_empty(),
                    _ => false,
                };
                if *attempt != state.next_attempt() || !may_start {
                    return Err("an attempt starts out of turn");
                }
                state.phase = Phase::Started;
                state.attempts.push(Attempt {
                    number: *attempt,
                    started_at: at,
                    ended_at: None,
                    input: None,
                    output: None,
                    error: None,
                    call: None,
                });
            }
            RunEvent::StepDeferred { step, until, reason } => {
                let state = self.steps.entry(step.clone()).or_default();
                state.defer(at, *until, reason).ok_or("a step is deferred that is not due")?;
            }
            RunEvent::StepSucceeded { step, attempt, output, input, call } => {
                let (state, last) = self.open_attempt(step, *attempt).ok_or("a result without its attempt")?;
                last.ended_at = Some(at);
                last.input = Some(input.clone());
                last.output = Some(output.clone());
                last.call = Some(call.clone());
                *state = Phase::Succeeded;
            }
            RunEvent::StepFailed { step, attempt, error, retry_at, input, origin, call } => {
                if *attempt == 1 && self.fail_control(step, error, origin.as_ref()) {
                    return Ok(());
                }
                let (state, last) = self.open_attempt(step, *attempt).ok_or("a failure without its attempt")?;
                last.ended_at = Some(at);
                last.input.clone_from(input);
                last.error = Some(error.clone());
                last.call = Some(call.clone());
                *state = match retry_at {
                    Some(at) => Phase::Retrying { at: *at },
                    None => Phase::Failed { error: error.clone() },
                };
            }
            RunEvent::StepParked { step, attempt, reason, error, input, call } => {
                let (state, last) = self.open_attempt(step, *attempt).ok_or("a parked step without its attempt")?;
                // What a crash cut off has no end that anybody knows.
                last.ended_at = error.is_some().then_some(at);
                last.input.clone_from(input);
                last.error.clone_from(error);
                last.call.clone_from(call);
                *state = Phase::Parked { reason: reason.clone() };
            }
            RunEvent::Decided { step, decision } => {
                let state = self.steps.get_mut(step).ok_or("a decision about nothing")?;
                let Phase::Parked { reason } = &state.phase else {
                    return Err("a decision about a step that is not parked");
                };
                let undone =
                    || StepError::permanent("parked", format!("somebody decided that it has not happened: {reason}"));
                state.phase = match decision {
                    Decision::Repeat => Phase::Retrying { at },
                    Decision::Failed => Phase::Failed { error: undone() },
                    Decision::Succeeded { output } => {
                        state.output = Some(output.clone());
                        Phase::Succeeded
                    }
                };
            }
            _ => {}
        }
        Ok(())
    }

    /// What happened to a control step, or was done about any step.
    fn controlled(&mut self, at: Timestamp, event: &RunEvent) -> Result<(), &'static str> {
        match event {
            RunEvent::Entered { step, detail } => {
                if self.steps.contains_key(step) {
                    return Err("a step is entered twice");
                }
                let control = Some(Box::new(Control::new(detail.clone(), at)));
                self.steps.insert(step.clone(), StepState { control, phase: Phase::Entered, ..StepState::default() });
            }
            RunEvent::Left { step, output } | RunEvent::Kept { step, output } => {
                self.end_control(step, output.clone())?;
            }
            RunEvent::Responded { step, status, .. } => {
                self.end_control(step, serde_json::json!({ "status": status }))?;
            }
            RunEvent::Iterated { step, index, collected, error } => {
                let control = self.entered(step).ok_or("an iteration without its loop")?;
                let Detail::Each { count, .. } = control.detail else { return Err("an iteration of what is no loop") };
                let iteration = Iteration { collected: collected.clone(), error: error.clone() };
                if *index >= count || !control.iterations.end(*index, iteration) {
                    return Err("an iteration ends out of turn");
                }
            }
            RunEvent::TimedOut { step } => {
                self.entered(step).ok_or("a time-out without its wait")?.has_timed_out = true;
            }
            RunEvent::Handled { step, output } => {
                let state = self.steps.get_mut(step).ok_or("nothing failed that was handled")?;
                let Phase::Failed { error } = &state.phase else { return Err("nothing failed that was handled") };
                state.phase = Phase::Handled { error: error.clone() };
                state.output = Some(output.clone());
            }
            RunEvent::Cancelled { step, reason } => {
                let state = self.steps.get_mut(step).filter(|state| state.is_open());
                let state = state.ok_or("a step is cancelled that is not in progress")?;
                if let Some(last) = state.attempts.last_mut().filter(|_| state.phase == Phase::Started) {
                    last.ended_at = Some(at);
                }
                state.phase = Phase::Cancelled { reason: reason.clone() };
            }
            RunEvent::Resumed { step, payload } => self.arrive(step, Arrival::Resumed(payload.clone()))?,
            RunEvent::EventArrived { step, payload } => self.arrive(step, Arrival::Event(payload.clone()))?,
            RunEvent::ChildEnded { step, outcome, output } => {
                self.arrive(step, Arrival::Child { outcome: outcome.clone(), output: output.clone() })?;
            }
            _ => {}
        }
        Ok(())
    }

    fn open_attempt(&mut self, step: &StepRef, attempt: u32) -> Option<(&mut Phase, &mut Attempt)> {
        let state = self.steps.get_mut(step)?;
        let last = state.attempts.last_mut()?;
        (last.number == attempt && state.phase == Phase::Started).then_some((&mut state.phase, last))
    }

    fn entered(&mut self, step: &StepRef) -> Option<&mut Control> {
        let state = self.steps.get_mut(step).filter(|state| state.phase == Phase::Entered)?;
        state.control.as_deref_mut()
    }

    fn end_control(&mut self, step: &StepRef, output: Value) -> Result<(), &'static str> {
        let state = self
            .steps
            .entry(step.clone())
            .or_insert_with(|| StepState { phase: Phase::Entered, ..StepState::default() });
        if state.phase != Phase::Entered {
            return Err("a step ends that is not in progress");
        }
        state.phase = Phase::Succeeded;
        state.output = Some(output);
        Ok(())
    }

    /// Fails a step without attempts; `false` when it has some, or has ended.
    fn fail_control(&mut self, step: &StepRef, error: &StepError, origin: Option<&StepRef>) -> bool {
        let state = self
            .steps
            .entry(step.clone())
            .or_insert_with(|| StepState { phase: Phase::Entered, ..StepState::default() });
        if state.phase != Phase::Entered {
            return false;
        }
        state.phase = Phase::Failed { error: error.clone() };
        state.origin = origin.cloned();
        true
    }

    fn arrive(&mut self, step: &StepRef, arrival: Arrival) -> Result<(), &'static str> {
        let control = self.entered(step).ok_or("something arrives for a step that does not wait")?;
        let fits = match (&control.detail, &arrival) {
            (Detail::Waiting { event, .. }, Arrival::Event(_)) => event.is_some(),
            (Detail::Waiting { resume, .. }, Arrival::Resumed(_)) => *resume,
            (Detail::Called { .. }, Arrival::Child { .. }) => true,
            _ => false,
        };
        if !fits || control.arrival.is_some() || control.has_timed_out {
            return Err("something arrives for a step that does not wait for it");
        }
        control.arrival = Some(arrival);
        Ok(())
    }
}

/// Looking.
impl Run {
    /// The state of the step `id` in the iteration `at`.
    pub fn step(&self, id: &StepId, at: &[u32]) -> Option<&StepState> {
        self.steps.get(&StepRefKey { id: id.as_str(), at })
    }

    /// The places that have begun and not ended.
    pub fn open(&self) -> impl Iterator<Item = (&StepRef, &StepState)> {
        self.open.iter().filter_map(|step| Some((step, self.steps.get(step)?)))
    }

    /// The places that wait for somebody's decision.
    pub fn parked(&self) -> impl Iterator<Item = (&StepRef, &StepState)> {
        self.open().filter(|(_, state)| matches!(state.phase, Phase::Parked { .. }))
    }

    /// Whether any of its steps has.
    pub fn has_begun(&self) -> bool {
        self.next_seq > 1
    }

    /// Whether an event tells of the world: an attempt's start or end, what was cut short or answered. Everything else its worker would
    /// decide again.
    pub fn is_fact(&self, event: &RunEvent) -> bool {
        match event {
            RunEvent::StepStarted { .. }
            | RunEvent::StepSucceeded { .. }
            | RunEvent::StepParked { .. }
            | RunEvent::Responded { .. } => true,
            RunEvent::StepFailed { step, .. } | RunEvent::Cancelled { step, .. } => {
                self.steps.get(step).is_some_and(|state| !state.attempts.is_empty())
            }
            event => event.is_outside(),
        }
    }

    pub(super) fn open_states(&self) -> impl Iterator<Item = &StepState> {
        self.open().map(|(_, state)| state)
    }
}

fn empty(run: RunId) -> ImpossibleJournal {
    ImpossibleJournal { run, seq: 0, problem: "it is empty" }
}
