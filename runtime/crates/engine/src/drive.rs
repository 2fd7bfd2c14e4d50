//! Makes one run happen: load its events, fold them, ask the plan, do it, write it down, again until there is nothing to do now.
//!
//! Whatever happens goes into `unwritten` and into the fold at once, and reaches the journal before anything leaves the process that builds on it:
//! a step's result rides in the append that starts the next step, or ends the run. What the journal refuses for good is replaced by a
//! failure without payloads, which ends the run: tried again it would be refused again, and keep a worker for ever.
//!
//! The attempts of one run fly at the same time ([`flights`]); whoever brings something from outside appends it to the journal and pokes, and
//! what was not written yet is put behind it ([`write`]).

mod family;
mod flights;
mod give_up;
mod write;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use flowcell_core::id::{RunId, StepRef};
use flowcell_core::ports::{Durability, StoreError};
use flowcell_core::run::event::{Outcome, Recorded, RunEvent};
use flowcell_core::run::fold::{ImpossibleJournal, Run};
use flowcell_core::run::plan::{Definition, Moment, Next, plan, start_must_be_durable};
use flowcell_core::time::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;

pub(crate) use self::family::Slots;
use self::flights::Flights;
use crate::attempt::{self, Landed, Readied};
use crate::contacts;
use crate::engine::Core;
use crate::outside::{self, OutsideError};
use crate::shutdown::Shutdown;
use crate::workflows::{Prepared, WorkflowError};

/// An idempotent attempt that ends sooner than this is written as one entry's worth: start and end together. Long enough for an ordinary
/// request, short enough that whoever looks at the run sees what it waits for.
const UNWRITTEN_MAX: Duration = Duration::from_millis(20);

/// Entries that are written before more are thought of: a loop of thousands of iterations without a pause comes in parts.
const UNWRITTEN_ENTRIES_MAX: usize = 256;

