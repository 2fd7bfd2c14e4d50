//! The receivers of deliveries: who may be sent to at the moment, and how it went. In memory, because every attempt asks; what has changed is written
//! every few seconds ([`KnownDestinations::flush`]), and at once when a receiver is disabled.
//!
//! A crash loses some seconds of counts. Breakers are not stored: after a restart one is in doubt (a single probe decides) where the stored health
//! says that the receiver was failing, and closed otherwise.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flowcell_core::capability::Origin;
use flowcell_core::destination::{Destination, DestinationId, DestinationRecord, Disabled, Verdict};
use flowcell_core::id::{RunId, WorkspaceId};
use flowcell_core::invoke::CallRecord;
use flowcell_core::ports::StoreError;
use flowcell_core::time::Timestamp;
use tokio::sync::OnceCell;

use crate::attempt::draw;
use crate::breaker::{Breaker, BreakerSettings, BreakerState, Moment, Ticket};
use crate::engine::Ports;
use crate::patience::Patience;

/// Destinations that are kept: some 2 KiB each in memory. Beyond that the one that was used longest ago is forgotten, unless it is disabled.
const DESTINATIONS_MAX: usize = 10_000;

/// So many are forgotten at a time, so that it is not looked for with every new one.
const FORGOTTEN_AT_ONCE: usize = 500;

/// Nobody asks any more how it went there: longer than a month's close.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(45 * 24);

/// A step is put off for so long in a row at most; then its attempt is made whatever the breaker says, so that a delivery to a receiver that never
/// comes back ends, too.
pub(crate) const DEFERRED_MAX: Duration = Duration::from_hours(24);

/// A destination as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationView {
    pub record: DestinationRecord,
    /// Of all destinations at its origin.
    pub breaker: BreakerState,
}

/// Whether an attempt is made.
pub(crate) enum Admission {
    Go(Passage),
    /// Nothing is sent there.
    Disabled(Disabled),
    /// Not now.
    Later {
        until: Timestamp,
        reason: String,
    },
}

/// Who asks, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking {
    pub(crate) now: Timestamp,
    /// Since when the step has been put off.
    pub(crate) deferred_since: Option<Timestamp>,
    /// Drawn from 0 to 1.
    pub(crate) chance: f64,
}

pub(crate) struct KnownDestinations {
    settings: BreakerSettings,
    is_loaded: OnceCell<()>,
    /// Held while records are written: an older state of one never goes over a newer one.
    writing: tokio::sync::Mutex<()>,
    /// Held for look-ups only.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: HashMap<(WorkspaceId, DestinationId), Known>,
    breakers: HashMap<(WorkspaceId, Origin), Breaker>,
    /// To be removed from the store.
    forgotten: Vec<DestinationRecord>,
}

struct Known {
    record: DestinationRecord,
    is_changed: bool,
}

