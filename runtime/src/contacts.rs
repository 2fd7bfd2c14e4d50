//! The published workflows that changes of contacts start, as the dispatcher asks for them: read from their text once per version. And what is
//! looked after beside that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::id::{WorkflowId, WorkspaceId};
use flowcell_core::ports::{Definitions, StoreError, WorkflowVersion};
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::TriggerKind;
use flowcell_core::workflow::parse::Authored;
use flowcell_engine::contacts::{Became, ListeningSource, ListeningWorkflow};
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use crate::app::{App, TRIGGER_ID};
use crate::ingress::tally::{Came, Filtered, Rejected, Tallies};

pub(crate) struct PublishedListeners {
    workspace: WorkspaceId,
    definitions: Arc<dyn Definitions>,
    tallies: Arc<Tallies>,
    /// By workflow, the newest version that was read and what it listens to: nothing when something else starts it. A version never changes.
    read: Mutex<HashMap<WorkflowId, (u32, Option<ListeningWorkflow>)>>,
}

impl PublishedListeners {
    pub(crate) fn new(workspace: WorkspaceId, definitions: Arc<dyn Definitions>, tallies: Arc<Tallies>) -> Self {
        Self { workspace, definitions, tallies, read: Mutex::default() }
    }

    /// What a published version listens to, if it was read before.
    #[expect(clippy::option_option, reason = "it may be unknown, or known to listen to nothing")]
    fn known(&self, workflow: &WorkflowId, version: u32) -> Option<Option<ListeningWorkflow>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.get(workflow).filter(|(known, _)| *known == version).map(|(_, listening)| listening.clone())
    }
}

#[async_trait]
impl ListeningSource for PublishedListeners {
    async fn listening(&self) -> Result<Vec<ListeningWorkflow>, StoreError> {
        let mut found = Vec::new();
        for head in self.definitions.list(&self.workspace).await? {
            let Some(number) = head.published else { continue };
            if let Some(known) = self.known(&head.id, number) {
                found.extend(known);
                continue;
            }
            let Some(version) = self.definitions.version(&self.workspace, &head.id, number).await? else {
                tracing::error!(workflow = %head.id, version = number, "the published version is missing from the store");
                continue;
            };
            let listening = listening(version);
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.insert(head.id, (number, listening.clone()));
            found.extend(listening);
        }
        Ok(found)
    }

    fn became(&self, workflow: &ListeningWorkflow, now: Timestamp, became: &Became) {
        let tally = self.tallies.of(&workflow.workflow);
        let rejected = |code: &'static str, message: &str| {
            let status = StatusCode::UNPROCESSABLE_ENTITY.as_u16();
            tally.rejected(Rejected { at: now, status, code, message: message.to_owned() });
        };
        match became {
            Became::Started | Became::Skipped { .. } => tally.count(Came::Started),
            Became::Duplicate => tally.count(Came::Duplicate),
            Became::Filtered { event, because } => {
                tally.filtered(Filtered { event_id: *event, at: now, because: because.clone() });
            }
            Became::Circle { message } => rejected("contact-circle", message),
            Became::Refused { message } => rejected("filter-failed", message),
        }
    }
}

/// What cannot be read was accepted by another Flowcell: it starts nothing, and the log says so.
fn listening(version: WorkflowVersion) -> Option<ListeningWorkflow> {
    let authored = match Authored::parse(&version.source) {
        Ok(authored) => authored,
        Err(problems) => {
            tracing::error!(workflow = %version.id, version = version.version, ?problems, "a stored workflow cannot be read");
            return None;
        }
    };
    let TriggerKind::Contact(on) = authored.workflow.trigger.kind else { return None };
    Some(ListeningWorkflow {
        workspace: version.workspace,
        workflow: version.id,
        version: version.version,
        trigger: TRIGGER_ID.to_owned(),
        on,
    })
}

impl std::fmt::Debug for PublishedListeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublishedListeners").field("workspace", &self.workspace).finish_non_exhaustive()
    }
}

/// How often it is looked for keys of writes that are remembered no longer.
const FORGOTTEN_EVERY: Duration = Duration::from_mins(10);

/// Forgets the keys of old writes, until `stop`.
pub(crate) async fn forget_keys(app: Arc<App>, stop: CancellationToken) {
    loop {
        let now = app.ports.clock.now();
        if let Err(error) = app.ports.contacts.forget_keys(now).await {
            tracing::warn!(%error, "old keys of contact writes were not forgotten; it is tried again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.ports.clock.sleep_until(now + FORGOTTEN_EVERY) => {}
        }
    }
}
