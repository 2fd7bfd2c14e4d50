//! What the outside asks of runs: start, answer, cancel, decide, repeat. Every call returns after the journal has it.

pub(crate) mod create;
mod dead_letters;
mod deliver;
mod destinations;
mod filter;
mod polled;
mod rerun;

use std::sync::Arc;

use flowcell_core::contact::event::Link;
use flowcell_core::expression::{Local, Scope};
use flowcell_core::id::{ConnectionName, ContactId, Digest, RunId, StepRef, WorkspaceId};
use flowcell_core::ports::StoreError;
use flowcell_core::redact::RedactionRules;
use flowcell_core::run::event::{Decision, Detail, RunEvent};
use flowcell_core::run::fold::{Mark, Phase, Run, RunStatus};
use flowcell_core::run::place::locals;
use flowcell_core::run::rerun::RerunRefusal;
use flowcell_core::run::resume::ResumeLinks as _;
use flowcell_core::run::state::StepState;
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::compiled::{CompiledKind, CompiledWait};
use flowcell_core::workflow::settings::Settings;
use serde_json::Value;

pub use self::create::CreateError;
pub(crate) use self::deliver::REPLACED;
pub use self::deliver::{Delivered, Incoming, Input};
pub(crate) use self::polled::{Brought, PolledFor};
use crate::contacts;
use crate::engine::Core;
use crate::outside::{self, OutsideError};
use crate::workflows::WorkflowError;

/// Starts, resumes, cancels and repeats the runs of one engine. Clones are the same.
#[derive(Debug, Clone)]
pub struct RunControl(pub(crate) Arc<Core>);

/// Why something asked of a run is not done.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("there is no run {0}")]
    NoRun(RunId),
    #[error("{0} has ended already")]
    Ended(RunId),
    /// The link is wrong, or it has been used: which of both is not told.
    #[error("this link does not open anything, or it has been used")]
    NotOpen,
    /// The link is right, and the run has not come to its wait.
    #[error("the workflow has not come to this question yet")]
    NotYet,
    #[error("step `{step}` of {run} waits for no decision")]
    NotParked { run: RunId, step: StepRef },
    #[error(transparent)]
    Rerun(#[from] RerunRefusal),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    Workflow(#[from] WorkflowError),
    #[error(transparent)]
    Outside(OutsideError),
}

impl ControlError {
    /// Whether the store as a whole refused, rather than one run being at fault.
    fn is_of_store(&self) -> bool {
        match self {
            Self::Outside(error) => error.is_of_store(),
            Self::Workflow(WorkflowError::Store(error)) => outside::is_of_store(error),
            _ => false,
        }
    }
}

impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> Self {
        Self::Outside(OutsideError::Store(error))
    }
}

impl RunControl {
    /// Ends a run: its attempts in progress are cut short, and nothing of it begins any more.
    pub async fn cancel(&self, run: RunId, reason: &str) -> Result<(), ControlError> {
        let asked = self.append(run, |run| match (&run.outcome, &run.cancel) {
            (Some(_), _) => Err(Some(ControlError::Ended(run.id))),
            (None, Some(_)) => Err(None), // it is asked for already
            (None, None) => Ok(RunEvent::CancelRequested { reason: reason.to_owned() }),
        });
        match asked.await? {
            Ok(_) | Err(None) => Ok(()),
            Err(Some(error)) => Err(error),
        }
    }

    /// What expressions read as `custom_values`, an object.
    pub fn custom_values(&self) -> Arc<Value> {
        Arc::clone(&self.0.config.custom_values)
    }