impl KnownDestinations {
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        Self { settings, is_loaded: OnceCell::new(), writing: tokio::sync::Mutex::default(), state: Mutex::default() }
    }

    /// Reads what is stored, once.
    pub(crate) async fn load(&self, ports: &Ports) -> Result<(), StoreError> {
        let load = || async {
            let mut patience = Patience::new(&*ports.clock);
            let records = loop {
                match ports.destinations.list().await {
                    Err(error) if Patience::covers(&error) => patience.pause("reading the destinations", &error).await,
                    result => break result?,
                }
            };
            self.take_in(records, ports.clock.now());
            Ok(())
        };
        self.is_loaded.get_or_try_init(load).await.map(drop)
    }

    fn take_in(&self, records: Vec<DestinationRecord>, now: Timestamp) {
        let mut state = self.lock();
        for record in records {
            let is_old = record.health.last_at().is_none_or(|at| at + FORGOTTEN_AFTER < now);
            if is_old && record.disabled.is_none() {
                state.forgotten.push(record);
                continue;
            }
            let health = &record.health;
            let was_failing = self.settings.consecutive > 0 && health.consecutive_failures >= self.settings.consecutive;
            if let Some(origin) = record.origin().filter(|_| was_failing) {
                let last_error = health.last_error.clone().unwrap_or_default();
                let breaker = Breaker::doubtful(now, health.failing_since, last_error);
                state.breakers.insert((record.workspace.clone(), origin), breaker);
            }
            state.known.insert((record.workspace.clone(), record.id()), Known { record, is_changed: false });
        }
    }

    /// Whether an attempt may be made there now.
    pub(crate) fn admit(
        self: &Arc<Self>,
        workspace: &WorkspaceId,
        destination: &Destination,
        asking: Asking,
    ) -> Admission {
        let Asking { now, deferred_since, chance } = asking;
        let mut state = self.lock();
        let known = state.known.get(&(workspace.clone(), destination.id()));
        if let Some(disabled) = known.and_then(|known| known.record.disabled.as_ref()) {
            return Admission::Disabled(disabled.clone());
        }
        let passage = |ticket| {
            let (workspace, destination) = (workspace.clone(), destination.clone());
            Admission::Go(Passage { destinations: Arc::clone(self), workspace, destination, ticket, asked_at: now })
        };
        if deferred_since.is_some_and(|since| since + DEFERRED_MAX <= now) {
            return passage(None);
        }
        let place = (workspace.clone(), destination.origin.clone());
        let refusal = match state.breakers.entry(place).or_insert_with(Breaker::new).admit(now) {
            Ok(ticket) => return passage(Some(ticket)),
            Err(refusal) => refusal,
        };
        let until = refusal.base.max(now) + refusal.spread.mul_f64(chance.clamp(0.0, 1.0));
        let since = refusal.failing_since.map_or_else(String::new, |since| format!(" since {since}"));
        let reason =
            format!("{} has been failing{since} ({}); next try at {until}", destination.origin, refusal.last_error);
        Admission::Later { until, reason }
    }

    /// Writes what has changed since the last time.
    pub(crate) async fn flush(&self, ports: &Ports) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        let (changed, removed) = {
            let mut state = self.lock();
            let now = ports.clock.now();
            state.breakers.retain(|_, breaker| !breaker.is_idle(now));
            let changed: Vec<_> = state
                .known
                .values_mut()
                .filter_map(|known| std::mem::take(&mut known.is_changed).then(|| known.record.clone()))
                .collect();
            (changed, std::mem::take(&mut state.forgotten))
        };
        if changed.is_empty() && removed.is_empty() {
            return Ok(());
        }
        let written = ports.destinations.put(changed.clone(), removed.clone()).await;
        if written.is_err() {
            let mut state = self.lock();
            for record in changed {
                if let Some(known) = state.known.get_mut(&(record.workspace.clone(), record.id())) {
                    known.is_changed = true;
                }
            }
            state.forgotten.extend(removed);
        }
        written
    }

    /// Every destination of the workspace, by URL.
    pub(crate) fn list(&self, workspace: &WorkspaceId) -> Vec<DestinationView> {
        let state = self.lock();
        let own = state.known.iter().filter(|((owner, _), _)| owner == workspace);
        let mut list: Vec<_> = own.map(|(_, known)| state.view(&known.record)).collect();
        list.sort_by(|a, b| a.record.url.cmp(&b.record.url));
        list
    }

    pub(crate) fn get(&self, workspace: &WorkspaceId, id: DestinationId) -> Option<DestinationView> {
        let state = self.lock();
        state.known.get(&(workspace.clone(), id)).map(|known| state.view(&known.record))
    }

    /// Lets deliveries through again, and doubts that the receiver still fails.
    pub(crate) async fn enable(
        &self,
        ports: &Ports,
        (workspace, id): (&WorkspaceId, DestinationId),
    ) -> Result<bool, StoreError> {
        let _writing = self.writing.lock().await;
        let now = ports.clock.now();
        let record = {
            let mut state = self.lock();
            let Some(known) = state.known.get_mut(&(workspace.clone(), id)) else { return Ok(false) };
            known.record.disabled = None;
            let record = known.record.clone();
            if let Some(origin) = record.origin()
                && let Some(breaker) = state.breakers.get_mut(&(workspace.clone(), origin))
            {
                breaker.doubt(now);
            }
            record
        };
        ports.destinations.put(vec![record], Vec::new()).await.map(|()| true)
    }

    /// Sends nothing there any more. Returns after it is synced.
    pub(crate) async fn disable(
        &self,
        ports: &Ports,
        (workspace, url): (&WorkspaceId, &str),
        disabled: Disabled,
    ) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        let record = {
            let mut state = self.lock();
            let known = state.known(workspace, url);
            known.record.disabled = Some(disabled);
            known.record.clone()
        };
        let mut patience = Patience::new(&*ports.clock);
        loop {
            match ports.destinations.put(vec![record.clone()], Vec::new()).await {
                Err(error) if Patience::covers(&error) => patience.pause("disabling a destination", &error).await,
                result => return result,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn known(&mut self, workspace: &WorkspaceId, url: &str) -> &mut Known {
        let place = (workspace.clone(), DestinationId::of(url));
        if self.known.len() >= DESTINATIONS_MAX && !self.known.contains_key(&place) {
            self.forget_some();
        }
        self.known.entry(place).or_insert_with(|| Known {
            record: DestinationRecord::new(workspace.clone(), url.to_owned()),
            is_changed: true,
        })
    }

    /// Forgets those that were used longest ago.
    fn forget_some(&mut self) {
        let free = self.known.iter().filter(|(_, known)| known.record.disabled.is_none());
        let mut oldest: Vec<_> = free.map(|(place, known)| (known.record.health.last_at(), place.clone())).collect();
        oldest.sort();
        for (_, place) in oldest.into_iter().take(FORGOTTEN_AT_ONCE) {
            self.forgotten.extend(self.known.remove(&place).map(|known| known.record));
        }
    }

    fn view(&self, record: &DestinationRecord) -> DestinationView {
        let breaker = record
            .origin()
            .and_then(|origin| self.breakers.get(&(record.workspace.clone(), origin)))
            .map_or(BreakerState::Closed, Breaker::state);
        DestinationView { record: record.clone(), breaker }
    }
}

/// Leave to make one attempt at a destination. Dropped without having landed, it gives its place up.
pub(crate) struct Passage {
    destinations: Arc<KnownDestinations>,
    workspace: WorkspaceId,
    destination: Destination,
    /// Absent: it is made whatever the breaker says.
    ticket: Option<Ticket>,
    asked_at: Timestamp,
}

impl Passage {
    /// Takes in what the attempt told. Returns, for its log, what that led to.
    pub(crate) async fn land(mut self, ports: &Ports, run: RunId, record: &CallRecord) -> Option<String> {
        let verdict = Verdict::of(&self.destination, record)?;
        let (now, url, chance) = (ports.clock.now(), self.destination.url(), draw(&*ports.entropy));
        let was_open = {
            let mut state = self.destinations.lock();
            let known = state.known(&self.workspace, &url);
            known.record.health.note(&verdict, now);
            known.is_changed = true;
            let place = (self.workspace.clone(), self.destination.origin.clone());
            let breaker = state.breakers.entry(place).or_insert_with(Breaker::new);
            let before = breaker.state();
            if let Some(ticket) = self.ticket.take() {
                let settings = &self.destinations.settings;
                breaker.settle(ticket, &verdict, Moment { now, settings, chance });
            }
            (before, breaker.state())
        };
        let origin = &self.destination.origin;
        match was_open {
            (BreakerState::Closed, BreakerState::Open { until }) => {
                tracing::warn!(%origin, %until, "a receiver fails again and again; what is for it waits");
            }
            (BreakerState::Recovering, BreakerState::Closed) => tracing::info!(%origin, "a receiver has recovered"),
            _ => {}
        }
        if verdict != Verdict::Gone || !self.destination.is_literal {
            return None;
        }
        let disabled = Disabled { since: now, run: Some(run), reason: "it answered 410 Gone".to_owned() };
        match self.destinations.disable(ports, (&self.workspace, &url), disabled).await {
            Ok(()) => Some(format!(
                "nothing more is sent to {url}, because it answered 410 Gone; `flowcell destination enable {url}` allows it again"
            )),
            Err(error) => {
                tracing::error!(%url, %error, "that a destination is disabled could not be written down; a restart forgets it");
                None
            }
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let place = (self.workspace.clone(), self.destination.origin.clone());
            if let Some(breaker) = self.destinations.lock().breakers.get_mut(&place) {
                breaker.abandon(ticket, self.asked_at);
            }
        }
    }
}

impl fmt::Debug for KnownDestinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownDestinations").field("count", &self.lock().known.len()).finish_non_exhaustive()
    }
}
