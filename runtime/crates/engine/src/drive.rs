//! Makes one run happen: load its events, fold them, ask the plan, do it, write it down, again until there is nothing to do now.
//!
//! Whatever happens goes into `unwritten` and into the fold at once, and reaches the journal before anything leaves the process that builds on it:
//! a step's result rides in the append that starts the next step, or ends the run. What the journal refuses for good is replaced by a
//! failure without payloads, which ends the run: tried again it would be refused again, and keep a worker for ever.

use std::sync::Arc;
use std::time::Duration;

use flowcell_core::id::{RunId, StepId};
use flowcell_core::invoke::CallRecord;
use flowcell_core::ports::{Append, Durability, StoreError};
use flowcell_core::run::event::{Outcome, Recorded, RunEvent, StepError};
use flowcell_core::run::fold::{ImpossibleJournal, Phase, Run};
use flowcell_core::run::plan::{Next, plan, start_must_be_durable};

use crate::attempt;
use crate::engine::Engine;
use crate::patience::Patience;
use crate::shutdown::Shutdown;
use crate::workflows::{Prepared, WorkflowError};

/// An idempotent attempt that ends sooner than this is written as one entry's worth: start and end together. Long enough for an ordinary
/// request, short enough that whoever looks at the run sees what it waits for.
const UNWRITTEN_START_MAX: Duration = Duration::from_millis(20);

/// How a drive ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DriveEnd {
    /// The run has ended, and its claim with it.
    Finished,
    /// Nothing to do now: the run waits, is parked, or somebody else drives it.
    Rests,
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
}

/// Drives `run` until it rests.
pub(crate) async fn drive(engine: &Engine, run: RunId, shutdown: &Shutdown) -> DriveEnd {
    let result = match Drive::begin(engine, run).await {
        Ok(drive) => drive.go(shutdown).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(end) => end,
        Err(
            DriveError::Store(StoreError::Stopped) | DriveError::Workflow(WorkflowError::Store(StoreError::Stopped)),
        ) => DriveEnd::StoreStopped,
        Err(DriveError::Store(error @ StoreError::Conflict { .. })) => {
            tracing::info!(%run, %error, "another worker drives this run; what it wrote first stands");
            DriveEnd::Rests
        }
        Err(error) => {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(%run, error, "this run is set aside until the next start");
            DriveEnd::SetAside
        }
    }
}

struct Drive<'e> {
    engine: &'e Engine,
    workflow: Arc<Prepared>,
    run: Run,
    /// What the fold has and the journal has not.
    unwritten: Vec<Recorded>,
}

impl<'e> Drive<'e> {
    async fn begin(engine: &'e Engine, id: RunId) -> Result<Self, DriveError> {
        let run = load(engine, id).await?;
        let workflow = engine.workflows.get(&engine.ports, &run).await?;
        Ok(Self { engine, workflow, run, unwritten: Vec::new() })
    }

    async fn go(mut self, shutdown: &Shutdown) -> Result<DriveEnd, DriveError> {
        match self.advance(shutdown).await {
            Err(DriveError::Store(refusal @ StoreError::Refused { .. })) => self.give_up(&refusal).await,
            result => result,
        }
    }

    async fn advance(&mut self, shutdown: &Shutdown) -> Result<DriveEnd, DriveError> {
        loop {
            match plan(&self.workflow.compiled.workflow, &self.run, self.engine.ports.clock.now()) {
                Next::Start { .. } if shutdown.is_draining() => break,
                Next::Start { step, attempt } => self.start(step, attempt).await?,
                Next::Park { step, attempt, reason } => {
                    self.note(RunEvent::StepParked { step, attempt, reason, error: None, input: None, call: None })?;
                }
                Next::Finish(outcome) => self.note(RunEvent::Finished { outcome })?,
                Next::WaitUntil(_) | Next::Rest | Next::Done => break,
            }
        }
        self.write(Durability::NextGroup).await?;
        Ok(if self.run.outcome.is_some() { DriveEnd::Finished } else { DriveEnd::Rests })
    }

    async fn start(&mut self, step: StepId, attempt: u32) -> Result<(), DriveError> {
        let must_be_durable = start_must_be_durable(&self.workflow.compiled.workflow, &self.run, &step);
        let is_alone = self.unwritten.is_empty();
        self.note(RunEvent::StepStarted { step: step.clone(), attempt })?;
        let ended = if must_be_durable {
            self.write(Durability::Synced).await?;
            attempt::make(self.engine, &self.workflow, &self.run, &step, attempt).await
        } else if is_alone {
            self.make_and_then_write(&step, attempt).await?
        } else {
            // The result before it is not held back.
            self.write(Durability::NextGroup).await?;
            attempt::make(self.engine, &self.workflow, &self.run, &step, attempt).await
        };
        self.note(ended)
    }

