//! Whether a test file names steps that the workflow has, and pins them with what can stand in for them.

use serde_json::Value;

use super::Suite;
use crate::expression::join_pointer;
use crate::id::StepRef;
use crate::workflow::problem::{Problem, similar};
use crate::workflow::step::{StepKind, WaitFor};
use crate::workflow::{Step, Workflow};

impl Suite {
    /// Everything that does not fit the workflow, with its place in the test file.
    pub fn check(&self, workflow: &Workflow) -> Vec<Problem> {
        let mut check = Check { suite: self, workflow, problems: Vec::new() };
        check.pins("/pin");
        for index in 0..self.cases.len() {
            check.pins(&format!("/cases/{index}/pin"));
            for part in ["branches", "steps", "iterations"] {
                check.steps(&format!("/cases/{index}/expect/{part}"));
            }
            check.outputs(&format!("/cases/{index}/expect/outputs"));
            check.requests(&format!("/cases/{index}/expect/requests"));
        }
        check.problems.sort();
        check.problems
    }
}

struct Check<'s> {
    suite: &'s Suite,
    workflow: &'s Workflow,
    problems: Vec<Problem>,
}

impl<'s> Check<'s> {
    fn keys(&self, pointer: &str) -> Vec<(String, &'s Value)> {
        let object = self.suite.located.value.pointer(pointer).and_then(Value::as_object);
        object.into_iter().flatten().map(|(key, value)| (key.clone(), value)).collect()
    }

    fn add(&mut self, pointer: &str, message: String, help: Option<String>) {
        let position = self.suite.located.key_position(pointer);
        let problem =
            Problem { line: position.line, column: position.column, ..self.suite.located.problem(pointer, message) };
        self.problems.push(Problem { help, ..problem });
    }

    /// The step at a place, or a problem.
    fn step(&mut self, pointer: &str, place: &str) -> Option<&'s Step> {
        let id = place.parse::<StepRef>().ok();
        let step = id.as_ref().and_then(|place| self.workflow.step(place.id()));
        if step.is_none() {
            let known: Vec<_> = self.workflow.all_steps().map(|placed| placed.step.id.as_str().to_owned()).collect();
            let near = similar(place.split(['[', '.']).next().unwrap_or(place), known.iter().map(String::as_str));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the steps are {}", known.join(", ")),
            };
            let message = format!("workflow `{}` has no step `{place}`", self.workflow.id);
            self.add(pointer, message, Some(help));
        }
        step
    }

    fn steps(&mut self, pointer: &str) {
        for (key, _) in self.keys(pointer) {
            self.step(&join_pointer(pointer, &key), &key);
        }
    }

    fn outputs(&mut self, pointer: &str) {
        for (key, _) in self.keys(pointer) {
            let (place, _) = super::expect::place_and_path(&key);
            self.step(&join_pointer(pointer, &key), place);
        }
    }

    fn requests(&mut self, pointer: &str) {
        let requests = self.suite.located.value.pointer(pointer).and_then(Value::as_array);
        for (index, request) in requests.into_iter().flatten().enumerate() {
            // A step of another workflow is written `workflow:step`; that workflow is not at hand here.
            if let Some(step) = request.get("step").and_then(Value::as_str).filter(|step| !step.contains(':')) {
                self.step(&format!("{pointer}/{index}/step"), step);
            }
        }
    }

    fn pins(&mut self, pointer: &str) {
        for (key, value) in self.keys(pointer) {
            let pointer = join_pointer(pointer, &key);
            let Some(step) = self.step(&pointer, &key) else { continue };
            let pinned: Vec<&Value> = value.as_array().map_or_else(|| vec![value], |list| list.iter().collect());
            for kind in pinned.iter().filter_map(|pinned| pinned.as_object()?.keys().find(|key| *key != "after")) {
                if let Err((is, possible)) = fits(step, kind) {
                    let message = format!("`{kind}` cannot stand in for step `{key}`, {is}");
                    self.add(&pointer, message, Some(possible.to_owned()));
                }
            }
        }
    }
}

/// Whether such a pin can stand in for the step; else what the step is, and what could.
fn fits(step: &Step, kind: &str) -> Result<(), (&'static str, &'static str)> {
    match (&step.kind, kind) {
        (StepKind::Action(_), "output" | "error" | "http") | (StepKind::Call(_), "output" | "error") => Ok(()),
        (StepKind::Wait(wait), "event") if matches!(wait.what, WaitFor::Event { .. }) => Ok(()),
        (StepKind::Wait(wait), "resume") if matches!(wait.what, WaitFor::Resume) => Ok(()),
        (StepKind::Action(_), _) => Err(("which is an action", "possible: output, error, http")),
        (StepKind::Call(_), _) => Err(("which is a call", "possible: output, error")),
        (StepKind::Wait(wait), _) => Err(match wait.what {
            WaitFor::Event { .. } => ("which waits for an event", "possible: event; without one its timeout comes"),
            WaitFor::Resume => ("which waits for its resume link", "possible: resume; without it its timeout comes"),
            _ => ("which waits for a time", "leave it out: the time is skipped"),
        }),
        _ => Err(("which does nothing outside of the run", "leave it out: it is executed as ever")),
    }
}
