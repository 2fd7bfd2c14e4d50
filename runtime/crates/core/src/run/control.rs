//! Control steps: how each kind begins ([`enter`]), goes on and ends ([`inside`]). Pure: what comes out are events.

mod inside;
mod wait;

use serde_json::{Value, json};

use super::walk::{Walk, after, expression_error};
use crate::expression::{ExpressionError, Program, Scope};
use crate::id::StepRef;
use crate::run::event::{Detail, Outcome, ResponseBody, RunEvent, StepError};
use crate::run::fold::StepState;
use crate::workflow::Step;
use crate::workflow::compiled::{CompiledKind, CompiledStep};
use crate::workflow::step::{Branch, Call, ForEach, If, StepKind, Stop, StopStatus};

/// The most items a `for_each` takes: each iteration leaves at least two entries in the journal, which is read as a whole.
pub(super) const ITEMS_MAX: usize = 10_000;

/// Begins a control step: the event that says so, or why it cannot.
pub(super) fn enter(
    walk: &Walk<'_>,
    (step, place): (&Step, &StepRef),
    compiled: &CompiledStep,
    scope: &Scope<'_>,
) -> Result<RunEvent, StepError> {
    let entered = |detail| Ok(RunEvent::Entered { step: place.clone(), detail });
    match (&step.kind, &compiled.kind) {
        (StepKind::If(each), CompiledKind::If(conditions)) => entered(decide(each, conditions, scope)?),
        (StepKind::ForEach(each), CompiledKind::ForEach { items, .. }) => entered(items_of(each, items, scope)?),
        (StepKind::Parallel(_), CompiledKind::Parallel) => entered(Detail::Parallel),
        (StepKind::Wait(wait), CompiledKind::Wait(compiled)) => entered(wait::begin(walk, wait, compiled, scope)?),
        (StepKind::Call(call), CompiledKind::Call(with)) => {
            let input = fields(compiled, with, scope);
            let input = input.map_err(|error| expression_error("what it passes on", "call/with", &error))?;
            entered(called(walk, call, input, place)?)
        }
        (StepKind::Set(_), CompiledKind::Set(value)) => {
            let output = fields(compiled, value, scope);
            let output = output.map_err(|error| expression_error("the values", "set", &error))?;
            Ok(RunEvent::Left { step: place.clone(), output })
        }
        (StepKind::Stop(stop), CompiledKind::Stop(message)) => {
            let message = message.as_ref().map(|message| render(message, scope, "the message", "stop/message"));
            let message = message.transpose()?.unwrap_or(Value::Null);
            Ok(RunEvent::Left { step: place.clone(), output: json!({ "status": stop.status, "message": message }) })
        }
        (StepKind::Respond(_), CompiledKind::Respond(answer)) => {
            let answer = fields(compiled, answer, scope);
            let answer = answer.map_err(|error| expression_error("the answer", "respond", &error))?;
            responded(place, &answer)
        }
        _ => Err(StepError::permanent(
            "not-compiled",
            format!("step `{place}` was not prepared as what it is; please report this"),
        )),
    }
}

/// What a `stop` step that has been reached does to the run.
pub(super) fn stopped(stop: &Stop, state: &StepState, place: impl FnOnce() -> StepRef) -> Outcome {
    let message = state.output().and_then(|output| output.get("message")).filter(|message| !message.is_null());
    let message = message.map(|message| message.as_str().map_or_else(|| message.to_string(), str::to_owned));
    match stop.status {
        StopStatus::Succeeded => Outcome::Succeeded,
        StopStatus::Failed => {
            let message = message.unwrap_or_else(|| "the workflow stopped here, as its author wants it".to_owned());
            Outcome::Failed { step: place(), error: StepError::permanent("stopped", message) }
        }
        StopStatus::Cancelled => Outcome::Cancelled {
            reason: message.unwrap_or_else(|| "the workflow stopped here, as its author wants it".to_owned()),
        },
    }
}

