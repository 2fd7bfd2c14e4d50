//! The published workflows that run by the clock, as the scheduler asks for them: read from their text once per version.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flowcell_core::id::{WorkflowId, WorkspaceId};
use flowcell_core::ports::{Changed, Definitions, StoreError, WorkflowVersion};
use flowcell_core::schedule::{Schedule, ScheduleError, Zone};
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::parse::Authored;
use flowcell_core::workflow::{TriggerKind, Workflow};
use flowcell_engine::scheduler::{Became, ScheduleSource, ScheduledTrigger};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::app::TRIGGER_ID;
use crate::ingress::tally::{Came, Filtered, Rejected, Tallies};

pub(crate) struct PublishedSchedules {
    workspace: WorkspaceId,
    definitions: Arc<dyn Definitions>,
    changed: Arc<Notify>,
    tallies: Arc<Tallies>,
    /// By workflow, the newest version that was read and its schedule: nothing when it has none. A version never changes.
    read: Mutex<HashMap<WorkflowId, (u32, Option<ScheduledTrigger>)>>,
}

/// The schedule of a workflow: nothing when something else starts it.
pub(crate) fn schedule_of(workflow: &Workflow) -> Option<Result<Schedule, ScheduleError>> {
    let TriggerKind::Schedule(spec) = &workflow.trigger.kind else { return None };
    let zone = workflow.settings.timezone.as_deref().map_or_else(|| Ok(Zone::utc()), str::parse);
    Some(zone.and_then(|zone| spec.schedule(&zone)))
}

/// A schedule and its next times after `from`, as the API and the command line show them.
pub(crate) fn preview(schedule: &Schedule, from: Timestamp, count: usize) -> Value {
    let zone = schedule.zone();
    let times = schedule.occurrences(from, Timestamp::from_millis(u64::MAX), count);
    let time = |at: &Timestamp| {
        let (weekday, abbreviation) = zone.weekday_and_abbreviation(*at).unwrap_or_default();
        json!({ "at": at, "local_time": zone.format(*at), "weekday": weekday, "abbreviation": abbreviation })
    };
    json!({
        "schedule": schedule.text(),
        "description": schedule.describe(),
        "timezone": zone.name(),
        "missed": schedule.missed(),
        "next": times.iter().map(time).collect::<Vec<_>>(),
    })
}

impl PublishedSchedules {
    pub(crate) fn new(workspace: WorkspaceId, definitions: Arc<dyn Definitions>, tallies: Arc<Tallies>) -> Self {
        Self { workspace, definitions, changed: Arc::new(Notify::new()), tallies, read: Mutex::default() }
    }

    /// Called when a workflow was applied.
    pub(crate) fn tell(&self) {
        self.changed.notify_waiters();
    }

    /// The schedules of a published version, of which there is one or none, if it was read before.
    fn known(&self, workflow: &WorkflowId, version: u32) -> Option<Vec<ScheduledTrigger>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.get(workflow).filter(|(known, _)| *known == version).map(|(_, trigger)| trigger.iter().cloned().collect())
    }
}

#[async_trait]
impl ScheduleSource for PublishedSchedules {
    async fn schedules(&self) -> Result<Vec<ScheduledTrigger>, StoreError> {
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
            let trigger = scheduled(version);
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.insert(head.id, (number, trigger.clone()));
            found.extend(trigger);
        }
        Ok(found)
    }

    fn changed(&self) -> Changed {
        // `notify_waiters` reaches every future made before it, polled or not: that is the subscription.
        Box::pin(Arc::clone(&self.changed).notified_owned())
    }

    fn became(&self, trigger: &ScheduledTrigger, now: Timestamp, became: &Became) {
        let tally = self.tallies.of(&trigger.workflow);
        match became {
            Became::Started | Became::Skipped { .. } => tally.count(Came::Started),
            Became::Duplicate => tally.count(Came::Duplicate),
            // It came of the clock: there is nothing in it that could be secret.
            Became::Filtered { event, because } => {
                tally.filtered(Filtered { event_id: *event, at: now, because: because.clone() });
            }
            Became::Refused { message } => {
                let status = StatusCode::UNPROCESSABLE_ENTITY.as_u16();
                tally.rejected(Rejected { at: now, status, code: "filter-failed", message: message.clone() });
            }
        }
    }
}

/// What cannot be read was accepted by another Flowcell: it starts nothing, and the log says so.
fn scheduled(version: WorkflowVersion) -> Option<ScheduledTrigger> {
    let (workflow, number) = (&version.id, version.version);
    let authored = match Authored::parse(&version.source) {
        Ok(authored) => authored,
        Err(problems) => {
            tracing::error!(%workflow, version = number, ?problems, "a stored workflow cannot be read");
            return None;
        }
    };
    let schedule = match schedule_of(&authored.workflow)? {
        Ok(schedule) => schedule,
        Err(error) => {
            let problem = error.in_words();
            tracing::error!(%workflow, version = number, problem, "the schedule of a stored workflow cannot be read; it starts no runs");
            return None;
        }
    };
    Some(ScheduledTrigger {
        workspace: version.workspace,
        workflow: version.id,
        version: number,
        trigger: TRIGGER_ID.to_owned(),
        schedule,
        // A version is published when it is written: publishing a draft writes another.
        since: version.created_at,
    })
}

impl std::fmt::Debug for PublishedSchedules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublishedSchedules").field("workspace", &self.workspace).finish_non_exhaustive()
    }
}
