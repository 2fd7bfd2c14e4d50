//! From an incoming payload to runs in the journal, with what the workflow's `reentry` says about unfinished ones.

use std::sync::Arc;

use flowcell_core::id::{EventId, RunId, WorkflowId, WorkspaceId};
use flowcell_core::ports::{Accepted, DedupeTerms, Delivery, Entropy, NewRun};
use flowcell_core::run::event::{Origin, RunEvent};
use flowcell_core::run::fold::Mark;
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::settings::ReentryPolicy;
use serde_json::Value;

use super::create::{Creation, check_input, first_entry, published};
use super::{ControlError, RunControl};
use crate::engine::Core;
use crate::workflows::Prepared;

/// What came for one workflow.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    /// The published one when absent.
    pub version: Option<u32>,
    /// The trigger it came to, the scope of `dedupe_key`.
    pub trigger: String,
    pub dedupe_key: Option<String>,
    pub dedupe: DedupeTerms,
    /// Each starts a run, which reads it as `trigger`.
    pub payloads: Vec<Value>,
    /// The ids of the runs, for whoever has to know them before they begin; drawn where there are fewer than payloads.
    pub ids: Vec<RunId>,
    /// Whether the payloads are checked against the workflow's `input`: those of people and the API are, a plugin's are its own matter.
    pub input: Input,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    Checked,
    Trusted,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    pub accepted: Accepted,
    /// Unfinished runs for whose sake no new one was started (`reentry.policy: skip`).
    pub skipped_for: Vec<RunId>,
    /// Unfinished runs that were cancelled for a new one (`reentry.policy: replace`).
    pub replaced: Vec<RunId>,
}

impl RunControl {
    /// Writes a delivery and the runs it starts; returns after the sync.
    pub async fn deliver(&self, incoming: Incoming) -> Result<Delivered, ControlError> {
        let ports = &self.0.ports;
        let event = EventId::from_parts(ports.clock.now(), bits(&*ports.entropy));
        self.deliver_as(event, incoming).await
    }

    /// The same with an id that the delivery has already.
    pub(crate) async fn deliver_as(&self, event: EventId, incoming: Incoming) -> Result<Delivered, ControlError> {
        let core = &*self.0;
        let Incoming { workspace, workflow, version, trigger, dedupe_key, dedupe, payloads, ids, input } = incoming;
        let version = match version {
            Some(version) => version,
            None => published(core, &workspace, &workflow).await?,
        };
        let prepared = core.workflows.version(&core.ports, &workspace, (&workflow, version)).await?;
        let now = core.ports.clock.now();
        let _turn = turn(core, &prepared).await;
        let mut drafted = Drafted::default();
        let mut ids = ids.into_iter();
        for payload in payloads {
            if input == Input::Checked {
                check_input(&prepared, &payload)?;
            }
            let creation = Creation {
                id: ids.next().unwrap_or_else(|| RunId::from_parts(now, bits(&*core.ports.entropy))),
                event,
                workspace: workspace.clone(),
                workflow: workflow.clone(),
                version,
                origin: Origin::of_trigger(&prepared.compiled.workflow.trigger.kind, &payload),
                trigger: Arc::new(payload),
            };
            drafted.add(core, &prepared, creation, now).await?;
        }
        let Drafted { runs, skipped_for, mut replaced, .. } = drafted;
        let delivery = Delivery { event, workspace, trigger, received_at: now, dedupe_key, dedupe, runs };
        let accepted = core.ports.journal.accept(delivery).await?;
        if accepted.duplicate {
            return Ok(Delivered { accepted, skipped_for: Vec::new(), replaced: Vec::new() });
        }
        replaced.sort_unstable();
        replaced.dedup();
        self.end_replaced(&replaced).await;
        Ok(Delivered { accepted, skipped_for, replaced })
    }

    /// Tells runs that others were started in their place.
    pub(super) async fn end_replaced(&self, replaced: &[RunId]) {
        for run in replaced {
            match self.cancel(*run, REPLACED).await {
                Ok(()) | Err(ControlError::Ended(_) | ControlError::NoRun(_)) => {}
                // What was delivered stands. Its worker ends the earlier run before it begins anything.
                Err(error) => tracing::warn!(%run, %error, "a run that is replaced could not be told at once"),
            }
        }
    }
}

/// Two deliveries about one subject look for unfinished runs one after the other.
pub(super) async fn turn<'c>(core: &'c Core, prepared: &Prepared) -> Option<tokio::sync::MutexGuard<'c, ()>> {
    match reentry(prepared) {
        Some(ReentryPolicy::Skip | ReentryPolicy::Replace) => Some(core.reentry.lock().await),
        Some(ReentryPolicy::Allow) | None => None,
    }
}

/// Runs to be, and what the workflow's `reentry` says of each.
#[derive(Default)]
pub(super) struct Drafted {
    pub(super) runs: Vec<NewRun>,
    pub(super) skipped_for: Vec<RunId>,
    pub(super) replaced: Vec<RunId>,
    /// What was drafted here so far, by subject: the index knows nothing of it yet.
    fresh: Vec<(Mark, RunId)>,
}

impl Drafted {
    /// The caller holds [`Core::reentry`] where the policy asks for that.
    pub(super) async fn add(
        &mut self,
        core: &Core,
        prepared: &Prepared,
        creation: Creation,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        let policy = reentry(prepared);
        let workspace = creation.workspace.clone();
        let (mut run, folded) = first_entry(core, prepared, creation, now)?;
        let subject = folded.origin.subject.clone().map(Mark::Subject);
        let mut unfinished = Vec::new();
        if let (Some(ReentryPolicy::Skip | ReentryPolicy::Replace), Some(subject)) = (policy, subject) {
            let stored = core.ports.index.marked(&workspace, &subject).await?;
            unfinished.extend(stored.into_iter().map(|run| run.id));
            unfinished.extend(self.fresh.iter().filter(|(other, _)| *other == subject).map(|(_, run)| *run));
            // One that is skipped never is there to go on in anybody's place.
            if policy != Some(ReentryPolicy::Skip) || unfinished.is_empty() {
                self.fresh.push((subject, run.id));
            }
        }
        match (policy, unfinished.first()) {
            (Some(ReentryPolicy::Skip), Some(first)) => self.skipped_for.push(*first),
            (Some(ReentryPolicy::Replace), _) => {
                self.replaced.extend(&unfinished);
                // The new run is to know: then no crash leaves both (see `Drive::end_replaced`).
                if let RunEvent::Created { origin, .. } = &mut run.created.event {
                    origin.replaces = unfinished;
                }
                self.runs.push(run);
            }
            _ => self.runs.push(run),
        }
        Ok(())
    }
}

fn reentry(prepared: &Prepared) -> Option<ReentryPolicy> {
    prepared.compiled.workflow.settings.reentry.as_ref().map(|reentry| reentry.policy)
}

/// Why a run ends for whose sake another one was started.
pub(crate) const REPLACED: &str = "a newer run about the same subject replaces it";

/// The random part of an id.
pub(super) fn bits(entropy: &dyn Entropy) -> u128 {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    u128::from_be_bytes(bytes)
}
