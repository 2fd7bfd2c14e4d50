//! Who still uses what was replaced: a former URL, a previous secret. Counted in memory and written now and then, so that the numbers outlive a
//! restart and cost a delivery nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flowcell_core::id::WorkflowId;
use flowcell_core::ports::{LateCallers, LateUse, StoreError};
use flowcell_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often what was counted is written: a crash loses less than a minute of it.
const EVERY: Duration = Duration::from_secs(30);

/// What was counted since it was last written.
#[derive(Debug, Default)]
pub(crate) struct Late {
    counted: Mutex<Counted>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    urls: BTreeMap<u32, LateUse>,
    previous_secret: LateUse,
}

impl Late {
    /// A request to a URL that was replaced.
    pub(crate) fn by_former_url(&self, generation: u32, at: Timestamp) {
        self.change(|counted| {
            let known = counted.urls.entry(generation).or_default();
            *known = known.plus(LateUse { count: 1, last_at: Some(at) });
        });
    }

    /// A request that was verified by another secret than the current one.
    pub(crate) fn by_previous_secret(&self, at: Timestamp) {
        self.change(|counted| {
            counted.previous_secret = counted.previous_secret.plus(LateUse { count: 1, last_at: Some(at) });
        });
    }

    fn seen(&self) -> Counted {
        self.change(|counted| counted.clone())
    }

    fn take(&self) -> Counted {
        self.change(std::mem::take)
    }

    fn give_back(&self, taken: &Counted) {
        self.change(|counted| {
            for (generation, late) in &taken.urls {
                let known = counted.urls.entry(*generation).or_default();
                *known = known.plus(*late);
            }
            counted.previous_secret = counted.previous_secret.plus(taken.previous_secret);
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Counted) -> T) -> T {
        // No code that holds the lock can panic half-way through a change.
        change(&mut self.counted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Everything that is known: what was written, and what was counted since.
pub(crate) async fn of(app: &App, workflow: &WorkflowId) -> Result<LateCallers, StoreError> {
    // Between the two moments of a write it would be counted twice or not at all.
    let _alone = app.tallies.writing_late.lock().await;
    let Counted { urls, previous_secret } = app.tallies.of(workflow).late.seen();
    let mut late = stored(app, workflow).await?;
    late.add(&urls, previous_secret);
    Ok(late)
}

/// Writes what was counted since the last time.
pub(crate) async fn write(app: &App) {
    let _alone = app.tallies.writing_late.lock().await;
    for (workflow, tally) in app.tallies.all() {
        let counted = tally.late.take();
        if counted == Counted::default() {
            continue;
        }
        if let Err(error) = add(app, &workflow, &counted).await {
            // It may pass: the next time all of it is written.
            tally.late.give_back(&counted);
            tracing::warn!(%error, %workflow, "who still uses a former URL or secret could not be written");
        }
    }
}

/// Writes again and again until `stop`.
pub(crate) async fn keep(app: Arc<App>, stop: CancellationToken) {
    loop {
        let next = app.ports.clock.now() + EVERY;
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.ports.clock.sleep_until(next) => write(&app).await,
        }
    }
}

async fn add(app: &App, workflow: &WorkflowId, counted: &Counted) -> Result<(), StoreError> {
    let mut late = stored(app, workflow).await?;
    late.add(&counted.urls, counted.previous_secret);
    app.ports.triggers.put_late(late).await
}

async fn stored(app: &App, workflow: &WorkflowId) -> Result<LateCallers, StoreError> {
    let stored = app.ports.triggers.late(&app.workspace, workflow).await?;
    Ok(stored.unwrap_or_else(|| LateCallers::none(app.workspace.clone(), workflow.clone())))
}
