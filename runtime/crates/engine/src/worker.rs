//! Which runs are worked on: claims what is due, up to the limit, and waits for the next change, the next due time or a free slot.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use flowcell_core::id::RunId;
use flowcell_core::ports::{Changed, StoreError};
use flowcell_core::time::Timestamp;
use tokio::task::{Id, JoinError, JoinSet};

use crate::drive::{self, DriveEnd};
use crate::engine::{Core, Engine};
use crate::patience::Patience;
use crate::shutdown::Shutdown;

/// A write failed for good, so nothing more can be promised. Everything that was acknowledged is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store has stopped after a failed write, and with it the engine; restart Flowcell to recover from disk")]
pub struct EngineStopped;

impl Engine {
    /// Works until `shutdown` or until the store stops. Runs that were in progress when the process last ended are due, and so are taken up first.
    ///
    /// Draining claims nothing more and lets attempts in progress end. What is left after [`EngineConfig::drain`](crate::EngineConfig::drain), or
    /// at a second request, is dropped in the middle, just as in a crash. Dropping this future does the same.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), EngineStopped> {
        self.0.destinations.load(&self.0.ports).await.map_err(|error| {
            tracing::error!(%error, "what is known of destinations cannot be read");
            EngineStopped
        })?;
        let (tasks, driven, held) = (JoinSet::new(), HashMap::new(), BTreeMap::new());
        let (leaves, last_leave, deadlines) = (0, HashMap::new(), BTreeSet::new());
        let mut worker =
            Worker { core: self.0, shutdown, tasks, driven, held, deadlines, leaves, last_leave, last_set_aside: 0 };
        while !worker.shutdown.is_draining() {
            worker.turn().await?;
        }
        worker.drain().await
    }
}

struct Worker {
    core: Arc<Core>,
    shutdown: Shutdown,
    tasks: JoinSet<Result<Worked, EngineStopped>>,
    driven: HashMap<Id, Driven>,
    /// Claimed runs that wait for a place in their slot, the oldest first.
    held: BTreeMap<String, BTreeSet<RunId>>,
    /// When they have waited for too long; some are let in before.
    deadlines: BTreeSet<(Timestamp, RunId)>,
    /// Counts the runs that left a slot.
    leaves: u64,
    /// The count at which each slot was left last, while anything is driven.
    last_leave: HashMap<String, u64>,
    /// The count at which a run was set aside last: it may have left any slot.
    last_set_aside: u64,
}

/// A run in progress.
struct Driven {
    run: RunId,
    /// [`Worker::leaves`] when it was started.
    leaves_before: u64,
}

/// What became of a run that was worked on.
enum Worked {
    GivenBack,
    /// Its place in this slot is free.
    Left {
        slot: String,
        run: RunId,
    },
    Held {
        slot: String,
        run: RunId,
        /// When it has waited for too long.
        until: Option<Timestamp>,
    },
    /// Nobody drives it until the next start, and so it keeps nobody waiting.
    SetAside(RunId),
}

