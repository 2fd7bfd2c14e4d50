//! Keeps the URLs of triggers registered at their providers, and nothing else there. Stands beside the worker and knows what is to be registered
//! ([`SubscriptionSource`]) and what is ([`Subscriptions`]).
//!
//! A provider and the store cannot be written in one transaction. So what is about to be registered is written down first; a process that dies in
//! between finds that at its next start and asks for the same registration again, which providers and plugins answer with the one there is. Only
//! what stands in the store is taken away, and only what is taken away leaves the store.
//!
//! The new registration is made before the old one goes: deliveries in between come twice at most, and are known by their keys.

mod settle;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::id::{WorkflowId, WorkspaceId};
use flowcell_core::ports::{Changed, Hold, StoreError, SubscriptionState, Subscriptions, Wanted};
use flowcell_core::time::Timestamp;
use tokio::task::JoinSet;

use crate::control::RunControl;
use crate::patience::Patience;
use crate::shutdown::Shutdown;
use crate::worker::EngineStopped;
use settle::Settling;

/// A published workflow whose trigger registers its URL.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscribedTrigger {
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    pub wanted: Wanted,
}

/// The published workflows whose triggers register their URL.
#[async_trait]
pub trait SubscriptionSource: Send + Sync {
    async fn subscribed(&self) -> Result<Vec<SubscribedTrigger>, StoreError>;

    /// The trigger's URL that is wanted, or was.
    fn callback_url(&self, workflow: &WorkflowId, wanted: &Wanted) -> String;

    /// Resolves at the first change after the call: subscribe before looking, so that nothing is missed. An owner who acts on a connection is a
    /// change too.
    fn changed(&self) -> Changed;

    /// When the owner of each connection acted last, of those that can be used.
    async fn reconnected(&self) -> Result<Vec<(flowcell_core::id::ConnectionName, Timestamp)>, StoreError>;
}

/// What the subscriber needs of the outside.
#[derive(Clone)]
pub struct SubscriberPorts {
    /// The engine's plugins, clock and chance are its own.
    pub control: RunControl,
    pub subscriptions: Arc<dyn Subscriptions>,
    pub source: Arc<dyn SubscriptionSource>,
    pub workspace: WorkspaceId,
    /// How long one call may take.
    pub timeout: Duration,
}

impl fmt::Debug for SubscriberPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriberPorts").field("workspace", &self.workspace).finish_non_exhaustive()
    }
}

/// Workflows that are worked on at a time: their calls wait for providers, so a few of them keep nobody else waiting.
const SETTLING_MAX: usize = 4;

/// Keeps the registrations of one workspace. There is one: two would register twice.
#[derive(Debug)]
pub struct Subscriber {
    ports: SubscriberPorts,
}

/// A workflow that has been worked on, and when something is to be done for it again.
struct Settled {
    workflow: WorkflowId,
    next_at: Option<Timestamp>,
}

impl Subscriber {
    pub fn new(ports: SubscriberPorts) -> Self {
        Self { ports }
    }

    /// Works until `shutdown` or until the store stops. A call under way is dropped then; the next start makes it again.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), EngineStopped> {
        let clock = Arc::clone(&self.ports.control.0.ports.clock);
        let mut tasks: JoinSet<Result<Settled, EngineStopped>> = JoinSet::new();
        let mut busy: HashSet<WorkflowId> = HashSet::new();
        while !shutdown.is_draining() {
            let mut changed = self.ports.source.changed(); // before looking: a change in between is then seen
            let Some(mut due) = self.look(&shutdown).await? else { continue };
            loop {
                let now = clock.now();
                while tasks.len() < SETTLING_MAX
                    && let Some(workflow) = first_due(&due, now, &busy)
                    && let Some((_, desired)) = due.remove(&workflow)
                {
                    busy.insert(workflow.clone());
                    let settling = Settling { ports: self.ports.clone(), workflow, desired };
                    tasks.spawn(settling.settle());
                }
                let free = due.iter().filter(|(workflow, _)| !busy.contains(*workflow));
                let next = free.map(|(_, (at, _))| *at).min().filter(|_| tasks.len() < SETTLING_MAX);
                let wake = async {
                    match next {
                        Some(at) => clock.sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = shutdown.draining() => return Ok(()),
                    Some(settled) = tasks.join_next() => {
                        let Settled { workflow, next_at } =
                            settled.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
                        busy.remove(&workflow);
                        // What was changed meanwhile stands in `due` already.
                        if let (Some(at), false) = (next_at, due.contains_key(&workflow)) {
                            let desired = self.desired(&shutdown).await?.and_then(|mut all| all.remove(&workflow));
                            due.insert(workflow, (at, desired));
                        }
                    }
                    () = &mut changed => break,
                    () = wake => {}
                }
            }
        }
        Ok(())
    }

