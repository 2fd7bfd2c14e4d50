//! What can be known to be wrong with a workflow before anything runs: plugins that are not there, inputs that do not fit, expressions
//! that read what will not be there, destinations that run data would choose.

use serde_json::Value;

use super::Workflow;
use super::parse::{Authored, in_order};
use super::problem::{Problem, similar};
use super::schema::Schema;
use super::step::Action;
use super::trigger::TriggerKind;
use super::walk::Placed;
use crate::capability::{Grant, StepScope, UrlScope};
use crate::expression::{Program, Reference, has_expression, join_pointer};
use crate::manifest::Manifest;
use crate::plugin::Uses;
use crate::ports::{Catalog, CatalogError};

/// Finds everything that is wrong, in the order of the text. `grants` are the workspace's: where they name destinations for a plugin, run
/// data may choose among those, and only the door can tell whether it chose one.
pub fn check(authored: &Authored, catalog: &dyn Catalog, grants: &[Grant]) -> Vec<Problem> {
    let mut check = Check { authored, grants, problems: Vec::new() };
    check.trigger(catalog);
    for placed in authored.workflow.all_steps() {
        if let Some(action) = placed.step.action() {
            check.step(&placed, action, catalog);
        }
    }
    in_order(check.problems)
}

struct Check<'a> {
    authored: &'a Authored,
    grants: &'a [Grant],
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn workflow(&self) -> &Workflow {
        &self.authored.workflow
    }

    fn add(&mut self, pointer: &str, message: impl Into<String>, help: Option<String>) {
        self.problems.push(Problem { help, ..self.authored.located.problem(pointer, message) });
    }

    fn trigger(&mut self, catalog: &dyn Catalog) {
        let TriggerKind::Plugin { uses, with } = &self.authored.workflow.trigger.kind else { return };
        let mut places = Vec::new();
        texts_with_expressions(with, "/trigger/with", &mut places);
        for pointer in &places {
            self.add(
                pointer,
                "the trigger's settings cannot have expressions: there is no run yet that they could read",
                None,
            );
        }
        let Some(manifest) = self.manifest("/trigger/uses", uses, catalog) else { return };
        if let Some(member) = manifest.trigger(&uses.member) {
            self.fits("/trigger/with", with, &member.config);
        } else {
            let triggers: Vec<_> = manifest.triggers.iter().map(|trigger| trigger.id.as_str()).collect();
            self.wrong_kind("/trigger/uses", uses, ("an action", "a trigger"), &triggers);
        }
    }

    fn step(&mut self, placed: &Placed<'_>, step: &Action, catalog: &dyn Catalog) {
        let with = format!("{}/with", placed.pointer);
        self.expressions(&with, placed.index, step);
        let uses = format!("{}/uses", placed.pointer);
        let Some(manifest) = self.manifest(&uses, &step.uses, catalog) else { return };
        if let Some(action) = manifest.action(&step.uses.member) {
            self.fits(&with, &step.with, &action.input);
            self.destinations(&with, step, &manifest);
        } else {
            let actions: Vec<_> = manifest.actions.iter().map(|action| action.id.as_str()).collect();
            self.wrong_kind(&uses, &step.uses, ("a trigger", "an action"), &actions);
        }
    }

    fn manifest(&mut self, pointer: &str, uses: &Uses, catalog: &dyn Catalog) -> Option<Manifest> {
        match catalog.resolve(uses) {
            Ok(plugin) => Some(plugin.manifest.clone()),
            Err(error) => {
                let help = help_for(&error, uses, catalog);
                self.add(pointer, error.to_string(), help);
                None
            }
        }
    }

    fn wrong_kind(&mut self, pointer: &str, uses: &Uses, (is, wanted): (&str, &str), possible: &[&str]) {
        let plugin = &uses.plugin;
        let help = match possible {
            [] => format!("`{plugin}` has none; choose another plugin"),
            possible => {
                let named: Vec<_> = possible.iter().map(|member| format!("{plugin}/{member}@{}", uses.major)).collect();
                format!("possible here: {}", named.join(", "))
            }
        };
        self.add(pointer, format!("`{uses}` is {is}; {wanted} is needed here"), Some(help));
    }

    /// Compares the authored values with a manifest's schema. What an expression will make of a place is not known, so nothing is
    /// said about it.
    fn fits(&mut self, prefix: &str, with: &Value, schema: &Value) {
        let schema = match Schema::compile(schema) {
            Ok(schema) => schema,
            Err(message) => return self.add(prefix, format!("the plugin's schema cannot be used: {message}"), None),
        };
        for violation in schema.check(with, prefix) {
            let place = with.pointer(&violation.pointer);
            let is_open = match place {
                Some(Value::String(text)) => violation.depends_on_content() && has_expression(text),
                Some(value) => violation.depends_on_parts() && any_expression(value),
                None => false,
            };
            if !is_open {
                let problem = self.authored.located.violation(prefix, violation);
                self.problems.push(problem);
            }
        }
    }

    fn expressions(&mut self, with: &str, index: usize, step: &Action) {
        match Program::compile(&step.with) {
            Ok(program) => {
                for Reference { pointer, path } in program.references() {
                    self.reference(&format!("{with}{pointer}"), index, &path);
                }
            }
            Err(errors) => {
                for error in errors {
                    self.add(&format!("{with}{}", error.pointer), error.message, None);
                }
            }
        }
    }

    /// A step reads only steps before it.
    fn reference(&mut self, pointer: &str, index: usize, path: &str) {
        let mut names = path.split(['.', '[']);
        if names.next() != Some("steps") {
            return;
        }
        let Some(name) = names.next() else { return };
        let steps = &self.workflow().steps;
        let earlier: Vec<&str> = steps.iter().take(index).map(|step| step.id.as_str()).collect();
        if earlier.contains(&name) {
            if let Some(part) = names.next().filter(|part| !matches!(*part, "output" | "status")) {
                let near = similar(part, ["output", "status"]).unwrap_or("output");
                self.add(
                    pointer,
                    format!("`steps.{name}.{part}`: a step has `output` and `status`"),
                    Some(format!("did you mean `steps.{name}.{near}`?")),
                );
            }
            return;
        }
        let (message, help) = match steps.iter().position(|step| step.id.as_str() == name) {
            Some(at) if at == index => (format!("step `{name}` reads its own result, which is not there yet"), None),
            Some(_) => {
                let help = "a step can read the steps before it; change the order, or read another step".to_owned();
                (format!("`steps.{name}` runs later than this step"), Some(help))
            }
            None => {
                let help = match similar(name, earlier.iter().copied()) {
                    Some(near) => format!("did you mean `steps.{near}`?"),
                    None if earlier.is_empty() => "no step runs before this one".to_owned(),
                    None => format!("the steps before this one are {}", earlier.join(", ")),
                };
                (format!("there is no step `{name}`"), Some(help))
            }
        };
        self.add(pointer, message, help);
    }

    /// Run data never chooses a destination, unless a grant of the workspace names it.
    fn destinations(&mut self, with: &str, step: &Action, manifest: &Manifest) {
        for (field, scope) in StepScope::from_authored(&manifest.capabilities.http, &step.with).urls {
            let pointer = format!("{with}/{field}");
            let text = step.with.pointer(&format!("/{field}")).and_then(Value::as_str).unwrap_or_default();
            match scope {
                UrlScope::Fixed { .. } => {}
                UrlScope::FromData { .. } if self.data_may_choose(manifest) => {}
                UrlScope::FromData { authored } if begins_wrong(text) => self.add(
                    &pointer,
                    format!("`{authored}` is no URL to send to: it must begin with https:// or http://"),
                    None,
                ),
                UrlScope::FromData { authored } => self.add(
                    &pointer,
                    format!("`{authored}` lets run data choose where the request goes: scheme, host and port must stand in the text"),
                    Some("write them out, as in https://api.example.com/{{ … }}: whoever sends the data could otherwise send your request, and what is in it, anywhere. (Where data may choose, a [[grants]] of the configuration lists the destinations)".to_owned()),
                ),
                UrlScope::Invalid { authored, reason } => self.add(&pointer, format!("`{authored}` is no URL to send to: {reason}"), None),
            }
        }
    }

    fn data_may_choose(&self, manifest: &Manifest) -> bool {
        self.grants.iter().any(|grant| grant.plugin == manifest.id && grant.names_destinations())
    }
}

