//! How a run looks in JSON. The shape is public: fields are added, never changed.

use flowcell_core::expression::{Program, Scope};
use flowcell_core::id::StepRef;
use flowcell_core::plugin::Pin;
use flowcell_core::run::event::{Detail, Outcome};
use flowcell_core::run::fold::{Attempt, Phase, Run, RunSummary, StepState};
use flowcell_core::run::state::Control;
use flowcell_core::workflow::walk::Placed;
use flowcell_core::workflow::{Step, Workflow};
use serde_json::{Map, Value, json};

/// A run in a list.
pub(crate) fn summary(run: &RunSummary) -> Value {
    json!({
        "id": run.id,
        "status": run.status,
        "workflow": { "id": run.workflow, "version": run.version },
        "event_id": run.event,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "error_code": run.error_code,
        "contact": run.contact,
    })
}

/// A run with its steps and attempts. Steps that have not begun come from the workflow, with the status `pending`.
pub(crate) fn run(run: &Run, (workflow, custom_values): (Option<&Workflow>, &Value)) -> Value {
    let steps: Vec<Value> = match workflow {
        Some(workflow) => {
            workflow.all_steps().flat_map(|placed| places(run, (workflow, custom_values), &placed)).collect()
        }
        None => run.steps.iter().map(|(place, state)| step(place, None, Some(state))).collect(),
    };
    json!({
        "id": run.id,
        "status": run.status(),
        "workflow": { "id": run.workflow, "version": run.version },
        "event_id": run.event,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "duration_ms": run.finished_at.map(|end| end.since(run.created_at).as_millis()),
        "trigger": run.trigger,
        "contact": run.contact.as_ref().map(|contact| contact.id),
        "error": error(run),
        "output": run.output,
        "cancel_requested": run.cancel,
        "steps": steps,
    })
}

fn error(run: &Run) -> Value {
    match &run.outcome {
        Some(Outcome::Failed { step, error }) => {
            let mut document = json!(error);
            if let Some(fields) = document.as_object_mut() {
                fields.insert("step".to_owned(), json!(step));
            }
            document
        }
        Some(Outcome::Cancelled { reason }) => json!({ "code": "cancelled", "message": reason }),
        Some(Outcome::Succeeded) | None => Value::Null,
    }
}

/// Every place of a step that has begun; one of the outermost line is shown before, too.
fn places(run: &Run, (workflow, custom_values): (&Workflow, &Value), placed: &Placed<'_>) -> Vec<Value> {
    let definition = Definition { run, workflow, custom_values, step: placed.step };
    let mut begun: Vec<_> = run.steps.iter().filter(|(place, _)| *place.id() == placed.step.id).collect();
    // In the order of their iterations, whichever began first.
    begun.sort_by_key(|(place, _)| place.at());
    let shown: Vec<Value> =
        begun.into_iter().map(|(place, state)| step(place, Some(&definition), Some(state))).collect();
    if shown.is_empty() && placed.around.is_empty() {
        return vec![step(&placed.step.id.clone().into(), Some(&definition), None)];
    }
    shown
}

/// A step as its author wrote it, and where it stands.
struct Definition<'r> {
    run: &'r Run,
    workflow: &'r Workflow,
    custom_values: &'r Value,
    step: &'r Step,
}

impl<'r> Definition<'r> {
    fn pin(&self) -> Option<&'r Pin> {
        self.run.pins.get(&self.step.action()?.uses)
    }
    /// A pure function of the definition and of what came before: it can be had without an attempt's end.
    fn input(&self) -> Option<Value> {
        let scope = Scope::of(self.run, self.workflow).with_custom_values(self.custom_values);
        Program::compile(&self.step.action()?.with).ok()?.render(&scope).ok()
    }
}

