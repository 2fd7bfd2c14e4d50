//! Every place of a workflow that holds expressions, with what they may read there.

use serde_json::{Value, json};

use super::types::{Key, keys};
use super::visible::Place;
use crate::condition::{Compare, Condition, Group};
use crate::expression::{Program, has_expression, join_pointer};
use crate::id::StepId;
use crate::workflow::Workflow;
use crate::workflow::compiled::expression_text;
use crate::workflow::step::{OnError, StepKind, WaitFor};
use crate::workflow::trigger::Trigger;
use crate::workflow::walk::{EVENT, LOOP, Placed};

/// A value with expressions in its texts, or a condition.
#[derive(Debug)]
pub(super) struct Field<'w> {
    pub(super) pointer: String,
    pub(super) what: What<'w>,
    pub(super) place: Place<'w>,
    /// The names known here beside the usual ones.
    pub(super) locals: Vec<&'w str>,
}

#[derive(Debug)]
pub(super) enum What<'w> {
    Value(Value),
    Condition(&'w Condition),
}

/// All of them, in no particular order.
pub(super) fn fields(workflow: &Workflow) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    trigger(&workflow.trigger, &mut fields);
    let settings = &workflow.settings;
    let mut key = |pointer: &str, text: Option<&str>| {
        fields.extend(text.map(|text| Field {
            pointer: pointer.to_owned(),
            what: What::Value(expression_text(text)),
            place: Place::start(),
            locals: Vec::new(),
        }));
    };
    let concurrency = settings.concurrency.as_ref();
    key("/settings/concurrency/key", concurrency.and_then(|concurrency| concurrency.key.as_deref()));
    key("/settings/reentry/key", settings.reentry.as_ref().map(|reentry| reentry.key.as_str()));
    if let Some(output) = &workflow.output {
        let (place, pointer) = (Place::end_of(workflow), "/output".to_owned());
        fields.push(Field { pointer, what: What::Value(output.clone()), place, locals: Vec::new() });
    }
    for placed in workflow.all_steps() {
        of_step(&placed, &mut fields);
    }
    fields
}

fn trigger<'w>(trigger: &'w Trigger, fields: &mut Vec<Field<'w>>) {
    fields.extend(trigger.filter.as_ref().map(|filter| Field {
        pointer: "/trigger/filter".to_owned(),
        what: What::Condition(filter),
        place: Place::start(),
        locals: Vec::new(),
    }));
}

fn of_step<'w>(placed: &Placed<'w>, fields: &mut Vec<Field<'w>>) {
    let step = placed.step;
    let mut add = |key: &str, what: What<'w>, extra: &[&'w str]| {
        fields.push(Field {
            pointer: format!("{}/{key}", placed.pointer),
            what,
            place: Place::of(placed),
            locals: placed.locals().into_iter().chain(extra.iter().copied()).collect(),
        });
    };
    match &step.kind {
        StepKind::Action(action) => add("with", What::Value(action.with.clone()), &[]),
        StepKind::If(each) => {
            for (index, branch) in each.branches.iter().enumerate() {
                add(&format!("if/{index}/when"), What::Condition(&branch.when), &[]);
            }
        }
        StepKind::ForEach(each) => {
            let items = match &each.items {
                Value::String(text) => expression_text(text),
                list => list.clone(),
            };
            add("for_each", What::Value(items), &[]);
        }
        StepKind::Parallel(_) => {}
        StepKind::Wait(wait) => match &wait.what {
            WaitFor::Duration(text) => add("wait/for", What::Value(json!(text)), &[]),
            WaitFor::Until(text) if text.starts_with(|c: char| c.is_ascii_digit()) => {
                add("wait/until", What::Value(json!(text)), &[]);
            }
            WaitFor::Until(text) => add("wait/until", What::Value(expression_text(text)), &[]),
            WaitFor::Event { matches: Some(matches), .. } => add("wait/match", What::Condition(matches), &[EVENT]),
            WaitFor::Event { matches: None, .. } | WaitFor::Window(_) | WaitFor::Resume => {}
        },
        StepKind::Stop(stop) => {
            if let Some(message) = &stop.message {
                add("stop/message", What::Value(json!(message)), &[]);
            }
        }
        StepKind::Call(call) => add("call/with", What::Value(call.with.clone()), &[]),
        StepKind::Set(value) => add("set", What::Value(value.clone()), &[]),
        StepKind::Respond(respond) => {
            add("respond", What::Value(serde_json::to_value(respond).unwrap_or_default()), &[]);
        }
    }
    if let OnError::Substitute(value) = &step.on_error {
        fields.push(Field {
            pointer: format!("{}/on_error/substitute", placed.pointer),
            what: What::Value(value.clone()),
            place: Place { after_failure: true, ..Place::of(placed) },
            locals: placed.locals(),
        });
    }
    if let StepKind::ForEach(each) = &step.kind
        && let Some(collect) = &each.collect
    {
        fields.push(Field {
            pointer: format!("{}/collect", placed.pointer),
            what: What::Value(collect.clone()),
            place: Place::end_of_iteration(placed, each.steps.len()),
            locals: placed.locals().into_iter().chain([each.item_name.as_str(), LOOP]).collect(),
        });
    }
}

/// Whether any expression reads the step or its resume link, there or not.
pub(in crate::workflow) fn reads(workflow: &Workflow, step: &StepId) -> bool {
    let of_step = |path: &str| {
        let rest = path.strip_prefix("steps").or_else(|| path.strip_prefix("resume"));
        rest.and_then(keys).is_some_and(|keys| keys.first() == Some(&Key::Name(step.to_string())))
    };
    fields(workflow).iter().any(|field| {
        let values = match &field.what {
            What::Value(value) => vec![value.clone()],
            What::Condition(condition) => operands(condition, "").into_iter().map(|(_, value, _)| value).collect(),
        };
        values.iter().any(|value| {
            let program = Program::compile_with(value, &field.locals).ok();
            program.is_some_and(|program| program.references().iter().any(|read| of_step(&read.path)))
        })
    })
}

/// An operand of a condition: its place in it, its value with braces, and whether it may be missing.
pub(super) fn operands(condition: &Condition, pointer: &str) -> Vec<(String, Value, bool)> {
    match condition {
        Condition::Expression(text) => vec![(pointer.to_owned(), expression_text(text), false)],
        Condition::Compare(Compare { value, is, to }) => {
            let first = (join_pointer(pointer, "value"), value.clone(), is.takes_missing());
            std::iter::once(first).chain(to.clone().map(|to| (join_pointer(pointer, "to"), to, false))).collect()
        }
        Condition::Group(Group::All(list)) => of_list(list, &join_pointer(pointer, "all")),
        Condition::Group(Group::Any(list)) => of_list(list, &join_pointer(pointer, "any")),
        Condition::Group(Group::Not(inner)) => operands(inner, &join_pointer(pointer, "not")),
    }
}

fn of_list(list: &[Condition], pointer: &str) -> Vec<(String, Value, bool)> {
    let list = list.iter().enumerate();
    list.flat_map(|(index, inner)| operands(inner, &join_pointer(pointer, &index.to_string()))).collect()
}

/// Whether the expressions of a text provide for a value that is not there.
pub(super) fn is_guarded(text: &str) -> bool {
    has_expression(text)
        && ["default", "| d(", "is defined", "is not defined", "is undefined", " if ", "{% if", "{%- if"]
            .iter()
            .any(|guard| text.contains(guard))
}
