//! Starts runs by changes of contacts. Every change leaves an event in the store, written in the same transaction; this takes the events in
//! turn, starts the runs of the workflows whose trigger they are, and only then forgets them.
//!
//! An event starts each workflow once, whatever happens: the delivery's id and its run's are made of the workflow and the event, so that doing
//! it again, as after a crash before the event was forgotten, changes nothing. A workflow that cannot be started keeps nobody else from being.
//! Workflows that set each other off without an end are stopped by [`guard`], which says which they are.

mod delivery;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use flowcell_core::condition::Explanation;
use flowcell_core::contact::event::{ChainLimits, ContactEvent, ContactTrigger, guard};
use flowcell_core::contact::port::Contacts;
use flowcell_core::id::{ContactId, EventId, RunId, WorkflowId, WorkspaceId};
use flowcell_core::ports::{Clock, StoreError};
use flowcell_core::time::Timestamp;
use serde_json::Value;

use crate::control::RunControl;
use crate::engine::Ports;
use crate::patience::Patience;
use crate::shutdown::Shutdown;
use crate::worker::EngineStopped;

/// A published workflow that changes of contacts start.
#[derive(Debug, Clone)]
pub struct ListeningWorkflow {
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    /// The published version; its runs execute it.
    pub version: u32,
    /// The trigger's id within its workflow.
    pub trigger: String,
    pub on: ContactTrigger,
}

/// The published workflows that changes of contacts start.
#[async_trait]
pub trait ListeningSource: Send + Sync {
    async fn listening(&self) -> Result<Vec<ListeningWorkflow>, StoreError>;

    /// Hears what became of each event, to count it and to show it to people.
    fn became(&self, _workflow: &ListeningWorkflow, _now: Timestamp, _became: &Became) {}
}

/// What became of an event for one workflow.
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
    /// Changes of contacts go in a circle.
    Circle {
        message: String,
    },
    /// It cannot be started: a key or the filter reads what is not there, the workflow cannot be read.
    Refused {
        message: String,
    },
}

/// What the dispatcher needs of the outside.
#[derive(Clone)]
pub struct DispatcherPorts {
    /// Starts the runs.
    pub control: RunControl,
    pub contacts: Arc<dyn Contacts>,
    pub source: Arc<dyn ListeningSource>,
    pub clock: Arc<dyn Clock>,
    pub limits: ChainLimits,
}

impl fmt::Debug for DispatcherPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DispatcherPorts")
    }
}

/// Starts the runs that changes of contacts of one store lead to. There is one: two would do everything twice, and harm nobody.
#[derive(Debug)]
pub struct Dispatcher {
    ports: DispatcherPorts,
}

/// Events that are read at a time: with the largest contacts some megabytes.
const EVENTS_MAX: usize = 64;

enum Halt {
    /// A drain began; the next start goes on.
    Draining,
    Stopped,
    /// It cannot be read or written, however often it is tried.
    SetAside(StoreError),
}

impl Dispatcher {
    pub fn new(ports: DispatcherPorts) -> Self {
        Self { ports }
    }

    /// Works until `shutdown` or until the store stops. What waits since before the start comes first.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), EngineStopped> {
        while !shutdown.is_draining() {
            let changed = self.ports.contacts.changed(); // before looking: a change in between is then seen
            match self.dispatch(&shutdown).await {
                Ok(false) => {}
                Ok(true) => continue,
                Err(Halt::Draining) => return Ok(()),
                Err(Halt::Stopped) => return Err(EngineStopped),
                Err(Halt::SetAside(error)) => {
                    tracing::error!(%error, "changes of contacts cannot be dispatched; it is tried again with the next change and at the next start");
                }
            }
            tokio::select! {
                biased; // in this order each time, so that a simulation repeats itself
                () = shutdown.draining() => {}
                () = changed => {}
            }
        }
        Ok(())
    }

    /// Takes what waits. Returns whether there was anything.
    async fn dispatch(&self, shutdown: &Shutdown) -> Result<bool, Halt> {
        let contacts = &self.ports.contacts;
        let events = self.patiently("reading changes of contacts", shutdown, || contacts.waiting(EVENTS_MAX)).await?;
        if events.is_empty() {
            return Ok(false);
        }
        let source = &self.ports.source;
        let listening = self.patiently("reading the workflows", shutdown, || source.listening()).await?;
        for event in &events {
            for workflow in listening.iter().filter(|workflow| workflow.workspace == event.workspace) {
                self.start(workflow, event, shutdown).await?;
            }
        }
        let done: Vec<_> = events.iter().map(|event| (event.workspace.clone(), event.id)).collect();
        self.patiently("noting that changes of contacts were dispatched", shutdown, || contacts.dispatched(&done))
            .await?;
        Ok(true)
    }

    async fn start(&self, workflow: &ListeningWorkflow, event: &ContactEvent, shutdown: &Shutdown) -> Result<(), Halt> {
        let happened = workflow.on.matches(&event.change);
        if happened.is_empty() {
            return Ok(());
        }
        if shutdown.is_draining() {
            return Err(Halt::Draining);
        }
        let id = &workflow.workflow;
        let became = if let Err(circle) = guard(event, id, &self.ports.limits) {
            Became::Circle { message: circle.to_string() }
        } else {
            let payload = event.payload(&happened);
            let deliver = || delivery::deliver(workflow, (event, &payload), &self.ports.control);
            self.patiently("starting a run for a change of a contact", shutdown, deliver).await?
        };
        match &became {
            Became::Started => {}
            Became::Duplicate => {
                tracing::debug!(workflow = %id, event = %event.id, "the run of this change was started before");
            }
            Became::Skipped { because_of } => {
                tracing::info!(workflow = %id, event = %event.id, ?because_of, "a change starts no run, because one about the same subject goes on");
            }
            Became::Filtered { .. } => {
                tracing::debug!(workflow = %id, event = %event.id, "a change starts no run, because the trigger's filter does not hold");
            }
            Became::Circle { message } => tracing::warn!(workflow = %id, event = %event.id, message),
            Became::Refused { message } => {
                tracing::error!(workflow = %id, event = %event.id, message, "a change of a contact is passed over, because its run cannot be started; mend the workflow and apply it");
            }
        }
        self.ports.source.became(workflow, self.ports.clock.now(), &became);
        Ok(())
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
                Err(StoreError::Stopped) => return Err(Halt::Stopped),
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

/// A contact as expressions read it; nothing when it has been deleted.
pub(crate) async fn document(
    ports: &Ports,
    workspace: &WorkspaceId,
    contact: ContactId,
) -> Result<Option<Value>, StoreError> {
    let mut patience = Patience::new(&*ports.clock);
    loop {
        match ports.contacts.get(workspace, contact).await {
            Err(error) if Patience::covers(&error) => patience.pause("reading a run's contact", &error).await,
            result => return Ok(result?.map(|contact| contact.document())),
        }
    }
}
