//! From an incoming payload to runs in the journal, with what the workflow's `reentry` says about unfinished ones.

use flowcell_core::id::{EventId, RunId, WorkflowId, WorkspaceId};
use flowcell_core::ports::{Accepted, DedupeTerms, Delivery, Entropy};
use flowcell_core::run::event::Origin;
use flowcell_core::run::fold::Mark;
use flowcell_core::workflow::settings::ReentryPolicy;
use serde_json::Value;

use super::create::{Creation, check_input, first_entry, published};
use super::{ControlError, RunControl};

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
        let core = &*self.0;
        let Incoming { workspace, workflow, version, trigger, dedupe_key, dedupe, payloads, ids, input } = incoming;
        let version = match version {
            Some(version) => version,
            None => published(core, &workspace, &workflow).await?,
        };
        let prepared = core.workflows.version(&core.ports, &workspace, (&workflow, version)).await?;
        let now = core.ports.clock.now();
        let event = EventId::from_parts(now, bits(&*core.ports.entropy));
        let policy = prepared.compiled.workflow.settings.reentry.as_ref().map(|reentry| reentry.policy);
        // Two deliveries about one subject look for unfinished runs one after the other.
        let _turn = match policy {
            Some(ReentryPolicy::Skip | ReentryPolicy::Replace) => Some(core.reentry.lock().await),
            Some(ReentryPolicy::Allow) | None => None,
        };
        let (mut runs, mut skipped_for, mut replaced) = (Vec::new(), Vec::new(), Vec::new());
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
                trigger: payload,
                origin: Origin::default(),
            };
            let (run, folded) = first_entry(&prepared, creation, now)?;
            let subject = folded.origin.subject.clone().map(Mark::Subject);
            let unfinished = match (policy, subject) {
                (Some(ReentryPolicy::Skip | ReentryPolicy::Replace), Some(subject)) => {
                    core.ports.index.marked(&workspace, &subject).await?
                }
                _ => Vec::new(),
            };
            match (policy, unfinished.first()) {
                (Some(ReentryPolicy::Skip), Some(first)) => skipped_for.push(first.id),
                (Some(ReentryPolicy::Replace), _) => {
                    replaced.extend(unfinished.iter().map(|run| run.id));
                    runs.push(run);
                }
                _ => runs.push(run),
            }
        }
        let delivery = Delivery { event, workspace, trigger, received_at: now, dedupe_key, dedupe, runs };
        let accepted = core.ports.journal.accept(delivery).await?;
        if accepted.duplicate {
            return Ok(Delivered { accepted, skipped_for: Vec::new(), replaced: Vec::new() });
        }
        for run in &replaced {
            match self.cancel(*run, "a newer run about the same subject replaces it").await {
                Ok(()) | Err(ControlError::Ended(_) | ControlError::NoRun(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Delivered { accepted, skipped_for, replaced })
    }
}

/// The random part of an id.
pub(super) fn bits(entropy: &dyn Entropy) -> u128 {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    u128::from_be_bytes(bytes)
}
