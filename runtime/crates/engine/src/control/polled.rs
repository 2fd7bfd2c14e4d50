//! From what a poll brought to runs: every run of it and the new cursor are one write. What the workflow says of its deliveries holds here as for
//! any other: `filter`, `dedupe`, `reentry`, `concurrency`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use flowcell_core::condition::Explanation;
use flowcell_core::id::{EventId, RunId};
use flowcell_core::invoke::TriggerEvent;
use flowcell_core::ports::{DedupeTerms, Delivery, PollState, Polls};
use flowcell_core::redact::Redactor;
use flowcell_core::run::event::Origin;
use flowcell_core::workflow::trigger::Dedupe;
use serde_json::Value;

use super::create::Creation;
use super::deliver::{Drafted, bits, turn};
use super::{ControlError, RunControl};
use crate::polling::PolledTrigger;

/// What became of the events of a poll.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Brought {
    pub(crate) started: u64,
    pub(crate) duplicate: u64,
    pub(crate) skipped: u64,
    pub(crate) filtered: Vec<(EventId, Explanation)>,
}

/// For whom something was polled, and what is written with it: the state without the counts of these events.
pub(crate) struct PolledFor<'p> {
    pub(crate) polls: &'p dyn Polls,
    pub(crate) trigger: &'p PolledTrigger,
    pub(crate) state: PollState,
}

impl RunControl {
    /// Writes the runs of these events and the state, all of it or nothing. Returns the state as it was written.
    pub(crate) async fn deliver_polled(
        &self,
        polled: PolledFor<'_>,
        events: &[TriggerEvent],
    ) -> Result<(PollState, Brought), ControlError> {
        let core = &*self.0;
        let PolledFor { polls, trigger, mut state } = polled;
        let (workspace, workflow, version) = (&trigger.workspace, &trigger.workflow, trigger.version);
        let prepared = core.workflows.version(&core.ports, workspace, (workflow, version)).await?;
        let now = core.ports.clock.now();
        let _turn = turn(core, &prepared).await;
        let (mut brought, mut drafted) = (Brought::default(), Drafted::default());
        let (mut deliveries, mut keys) = (Vec::with_capacity(events.len()), HashSet::new());
        for TriggerEvent { payload, dedupe_key } in events {
            let event = EventId::from_parts(now, bits(&*core.ports.entropy));
            if let Some(mut because) = self.kept_out(workspace, (workflow, version), (event, payload)).await? {
                if !prepared.redaction.is_empty() {
                    // It is shown, and the payload is gone then.
                    let mut redactor = Redactor::new(Arc::clone(&prepared.redaction));
                    redactor.learn_trigger(payload);
                    redactor.redact_explanation(&mut because);
                }
                brought.filtered.push((event, because));
                continue;
            }
            let (dedupe_key, window) = key(trigger.dedupe.as_ref(), payload, dedupe_key.as_ref());
            let mut delivery = Delivery {
                event,
                workspace: workspace.clone(),
                // As deliveries to its URL, if it had one: keys of one workflow's trigger say nothing about another's.
                trigger: format!("{workflow}/{}", trigger.trigger),
                received_at: now,
                dedupe: DedupeTerms { window, body: None },
                dedupe_key,
                runs: Vec::new(),
            };
            let is_new_here = delivery.dedupe_key.clone().is_none_or(|key| keys.insert(key));
            // Asked before the runs are made: one that is never started goes on in nobody's place.
            if !is_new_here || polls.is_known(&delivery).await? {
                brought.duplicate += 1;
                continue;
            }
            let creation = Creation {
                id: RunId::from_parts(now, bits(&*core.ports.entropy)),
                event,
                workspace: workspace.clone(),
                workflow: workflow.clone(),
                version,
                trigger: std::sync::Arc::new(payload.clone()),
                origin: Origin::default(),
            };
            drafted.add(core, &prepared, creation, now).await?;
            delivery.runs = std::mem::take(&mut drafted.runs);
            if delivery.runs.is_empty() {
                brought.skipped += 1;
            } else {
                brought.started += 1;
            }
            deliveries.push(delivery);
        }
        let counts = &mut state.counts;
        counts.events += events.len() as u64;
        counts.started += brought.started;
        counts.duplicate += brought.duplicate;
        counts.filtered += brought.filtered.len() as u64;
        counts.skipped += brought.skipped;
        polls.record(state.clone(), deliveries).await?;
        let mut replaced = drafted.replaced;
        replaced.sort_unstable();
        replaced.dedup();
        self.end_replaced(&replaced).await;
        Ok((state, brought))
    }
}

/// By what an event is recognised, and for how long: the value that the workflow names, else the plugin's own key. The cursor keeps it from coming
/// twice in any case.
fn key(rule: Option<&Dedupe>, payload: &Value, own: Option<&String>) -> (Option<String>, Duration) {
    match rule.and_then(|rule| Some((rule.key_of(payload)?, rule.window_ms))) {
        Some((key, window_ms)) => (Some(key), Duration::from_millis(window_ms)),
        None => (own.cloned(), DedupeTerms::WINDOW_MAX),
    }
}
