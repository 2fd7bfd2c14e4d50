//! What an occurrence delivers: an event and one run, under names that are made of the trigger and the occurrence alone.

use flowcell_core::id::{EventId, RunId};
use flowcell_core::ports::{Delivery, NewRun};
use flowcell_core::run::event::{Origin, Recorded, RunEvent};
use flowcell_core::run::fold::Run;
use flowcell_core::schedule::ON_TIME;
use flowcell_core::time::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{ScheduledTrigger, SchedulerPorts};

/// # Panics
/// Never: the first entry makes a run.
pub(super) fn of(trigger: &ScheduledTrigger, occurrence: Timestamp, ports: &SchedulerPorts) -> Delivery {
    let now = ports.clock.now();
    // The same for the same occurrence, for ever: the journal never takes a run twice, also when the delivery's key is forgotten.
    let bits = bits_of(trigger, occurrence);
    let (event, id) = (EventId::from_parts(occurrence, bits), RunId::from_parts(occurrence, bits));
    let zone = trigger.schedule.zone();
    let created = RunEvent::Created {
        workspace: trigger.workspace.clone(),
        workflow: trigger.workflow.clone(),
        version: trigger.version,
        event,
        pins: trigger.pins.clone(),
        trigger: json!({
            "scheduled_at": occurrence,
            "local_time": zone.format(occurrence),
            "timezone": zone.name(),
            "schedule": trigger.schedule.text(),
            "missed": now.since(occurrence) > ON_TIME,
        }),
        origin: Origin::default(),
    };
    let created = Recorded { seq: 0, at: now, event: created };
    let summary = Run::fold(id, std::slice::from_ref(&created)).expect("the first entry makes a run").summary();
    Delivery {
        event,
        workspace: trigger.workspace.clone(),
        // As deliveries to its URL, if it had one: keys of one workflow's trigger say nothing about another's.
        trigger: format!("{}/{}", trigger.workflow, trigger.trigger),
        received_at: now,
        dedupe_key: Some(format!("schedule {occurrence}")),
        dedupe: flowcell_core::ports::DedupeTerms::default(),
        runs: vec![NewRun { id, created, summary }],
    }
}

/// What tells an occurrence's ids from those of others.
fn bits_of(trigger: &ScheduledTrigger, occurrence: Timestamp) -> u128 {
    let mut hash = Sha256::new_with_prefix(b"schedule\0");
    // Neither kind of id has a zero byte in it; the trigger's comes last.
    for part in [trigger.workspace.as_str(), trigger.workflow.as_str(), trigger.trigger.as_str()] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(occurrence.as_millis().to_be_bytes());
    hash.finalize().iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte))
}