    /// Makes an attempt that may be repeated; its start is written once it takes longer than [`UNWRITTEN_START_MAX`], and else with its end.
    /// A crash before that loses nothing but the start: the next worker begins the same attempt under the same key.
    async fn make_and_then_write(&mut self, step: &StepId, attempt: u32) -> Result<RunEvent, DriveError> {
        let Self { engine, workflow, run, unwritten } = self;
        let clock = &engine.ports.clock;
        let takes_long = clock.sleep_until(clock.now() + UNWRITTEN_START_MAX);
        let making = attempt::make(engine, workflow, run, step, attempt);
        tokio::pin!(making);
        tokio::select! {
            biased;
            ended = &mut making => return Ok(ended),
            () = takes_long => write(engine, run, unwritten, Durability::NextGroup).await?,
        }
        Ok(making.await)
    }

    /// Ends the run without what the journal refuses.
    async fn give_up(mut self, refusal: &StoreError) -> Result<DriveEnd, DriveError> {
        let refused = std::mem::take(&mut self.unwritten);
        let named = refused.first().and_then(|first| Some((first.seq, step_of(&first.event)?.clone())));
        let Some((length, step)) = named else {
            return Err(StoreError::Refused { message: refusal.to_string() }.into());
        };
        self.run = self.reload(length).await?;
        tracing::warn!(run = %self.run.id, %step, error = %refusal, "a run ends here, because its journal cannot take what happened");
        let error = StepError {
            code: "journal-refused".to_owned(),
            message: format!(
                "what step `{step}` did cannot be written down ({refusal}); it may have happened all the same. Let it return less, or something flatter"
            ),
            retryable: false,
            details: None,
        };
        if let Some(RunEvent::StepStarted { .. }) = refused.first().map(|first| &first.event) {
            // Its start was held back; it can be written.
            refused.into_iter().next().map_or(Ok(()), |started| self.note(started.event))?;
        }
        let open = self.run.steps.get(&step).filter(|state| state.phase == Phase::Started);
        if let Some(attempt) = open.and_then(|state| state.attempts.last()).map(|last| last.number) {
            let (step, error, call) = (step.clone(), error.clone(), CallRecord::default());
            self.note(RunEvent::StepFailed { step, attempt, error, retry_at: None, input: None, call })?;
        }
        self.note(RunEvent::Finished { outcome: Outcome::Failed { step, error } })?;
        self.write(Durability::NextGroup).await?;
        Ok(DriveEnd::Finished)
    }

    /// The run as the journal has it; what was queued last may take a moment to show.
    async fn reload(&self, length: u32) -> Result<Run, DriveError> {
        let mut patience = Patience::new(&*self.engine.ports.clock);
        loop {
            let run = load(self.engine, self.run.id).await?;
            if run.next_seq >= length {
                return Ok(run);
            }
            patience.pause("loading what was written last", &StoreError::Busy).await;
        }
    }

    /// Takes in what has happened; the journal gets it with the next [`Self::write`].
    fn note(&mut self, event: RunEvent) -> Result<(), DriveError> {
        let recorded = Recorded { seq: self.run.next_seq, at: self.engine.ports.clock.now(), event };
        self.run.apply(&recorded)?;
        self.unwritten.push(recorded);
        Ok(())
    }

    async fn write(&mut self, durability: Durability) -> Result<(), DriveError> {
        write(self.engine, &self.run, &mut self.unwritten, durability).await
    }
}

/// Appends what is unwritten; `run` is the fold after it.
async fn write(
    engine: &Engine,
    run: &Run,
    unwritten: &mut Vec<Recorded>,
    durability: Durability,
) -> Result<(), DriveError> {
    if unwritten.is_empty() {
        return Ok(());
    }
    let ports = &engine.ports;
    let mut patience = Patience::new(&*ports.clock);
    loop {
        let append = Append { run: run.id, entries: unwritten.clone(), summary: run.summary(), durability };
        match ports.journal.append(append).await {
            Ok(()) => break,
            Err(error) if Patience::covers(&error) => patience.pause("writing what a run did", &error).await,
            Err(error) => return Err(error.into()),
        }
    }
    unwritten.clear();
    Ok(())
}

async fn load(engine: &Engine, id: RunId) -> Result<Run, DriveError> {
    let mut patience = Patience::new(&*engine.ports.clock);
    loop {
        match engine.ports.journal.load(id).await {
            Err(error) if Patience::covers(&error) => patience.pause("loading a run", &error).await,
            result => return Ok(Run::fold_owned(id, result?)?),
        }
    }
}

/// The step that an event is about.
fn step_of(event: &RunEvent) -> Option<&StepId> {
    match event {
        RunEvent::StepStarted { step, .. }
        | RunEvent::StepSucceeded { step, .. }
        | RunEvent::StepFailed { step, .. }
        | RunEvent::StepParked { step, .. }
        | RunEvent::Finished { outcome: Outcome::Failed { step, .. } } => Some(step),
        RunEvent::Created { .. } | RunEvent::Finished { .. } => None,
    }
}
