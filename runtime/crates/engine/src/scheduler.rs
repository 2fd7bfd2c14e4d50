//! Starts runs by the clock. Stands beside the worker and knows which schedules there are ([`ScheduleSource`]), how far each has come
//! ([`Schedules`]), the clock, and [`RunControl`], by which every run is started. When something comes is computed by `core::schedule`.
//!
//! An occurrence starts one run, whatever happens:
//! - the delivery and its run are one transaction of the journal. The delivery's id and key are made of the trigger and the occurrence, so that
//!   doing it again, as after a crash before the cursor was written, changes nothing;
//! - the cursor is written after the delivery, and never goes back. A clock that steps back finds everything decided already; one that steps
//!   forward leaves missed times, and the schedule's rule says what becomes of them ([`Schedule::catch_up`]).
//!
//! [`Schedule::catch_up`]: flowcell_core::schedule::Schedule::catch_up

mod delivery;
mod timetable;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use flowcell_core::condition::Explanation;
use flowcell_core::id::{EventId, RunId, WorkflowId, WorkspaceId};
use flowcell_core::ports::{Changed, Clock, Schedules, StoreError};
use flowcell_core::schedule::Schedule;
use flowcell_core::time::Timestamp;

use crate::control::RunControl;
use crate::patience::Patience;
use crate::shutdown::Shutdown;
use crate::worker::EngineStopped;
use timetable::{Entry, Timetable};

/// A published workflow that runs by the clock.
#[derive(Debug, Clone)]
pub struct ScheduledTrigger {
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    /// The published version; its runs execute it.
    pub version: u32,
    /// The trigger's id within its workflow.
    pub trigger: String,
    pub schedule: Schedule,
    /// Since when this version is published: nothing before was missed.
    pub since: Timestamp,
}

/// The published workflows that run by the clock.
#[async_trait]
pub trait ScheduleSource: Send + Sync {
    async fn schedules(&self) -> Result<Vec<ScheduledTrigger>, StoreError>;

    /// Resolves at the first change after the call: subscribe before looking, so that nothing is missed.
    fn changed(&self) -> Changed;

    /// Hears what became of each occurrence, to count it and to show it to people.
    fn became(&self, _trigger: &ScheduledTrigger, _now: Timestamp, _became: &Became) {}
}

/// What became of an occurrence.
#[derive(Debug, Clone, PartialEq)]
pub enum Became {
    Started,
    /// Its run was started before.
    Duplicate,
    /// Unfinished runs about the same subject go on in its place (`reentry.policy: skip`).
    Skipped {
        because_of: Vec<RunId>,
    },
    /// The trigger's filter does not hold.
    Filtered {
        event: EventId,
        because: Explanation,
    },
    /// It cannot be started: a key or the filter reads what is not there, the workflow cannot be read.
    Refused {
        message: String,
    },
}

/// What the scheduler needs of the outside.
#[derive(Clone)]
pub struct SchedulerPorts {
    /// Starts the runs.
    pub control: RunControl,
    pub schedules: Arc<dyn Schedules>,
    pub source: Arc<dyn ScheduleSource>,
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for SchedulerPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SchedulerPorts")
    }
}

/// Starts the runs of every schedule of one store. There is one: two would decide about the same occurrences.
#[derive(Debug)]
pub struct Scheduler {
    ports: SchedulerPorts,
}

/// Why an entry of the timetable is not worked on any further.
enum Halt {
    /// A drain began; the next start goes on.
    Draining,
    Stopped(EngineStopped),
    /// This schedule cannot go on, the others can.
    SetAside(StoreError),
}

impl Scheduler {
    pub fn new(ports: SchedulerPorts) -> Self {
        Self { ports }
    }

