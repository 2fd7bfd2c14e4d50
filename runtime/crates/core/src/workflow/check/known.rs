//! What is known of the names that expressions read, before anything runs: the trigger, the outputs of steps, the items of loops.

use serde_json::{Map, Value, json};

use super::Check;
use super::fields::Field;
use super::types::{Found, Key, Known, keys};
use crate::id::StepId;
use crate::workflow::compiled::expression_text;
use crate::workflow::response::MEMBER;
use crate::workflow::step::{OnError, StepKind};
use crate::workflow::trigger::TriggerKind;
use crate::workflow::walk::LOOP;

impl Check<'_> {
    /// What is known of a name at the top.
    pub(super) fn root(&self, name: &str, field: &Field<'_>) -> Known {
        let object = |fields: Value| Known::authored(&fields);
        if name == LOOP {
            return object(json!({ "index": 0, "count": 0 }));
        }
        if let Some(known) = self.item(name, field) {
            return known;
        }
        match name {
            "workflow" => object(json!({ "id": "", "name": "", "version": 0 })),
            "run" => object(json!({ "id": "", "created_at": "" })),
            "trigger" => self.trigger_output(),
            "contact" => self.known_contact(),
            _ => Known::Anything,
        }
    }

    /// What is known of the item of the innermost loop with this name for it.
    fn item(&self, name: &str, field: &Field<'_>) -> Option<Known> {
        let loops = field.place.around.iter().rev().filter_map(|(step, _)| match &step.kind {
            StepKind::ForEach(each) if each.item_name == name => Some(each),
            _ => None,
        });
        let each = loops.into_iter().next()?;
        if each.batch.is_some() {
            return Some(Known::schema(&json!({ "type": "array" })));
        }
        let list = match &each.items {
            Value::String(text) => self.plain_path(expression_text(text).as_str()?)?,
            list => Known::authored(list),
        };
        match list.child(&Key::Index) {
            Found::There(item) => Some(item),
            Found::NoField { .. } | Found::Nothing { .. } => Some(Known::Anything),
        }
    }

    /// What is known of an expression that is one path.
    fn plain_path(&self, text: &str) -> Option<Known> {
        let path = text.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
        let end = path.find(['.', '['])?;
        let (root, rest) = path.split_at(end);
        let keys = keys(rest)?;
        let (mut known, rest) = match (root, keys.as_slice()) {
            ("trigger", rest) => (self.trigger_output(), rest),
            ("contact", rest) => (self.known_contact(), rest),
            ("steps", [Key::Name(step), Key::Name(output), rest @ ..]) if output == "output" => {
                match (rest, self.declared_body(step)) {
                    ([Key::Name(member), rest @ ..], Some(declared)) if member == MEMBER => (declared.known(), rest),
                    _ => (self.output_of(step), rest),
                }
            }
            _ => return None,
        };
        for key in rest {
            match known.child(key) {
                Found::There(child) => known = child,
                Found::NoField { .. } | Found::Nothing { .. } => return None,
            }
        }
        Some(known)
    }

    pub(super) fn trigger_output(&self) -> Known {
        if let Some(input) = &self.workflow().input {
            return Known::schema(input);
        }
        match &self.workflow().trigger.kind {
            TriggerKind::Plugin { uses, .. } => {
                let plugin = self.catalog.resolve(uses).ok();
                let output =
                    plugin.and_then(|plugin| plugin.manifest.trigger(&uses.member).map(|it| it.output.clone()));
                output.map_or(Known::Anything, |output| Known::schema(&output))
            }
            TriggerKind::Contact(_) => self.contact_trigger_output(),
            TriggerKind::Schedule(_) | TriggerKind::Manual | TriggerKind::Error | TriggerKind::Event { .. } => {
                Known::Anything
            }
        }
    }

    /// What is known of a step's output.
    pub(super) fn output_of(&self, name: &str) -> Known {
        let Ok(id) = name.parse::<StepId>() else { return Known::Anything };
        let Some(step) = self.workflow().step(&id) else { return Known::Anything };
        if matches!(step.on_error, OnError::Substitute(_) | OnError::Steps(_)) {
            return Known::Anything; // it may be another one
        }
        match &step.kind {
            StepKind::Action(action) => {
                let plugin = self.catalog.resolve(&action.uses).ok();
                let output =
                    plugin.and_then(|plugin| Some(plugin.manifest.action(&action.uses.member)?.output.clone()));
                output.map_or(Known::Anything, |output| Known::schema(&output))
            }
            StepKind::Set(value) => Known::authored(value),
            StepKind::ForEach(_) => Known::schema(&json!({
                "type": "object",
                "properties": {
                    "count": { "type": "integer" }, "succeeded": { "type": "integer" }, "failed": { "type": "integer" },
                    "results": { "type": "array" },
                    "errors": { "type": "array", "items": { "type": "object", "properties": {
                        "index": { "type": "integer" }, "step": { "type": "string" }, "code": { "type": "string" },
                        "message": { "type": "string" },
                    } } },
                },
            })),
            StepKind::Call(call) => self.callee_output(call),
            StepKind::If(_) => Known::schema(&json!({ "type": "object", "properties": { "branch": {} } })),
            StepKind::Parallel(parallel) => {
                let branch = json!({ "type": "object", "properties": { "status": { "type": "string" }, "error": {} } });
                let branches = parallel.branches.keys().map(|name| (name.clone(), branch.clone()));
                let winner = ("winner".to_owned(), json!({ "type": "string" }));
                let fields: Map<String, Value> = branches.chain([winner]).collect();
                Known::schema(&json!({ "type": "object", "properties": fields }))
            }
            StepKind::Wait(_) => Known::schema(&json!({
                "type": "object", "properties": { "reason": { "type": "string" }, "event": {}, "payload": {} },
            })),
            // Nothing comes after the one, and nobody has a use for the other.
            StepKind::Stop(_) | StepKind::Respond(_) => Known::Anything,
        }
    }
}
