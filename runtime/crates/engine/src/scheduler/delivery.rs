//! What an occurrence delivers: an event and one run, under names that are made of the trigger and the occurrence alone. It goes the way of every
//! other delivery: the trigger's filter is asked, and `concurrency` and `reentry` hold.

use flowcell_core::id::{EventId, RunId};
use flowcell_core::ports::{DedupeTerms, StoreError};
use flowcell_core::schedule::ON_TIME;
use flowcell_core::time::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Became, ScheduledTrigger, SchedulerPorts};
use crate::control::{ControlError, CreateError, Incoming, Input};
use crate::outside::OutsideError;
use crate::workflows::WorkflowError;

/// Starts the run of an occurrence, unless something says that there is to be none.
pub(super) async fn deliver(
    trigger: &ScheduledTrigger,
    occurrence: Timestamp,
    ports: &SchedulerPorts,
) -> Result<Became, StoreError> {
    // The same for the same occurrence, for ever: the journal never takes a run twice, also when the delivery's key is forgotten.
    let bits = bits_of(trigger, occurrence);
    let (event, run) = (EventId::from_parts(occurrence, bits), RunId::from_parts(occurrence, bits));
    let payload = payload(trigger, occurrence, ports);
    let which = (&trigger.workflow, trigger.version);
    match ports.control.kept_out(&trigger.workspace, which, (event, &payload)).await {
        Ok(None) => {}
        Ok(Some(because)) => return Ok(Became::Filtered { event, because }),
        Err(error) => return refused(error),
    }
    let incoming = Incoming {
        workspace: trigger.workspace.clone(),
        workflow: trigger.workflow.clone(),
        version: Some(trigger.version),
        // As deliveries to its URL, if it had one: keys of one workflow's trigger say nothing about another's.
        trigger: format!("{}/{}", trigger.workflow, trigger.trigger),
        dedupe_key: Some(format!("schedule {occurrence}")),
        dedupe: DedupeTerms::default(),
        payloads: vec![payload],
        ids: vec![run],
        input: Input::Trusted,
    };
    match ports.control.deliver_as(event, incoming).await {
        Ok(delivered) if delivered.accepted.duplicate => Ok(Became::Duplicate),
        Ok(delivered) if !delivered.skipped_for.is_empty() => Ok(Became::Skipped { because_of: delivered.skipped_for }),
        Ok(_) => Ok(Became::Started),
        // The delivery's id is taken: by itself, longer ago than deliveries are recognised by their key.
        Err(error) => match refused(error) {
            Err(StoreError::Refused { message }) => {
                tracing::info!(workflow = %trigger.workflow, %occurrence, message, "an occurrence starts no run, most likely because it did before");
                Ok(Became::Duplicate)
            }
            result => result,
        },
    }
}

/// What the store says of itself is the scheduler's matter; what is wrong with a workflow concerns this occurrence alone.
fn refused(error: ControlError) -> Result<Became, StoreError> {
    match error {
        ControlError::Create(CreateError::Store(error))
        | ControlError::Workflow(WorkflowError::Store(error))
        | ControlError::Outside(OutsideError::Store(error)) => Err(error),
        error => Ok(Became::Refused { message: error.to_string() }),
    }
}

/// What the run reads as `trigger`.
fn payload(trigger: &ScheduledTrigger, occurrence: Timestamp, ports: &SchedulerPorts) -> Value {
    let zone = trigger.schedule.zone();
    json!({
        "scheduled_at": occurrence,
        "local_time": zone.format(occurrence),
        "timezone": zone.name(),
        "schedule": trigger.schedule.text(),
        "missed": ports.clock.now().since(occurrence) > ON_TIME,
    })
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