    /// Works until `shutdown` or until the store stops. Missed times of before the start are made up for first.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), EngineStopped> {
        while !shutdown.is_draining() {
            let changed = self.ports.source.changed(); // before looking: a change in between is then seen
            match self.timetable(&shutdown).await {
                Ok(timetable) => self.keep(timetable, changed, &shutdown).await?,
                Err(Halt::Draining) => {}
                Err(Halt::Stopped(stopped)) => return Err(stopped),
                Err(Halt::SetAside(error)) => {
                    tracing::error!(%error, "the schedules cannot be read; no run is started by the clock until a workflow is applied or Flowcell is started again");
                    self.wait(None, changed, &shutdown).await;
                }
            }
        }
        Ok(())
    }

    /// Acts on what is due until the schedules change or the end.
    async fn keep(
        &self,
        mut timetable: Timetable,
        mut changed: Changed,
        shutdown: &Shutdown,
    ) -> Result<(), EngineStopped> {
        loop {
            let now = self.ports.clock.now();
            while let Some(mut entry) = timetable.take_due(now) {
                match self.act(&mut entry, now, shutdown).await {
                    Ok(()) => timetable.put_back(entry),
                    Err(Halt::Draining) => return Ok(()),
                    Err(Halt::Stopped(stopped)) => return Err(stopped),
                    Err(Halt::SetAside(error)) => {
                        let workflow = &entry.trigger.workflow;
                        tracing::error!(%workflow, %error, "a schedule is set aside until a workflow is applied or Flowcell is started again");
                    }
                }
            }
            if self.wait(timetable.next(), &mut changed, shutdown).await {
                return Ok(());
            }
        }
    }

    /// Whether it was something else than the time.
    async fn wait(&self, next: Option<Timestamp>, changed: impl Future<Output = ()>, shutdown: &Shutdown) -> bool {
        let due = async {
            match next {
                Some(at) => self.ports.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased; // in this order each time, so that a simulation repeats itself
            () = shutdown.draining() => true,
            () = changed => true,
            () = due => false,
        }
    }

    /// Decides about everything that has come for one schedule until `now`; its next occurrence is then a later one.
    async fn act(&self, entry: &mut Entry, now: Timestamp, shutdown: &Shutdown) -> Result<(), Halt> {
        let due = entry.trigger.schedule.catch_up(entry.cursor.decided, now);
        if let Some(passed_over) = due.passed_over {
            tracing::warn!(
                workflow = %entry.trigger.workflow, from = %passed_over.first, to = %passed_over.last, missed = ?entry.trigger.schedule.missed(),
                "times of a schedule are passed over, because nobody could act on them in time"
            );
        }
        for occurrence in due.fire {
            if shutdown.is_draining() {
                return Err(Halt::Draining);
            }
            self.fire(&entry.trigger, occurrence, shutdown).await?;
            entry.cursor.decided = occurrence;
            entry.cursor.fired = Some(occurrence);
            self.note(&entry.cursor, shutdown).await?;
        }
        if due.decided > entry.cursor.decided {
            entry.cursor.decided = due.decided;
            self.note(&entry.cursor, shutdown).await?;
        }
        Ok(())
    }

    /// Starts the run of an occurrence, unless it was started before.
    async fn fire(&self, trigger: &ScheduledTrigger, occurrence: Timestamp, shutdown: &Shutdown) -> Result<(), Halt> {
        let workflow = &trigger.workflow;
        let deliver = || delivery::deliver(trigger, occurrence, &self.ports);
        let became = self.patiently("starting a scheduled run", shutdown, deliver).await?;
        match &became {
            Became::Started => {}
            Became::Duplicate => {
                tracing::debug!(%workflow, %occurrence, "the run of this occurrence was started before");
            }
            Became::Skipped { because_of } => {
                tracing::info!(%workflow, %occurrence, ?because_of, "an occurrence starts no run, because one about the same subject goes on");
            }
            Became::Filtered { .. } => {
                tracing::debug!(%workflow, %occurrence, "an occurrence starts no run, because the trigger's filter does not hold");
            }
            Became::Refused { message } => {
                tracing::error!(%workflow, %occurrence, message, "an occurrence is passed over, because its run cannot be started; mend the workflow and apply it");
            }
        }
        self.ports.source.became(trigger, self.ports.clock.now(), &became);
        Ok(())
    }

    async fn note(&self, cursor: &flowcell_core::ports::ScheduleCursor, shutdown: &Shutdown) -> Result<(), Halt> {
        self.patiently("noting how far a schedule has come", shutdown, || self.ports.schedules.put(cursor.clone()))
            .await
    }

    /// Does `call` again while the store is busy or short of space.
    async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        doing: &str,
        shutdown: &Shutdown,
        call: impl Fn() -> F,
    ) -> Result<T, Halt> {
        let mut patience = Patience::new(&*self.ports.clock);
        loop {
            let error = match call().await {
                Ok(done) => return Ok(done),
                Err(StoreError::Stopped) => return Err(Halt::Stopped(EngineStopped)),
                Err(error) if Patience::covers(&error) => error,
                Err(error) => return Err(Halt::SetAside(error)),
            };
            tokio::select! {
                biased;
                () = shutdown.draining() => return Err(Halt::Draining),
                () = patience.pause(doing, &error) => {}
            }
        }
    }
}
