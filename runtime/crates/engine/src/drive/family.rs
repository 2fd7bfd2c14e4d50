//! What a run has to do with others: the runs it calls, the one that called it, its error workflow, and those that share its slot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flowcell_core::id::{EventId, RunId, StepRef};
use flowcell_core::ports::{Durability, StoreError};
use flowcell_core::run::event::{Detail, Origin, Outcome, Parent, RunEvent, StepError};
use flowcell_core::run::fold::{Mark, Phase, Run, RunStatus};
use flowcell_core::time::Timestamp;
use serde_json::{Value, json};

use super::{Drive, DriveError};
use crate::control::REPLACED;
use crate::control::create::{self, CreateError, Creation};
use crate::outside;
use crate::patience::Patience;

/// What expressions of an error workflow read as `trigger.error` and so on.
const ON_FAILURE: &str = "on_failure";

impl Drive<'_> {
    /// Whether a run that shares the slot with others may go on: it has begun before, or fewer than the limit have.
    ///
    /// A run keeps its place until it ends, also while it waits; a parked one gives it up.
    pub(super) async fn may_take(&mut self, slot: &str) -> Result<bool, DriveError> {
        let limit = self.workflow.compiled.workflow.settings.concurrency.as_ref().map(|concurrency| concurrency.limit);
        // One that is only to end needs no place.
        let is_over = self.run.cancel.is_some() || self.ends_at().is_some_and(|at| at <= self.core.ports.clock.now());
        let Some(limit) = limit.filter(|_| !is_over) else { return Ok(true) };
        let mark = Mark::Slot(slot.to_owned());
        let mut patience = Patience::new(&*self.core.ports.clock);
        let sharing = loop {
            match self.core.ports.index.marked(&self.run.workspace, &mark).await {
                Err(error) if Patience::covers(&error) => patience.pause("counting the runs of a slot", &error).await,
                result => break result?,
            }
        };
        let goes_on = |status: RunStatus, is_parked: bool| status != RunStatus::Queued && !is_parked;
        let begun = sharing.iter().filter(|run| goes_on(run.status, run.error_code.as_deref() == Some("parked")));
        let begun: Vec<RunId> = begun.map(|run| run.id).collect();
        let has_begun = self.run.has_begun();
        Ok(self.core.slots.take(slot, self.run.id, &begun, if has_begun { u32::MAX } else { limit.max(1) }))
    }

    /// When the run has taken as long as its workflow's `settings.timeout` allows.
    pub(super) fn ends_at(&self) -> Option<Timestamp> {
        let limit_ms = self.workflow.compiled.workflow.settings.timeout_ms?;
        Some(self.run.created_at + Duration::from_millis(limit_ms))
    }

    /// Ends the runs that this one replaces, before anything of it begins: whoever delivered it may have been stopped before that was done.
    pub(super) async fn end_replaced(&mut self) -> Result<(), DriveError> {
        if !self.run.steps.is_empty() {
            return Ok(());
        }
        for other in &self.run.origin.replaces {
            let asked = outside::append(self.core, *other, |other: &Run| {
                if other.outcome.is_some() || other.cancel.is_some() {
                    Err(())
                } else {
                    Ok(RunEvent::CancelRequested { reason: REPLACED.to_owned() })
                }
            });
            match asked.await {
                // It has been deleted.
                Ok(_) | Err(outside::OutsideError::Store(StoreError::NotFound { .. })) => {}
                Err(error) if error.is_of_store() => return Err(error.into()),
                Err(error) => {
                    tracing::error!(run = %self.run.id, replaces = %other, %error, "an earlier run about the same subject cannot be read, and so not be ended");
                }
            }
        }
        Ok(())
    }

    /// Starts the run that a `call` named, if it is not there yet. Returns whether the step has changed.
    pub(super) async fn see_to_child(&mut self, step: &StepRef, child: RunId) -> Result<bool, DriveError> {
        if !self.children.insert(child) {
            return Ok(false);
        }
        self.write(Durability::Synced).await?; // the child tells this step; it must be there to be told
        let control = self.run.steps.get(step).and_then(|state| state.control.as_deref());
        let Some(Detail::Called { workflow, version, input, .. }) = control.map(|control| &control.detail) else {
            return Ok(true);
        };
        let at = child.created_at();
        let parent = Some(Parent { run: self.run.id, step: step.clone() });
        let contact = self.run.contact.as_ref().map(|contact| contact.id);
        let origin = Origin { parent, contact, ..Origin::default() };
        let creation = Creation {
            id: child,
            event: EventId::derived(self.run.id, at, &step.to_string()),
            workspace: self.run.workspace.clone(),
            workflow: workflow.clone(),
            version: *version,
            trigger: Arc::new(input.clone()),
            origin,
        };
        let source = format!("call/{}", self.run.workflow);
        match create::once(self.core, creation, &source).await {
            Ok(()) => Ok(false),
            Err(CreateError::Store(error)) => Err(error.into()),
            Err(error) => {
                let error = StepError::permanent(error.code(), error.to_string());
                let (step, call) = (step.clone(), Arc::default());
                self.note(RunEvent::StepFailed {
                    step,
                    attempt: 1,
                    error,
                    retry_at: None,
                    input: None,
                    origin: None,
                    call,
                })?;
                Ok(true)
            }
        }
    }

    /// Ends the run that a `call` waits for, when the step no longer does.
    pub(super) async fn cancel_child(&mut self, step: &StepRef, reason: &str) -> Result<(), DriveError> {
        let state = self.run.steps.get(step).filter(|state| state.phase == Phase::Entered);
        let Some(control) =
            state.and_then(|state| state.control.as_deref()).filter(|control| control.arrival.is_none())
        else {
            return Ok(());
        };
        let Detail::Called { run: child, .. } = control.detail else { return Ok(()) };
        let reason = format!("step `{step}` of {}, which called it, ended: {reason}", self.run.id);
        let asked = outside::append(self.core, child, |child: &Run| {
            if child.outcome.is_some() || child.cancel.is_some() {
                Err(())
            } else {
                Ok(RunEvent::CancelRequested { reason: reason.clone() })
            }
        });
        match asked.await {
            // It was never started.
            Ok(_) | Err(outside::OutsideError::Store(StoreError::NotFound { .. })) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the run that called this one how it ended, and starts the error workflow: before the end itself is written, so that a crash
    /// in between repeats what changes nothing the second time.
    pub(super) async fn tell_family(&mut self, outcome: &Outcome, output: &Value) -> Result<(), DriveError> {
        let parent = self.run.origin.parent.clone();
        let error_workflow = self.workflow.compiled.workflow.settings.on_failure.clone();
        let error_workflow = error_workflow.filter(|_| self.run.origin.failure_of.is_none());
        let failure = match outcome {
            Outcome::Failed { step, error } => error_workflow.map(|workflow| (workflow, step, error)),
            Outcome::Succeeded | Outcome::Cancelled { .. } => None,
        };
        if parent.is_none() && failure.is_none() {
            return Ok(());
        }
        self.write(Durability::Synced).await?; // what is told must not be forgotten
        if let Some((workflow, step, error)) = failure {
            let trigger = json!({
                "error": error,
                "step": step,
                "run": { "id": self.run.id, "created_at": self.run.created_at },
                "workflow": { "id": self.run.workflow, "version": self.run.version },
            });
            self.start_error_workflow(workflow, trigger).await?;
        }
        let Some(Parent { run: parent, step }) = parent else { return Ok(()) };
        let child = self.run.id;
        let told = outside::append(self.core, parent, |parent: &Run| {
            if waits_for(parent, &step, child) {
                let (step, outcome, output) = (step.clone(), outcome.clone(), output.clone());
                Ok(RunEvent::ChildEnded { step, outcome, output })
            } else {
                Err(())
            }
        });
        match told.await {
            // It has been deleted.
            Ok(_) | Err(outside::OutsideError::Store(StoreError::NotFound { .. })) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn start_error_workflow(
        &mut self,
        workflow: flowcell_core::id::WorkflowId,
        trigger: Value,
    ) -> Result<(), DriveError> {
        let run = &self.run;
        let version = match create::published(self.core, &run.workspace, &workflow).await {
            Ok(version) => version,
            Err(CreateError::Store(error)) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(run = %run.id, %workflow, %error, "the error workflow cannot be started");
                return Ok(());
            }
        };
        let creation = Creation {
            id: run.id.derived(run.created_at, ON_FAILURE),
            event: EventId::derived(run.id, run.created_at, ON_FAILURE),
            workspace: run.workspace.clone(),
            workflow: workflow.clone(),
            version,
            trigger: Arc::new(trigger),
            origin: Origin { failure_of: Some(run.id), ..Origin::default() },
        };
        match create::once(self.core, creation, &format!("{ON_FAILURE}/{}", run.workflow)).await {
            Ok(()) => Ok(()),
            Err(CreateError::Store(error)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(run = %run.id, %workflow, %error, "the error workflow cannot be started");
                Ok(())
            }
        }
    }
}

/// Whether a step waits for the end of this child.
fn waits_for(parent: &Run, step: &StepRef, child: RunId) -> bool {
    let state = parent.steps.get(step).filter(|state| parent.outcome.is_none() && state.phase == Phase::Entered);
    let control = state.and_then(|state| state.control.as_deref()).filter(|control| control.arrival.is_none());
    control.is_some_and(|control| matches!(control.detail, Detail::Called { run, .. } if run == child))
}

/// The runs that go on in each slot, as far as this process let them.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// Held for look-ups only.
    slots: Mutex<BTreeMap<String, Slot>>,
    /// Runs that this process does not drive again. What the store has of them may be wrong for as long as it runs: they take no place.
    set_aside: Mutex<BTreeSet<RunId>>,
}

/// Slots that nobody holds are forgotten once there are this many: by then the store shows long since what was left in them.
const IDLE_SLOTS_MAX: usize = 10_000;

#[derive(Debug, Default)]
struct Slot {
    taken: BTreeSet<RunId>,
    /// Those that left, while the store may still show them as going on.
    left: BTreeSet<RunId>,
}

impl Slots {
    /// Takes a place for `run` beside those that have `begun` by the store's account and those that were let in here.
    fn take(&self, slot: &str, run: RunId, begun: &[RunId], limit: u32) -> bool {
        let mut slots = self.lock();
        let slot = slots.entry(slot.to_owned()).or_default();
        slot.left.remove(&run);
        slot.left.retain(|left| begun.contains(left));
        let set_aside = self.set_aside.lock().unwrap_or_else(PoisonError::into_inner);
        let by_store = begun.iter().filter(|other| !slot.left.contains(other) && !set_aside.contains(other));
        let others: BTreeSet<_> = by_store.chain(&slot.taken).filter(|other| **other != run).collect();
        let may = slot.taken.contains(&run) || others.len() < limit as usize;
        if may {
            slot.taken.insert(run);
        }
        may
    }

    /// Gives a run's place up: it has ended or is parked.
    pub(crate) fn leave(&self, slot: &str, run: RunId) {
        let mut slots = self.lock();
        if let Some(slot) = slots.get_mut(slot) {
            slot.taken.remove(&run);
            slot.left.insert(run);
        }
        if slots.len() > IDLE_SLOTS_MAX {
            slots.retain(|name, other| name == slot || !other.taken.is_empty());
        }
    }

    /// Gives every place of a run up that nobody drives until the next start.
    pub(crate) fn set_aside(&self, run: RunId) {
        let mut slots = self.lock();
        for slot in slots.values_mut() {
            slot.taken.remove(&run);
        }
        self.set_aside.lock().unwrap_or_else(PoisonError::into_inner).insert(run);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        // No code that holds the lock can panic half-way through a change.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
