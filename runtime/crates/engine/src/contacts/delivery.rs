//! What a change of a contact delivers to a workflow: an event and one run, under names that are made of the workflow and the change alone. It
//! goes the way of every other delivery: the trigger's filter is asked, and `concurrency` and `reentry` hold.

use flowcell_core::contact::event::ContactEvent;
use flowcell_core::id::{EventId, RunId};
use flowcell_core::ports::{DedupeTerms, StoreError};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Became, ListeningWorkflow};
use crate::control::{ControlError, CreateError, Incoming, Input, RunControl};
use crate::outside::OutsideError;
use crate::workflows::WorkflowError;

/// Starts the run of a change, unless something says that there is to be none.
pub(super) async fn deliver(
    workflow: &ListeningWorkflow,
    (change, payload): (&ContactEvent, &Value),
    control: &RunControl,
) -> Result<Became, StoreError> {
    let at = change.id.created_at();
    let bits = bits_of(workflow, change);
    let (event, run) = (EventId::from_parts(at, bits), RunId::from_parts(at, bits));
    match control.kept_out(&workflow.workspace, (&workflow.workflow, workflow.version), (event, payload)).await {
        Ok(None) => {}
        Ok(Some(because)) => return Ok(Became::Filtered { event, because }),
        Err(error) => return refused(error),
    }
    let incoming = Incoming {
        workspace: workflow.workspace.clone(),
        workflow: workflow.workflow.clone(),
        version: Some(workflow.version),
        // As deliveries to its URL, if it had one: keys of one workflow's trigger say nothing about another's.
        trigger: format!("{}/{}", workflow.workflow, workflow.trigger),
        dedupe_key: Some(format!("contact {}", change.id)),
        dedupe: DedupeTerms::default(),
        payloads: vec![payload.clone()],
        ids: vec![run],
        input: Input::Trusted,
    };
    match control.deliver_as(event, incoming).await {
        Ok(delivered) if delivered.accepted.duplicate => Ok(Became::Duplicate),
        Ok(delivered) if !delivered.skipped_for.is_empty() => Ok(Became::Skipped { because_of: delivered.skipped_for }),
        Ok(_) => Ok(Became::Started),
        // The delivery's id is taken: by itself, longer ago than deliveries are recognised by their key.
        Err(error) => match refused(error) {
            Err(StoreError::Refused { message }) => {
                tracing::info!(workflow = %workflow.workflow, event = %change.id, message, "a change starts no run, most likely because it did before");
                Ok(Became::Duplicate)
            }
            result => result,
        },
    }
}

/// What the store says of itself is the dispatcher's matter; what is wrong with a workflow concerns this workflow alone.
fn refused(error: ControlError) -> Result<Became, StoreError> {
    match error {
        ControlError::Create(CreateError::Store(error))
        | ControlError::Workflow(WorkflowError::Store(error))
        | ControlError::Outside(OutsideError::Store(error)) => Err(error),
        error => Ok(Became::Refused { message: error.to_string() }),
    }
}

/// What tells the ids of a change for one workflow from those of others.
fn bits_of(workflow: &ListeningWorkflow, change: &ContactEvent) -> u128 {
    let mut hash = Sha256::new_with_prefix(b"contact\0");
    // Neither kind of id has a zero byte in it; the trigger's comes last.
    for part in [workflow.workspace.as_str(), workflow.workflow.as_str(), workflow.trigger.as_str()] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(change.id.to_bytes());
    hash.finalize().iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte))
}