    /// Everything that something is to be done for, and when.
    async fn look(&self, shutdown: &Shutdown) -> Result<Option<Due>, EngineStopped> {
        let Some(mut desired) = self.desired(shutdown).await? else { return Ok(None) };
        let (subscriptions, source) = (&self.ports.subscriptions, &self.ports.source);
        let workspace = &self.ports.workspace;
        let Some(stored) =
            self.patiently("reading the subscriptions", shutdown, || subscriptions.list(workspace)).await?
        else {
            return Ok(None);
        };
        let Some(ready) = self.patiently("reading the connections", shutdown, || source.reconnected()).await? else {
            return Ok(None);
        };
        let now = self.ports.control.0.ports.clock.now();
        let mut due = Due::new();
        for state in stored {
            let wanted = desired.remove(&state.workflow);
            let goes_on = match &state.hold {
                Some(Hold::Reconnecting { connection, since }) => {
                    ready.iter().any(|(name, at)| name == connection && at > since)
                }
                _ => false,
            };
            let at = match state.next_at {
                _ if !is_as_wanted(&state, wanted.as_ref()) && state.failures == 0 || goes_on => Some(now),
                next_at => next_at,
            };
            // Another wish than the one that failed is tried at once.
            let is_another = state.intent.as_ref().zip(wanted.as_ref()).is_some_and(|(one, other)| !one.is_same(other));
            let at = if is_another { Some(now) } else { at };
            if let Some(at) = at.or_else(|| (!is_as_wanted(&state, wanted.as_ref())).then_some(now)) {
                due.insert(state.workflow, (at, wanted));
            }
        }
        due.extend(desired.into_iter().map(|(workflow, wanted)| (workflow, (now, Some(wanted)))));
        Ok(Some(due))
    }

    async fn desired(&self, shutdown: &Shutdown) -> Result<Option<BTreeMap<WorkflowId, Wanted>>, EngineStopped> {
        let source = &self.ports.source;
        let triggers = self.patiently("reading the triggers that subscribe", shutdown, || source.subscribed()).await?;
        Ok(triggers.map(|all| all.into_iter().map(|trigger| (trigger.workflow, trigger.wanted)).collect()))
    }

    /// Does `call` again while the store is busy or short of space. Nothing: a drain began, or this cannot be read, and the log says why.
    async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        doing: &str,
        shutdown: &Shutdown,
        call: impl Fn() -> F,
    ) -> Result<Option<T>, EngineStopped> {
        let mut patience = Patience::new(&*self.ports.control.0.ports.clock);
        loop {
            let error = match call().await {
                Ok(done) => return Ok(Some(done)),
                Err(StoreError::Stopped) => return Err(EngineStopped),
                Err(error) => error,
            };
            if !Patience::covers(&error) {
                tracing::error!(%error, doing, "subscriptions are not looked after; it is tried again");
            }
            tokio::select! {
                biased;
                () = shutdown.draining() => return Ok(None),
                () = patience.pause(doing, &error) => {}
            }
        }
    }
}

/// By workflow: when, and what is to stand at its provider; none: nothing.
type Due = BTreeMap<WorkflowId, (Timestamp, Option<Wanted>)>;

fn first_due(due: &Due, now: Timestamp, busy: &HashSet<WorkflowId>) -> Option<WorkflowId> {
    let ready = due.iter().filter(|(workflow, (at, _))| *at <= now && !busy.contains(*workflow));
    ready.min_by_key(|(_, (at, _))| *at).map(|(workflow, _)| workflow.clone())
}

/// Whether nothing is to be done, but for renewals.
fn is_as_wanted(state: &SubscriptionState, wanted: Option<&Wanted>) -> bool {
    let stands = match (&state.current, wanted) {
        (None, None) => true,
        (Some(current), Some(wanted)) => current.wanted.is_same(wanted),
        _ => false,
    };
    stands && state.intent.is_none() && state.retiring.is_empty()
}
