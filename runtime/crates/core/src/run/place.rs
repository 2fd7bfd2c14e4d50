//! What expressions can read at a place inside loops: the item of each, and `loop`.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::expression::Local;
use crate::id::StepRef;
use crate::run::event::Detail;
use crate::run::fold::Run;
use crate::workflow::compiled::{CompiledWorkflow, List};
use crate::workflow::step::{ForEach, StepKind};

/// The names that expressions of the step at `place` know beside those that are known everywhere; the innermost loop's come last.
pub fn locals<'r>(compiled: &'r CompiledWorkflow, run: &'r Run, place: &StepRef) -> Vec<Local<'r>> {
    if place.at().is_empty() {
        return Vec::new(); // most places, and nothing to look for
    }
    let Some(step) = compiled.steps.get(place.id()) else { return Vec::new() };
    let loops = step.around.iter().filter(|around| around.list == List::Each);
    let mut locals = Vec::new();
    for (depth, around) in loops.enumerate() {
        let (Some(outer), Some(index)) = (place.at().get(..depth), place.at().get(depth)) else { break };
        locals.extend(of_iteration(compiled, run, &StepRef::new(around.step.clone(), outer), *index));
    }
    locals
}

/// The names of one iteration of the loop at `place`.
pub(super) fn of_iteration<'r>(
    compiled: &'r CompiledWorkflow,
    run: &'r Run,
    place: &StepRef,
    index: u32,
) -> Vec<Local<'r>> {
    let Some(StepKind::ForEach(each)) = compiled.workflow.step(place.id()).map(|step| &step.kind) else {
        return Vec::new();
    };
    let control = run.steps.get(place).and_then(|state| state.control.as_deref());
    let Some(Detail::Each { items, count }) = control.map(|control| &control.detail) else { return Vec::new() };
    let Some(item) = item(each, items, index) else { return Vec::new() };
    vec![
        Local { name: each.item_name.as_str(), value: item },
        Local { name: "loop", value: Cow::Owned(json!({ "index": index, "count": count })) },
    ]
}

fn item<'r>(each: &ForEach, items: &'r Value, index: u32) -> Option<Cow<'r, Value>> {
    let items = items.as_array()?;
    let Some(size) = each.batch else { return items.get(index as usize).map(Cow::Borrowed) };
    let batch = items.chunks(size.max(1) as usize).nth(index as usize)?;
    Some(Cow::Owned(Value::Array(batch.to_vec())))
}