/// How a drive ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DriveEnd {
    /// The run has ended, and its claim with it.
    Finished {
        slot: Option<String>,
    },
    /// Nothing to do now: the run waits, is parked (and gives its slot up), or somebody else drives it.
    Rests {
        slot: Option<String>,
    },
    /// As many runs as may go on are: it is to be looked at again when one of this slot ends, or when it has taken too long.
    Queued {
        slot: String,
        until: Option<Timestamp>,
    },
    /// It cannot be driven by this process, however often it is tried; the log says why.
    SetAside,
    StoreStopped,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DriveError {
    #[error("the store refused")]
    Store(#[from] StoreError),
    #[error("the journal tells no possible story")]
    Journal(#[from] ImpossibleJournal),
    #[error("its workflow cannot be had")]
    Workflow(#[from] WorkflowError),
    #[error("another run could not be told")]
    Outside(#[from] OutsideError),
    /// Somebody else drives the run; what it wrote first stands.
    #[error("another worker drives it")]
    TakenOver,
}

/// Drives `run` until it rests.
pub(crate) async fn drive(core: &Core, run: RunId, shutdown: &Shutdown) -> DriveEnd {
    let listening = core.hub.listen(run); // before loading: what is appended after that pokes
    let result = match Drive::begin(core, run, listening.poked()).await {
        Ok(drive) => drive.go(shutdown).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(end) => end,
        Err(
            DriveError::Store(StoreError::Stopped)
            | DriveError::Workflow(WorkflowError::Store(StoreError::Stopped))
            | DriveError::Outside(OutsideError::Store(StoreError::Stopped)),
        ) => DriveEnd::StoreStopped,
        Err(DriveError::TakenOver) => {
            tracing::info!(%run, "another worker drives this run; what it wrote first stands");
            DriveEnd::Rests { slot: None }
        }
        Err(error) => {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(%run, error, "this run is set aside until the next start");
            DriveEnd::SetAside
        }
    }
}

struct Drive<'e> {
    core: &'e Core,
    workflow: Arc<Prepared>,
    run: Run,
    /// What the fold has and the journal has not.
    unwritten: Vec<Recorded>,
    flights: Flights<'e>,
    poked: Arc<Notify>,
    /// The called runs that have been seen to.
    children: BTreeSet<RunId>,
    /// Whether the next attempts' starts are written at once: an earlier process may have been stopped by them, again and again.
    is_careful: bool,
}

/// What ended a pause.
enum Happened {
    Landed(Box<Landed>),
    /// What is unwritten has been kept back long enough.
    HeldLongEnough,
    Poked,
    Woken,
    Draining,
}

impl<'e> Drive<'e> {
    async fn begin(core: &'e Core, id: RunId, poked: Arc<Notify>) -> Result<Self, DriveError> {
        let run = Run::fold_owned(id, outside::load(&core.ports, id).await?)?;
        let workflow = core.workflows.get(&core.ports, &run).await?;
        let is_careful = run.created_at < core.started_at;
        let (unwritten, flights, children) = (Vec::new(), Flights::default(), BTreeSet::new());
        Ok(Self { core, workflow, run, unwritten, flights, poked, children, is_careful })
    }

    async fn go(mut self, shutdown: &Shutdown) -> Result<DriveEnd, DriveError> {
        let slot = self.run.origin.slot.clone();
        self.end_replaced().await?;
        if let Some(slot) = &slot
            && !self.may_take(slot).await?
        {
            return Ok(DriveEnd::Queued { slot: slot.clone(), until: self.ends_at() });
        }
        match self.advance(shutdown).await {
            Err(
                DriveError::Store(refusal @ StoreError::Refused { .. })
                | DriveError::Outside(OutsideError::Store(refusal @ StoreError::Refused { .. })),
            ) => self.give_up(&refusal).await?,
            result => result?,
        }
        if self.run.outcome.is_some() {
            return Ok(DriveEnd::Finished { slot });
        }
        let is_parked = self.run.parked().next().is_some() && self.run.due_at().is_none();
        Ok(DriveEnd::Rests { slot: slot.filter(|_| is_parked) })
    }

    /// Does what can be done until the run rests, has ended, or is to be left for the next start.
    async fn advance(&mut self, shutdown: &Shutdown) -> Result<(), DriveError> {
        loop {
            let todo = self.settle().await?;
            if self.run.outcome.is_some() {
                return Ok(());
            }
            let (mut starts, mut wake_at, mut has_new) = (Vec::new(), None, false);
            for next in todo {
                match next {
                    Next::Start { step, attempt } => starts.push((step, attempt)),
                    Next::Call { step, run } => has_new |= self.see_to_child(&step, run).await?,
                    Next::WaitUntil(at) => wake_at = Some(at),
                    Next::Note(_) | Next::Finish { .. } | Next::Rest | Next::Done => {}
                }
            }
            let is_ending = shutdown.is_draining() && !starts.is_empty();
            if !is_ending && !starts.is_empty() {
                has_new |= self.start(starts).await?;
            }
            if has_new {
                continue; // something could not be begun, and has ended already
            }
            if self.flights.is_empty() {
                if !is_ending {
                    self.rest(wake_at)?;
                }
                self.write(Durability::NextGroup).await?;
                if is_ending || self.is_at_rest(wake_at) {
                    return Ok(());
                }
                continue;
            }
            self.pause(wake_at, shutdown).await?;
        }
    }

    /// Notes what follows from what is known until nothing more does, and returns what is to be done in the world.
    async fn settle(&mut self) -> Result<Vec<Next>, DriveError> {
        loop {
            self.see_contact().await?;
            let todo = self.plan();
            let end = todo.iter().find_map(|next| match next {
                Next::Finish { outcome, output } => Some((outcome.clone(), output.clone())),
                _ => None,
            });
            let notes: Vec<RunEvent> = todo
                .iter()
                .filter_map(|next| if let Next::Note(event) = next { Some(event.clone()) } else { None })
                .collect();
            if let Some((outcome, output)) = end {
                self.finish(notes, outcome, output).await?;
                if self.run.outcome.is_some() {
                    return Ok(Vec::new());
                }
            } else if notes.is_empty() {
                return Ok(todo);
            } else {
                for event in notes {
                    self.before(&event).await?;
                    self.note(event)?;
                }
            }
            if self.unwritten.len() >= UNWRITTEN_ENTRIES_MAX {
                self.write(Durability::NextGroup).await?;
            }
        }
    }

    /// Shows the run its contact as it is now. What it was when its trigger came stays where it has been deleted since.
    async fn see_contact(&mut self) -> Result<(), DriveError> {
        let Some(contact) = self.run.contact.as_ref().filter(|_| self.workflow.names_contacts) else { return Ok(()) };
        if let Some(document) = contacts::document(&self.core.ports, &self.run.workspace, contact.id).await? {
            self.run.see_contact(Some(document));
        }
        Ok(())
    }

    fn plan(&self) -> Vec<Next> {
        let Prepared { compiled, calls, .. } = &*self.workflow;
        let custom_values = &*self.core.config.custom_values;
        let (calendar, resume_links) = (&*self.core.ports.calendar, &self.core.config);
        let definition = Definition { compiled, calls, calendar, custom_values, resume_links };
        plan(definition, &self.run, Moment { now: self.now(), in_flight: self.flights.steps() })
    }

    /// Begins attempts, as many as may fly. Returns whether one of them has ended already.
    async fn start(&mut self, starts: Vec<(StepRef, u32)>) -> Result<bool, DriveError> {
        if self.unwritten.iter().any(|entry| matches!(entry.event, RunEvent::TimedOut { .. })) {
            // What a wait was for may come at this very moment. It is in vain only once the journal says so: then its steps begin.
            self.write(Durability::NextGroup).await?;
            return Ok(true);
        }
        let free = self.core.config.attempts_per_run.max(1).saturating_sub(self.flights.len());
        let holds_result = self.unwritten.iter().any(|entry| is_result(&entry.event));
        let (mut must_be_durable, mut has_ended) = (std::mem::take(&mut self.is_careful), false);
        let mut calls = Vec::new();
        for (step, attempt) in starts.into_iter().take(free) {
            let readied = attempt::ready(self.core, &self.workflow, &self.run, &step, attempt);
            if !matches!(readied, Readied::Later(_)) {
                must_be_durable |= start_must_be_durable(&self.workflow.compiled.workflow, &self.run, step.id());
                self.note(RunEvent::StepStarted { step, attempt })?;
            }
            match readied {
                Readied::Call(call) => calls.push(call),
                Readied::End(event) | Readied::Later(event) => {
                    self.note(*event)?;
                    has_ended = true;
                }
            }
        }
        if calls.is_empty() {
            return Ok(has_ended);
        }
        if must_be_durable {
            self.write(Durability::Synced).await?;
        } else if holds_result {
            // The result before it is not held back.
            self.write(Durability::NextGroup).await?;
        }
        if self.run.cancel.is_some() {
            return Ok(true); // it was asked for while the starts were written
        }
        for call in calls {
            let core = self.core;
            self.flights.begin(call.call.step.clone(), Box::pin(attempt::fly(core, *call)));
        }
        Ok(has_ended)
    }

    /// Waits until something happens, and takes it in.
    async fn pause(&mut self, wake_at: Option<Timestamp>, shutdown: &Shutdown) -> Result<(), DriveError> {
        let clock = &*self.core.ports.clock;
        let hold_until = (!self.unwritten.is_empty()).then(|| clock.now() + UNWRITTEN_MAX);
        let until = |at: Option<Timestamp>| async move {
            match at {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let is_draining = shutdown.is_draining();
        let happened = tokio::select! {
            biased; // in this order each time, so that a simulation repeats itself
            landed = self.flights.next() => Happened::Landed(Box::new(landed)),
            () = until(hold_until) => Happened::HeldLongEnough,
            () = self.poked.notified() => Happened::Poked,
            () = until(wake_at) => Happened::Woken,
            () = shutdown.draining(), if !is_draining => Happened::Draining,
        };
        match happened {
            Happened::Landed(landed) => {
                let event = attempt::conclude(self.core, &self.workflow, &self.run, *landed);
                self.note(event)?;
                // What the step itself has brought from outside, such as the run's contact, is there for the next one.
                if pin!(self.poked.notified()).enable() { self.catch_up().await } else { Ok(()) }
            }
            Happened::HeldLongEnough => self.write(Durability::NextGroup).await,
            Happened::Poked => self.catch_up().await,
            Happened::Woken | Happened::Draining => Ok(()),
        }
    }

    /// What has to be done before an event may be noted.
    async fn before(&mut self, event: &RunEvent) -> Result<(), DriveError> {
        if let RunEvent::Cancelled { step, .. } = event {
            self.flights.abort(step);
        }
        if let RunEvent::Cancelled { step, reason } = event {
            self.cancel_child(step, reason).await?;
        } else if let RunEvent::StepFailed { step, error, .. } = event {
            self.cancel_child(step, &error.message).await?;
        }
        Ok(())
    }

    /// Ends the run. What is cut short with it (`notes`) and the end are written together: one without the other would leave a run of which
    /// nobody knows any more why it was to end.
    async fn finish(&mut self, notes: Vec<RunEvent>, outcome: Outcome, output: Value) -> Result<(), DriveError> {
        for event in &notes {
            self.before(event).await?;
        }
        self.tell_family(&outcome, &output).await?;
        for event in notes {
            self.note(event)?;
        }
        self.note(RunEvent::Finished { outcome, output })?;
        self.write(Durability::NextGroup).await
    }

    /// Says when the run is to be looked at again, where that does not follow from its events.
    fn rest(&mut self, until: Option<Timestamp>) -> Result<(), DriveError> {
        if self.run.due_at() == until { Ok(()) } else { self.note(RunEvent::Rested { until }) }
    }

    /// Whether what was written last is that there is nothing to do: something may have come from outside meanwhile.
    fn is_at_rest(&self, until: Option<Timestamp>) -> bool {
        self.run.outcome.is_some() || self.run.due_at() == until
    }

    /// Takes in what has happened; the journal gets it with the next [`Self::write`].
    fn note(&mut self, event: RunEvent) -> Result<(), DriveError> {
        let recorded = Recorded { seq: self.run.next_seq, at: self.now(), event };
        self.run.apply(&recorded)?;
        self.unwritten.push(recorded);
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.core.ports.clock.now()
    }
}

/// Whether somebody may wait for it: it is not held back by what comes next.
fn is_result(event: &RunEvent) -> bool {
    matches!(
        event,
        RunEvent::StepSucceeded { .. }
            | RunEvent::StepFailed { .. }
            | RunEvent::StepParked { .. }
            | RunEvent::Responded { .. }
    )
}
