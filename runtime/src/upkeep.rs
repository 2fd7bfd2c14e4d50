//! Keeps the store as large as the operator wants it: removes runs by age, count, outcome and bytes, forgets old deliveries, gives the disk
//! back. In small steps, so that deliveries do not notice; what is cut off goes on at the next pass.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flowcell_core::id::{WorkflowId, WorkspaceId};
use flowcell_core::ports::{Clock, Definitions, Retention, RunIndex, StoreError};
use flowcell_core::receipt::KEPT;
use flowcell_core::retention::{ByteCap, Picker, RetentionRules};
use flowcell_core::search::FieldPath;
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::Settings;
use flowcell_core::workflow::text::Located;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Runs that are looked at, and deliveries that are forgotten, in one step: some milliseconds of reading.
const STEP: usize = 500;

/// How often the cap is looked at again within a pass: a copy of the data file follows each time.
const CAP_ROUNDS_MAX: usize = 3;

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) rules: RetentionRules,
    /// What the store may take of the disk, in bytes.
    pub(crate) bytes_max: Option<u64>,
    pub(crate) every: Duration,
}

pub(crate) struct Upkeep {
    pub(crate) workspace: WorkspaceId,
    pub(crate) retention: Arc<dyn Retention>,
    pub(crate) definitions: Arc<dyn Definitions>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wanted: Wanted,
}

/// What a pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pass {
    pub(crate) runs: usize,
    pub(crate) deliveries: usize,
    pub(crate) freed_bytes: u64,
}

impl Upkeep {
    /// Passes again and again until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            let next = self.clock.now() + self.wanted.every;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep_until(next) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                done = self.pass() => match done {
                    Ok(pass) if pass == Pass::default() => {}
                    Ok(Pass { runs, deliveries, freed_bytes }) => {
                        tracing::info!(runs, deliveries, freed_bytes, "retention has removed what nobody wants any more");
                    }
                    // It may be a full disk; the next pass tries again.
                    Err(error) => tracing::warn!(%error, "retention did not come to its end"),
                },
            }
        }
    }

    /// One pass over everything.
    pub(crate) async fn pass(&self) -> Result<Pass, StoreError> {
        let mut pass = Pass { runs: self.by_rules().await?, ..Pass::default() };
        loop {
            match self.retention.forget_deliveries(&self.workspace, self.clock.now(), STEP).await? {
                0 => break,
                some => pass.deliveries += some,
            }
        }
        pass.freed_bytes = self.compact().await;
        if let Some(max) = self.wanted.bytes_max {
            self.by_bytes(max, &mut pass).await?;
        }
        Ok(pass)
    }

    /// From the newest run to the oldest.
    async fn by_rules(&self) -> Result<usize, StoreError> {
        let rules = self.rules().await?;
        if self.wanted.rules == RetentionRules::default() && rules.is_empty() {
            return Ok(0);
        }
        let mut picker = Picker::new(self.clock.now(), self.wanted.rules, rules);
        let (mut removed, mut before) = (0, None);
        loop {
            let page = self.retention.newest(&self.workspace, before, STEP).await?;
            let Some(last) = page.last() else { return Ok(removed) };
            before = Some(last.summary.id);
            let gone = picker.pick(&page);
            if !gone.is_empty() {
                removed += self.retention.remove(&self.workspace, &gone).await?.runs;
            }
        }
    }

    /// From the oldest run on, until the rest fits.
    async fn by_bytes(&self, max: u64, pass: &mut Pass) -> Result<(), StoreError> {
        for _ in 0..CAP_ROUNDS_MAX {
            let usage = self.retention.usage().await?;
            let Some(excess) = ByteCap(max).excess(&usage) else { return Ok(()) };
            let removed = self.retention.remove_oldest(&self.workspace, excess).await?;
            pass.runs += removed.runs;
            pass.freed_bytes += self.compact().await;
            if removed.runs == 0 {
                tracing::warn!(
                    max,
                    "the store is larger than `retention.bytes_max_mib`, and what is left must not be removed"
                );
                return Ok(());
            }
        }
        Ok(())
    }

    /// A copy that cannot be made now is made another time.
    async fn compact(&self) -> u64 {
        self.retention.compact().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the data file was not compacted");
            0
        })
    }

    /// What the authors of workflows want.
    async fn rules(&self) -> Result<HashMap<WorkflowId, RetentionRules>, StoreError> {
        let mut rules = HashMap::new();
        for head in self.definitions.list(&self.workspace).await? {
            let number = head.published.unwrap_or(head.latest);
            let version = self.definitions.version(&self.workspace, &head.id, number).await?;
            let own = version.map(|version| Own::of(&version.source)).unwrap_or_default();
            if own.rules != RetentionRules::default() {
                rules.insert(head.id, own.rules);
            }
        }
        Ok(rules)
    }
}