    /// What is hidden of the runs of a workflow with these settings.
    pub fn redaction_rules<'s>(&self, settings: impl IntoIterator<Item = &'s Settings>) -> RedactionRules {
        let paths = settings.into_iter().flat_map(|settings| settings.redact.iter().cloned());
        RedactionRules::new(&self.0.config.redacted_names, paths)
    }

    /// The URL that ends a wait (see [`Self::resume`]).
    pub fn resume_link(&self, run: RunId, step: &StepRef) -> String {
        self.0.config.resume_link(run, step)
    }

    /// What opens the resume link of a wait (see [`Self::resume`]).
    pub fn resume_token(&self, run: RunId, step: &StepRef) -> String {
        self.0.config.instance_key.resume_token(run, step)
    }

    /// Ends a `wait: { resume: true }`, once: `payload` becomes part of its output. [`ControlError::NotYet`] when the link was handed out
    /// before the wait has begun.
    pub async fn resume(&self, run: RunId, step: &StepRef, token: &str, payload: Value) -> Result<(), ControlError> {
        if !self.0.config.instance_key.opens(run, step, token) {
            return Err(ControlError::NotOpen);
        }
        let resumed = self.append(run, |run| {
            if waits(run, step, |detail| matches!(detail, Detail::Waiting { resume: true, .. })) {
                Ok(RunEvent::Resumed { step: step.clone(), payload: payload.clone() })
            } else if run.outcome.is_none() && !run.steps.contains_key(step) {
                Err(ControlError::NotYet)
            } else {
                Err(ControlError::NotOpen)
            }
        });
        match resumed.await {
            // Whether a run is there is not told to everybody.
            Err(ControlError::NoRun(_)) => Err(ControlError::NotOpen),
            result => result?.map(drop),
        }
    }

    /// Brings an event to every wait for its name whose `match` holds. Returns where it was taken.
    pub async fn emit_event(
        &self,
        workspace: &WorkspaceId,
        name: &str,
        payload: Value,
    ) -> Result<Vec<(RunId, StepRef)>, ControlError> {
        let waiting = self.0.ports.index.marked(workspace, &Mark::Awaits(name.to_owned())).await?;
        let mut taken = Vec::new();
        for summary in waiting {
            let matching = match self.matching(summary.id, name, &payload).await {
                Ok(matching) => matching,
                // One run that cannot be read must not keep the event from the others.
                Err(error) if !error.is_of_store() => {
                    tracing::error!(run = %summary.id, name, %error, "an event passes a waiting run by, because the run cannot be read");
                    continue;
                }
                Err(error) => return Err(error),
            };
            for step in matching {
                let arrived = self.append(summary.id, |run| {
                    if waits(run, &step, |detail| is_for(detail, name)) {
                        Ok(RunEvent::EventArrived { step: step.clone(), payload: payload.clone() })
                    } else {
                        Err(())
                    }
                });
                match arrived.await {
                    Ok(Ok(_)) => taken.push((summary.id, step)),
                    // It ended, or something else came first.
                    Ok(Err(())) | Err(ControlError::NoRun(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(taken)
    }

    /// The waits of a run that are for this event. A `match` that cannot be evaluated does not hold.
    async fn matching(&self, id: RunId, name: &str, payload: &Value) -> Result<Vec<StepRef>, ControlError> {
        let mut run = self.load(id).await?;
        let prepared = self.0.workflows.get(&self.0.ports, &run).await?;
        if let Some(contact) = run.contact.as_ref().filter(|_| prepared.names_contacts)
            && let Some(document) = contacts::document(&self.0.ports, &run.workspace, contact.id).await?
        {
            run.see_contact(Some(document));
        }
        let compiled = &prepared.compiled;
        let open = run.open().map(|(step, _)| step).filter(|step| waits(&run, step, |detail| is_for(detail, name)));
        let now = self.0.ports.clock.now();
        let holds = |step: &&StepRef| {
            let Some(CompiledKind::Wait(CompiledWait::Event(condition))) =
                compiled.steps.get(step.id()).map(|step| &step.kind)
            else {
                return false;
            };
            let Some(condition) = condition else { return true };
            let mut known = locals(compiled, &run, step);
            known.push(Local { name: "event", value: std::borrow::Cow::Borrowed(payload) });
            let scope = Scope::of(&run, &compiled.workflow).with_custom_values(&self.0.config.custom_values);
            let scope = scope.with_resume_links(&self.0.config);
            let verdict = condition.evaluate(&scope.within(step.at(), &known).now_is(now));
            verdict.map_or_else(
                |error| {
                    tracing::info!(run = %run.id, %step, %error, "an event is passed by, because the step's `match` cannot be evaluated");
                    false
                },
                |verdict| verdict.holds,
            )
        };
        Ok(open.filter(holds).cloned().collect())
    }

    /// Makes a contact the run's, for a step of it that is under way: `{{ contact.* }}` reads it from the next step on.
    pub async fn enroll(&self, run: RunId, step: &StepRef, contact: ContactId) -> Result<(), ControlError> {
        let enrolled = self.append(run, |run| match &run.contact {
            _ if run.outcome.is_some() => Err(Some(ControlError::Ended(run.id))),
            Some(known) if known.id == contact => Err(None),
            _ => Ok(RunEvent::ContactEnrolled { step: step.clone(), contact }),
        });
        match enrolled.await? {
            Ok(_) | Err(None) => Ok(()),
            Err(Some(error)) => Err(error),
        }
    }

    /// The changes of contacts that led to a run, the first one first, with the run itself: what a change that it makes is a part of.
    pub async fn contact_chain(&self, run: RunId) -> Result<Vec<Link>, ControlError> {
        let mut run = self.load(run).await?;
        let own = Link { workflow: run.workflow.clone(), run: run.id };
        // What a called workflow does belongs to the chain of the one that called it.
        for _ in 0..PARENTS_MAX {
            let Some(parent) = run.origin.parent.as_ref().map(|parent| parent.run) else { break };
            run = match self.load(parent).await {
                Ok(parent) => parent,
                Err(ControlError::NoRun(_)) => break,
                Err(error) => return Err(error),
            };
        }
        let known = run.origin.contact.and_then(|_| run.trigger.get("chain")).cloned();
        let mut chain: Vec<Link> = known.and_then(|known| serde_json::from_value(known).ok()).unwrap_or_default();
        chain.push(own);
        Ok(chain)
    }

    /// Says what is to become of a parked step.
    pub async fn decide(&self, run: RunId, step: &StepRef, decision: Decision) -> Result<(), ControlError> {
        let decided = self.append(run, |run| {
            let parked = run.steps.get(step).is_some_and(|state| matches!(state.phase, Phase::Parked { .. }));
            if run.outcome.is_some() {
                Err(ControlError::Ended(run.id))
            } else if parked {
                Ok(RunEvent::Decided { step: step.clone(), decision: decision.clone() })
            } else {
                Err(ControlError::NotParked { run: run.id, step: step.clone() })
            }
        });
        decided.await?.map(drop)
    }

    /// The plugins that are not called, because the sandbox had to end their calls again and again.
    pub fn quarantined(&self) -> Vec<Digest> {
        self.0.quarantine.list()
    }

    /// Lets a plugin out, and its parked runs go on. Returns them.
    pub async fn release(&self, workspace: &WorkspaceId, digest: &Digest) -> Result<Vec<RunId>, ControlError> {
        self.0.quarantine.release(digest);
        self.repeat_parked(workspace, &Mark::Quarantined(*digest), |state| state.quarantine() == Some(*digest)).await
    }

    /// The runs go on that wait for the owner of this connection, who acted at `at`. Returns them.
    pub async fn reconnected(
        &self,
        workspace: &WorkspaceId,
        name: &ConnectionName,
        at: Timestamp,
    ) -> Result<Vec<RunId>, ControlError> {
        let (mark, now) = (Mark::Reconnecting(name.clone()), self.0.ports.clock.now());
        let goes_on = |state: &StepState| state.reconnecting().as_ref() == Some(name) && state.goes_on_after(at, now);
        self.repeat_parked(workspace, &mark, goes_on).await
    }

    /// Makes the parked steps again of which `is_it` holds, in every run with the mark.
    async fn repeat_parked(
        &self,
        workspace: &WorkspaceId,
        mark: &Mark,
        is_it: impl Fn(&StepState) -> bool,
    ) -> Result<Vec<RunId>, ControlError> {
        let parked = self.0.ports.index.marked(workspace, mark).await?;
        let mut released = Vec::new();
        for summary in parked {
            let run = self.load(summary.id).await?;
            let steps = run.parked().filter(|(_, state)| is_it(state));
            for step in steps.map(|(step, _)| step) {
                match self.decide(run.id, step, Decision::Repeat).await {
                    Ok(()) => released.push(run.id),
                    Err(ControlError::NotParked { .. } | ControlError::Ended(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        released.dedup();
        Ok(released)
    }

    /// How many runs go before this one, if it is queued for a place in its workflow's `concurrency.limit`.
    pub async fn queue_position(&self, run: RunId) -> Result<Option<usize>, ControlError> {
        let run = self.load(run).await?;
        let Some(slot) = run.origin.slot.as_ref().filter(|_| run.status() == RunStatus::Queued) else {
            return Ok(None);
        };
        let sharing = self.0.ports.index.marked(&run.workspace, &Mark::Slot(slot.clone())).await?;
        let queued = sharing.iter().filter(|other| other.status == RunStatus::Queued);
        Ok(Some(queued.filter(|other| other.id < run.id).count()))
    }

    async fn load(&self, id: RunId) -> Result<Run, ControlError> {
        let entries = outside::load(&self.0.ports, id).await.map_err(|error| no_run(id, error.into()))?;
        Run::fold_owned(id, entries).map_err(|error| ControlError::Outside(error.into()))
    }

    async fn append<T>(
        &self,
        run: RunId,
        decide: impl Fn(&Run) -> Result<RunEvent, T>,
    ) -> Result<Result<Run, T>, ControlError> {
        outside::append(&self.0, run, decide).await.map_err(|error| no_run(run, error))
    }
}

/// How far up a run's callers are followed: deeper than calls may be nested.
const PARENTS_MAX: usize = 64;

fn no_run(run: RunId, error: OutsideError) -> ControlError {
    match error {
        OutsideError::Store(StoreError::NotFound { .. }) => ControlError::NoRun(run),
        error => ControlError::Outside(error),
    }
}

/// Whether the step is a wait of this kind that goes on.
fn waits(run: &Run, step: &StepRef, is_it: impl Fn(&Detail) -> bool) -> bool {
    let state = run.steps.get(step).filter(|state| run.outcome.is_none() && state.phase == Phase::Entered);
    let control = state.and_then(|state| state.control.as_deref());
    control.is_some_and(|control| control.arrival.is_none() && !control.has_timed_out && is_it(&control.detail))
}

fn is_for(detail: &Detail, name: &str) -> bool {
    matches!(detail, Detail::Waiting { event: Some(event), .. } if event == name)
}