impl Worker {
    /// Claims once and waits until it is worth claiming again.
    async fn turn(&mut self) -> Result<(), EngineStopped> {
        let changed = self.core.ports.queue.changed(); // before looking: a change in between is then seen
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended)?;
        }
        if self.tasks.is_empty() {
            self.last_leave.clear();
        }
        self.take_overdue();
        let free = self.core.config.concurrency.max(1).saturating_sub(self.tasks.len());
        let (claimed, next_due) = self.look(free).await?;
        let is_full = claimed.len() == free;
        let next_due = [next_due, self.deadlines.first().map(|(at, _)| *at)].into_iter().flatten().min();
        for run in claimed {
            self.start(run);
        }
        if is_full { self.wait_for_slot().await } else { self.wait_for_work(changed, next_due).await }
    }

    /// The runs for the free slots and, when they are fewer, the time of the next.
    async fn look(&self, free: usize) -> Result<(Vec<RunId>, Option<Timestamp>), EngineStopped> {
        if free == 0 {
            return Ok((Vec::new(), None));
        }
        let ports = &self.core.ports;
        let mut patience = Patience::new(&*ports.clock);
        loop {
            let error = match ports.queue.claim(ports.clock.now(), free).await {
                Ok(claimed) if claimed.len() == free => return Ok((claimed, None)),
                Ok(claimed) => match ports.queue.next_due().await {
                    Ok(next_due) => return Ok((claimed, next_due)),
                    // The claimed runs are worked on; the rest is looked at again soon.
                    Err(StoreError::Stopped) => return Err(EngineStopped),
                    Err(error) => {
                        patience.pause("asking for the next due run", &error).await;
                        return Ok((claimed, Some(ports.clock.now())));
                    }
                },
                Err(StoreError::Stopped) => return Err(EngineStopped),
                Err(error) => error,
            };
            tokio::select! {
                biased;
                () = self.shutdown.draining() => return Ok((Vec::new(), None)),
                () = patience.pause("claiming runs", &error) => {}
            }
        }
    }

    fn start(&mut self, run: RunId) {
        let leaves_before = self.leaves;
        let (core, shutdown) = (Arc::clone(&self.core), self.shutdown.clone());
        // In a box, because a task moves its future several times, and a drive's is large.
        let task = self.tasks.spawn(Box::pin(async move { work_on(&core, run, &shutdown).await }));
        self.driven.insert(task.id(), Driven { run, leaves_before });
    }

    async fn wait_for_slot(&mut self) -> Result<(), EngineStopped> {
        tokio::select! {
            biased;
            Some(ended) = self.tasks.join_next_with_id() => self.forget(ended).map(drop),
            () = self.shutdown.draining() => Ok(()),
        }
    }

    async fn wait_for_work(&mut self, mut changed: Changed, next_due: Option<Timestamp>) -> Result<(), EngineStopped> {
        let clock = Arc::clone(&self.core.ports.clock);
        let due = async move {
            match next_due {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(due);
        let core = Arc::clone(&self.core);
        loop {
            tokio::select! {
                biased; // in this order each time, so that a simulation repeats itself
                () = self.shutdown.draining() => return Ok(()),
                Some(ended) = self.tasks.join_next_with_id() => {
                    if self.forget(ended)? {
                        return Ok(());
                    }
                }
                () = &mut changed => return Ok(()),
                () = core.hub.strayed.notified() => self.take_strays(),
                () = &mut due => return Ok(()),
            }
        }
    }

    /// Takes note of an ended task. Returns whether a slot has changed hands, and with it what is to be driven.
    fn forget(&mut self, ended: Result<(Id, Result<Worked, EngineStopped>), JoinError>) -> Result<bool, EngineStopped> {
        match ended {
            Ok((id, result)) => {
                let driven = self.driven.remove(&id);
                match result? {
                    Worked::GivenBack => Ok(false),
                    Worked::Left { slot, run } => {
                        self.core.slots.leave(&slot, run);
                        self.leaves += 1;
                        let has_let_in = self.let_in(&slot);
                        self.last_leave.insert(slot, self.leaves);
                        Ok(has_let_in)
                    }
                    Worked::SetAside(run) => Ok(self.set_aside(run)),
                    Worked::Held { slot, run, until } => {
                        // Somebody may have left after this run was refused and before it was here to be let in.
                        let last_leave = self.last_leave.get(&slot).copied().unwrap_or(0).max(self.last_set_aside);
                        if driven.is_some_and(|driven| last_leave > driven.leaves_before)
                            && !self.shutdown.is_draining()
                        {
                            self.start(run);
                            return Ok(true);
                        }
                        self.held.entry(slot).or_default().insert(run);
                        self.deadlines.extend(until.map(|at| (at, run)));
                        Ok(until.is_some()) // whoever waits has to know when
                    }
                }
            }
            Err(error) => {
                // A bug of ours. The run stays claimed: released, it would panic again at once, and for ever.
                let run = self.driven.remove(&error.id()).map(|driven| driven.run);
                tracing::error!(?run, %error, "a run is set aside until the next start, because driving it panicked; please report this");
                Ok(run.is_some_and(|run| self.set_aside(run)))
            }
        }
    }

    /// Looks again at the run that has waited longest for this slot.
    fn let_in(&mut self, slot: &str) -> bool {
        let Some(waiting) = self.held.get_mut(slot) else { return false };
        let next = waiting.pop_first();
        if waiting.is_empty() {
            self.held.remove(slot);
        }
        if self.shutdown.is_draining() {
            return false; // it is claimed, and given back with the process
        }
        next.map(|run| self.start(run)).is_some()
    }

    /// Lets others take the place of a run that is not driven again. Which slot that is may not be known: its journal cannot be read.
    fn set_aside(&mut self, run: RunId) -> bool {
        self.core.slots.set_aside(run);
        self.leaves += 1;
        self.last_set_aside = self.leaves;
        let slots: Vec<String> = self.held.keys().cloned().collect();
        slots.iter().filter(|slot| self.let_in(slot)).count() > 0
    }

    /// Looks again at held runs that have waited for as long as their workflow lets a run take.
    fn take_overdue(&mut self) {
        let now = self.core.ports.clock.now();
        while let Some((_, run)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.pop_first();
            self.take_held(run);
        }
    }

    /// Looks again at a run, if it is held.
    fn take_held(&mut self, run: RunId) {
        let slot = self.held.iter_mut().find_map(|(slot, waiting)| waiting.remove(&run).then(|| slot.clone()));
        if slot.is_some() && !self.shutdown.is_draining() {
            self.start(run);
        }
    }

    /// Looks again at held runs to which something came from outside.
    fn take_strays(&mut self) {
        for run in self.core.hub.take_strays() {
            self.take_held(run);
        }
    }

    /// Lets attempts in progress end, up to the limit, and gives back what is left.
    async fn drain(mut self) -> Result<(), EngineStopped> {
        let ports = self.core.ports.clone();
        let deadline = ports.clock.sleep_until(ports.clock.now() + self.core.config.drain);
        let shutdown = self.shutdown.clone();
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                () = shutdown.aborted() => break,
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(ended) => drop(self.forget(ended)?),
                    None => return Ok(()),
                },
                () = &mut deadline => break,
            }
        }
        tracing::warn!(
            runs = self.driven.len(),
            "attempts in progress are cut off; the next start takes their runs up again"
        );
        self.tasks.shutdown().await;
        let mut left: Vec<RunId> = self.driven.into_values().map(|driven| driven.run).collect();
        left.sort_unstable();
        for run in left {
            tokio::select! {
                biased;
                result = ports.queue.release(run) => if let Err(error) = result {
                    tracing::debug!(%run, %error, "a run was not given back; the next start releases it");
                },
                () = shutdown.aborted() => break,
            }
        }
        Ok(())
    }
}

/// Drives a claimed run as far as it goes now, and gives it back.
async fn work_on(core: &Core, run: RunId, shutdown: &Shutdown) -> Result<Worked, EngineStopped> {
    let worked = |slot: Option<String>| slot.map_or(Worked::GivenBack, |slot| Worked::Left { slot, run });
    let left = match drive::drive(core, run, shutdown).await {
        DriveEnd::Rests { slot } => slot,
        DriveEnd::Finished { slot } => return Ok(worked(slot)),
        DriveEnd::Queued { slot, until } => return Ok(Worked::Held { slot, run, until }),
        DriveEnd::SetAside => return Ok(Worked::SetAside(run)),
        DriveEnd::StoreStopped => return Err(EngineStopped),
    };
    let mut patience = Patience::new(&*core.ports.clock);
    loop {
        match core.ports.queue.release(run).await {
            Ok(()) => return Ok(worked(left)),
            Err(StoreError::Stopped) => return Err(EngineStopped),
            Err(error) if Patience::covers(&error) => patience.pause("giving back a run", &error).await,
            Err(error) => {
                tracing::error!(%run, %error, "a run could not be given back; the next start takes it up again");
                return Ok(Worked::GivenBack);
            }
        }
    }
}
