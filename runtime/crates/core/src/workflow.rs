//! The authored definition: a trigger and a line of steps.

pub mod check;
pub mod compiled;
pub mod duration;
pub mod parse;
pub mod problem;
pub mod schema;
#[cfg(test)]
mod tests;
pub mod text;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::parse::Authored;
use self::problem::Problem;
use crate::capability::Grant;
use crate::id::{StepId, WorkflowId};
use crate::plugin::Uses;
use crate::ports::Catalog;
use crate::run::retry::RetryPolicy;

/// A workflow as its author wrote it, parsed and checked for shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    pub id: WorkflowId,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub trigger: Trigger,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    pub uses: Uses,
    #[serde(default = "empty_object")]
    pub with: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub id: StepId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub uses: Uses,
    /// The input, with expressions in its texts.
    #[serde(default = "empty_object")]
    pub with: Value,
    #[serde(default)]
    pub retry: RetryPolicy,
    #[serde(default)]
    pub on_uncertain: OnUncertain,
    /// How long one attempt may take; the operator's ceiling cuts it.
    #[serde(default, rename = "timeout", with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// What happens to an attempt of which a crash left it unknown whether it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUncertain {
    /// As the action's manifest says: idempotent actions are repeated, others parked.
    #[default]
    Auto,
    Repeat,
    Park,
}

impl Workflow {
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
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
