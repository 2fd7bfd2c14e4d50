//! Starts runs by asking plugins what is new. Stands beside the worker and knows which triggers are polled ([`PollSource`]), how far each has come
//! ([`Polls`]), the clock, and [`RunControl`], by which every run is started. When a trigger is asked next is computed by `core::polling`.
//!
//! What a provider has comes once, whatever happens: the runs of a poll and its cursor are one write of the store, made from the state that the poll
//! began with. A process that dies before it asks again from the old cursor; after it, from the new one.
//!
//! A trigger is asked by one poll at a time, and no more of them at once than [`PollerConfig::polls_max`]. Those that have more to tell come again
//! behind everybody who is due.

mod agenda;
mod handle;
mod poll;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::condition::Explanation;
use flowcell_core::id::{ConnectionName, Digest, EventId, WorkflowId, WorkspaceId};
use flowcell_core::ports::{Changed, Hold, PollState, Polls, StoreError, TriggerFailure};
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::trigger::Dedupe;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::control::RunControl;
use crate::patience::Patience;
use crate::shutdown::Shutdown;
use crate::worker::EngineStopped;
use agenda::{Agenda, Entry};
use handle::{Ask, Asks};
pub use handle::{NotPolled, PollHandle};
use poll::{Ended, Poll};

/// A published workflow whose trigger is polled.
#[derive(Debug, Clone, PartialEq)]
pub struct PolledTrigger {
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    /// The published version; its runs execute it.
    pub version: u32,
    /// The trigger's id within its workflow.
    pub trigger: String,
    /// The plugin that is asked, and the trigger's id in its manifest.
    pub digest: Digest,
    pub member: String,
    /// What is asked ([`flowcell_core::polling::Source::digest`]).
    pub source: Digest,
    pub config: Value,
    pub connection: Option<ConnectionName>,
    pub every: Duration,
    pub dedupe: Option<Dedupe>,
}

/// Whose trigger: a workflow has one.
pub(crate) type Place = (WorkspaceId, WorkflowId);

impl PolledTrigger {
    pub(crate) fn place(&self) -> Place {
        (self.workspace.clone(), self.workflow.clone())
    }
}

/// The published workflows whose triggers are polled.
#[async_trait]
pub trait PollSource: Send + Sync {
    /// Those of the workspace.
    async fn polled(&self) -> Result<Vec<PolledTrigger>, StoreError>;

    /// Resolves at the first change after the call: subscribe before looking, so that nothing is missed.
    fn changed(&self) -> Changed;

    /// Hears what became of each poll, to count it and to show it to people.
    fn became(&self, _trigger: &PolledTrigger, _now: Timestamp, _became: &PollOutcome) {}
}

/// What became of a poll.
#[derive(Debug, Clone, PartialEq)]
pub enum PollOutcome {
    /// It was answered; these many runs were started, and so on.
    Answered {
        started: u64,
        duplicate: u64,
        skipped: u64,
        filtered: Vec<(EventId, Explanation)>,
        more: bool,
    },
    Failed(TriggerFailure),
    /// The plugin was not called.
    Held(Hold),
    /// The workflow asks for something else by now, so nothing was stored.
    Superseded,
}

/// What the operator decides about polling. Every number stands in the commented default configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollerConfig {
    /// Polls under way at a time.
    pub polls_max: usize,
    /// How long one may take.
    pub timeout: Duration,
    /// Runs of a workflow that may wait to be executed before its trigger is asked for more.
    pub backlog_max: u64,
}

impl Default for PollerConfig {
    fn default() -> Self {
        Self {
            // Enough that a slow provider holds up nobody else; a thousand triggers of a minute, at 100 ms each, need two.
            polls_max: 8,
            // An API that has not answered in a minute will not.
            timeout: Duration::from_mins(1),
            // Ten polls' worth; an unfinished run takes some 300 bytes of memory, and its place in the queue.
            backlog_max: 1_000,
        }
    }
}

