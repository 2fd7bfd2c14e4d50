//! From text to a typed workflow: the shape is checked against the published schema first, so that every message is a plain sentence.

use std::collections::HashMap;

use super::Workflow;
use super::problem::Problem;
use super::schema::{Violation, WORKFLOW_SCHEMA};
use super::text::Located;
use crate::id::StepId;

/// The most steps, nested ones included. The journal of a run and its picture stay readable, and a text of 256 KiB has room for them.
pub const STEPS_MAX: usize = 200;

/// The deepest nesting of steps: more is not followed by anybody, and every level costs each place inside it.
pub const DEPTH_MAX: usize = 8;

/// A workflow and the text it was read from, with the places of its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Authored {
    pub workflow: Workflow,
    pub located: Located,
}

impl Authored {
    /// Reads YAML or JSON and checks its shape. What it names is not looked up: see [`super::check::check`].
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let located = Located::read(text).map_err(|problem| vec![problem])?;
        let violations = WORKFLOW_SCHEMA.check(&located.value, "");
        if !violations.is_empty() {
            return Err(in_order(violations.into_iter().map(|violation| located.violation("", violation)).collect()));
        }
        let mut value = located.value.clone();
        if let Some(fields) = value.as_object_mut() {
            // For editors: where the schema is.
            fields.remove("$schema");
        }
        let workflow = serde_path_to_error::deserialize::<_, Workflow>(value).map_err(|error| {
            let pointer = pointer_of(error.path());
            vec![located.problem(&pointer, error.into_inner().to_string())]
        })?;
        let authored = Self { workflow, located };
        let wrong = in_order([authored.doubled_steps(), authored.beyond_limits()].concat());
        if wrong.is_empty() { Ok(authored) } else { Err(wrong) }
    }

    fn beyond_limits(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (number, placed) in self.workflow.all_steps().enumerate() {
            if number == STEPS_MAX {
                let message = format!("the workflow has more than {STEPS_MAX} steps");
                let help = "move some of them to a workflow of their own and `call` it";
                problems.push(self.located.problem(&placed.pointer, message).with_help(help));
            }
            if placed.around.len() == DEPTH_MAX + 1 && placed.index == 0 {
                let message = format!("step `{}` is nested more than {DEPTH_MAX} deep", placed.step.id);
                let help = "move the inner steps to a workflow of their own and `call` it";
                problems.push(self.located.problem(&placed.pointer, message).with_help(help));
            }
        }
        problems
    }

    fn doubled_steps(&self) -> Vec<Problem> {
        let mut first: HashMap<&StepId, String> = HashMap::new();
        let mut problems = Vec::new();
        for placed in self.workflow.all_steps() {
            let (step, pointer) = (placed.step, format!("{}/id", placed.pointer));
            if let Some(before) = first.get(&step.id) {
                let line = self.located.value_position(before).line;
                let problem = self
                    .located
                    .problem(&pointer, format!("the step id `{}` is here twice (first in line {line})", step.id));
                problems
                    .push(problem.with_help("give each step an id of its own: expressions and logs name steps by it"));
            } else {
                first.insert(&step.id, pointer);
            }
        }
        problems
    }
}

impl Located {
    /// Gives a violation in the part at `prefix` its place in the text.
    pub(crate) fn violation(&self, prefix: &str, violation: Violation) -> Problem {
        let pointer = format!("{prefix}{}", violation.pointer);
        let position = if violation.at_key { self.key_position(&pointer) } else { self.value_position(&pointer) };
        Problem { help: violation.help, ..position.problem(&pointer, violation.message) }
    }
}

/// Problems as a reader meets them.
pub(crate) fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort();
    problems.dedup();
    problems
}

pub(crate) fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => crate::expression::join_pointer(&pointer, &index.to_string()),
        Segment::Map { key } => crate::expression::join_pointer(&pointer, key),
        Segment::Enum { .. } | Segment::Unknown => pointer,
    })
}
