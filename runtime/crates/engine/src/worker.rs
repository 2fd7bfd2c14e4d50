//! Which runs are worked on: claims what is due, up to the limit, and waits for the next change, the next due time or a free slot.

use std::collections::HashMap;
use std::sync::Arc;

use flowcell_core::id::RunId;
use flowcell_core::ports::{Changed, StoreError};
use flowcell_core::time::Timestamp;
use tokio::task::{Id, JoinError, JoinSet};

use crate::drive::{self, DriveEnd};
use crate::engine::Engine;
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
        let mut worker = Worker { engine: Arc::new(self), shutdown, tasks: JoinSet::new(), driven: HashMap::new() };
        while !worker.shutdown.is_draining() {
            worker.turn().await?;
        }
        worker.drain().await
    }
}

struct Worker {
    engine: Arc<Engine>,
    shutdown: Shutdown,
    tasks: JoinSet<Result<(), EngineStopped>>,
    driven: HashMap<Id, RunId>,
}

impl Worker {
    /// Claims once and waits until it is worth claiming again.
    async fn turn(&mut self) -> Result<(), EngineStopped> {
        let changed = self.engine.ports.queue.changed(); // before looking: a change in between is then seen
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended)?;
        }
        let free = self.engine.config.concurrency.max(1).saturating_sub(self.tasks.len());
        let (claimed, next_due) = self.look(free).await?;
        let is_full = claimed.len() == free;
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
        let ports = &self.engine.ports;
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
        let (engine, shutdown) = (Arc::clone(&self.engine), self.shutdown.clone());
        let task = self.tasks.spawn(async move { work_on(&engine, run, &shutdown).await });
        self.driven.insert(task.id(), run);
    }

    async fn wait_for_slot(&mut self) -> Result<(), EngineStopped> {
        tokio::select! {
            biased;
            Some(ended) = self.tasks.join_next_with_id() => self.forget(ended),
            () = self.shutdown.draining() => Ok(()),
        }
    }

    async fn wait_for_work(&mut self, mut changed: Changed, next_due: Option<Timestamp>) -> Result<(), EngineStopped> {
        let clock = Arc::clone(&self.engine.ports.clock);
        let due = async move {
            match next_due {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(due);
        loop {
            tokio::select! {
                biased; // in this order each time, so that a simulation repeats itself
                () = self.shutdown.draining() => return Ok(()),
                Some(ended) = self.tasks.join_next_with_id() => self.forget(ended)?,
                () = &mut changed => return Ok(()),
                () = &mut due => return Ok(()),
            }
        }
    }

    /// Takes note of an ended task.
    fn forget(&mut self, ended: Result<(Id, Result<(), EngineStopped>), JoinError>) -> Result<(), EngineStopped> {
        match ended {
            Ok((id, result)) => {
                self.driven.remove(&id);
                result
            }
            Err(error) => {
                // A bug of ours. The run stays claimed: released, it would panic again at once, and for ever.
                let run = self.driven.remove(&error.id());
                tracing::error!(?run, %error, "a run is set aside until the next start, because driving it panicked; please report this");
                Ok(())
            }
        }
    }

    /// Lets attempts in progress end, up to the limit, and gives back what is left.
    async fn drain(mut self) -> Result<(), EngineStopped> {
        let ports = self.engine.ports.clone();
        let deadline = ports.clock.sleep_until(ports.clock.now() + self.engine.config.drain);
        let shutdown = self.shutdown.clone();
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                () = shutdown.aborted() => break,
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(ended) => self.forget(ended)?,
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
        let mut left: Vec<RunId> = self.driven.into_values().collect();
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
async fn work_on(engine: &Engine, run: RunId, shutdown: &Shutdown) -> Result<(), EngineStopped> {
    match drive::drive(engine, run, shutdown).await {
        DriveEnd::Rests => {}
        DriveEnd::Finished | DriveEnd::SetAside => return Ok(()),
        DriveEnd::StoreStopped => return Err(EngineStopped),
    }
    let mut patience = Patience::new(&*engine.ports.clock);
    loop {
        match engine.ports.queue.release(run).await {
            Ok(()) => return Ok(()),
            Err(StoreError::Stopped) => return Err(EngineStopped),
            Err(error) if Patience::covers(&error) => patience.pause("giving back a run", &error).await,
            Err(error) => {
                tracing::error!(%run, %error, "a run could not be given back; the next start takes it up again");
                return Ok(());
            }
        }
    }
}