/// What the poller needs of the outside.
#[derive(Clone)]
pub struct PollerPorts {
    /// Starts the runs; the engine's plugins, clock and chance are its own.
    pub control: RunControl,
    pub polls: Arc<dyn Polls>,
    pub source: Arc<dyn PollSource>,
    pub workspace: WorkspaceId,
}

impl fmt::Debug for PollerPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollerPorts").field("workspace", &self.workspace).finish_non_exhaustive()
    }
}

/// What polls look at when they end: the triggers as they are published then.
type Published = Arc<Mutex<HashMap<Place, PolledTrigger>>>;

/// Polls every trigger of one workspace. There is one: two would ask for the same things.
#[derive(Debug)]
pub struct Poller {
    config: PollerConfig,
    ports: PollerPorts,
    asks: Asks,
    agenda: Agenda,
    published: Published,
    flights: JoinSet<Ended>,
}

impl Poller {
    /// With what its handle asks of it.
    pub fn new(config: PollerConfig, ports: PollerPorts, handle: &PollHandle) -> Self {
        let (agenda, published, flights) = (Agenda::default(), Published::default(), JoinSet::new());
        Self { config, ports, asks: handle.asks(), agenda, published, flights }
    }

    /// Works until `shutdown` or until the store stops. Polls under way are dropped then: they have had no effect.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), EngineStopped> {
        let clock = Arc::clone(&self.ports.control.0.ports.clock);
        while !shutdown.is_draining() {
            let mut changed = self.ports.source.changed(); // before looking: a change in between is then seen
            self.load().await?;
            loop {
                self.begin_due();
                let next = self.agenda.next().filter(|_| self.flights.len() < self.config.polls_max.max(1));
                let due = async {
                    match next {
                        Some(at) => clock.sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased; // in this order each time, so that a simulation repeats itself
                    () = shutdown.draining() => return Ok(()),
                    () = &mut changed => break,
                    Some(ended) = self.flights.join_next() => match ended {
                        Ok(ended) => self.end(ended).await?,
                        // A poll that panicked: its trigger is lost until the next start, so everybody hears of it.
                        Err(error) => std::panic::resume_unwind(error.into_panic()),
                    },
                    ask = self.asks.next() => self.answer(ask),
                    () = due => {}
                }
            }
        }
        Ok(())
    }

    /// Takes over what is published now: new triggers begin, changed ones begin anew, those that are gone end.
    async fn load(&mut self) -> Result<(), EngineStopped> {
        let (source, polls) = (Arc::clone(&self.ports.source), Arc::clone(&self.ports.polls));
        let workspace = self.ports.workspace.clone();
        let Some(triggers) = self.patiently("reading the polling triggers", || source.polled()).await? else {
            return Ok(());
        };
        let Some(stored) = self.patiently("reading how far polls have come", || polls.list(&workspace)).await? else {
            return Ok(());
        };
        let triggers: BTreeMap<Place, PolledTrigger> =
            triggers.into_iter().map(|trigger| (trigger.place(), trigger)).collect();
        {
            let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
            *published = triggers.clone().into_iter().collect();
        }
        let mut stored: HashMap<Place, PollState> =
            stored.into_iter().map(|state| ((state.workspace.clone(), state.workflow.clone()), state)).collect();
        let now = self.now();
        for (place, trigger) in &triggers {
            let state = stored.remove(place);
            // Those under way are looked at when they end.
            if !self.agenda.is_flying(place) && !self.agenda.goes_on(place, trigger, now) {
                self.take(trigger, state).await?;
            }
        }
        for (place, state) in stored {
            if !state.is_ended && !self.agenda.is_flying(&place) {
                self.close(state).await?;
            }
        }
        self.agenda.retain(|place| triggers.contains_key(place));
        Ok(())
    }

