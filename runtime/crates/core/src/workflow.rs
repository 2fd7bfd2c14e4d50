//! The authored definition: a trigger and a tree of steps.

pub mod check;
pub mod compiled;
pub mod duration;
pub mod parse;
pub mod problem;
pub mod schema;
pub mod settings;
pub mod step;
#[cfg(test)]
mod tests;
pub mod text;
pub mod trigger;
pub mod walk;
mod written;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::parse::Authored;
use self::problem::Problem;
pub use self::settings::Settings;
pub use self::step::{Action, OnUncertain, Step, StepKind};
pub use self::trigger::{Trigger, TriggerKind};
use crate::capability::Grant;
use crate::id::WorkflowId;
use crate::plugin::Uses;
use crate::ports::Catalog;

/// A workflow as its author wrote it, parsed and checked for shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    pub id: WorkflowId,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Settings::is_default")]
    pub settings: Settings,
    /// The JSON Schema (2020-12) of `trigger` for runs that are started by hand, by the API or by a `call`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Rendered when the run succeeds: what a `call` gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    pub trigger: Trigger,
    pub steps: Vec<Step>,
}

impl Workflow {
    /// Every plugin member that it names, with the place: the steps' in the order of the text, then the trigger's.
    pub fn uses(&self) -> impl Iterator<Item = (String, &Uses)> {
        let steps = self.all_steps().filter_map(|placed| {
            let action = placed.step.action()?;
            Some((format!("{}/uses", placed.pointer), &action.uses))
        });
        steps.chain(self.trigger.uses().map(|uses| ("/trigger/uses".to_owned(), uses)))
    }
}

/// Reads a workflow file and finds everything that can be known to be wrong with it.
pub fn check(text: &str, catalog: &dyn Catalog, grants: &[Grant]) -> Result<Workflow, Vec<Problem>> {
    let authored = Authored::parse(text)?;
    let problems = check::check(&authored, catalog, grants);
    if problems.is_empty() { Ok(authored.workflow) } else { Err(problems) }
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}