/// Renders fields for which the step may say what a missing value becomes.
fn fields(step: &CompiledStep, fields: &Program, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
    match &step.missing {
        Some(policy) => fields.render_with(scope, policy).map(|rendered| rendered.value),
        None => fields.render(scope),
    }
}

fn render(program: &Program, scope: &Scope<'_>, what: &str, key: &str) -> Result<Value, StepError> {
    program.render(scope).map_err(|error| expression_error(what, key, &error))
}

fn decide(
    each: &If,
    conditions: &[crate::condition::CompiledCondition],
    scope: &Scope<'_>,
) -> Result<Detail, StepError> {
    let mut because = Vec::new();
    for (index, (branch, condition)) in (0..).zip(each.branches.iter().zip(conditions)) {
        let verdict = condition.evaluate(scope).map_err(|error| {
            let Branch { name, .. } = branch;
            let name = name.as_ref().map_or_else(|| format!("{}", index + 1), |name| format!("`{name}`"));
            expression_error(&format!("the condition of branch {name}"), &format!("if/{index}/when"), &error)
        })?;
        because.push(verdict.because);
        if verdict.holds {
            return Ok(Detail::Decided { branch: Some(index), name: branch.name.clone(), because });
        }
    }
    Ok(Detail::Decided { branch: None, name: None, because })
}

fn items_of(each: &ForEach, items: &Program, scope: &Scope<'_>) -> Result<Detail, StepError> {
    let items = render(items, scope, "the list", "for_each")?;
    let Some(list) = items.as_array() else {
        let kind = match &items {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) | Value::Object(_) => "an object",
        };
        return Err(StepError::permanent("not-a-list", format!("`for_each` needs a list and got {kind}")));
    };
    if list.len() > ITEMS_MAX {
        let message = format!(
            "the list has {} items; a loop takes at most {ITEMS_MAX}. Split it before, or let another workflow do a part each time (`call`)",
            list.len()
        );
        return Err(StepError::permanent("too-many-items", message));
    }
    let size = each.batch.map_or(1, |batch| batch.max(1) as usize);
    let count = u32::try_from(list.len().div_ceil(size)).unwrap_or(u32::MAX);
    Ok(Detail::Each { items, count })
}

fn called(walk: &Walk<'_>, call: &Call, input: Value, place: &StepRef) -> Result<Detail, StepError> {
    let now = walk.moment.now;
    let Some(version) = call.version.or_else(|| walk.definition.calls.get(&call.workflow).copied()) else {
        let message = format!(
            "workflow `{}` had no published version when this workflow was applied; publish it, then apply this one again",
            call.workflow
        );
        return Err(StepError::permanent("workflow-not-published", message));
    };
    let run = walk.run.id.derived(now, &place.to_string());
    let deadline = call.timeout_ms.map(|millis| after(now, millis));
    Ok(Detail::Called { run, workflow: call.workflow.clone(), version, input, deadline })
}

fn responded(place: &StepRef, answer: &Value) -> Result<RunEvent, StepError> {
    let status = match answer.get("status") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(status) => status.as_u64().and_then(|status| u16::try_from(status).ok()),
        None => Some(200),
    };
    let Some(status) = status.filter(|status| (200..600).contains(status)) else {
        let given = answer.get("status").cloned().unwrap_or_default();
        return Err(StepError::permanent("invalid-status", format!("{given} is no HTTP status from 200 to 599")));
    };
    let text_of = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let headers = answer.get("headers").and_then(Value::as_object).into_iter().flatten();
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), text_of(value))).collect();
    let body = match (answer.get("json"), answer.get("text")) {
        (Some(json), _) => Some(ResponseBody::Json(json.clone())),
        (None, Some(text)) => Some(ResponseBody::Text(text_of(text))),
        (None, None) => None,
    };
    Ok(RunEvent::Responded { step: place.clone(), status, headers, body })
}