fn step(id: &StepRef, definition: Option<&Definition<'_>>, state: Option<&StepState>) -> Value {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("id", json!(id));
    if let Some(name) = definition.and_then(|definition| definition.step.name.as_ref()) {
        put("name", json!(name));
    }
    put("status", json!(status(state)));
    put(
        "plugin",
        definition.and_then(Definition::pin).map_or(
            Value::Null,
            |pin| json!({ "id": pin.plugin, "version": pin.version, "digest": pin.digest, "action": pin.member }),
        ),
    );
    match state.map(|state| &state.phase) {
        Some(Phase::Retrying { at }) => {
            put("retry_at", json!(at));
        }
        Some(Phase::Deferred { since, until, reason }) => {
            put("deferred", json!({ "since": since, "until": until, "reason": reason }));
        }
        Some(Phase::Parked { reason }) => {
            put("parked", json!(reason));
        }
        Some(Phase::Cancelled { reason }) => {
            put("cancelled", json!(reason));
        }
        _ => {}
    }
    if let Some(control) = state.and_then(|state| state.control.as_deref()) {
        put("control", control_view(control));
    }
    // An action's output and error stand in its attempts.
    if let Some(state) = state.filter(|state| state.attempts.is_empty()) {
        put("output", json!(state.output));
        put("error", json!(state.error()));
    }
    let input = || definition.and_then(Definition::input);
    put(
        "attempts",
        state.map_or_else(|| json!([]), |state| state.attempts.iter().map(|each| attempt(each, input)).collect()),
    );
    Value::Object(fields)
}

/// What a control step is about. The items of a loop stand in the input of its steps and are not repeated.
fn control_view(control: &Control) -> Value {
    let mut view = json!(control.detail);
    if let Some(fields) = view.as_object_mut() {
        fields.remove("items");
        fields.insert("entered_at".to_owned(), json!(control.entered_at));
        if matches!(control.detail, Detail::Each { .. }) {
            fields.insert("ended".to_owned(), json!(control.iterations.ended().count()));
            fields.insert("failed".to_owned(), json!(control.iterations.failed()));
        }
        if matches!(control.detail, Detail::Waiting { .. }) {
            fields.insert("timed_out".to_owned(), json!(control.has_timed_out));
        }
    }
    view
}

fn is_waiting(state: &StepState) -> bool {
    let waits = |control: &Control| matches!(control.detail, Detail::Waiting { .. } | Detail::Called { .. });
    state.control.as_deref().is_some_and(|control| waits(control) && !control.has_timed_out)
}

fn status(state: Option<&StepState>) -> &'static str {
    match state.map(|state| &state.phase) {
        None => "pending",
        Some(Phase::Entered) if state.is_some_and(is_waiting) => "waiting",
        Some(Phase::Started | Phase::Entered) => "running",
        Some(Phase::Handled { .. }) => "handled",
        Some(Phase::Cancelled { .. }) => "cancelled",
        Some(Phase::Succeeded) => "succeeded",
        Some(Phase::Retrying { .. } | Phase::Deferred { .. }) => "waiting",
        Some(Phase::Failed { .. }) => "failed",
        Some(Phase::Parked { .. }) => "parked",
    }
}

/// Before its end an attempt has neither duration nor record; after a crash it never gets them. Its input is `input` then.
fn attempt(attempt: &Attempt, input: impl Fn() -> Option<Value>) -> Value {
    let call = attempt.call.as_ref();
    let known = attempt.input.as_deref().cloned();
    let input = if attempt.ended_at.is_none() { known.or_else(input) } else { known };
    json!({
        "number": attempt.number,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "duration_ms": attempt.ended_at.map(|end| end.since(attempt.started_at).as_millis()),
        "input": input,
        "output": attempt.output,
        "error": attempt.error,
        "http": call.map_or_else(|| json!([]), |call| json!(call.http)),
        "log": call.map_or_else(|| json!([]), |call| json!(call.log)),
        "log_lines_dropped": call.map_or(0, |call| call.log_lines_dropped),
        // To the microsecond; what is beyond is noise of the division.
        "cpu_ms": call.map(|call| (call.cpu_ms * 1_000.0).round() / 1_000.0),
        "memory_bytes": call.map(|call| call.memory_bytes),
        "fuel": call.map(|call| call.fuel),
    })
}
