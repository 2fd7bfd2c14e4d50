//! What a trigger's filter says before a run exists, as the ingress asks it.

use std::collections::BTreeMap;

use flowcell_core::condition::CompiledCondition;
use flowcell_core::expression::Scope;
use flowcell_core::id::{EventId, RunId, WorkspaceId};
use flowcell_core::run::event::{Origin, Recorded, RunEvent};
use flowcell_core::run::fold::Run;
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::Workflow;
use serde_json::Value;

use super::NoRun;

/// Lets a payload pass, or says why it starts no run.
pub(super) fn ask(workflow: &Workflow, payload: &Value, (at, custom_values): (Timestamp, &Value)) -> Result<(), NoRun> {
    let Some(filter) = &workflow.trigger.filter else { return Ok(()) };
    let said = |what: String| NoRun::NotStarted(format!("the trigger's filter {what}"));
    let compiled = CompiledCondition::compile(filter, &[]).map_err(|errors| {
        let first = errors.into_iter().next().map(|error| error.message).unwrap_or_default();
        said(format!("cannot be read: {first}"))
    })?;
    let created = RunEvent::Created {
        workspace: WorkspaceId::default_workspace(),
        workflow: workflow.id.clone(),
        version: 1,
        event: EventId::from_parts(at, 0),
        pins: BTreeMap::new(),
        trigger: payload.clone().into(),
        origin: Origin::of_trigger(&workflow.trigger.kind, payload),
    };
    // It is never stored; the filter only looks at it.
    let draft = Run::fold_owned(RunId::from_parts(at, 0), vec![Recorded { seq: 0, at, event: created }]);
    let draft = draft.map_err(anyhow::Error::from)?;
    match compiled.evaluate(&Scope::of(&draft, workflow).with_custom_values(custom_values)) {
        Ok(verdict) if verdict.holds => Ok(()),
        Ok(verdict) => Err(said(format!("does not hold: {}", verdict.because))),
        Err(error) => Err(said(format!("cannot be asked: {}", error.message))),
    }
}
