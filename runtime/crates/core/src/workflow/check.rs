//! What can be known to be wrong with a workflow before anything runs: plugins that are not there, inputs that do not fit, expressions
//! that read what will not be there, destinations that run data would choose.

mod calls;
mod connection;
mod contact;
pub(super) mod fields;
mod flow;
mod known;
mod links;
pub mod others;
mod reads;
mod reference;
mod response;
mod secrets;
mod trigger;
mod types;
mod visible;

use std::collections::HashSet;

use serde_json::Value;

use self::connection::Naming;
use self::others::Others;
use super::Workflow;
use super::parse::{Authored, in_order};
use super::problem::{Problem, Severity};
use super::schema::Schema;
use super::step::Action;
use super::walk::Placed;
use crate::capability::{Grant, StepScope, UrlScope};
use crate::expression::{has_expression, join_pointer};
use crate::id::{ConnectionName, WorkflowId};
use crate::manifest::Manifest;
use crate::plugin::Uses;
use crate::ports::{Catalog, CatalogError};

/// What a workflow is measured against.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub catalog: &'a dyn Catalog,
    /// The workspace's: where they name destinations for a plugin, run data may choose among those, and only the door can tell whether it
    /// chose one.
    pub grants: &'a [Grant],
    pub others: &'a dyn Others,
    /// The schema of the requests that the mapping is made against, where there is one.
    pub reference: Option<&'a Value>,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("grants", &self.grants).finish_non_exhaustive()
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    /// In the order of the text, warnings among them.
    pub problems: Vec<Problem>,
    /// Workflows that it names and of which nobody could say whether they are there.
    pub not_looked_up: Vec<WorkflowId>,
    /// The same of connections.
    pub connections_not_looked_up: Vec<ConnectionName>,
}

/// Finds everything that is wrong.
pub fn check(authored: &Authored, surroundings: &Surroundings<'_>) -> Findings {
    let mut check = Check {
        authored,
        catalog: surroundings.catalog,
        grants: surroundings.grants,
        others: surroundings.others,
        reference: surroundings.reference,
        problems: Vec::new(),
        not_looked_up: Vec::new(),
        connections_not_looked_up: Vec::new(),
        read_steps: HashSet::new(),
        reads_all_steps: false,
    };
    check.trigger();
    check.input();
    for placed in authored.workflow.all_steps() {
        if let Some(action) = placed.step.action() {
            check.action(&placed, action);
        }
    }
    for field in fields::fields(&authored.workflow) {
        check.field(&field);
        check.secrets(&field);
    }
    check.unread();
    check.flow();
    check.calls();
    check.not_looked_up.sort();
    check.not_looked_up.dedup();
    check.connections_not_looked_up.sort();
    check.connections_not_looked_up.dedup();
    Findings {
        problems: in_order(check.problems),
        not_looked_up: check.not_looked_up,
        connections_not_looked_up: check.connections_not_looked_up,
    }
}

struct Check<'a> {
    authored: &'a Authored,
    catalog: &'a dyn Catalog,
    grants: &'a [Grant],
    others: &'a dyn Others,
    reference: Option<&'a Value>,
    problems: Vec<Problem>,
    not_looked_up: Vec<WorkflowId>,
    connections_not_looked_up: Vec<ConnectionName>,
    /// The steps that some expression reads.
    read_steps: HashSet<String>,
    /// An expression reads `steps` as a whole.
    reads_all_steps: bool,
}

impl<'a> Check<'a> {
    fn workflow(&self) -> &'a Workflow {
        &self.authored.workflow
    }

    fn add(&mut self, pointer: &str, message: impl Into<String>, help: Option<String>) {
        self.problems.push(Problem { help, ..self.authored.located.problem(pointer, message) });
    }

    fn warn(&mut self, pointer: &str, message: impl Into<String>, help: Option<String>) {
        let severity = Severity::Warning;
        self.problems.push(Problem { help, severity, ..self.authored.located.problem(pointer, message) });
    }

    fn has_problem_at(&self, pointer: &str) -> bool {
        self.problems.iter().any(|problem| problem.pointer == pointer)
    }

    fn input(&mut self) {
        let Some(input) = &self.authored.workflow.input else { return };
        if let Err(error) = crate::manifest::schema::compile(input) {
            self.add("/input", error.to_string(), None);
        }
    }

    fn action(&mut self, placed: &Placed<'_>, action: &Action) {
        let with = format!("{}/with", placed.pointer);
        let uses = format!("{}/uses", placed.pointer);
        let Some(manifest) = self.manifest(&uses, &action.uses) else { return };
        if let Some(member) = manifest.action(&action.uses.member) {
            self.fits(&with, &action.with, &member.input, "the plugin's schema");
            self.destinations(&with, action, &manifest);
            self.connection(&Naming {
                at: &placed.pointer,
                uses: &action.uses,
                connection: action.connection.as_ref(),
                slot: member.connection.as_ref(),
                manifest: &manifest,
            });
            self.response(&placed.pointer, action, member);
        } else {
            let actions: Vec<_> = manifest.actions.iter().map(|action| action.id.as_str()).collect();
            self.wrong_kind(&uses, &action.uses, ("a trigger", "an action"), &actions);
        }
    }

    fn manifest(&mut self, pointer: &str, uses: &Uses) -> Option<Manifest> {
        match self.catalog.resolve(uses) {
            Ok(plugin) => Some(plugin.manifest.clone()),
            Err(error) => {
                let help = help_for(&error, uses, self.catalog);
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

    /// Compares the authored values with a schema, which is called `name`. What an expression will make of a place is not known, so nothing is
    /// said about it.
    fn fits(&mut self, prefix: &str, with: &Value, schema: &Value, name: &str) {
        let schema = match Schema::compile(schema) {
            Ok(schema) => schema,
            Err(message) => return self.add(prefix, format!("{name} cannot be used: {message}"), None),
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