    /// Puts a trigger on the agenda. A state of another source begins anew.
    async fn take(&mut self, trigger: &PolledTrigger, stored: Option<PollState>) -> Result<(), EngineStopped> {
        let now = self.now();
        let stored_revision = stored.as_ref().map_or(0, |state| state.revision);
        let state = match stored.filter(|state| state.source == trigger.source) {
            Some(state) if !state.is_ended => {
                // A shorter interval, or a clock that was wrong, must not leave it asleep; failures wait for their time.
                let latest =
                    if state.failures == 0 && state.hold.is_none() { now + trigger.every } else { state.next_at };
                PollState { next_at: state.next_at.min(latest), ..state }
            }
            same => {
                let place = (trigger.workspace.clone(), trigger.workflow.clone(), trigger.trigger.clone());
                let fresh = PollState::new(place, trigger.source, now);
                // One that comes back goes on where it was.
                let (cursor, counts) = same.map_or_else(Default::default, |state| (state.cursor, state.counts));
                let state = PollState { revision: stored_revision + 1, cursor, counts, ..fresh };
                let polls = Arc::clone(&self.ports.polls);
                let written = self.patiently("beginning to poll", || polls.record(state.clone(), Vec::new())).await?;
                if written.is_none() {
                    return Ok(());
                }
                state
            }
        };
        self.agenda.put(trigger.place(), Entry { trigger: trigger.clone(), state });
        Ok(())
    }

    async fn close(&mut self, state: PollState) -> Result<(), EngineStopped> {
        let ended = PollState { revision: state.revision + 1, is_ended: true, hold: None, ..state };
        let polls = Arc::clone(&self.ports.polls);
        self.patiently("ending polls", || polls.record(ended.clone(), Vec::new())).await.map(drop)
    }

    /// Begins as many polls as are due and have room.
    fn begin_due(&mut self) {
        let now = self.now();
        while self.flights.len() < self.config.polls_max.max(1)
            && let Some((entry, asked)) = self.agenda.take_due(now)
        {
            let poll = Poll {
                config: self.config,
                ports: self.ports.clone(),
                published: Arc::clone(&self.published),
                entry,
                is_asked: asked,
            };
            self.flights.spawn(poll.make());
        }
    }

    async fn end(&mut self, ended: Ended) -> Result<(), EngineStopped> {
        let Ended { trigger, state, outcome } = ended;
        let Some(outcome) = outcome else { return Err(EngineStopped) };
        self.ports.source.became(&trigger, self.now(), &outcome);
        let place = trigger.place();
        self.agenda.landed(&place, &outcome);
        let current = self.published.lock().unwrap_or_else(PoisonError::into_inner).get(&place).cloned();
        match (current, state) {
            (Some(current), Some(state)) if current.source == state.source => {
                self.agenda.put(place, Entry { trigger: current, state });
            }
            (Some(current), state) => self.take(&current, state).await?,
            (None, Some(state)) => self.close(state).await?,
            (None, None) => {}
        }
        Ok(())
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Now { place, reply } => self.agenda.ask(&place, self.now(), reply),
            Ask::Reconnected { connection, at } => self.agenda.reconnected(&connection, at, self.now()),
        }
    }

    fn now(&self) -> Timestamp {
        self.ports.control.0.ports.clock.now()
    }

    /// Does `call` again while the store is busy or short of space. Nothing: this cannot be done now, and the log says why.
    async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        doing: &str,
        call: impl Fn() -> F,
    ) -> Result<Option<T>, EngineStopped> {
        let mut patience = Patience::new(&*self.ports.control.0.ports.clock);
        loop {
            match call().await {
                Ok(done) => return Ok(Some(done)),
                Err(StoreError::Stopped) => return Err(EngineStopped),
                Err(error) if Patience::covers(&error) => patience.pause(doing, &error).await,
                Err(error) => {
                    tracing::error!(%error, doing, "a polling trigger is set aside until a workflow is applied or Flowcell is started again");
                    return Ok(None);
                }
            }
        }
    }
}