/// Whether the literal beginning of a text with expressions rules out http and https, whatever the data makes of the rest.
fn begins_wrong(text: &str) -> bool {
    let literal = text.split(['{']).next().unwrap_or_default().to_ascii_lowercase();
    !["https://", "http://"].iter().any(|scheme| scheme.starts_with(&literal) || literal.starts_with(scheme))
}

fn help_for(error: &CatalogError, uses: &Uses, catalog: &dyn Catalog) -> Option<String> {
    match error {
        CatalogError::UnknownPlugin { similar: None, .. } => {
            let ids: std::collections::BTreeSet<_> =
                catalog.list().iter().map(|plugin| plugin.manifest.id.to_string()).collect();
            let ids: Vec<_> = ids.into_iter().collect();
            Some(if ids.is_empty() {
                "no plugin is installed".to_owned()
            } else {
                format!("the plugins are {}", ids.join(", "))
            })
        }
        CatalogError::UnknownMember { similar: None, .. } => {
            let plugins = catalog.list();
            let manifest = &plugins.iter().find(|plugin| plugin.manifest.id == uses.plugin)?.manifest;
            let triggers = manifest.triggers.iter().map(|trigger| format!("{} (trigger)", trigger.id));
            let actions = manifest.actions.iter().map(|action| format!("{} (action)", action.id));
            Some(format!("it has {}", triggers.chain(actions).collect::<Vec<_>>().join(", ")))
        }
        CatalogError::NoSuchVersion { available, .. } => {
            let newest = available.iter().max()?;
            Some(format!("write {}/{}@{}", uses.plugin, uses.member, newest.major))
        }
        _ => None,
    }
}

fn any_expression(value: &Value) -> bool {
    let mut places = Vec::new();
    texts_with_expressions(value, "", &mut places);
    !places.is_empty()
}

fn texts_with_expressions(value: &Value, pointer: &str, places: &mut Vec<String>) {
    match value {
        Value::String(text) if has_expression(text) => places.push(pointer.to_owned()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                texts_with_expressions(item, &join_pointer(pointer, &index.to_string()), places);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                texts_with_expressions(field, &join_pointer(pointer, key), places);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
