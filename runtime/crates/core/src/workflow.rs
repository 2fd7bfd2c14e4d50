//! The authored definition: a trigger and a tree of steps.

pub mod check;
pub mod compiled;
pub mod dedupe;
pub mod duration;
pub mod parse;
pub mod problem;
pub mod rename;
pub mod response;
pub mod schema;
pub mod settings;
pub mod step;
#[cfg(test)]
mod tests;
pub mod text;
pub mod trigger;
pub mod verify;
pub mod walk;
mod written;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::check::{Findings, Surroundings};
use self::parse::Authored;
use self::problem::Problem;
pub use self::settings::Settings;
pub use self::step::{Action, OnUncertain, Step, StepKind};
pub use self::trigger::{Trigger, TriggerKind};
pub use self::verify::{Scheme, Verify};
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

/// Reads a workflow file and finds everything that can be known to be wrong with it. Other workflows are not looked up; warnings are left
/// out: see [`examine`].
pub fn check(text: &str, catalog: &dyn Catalog, grants: &[Grant]) -> Result<Workflow, Vec<Problem>> {
    examine(text, &Surroundings { catalog, grants, others: &check::others::Unknown, reference: None }).into_result()
}

/// Reads a workflow file and says what is wrong with it and what may be.
pub fn examine(text: &str, surroundings: &Surroundings<'_>) -> Examined {
    match Authored::parse(text) {
        Ok(authored) => {
            let findings = check::check(&authored, surroundings);
            Examined { workflow: Some(authored.workflow), findings }
        }
        Err(problems) => Examined { workflow: None, findings: Findings { problems, ..Findings::default() } },
    }
}

/// A workflow text and what was found in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// Absent when the text has not even the shape of one.
    pub workflow: Option<Workflow>,
    pub findings: Findings,
}

impl Examined {
    /// The workflow, unless something is wrong with it; warnings do not count.
    pub fn into_result(self) -> Result<Workflow, Vec<Problem>> {
        let errors: Vec<_> = self.findings.problems.into_iter().filter(Problem::is_error).collect();
        match self.workflow {
            Some(workflow) if errors.is_empty() => Ok(workflow),
            _ => Err(errors),
        }
    }
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}