/// What a workflow's settings say to the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Own {
    pub(crate) rules: RetentionRules,
    pub(crate) index: Vec<FieldPath>,
}

impl Own {
    /// Of a workflow's text, which was checked when it was stored; what does not read says nothing.
    pub(crate) fn of(source: &str) -> Self {
        let settings = Located::read(source).ok().and_then(|text| text.value.get("settings").cloned());
        let settings = settings.and_then(|settings| serde_json::from_value::<Settings>(settings).ok());
        let settings = settings.unwrap_or_default();
        let retention = settings.retention.unwrap_or_default();
        let rules = RetentionRules {
            days: retention.days,
            runs: retention.runs.map(|runs| u32::try_from(runs).unwrap_or(u32::MAX)),
            keep_failed_days: retention.keep_failed_days,
        };
        Self { rules, index: settings.index }
    }
}

/// Tells the store by which fields a workflow's runs are found.
pub(crate) fn index(runs: &dyn RunIndex, workspace: &WorkspaceId, workflow: &WorkflowId, source: &str) {
    runs.index_fields(workspace, workflow, Own::of(source).index);
}

/// How often it is written down how deliveries went: what a crash may lose of the counts.
const DESTINATIONS_EVERY: Duration = Duration::from_secs(5);

/// Writes what has changed about destinations every few seconds, until `stop`.
pub(crate) async fn write_destinations(app: Arc<App>, stop: CancellationToken) {
    loop {
        let next = app.ports.clock.now() + DESTINATIONS_EVERY;
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.ports.clock.sleep_until(next) => {}
        }
        if let Err(error) = app.control.flush_destinations().await {
            tracing::warn!(%error, "how deliveries went was not written down; it is tried again");
        }
    }
}

/// How often values that have expired are looked for: they are gone for everybody already, and only take room.
const VALUES_EVERY: Duration = Duration::from_mins(5);

/// Removes what plugins kept for a while only, until `stop`.
pub(crate) async fn sweep_values(app: Arc<App>, stop: CancellationToken) {
    loop {
        let now = app.ports.clock.now();
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.ports.clock.sleep_until(now + VALUES_EVERY) => {}
        }
        loop {
            match app.ports.values.sweep(app.ports.clock.now(), STEP).await {
                Ok(STEP) => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "values of plugins that have expired were not removed; it is tried again");
                    break;
                }
            }
        }
    }
}

/// How often old receipts are looked for: they are kept for days, and an hour more does no harm.
const RECEIPTS_EVERY: Duration = Duration::from_hours(1);

/// Forgets what steps did when nobody can ask for it any more, until `stop`.
pub(crate) async fn forget_receipts(app: Arc<App>, stop: CancellationToken) {
    loop {
        let now = app.ports.clock.now();
        let before = Timestamp::from_millis(
            now.since(Timestamp::default()).saturating_sub(KEPT).as_millis().try_into().unwrap_or(0),
        );
        loop {
            match app.ports.receipts.forget(before, STEP).await {
                Ok(STEP) => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "old receipts of steps were not removed; it is tried again");
                    break;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.ports.clock.sleep_until(now + RECEIPTS_EVERY) => {}
        }
    }
}

/// How often it is looked whether a run still waits for a connection that is ready.
const RECONNECTED_EVERY: Duration = Duration::from_mins(1);

/// Lets runs go on whose connection has become ready: a step may be parked in the moment in which its owner consents, and a process may end between
/// a consent and what follows from it.
pub(crate) async fn release_reconnected(app: Arc<App>, stop: CancellationToken) {
    loop {
        if let Err(error) = reconnected(&app).await {
            let error = format!("{error:#}");
            tracing::warn!(error, "runs that wait for a connection were not looked at; it is tried again");
        }
        let next = app.ports.clock.now() + RECONNECTED_EVERY;
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.ports.clock.sleep_until(next) => {}
        }
    }
}

async fn reconnected(app: &App) -> anyhow::Result<()> {
    for stored in app.connections.list(&app.workspace).await? {
        if stored.connection.state == flowcell_core::connection::State::Ready {
            let (name, at) = (&stored.connection.name, stored.connection.updated_at);
            app.polling.reconnected(name, at).await;
            app.control.reconnected(&app.workspace, name, at).await?;
        }
    }
    // Subscriptions look at connections themselves.
    app.plugin_triggers.tell();
    Ok(())
}

#[cfg(test)]
mod tests;
