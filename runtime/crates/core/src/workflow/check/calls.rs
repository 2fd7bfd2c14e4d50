//! Calls of other workflows: that they are there, take what they are given, and never come back to the caller.

use std::collections::BTreeSet;

use super::Check;
use super::others::{Callee, Found};
use super::types::Known;
use crate::id::WorkflowId;
use crate::workflow::Workflow;
use crate::workflow::problem::similar;
use crate::workflow::step::{Call, StepKind};

/// How many workflows are followed in search of a circle: more than anybody nests.
const CALLS_MAX: usize = 200;

impl Workflow {
    /// Every call of another workflow, with its place.
    pub fn calls(&self) -> impl Iterator<Item = (String, &Call)> {
        self.all_steps().filter_map(|placed| match &placed.step.kind {
            StepKind::Call(call) => Some((format!("{}/call", placed.pointer), call)),
            _ => None,
        })
    }
}

impl Check<'_> {
    pub(super) fn calls(&mut self) {
        for (pointer, call) in self.authored.workflow.calls() {
            self.call(&pointer, call);
        }
        if let Some(to) = &self.authored.workflow.settings.on_failure {
            self.on_failure(to);
        }
    }

    fn call(&mut self, pointer: &str, call: &Call) {
        let name = format!("{pointer}/workflow");
        if call.workflow == self.workflow().id {
            let help = "a workflow that calls itself never ends: use `for_each`, or call another workflow".to_owned();
            return self.add(&name, format!("workflow `{}` calls itself", call.workflow), Some(help));
        }
        let Some(callee) = self.look_up(&name, &call.workflow, call.version) else { return };
        if callee.trigger == "error" {
            let message = format!("workflow `{}` takes failures (`error: true`); it cannot be called", call.workflow);
            self.add(&name, message, Some("name it as `on_failure`, or call another one".to_owned()));
        }
        if let Some(input) = &callee.input {
            self.fits(&format!("{pointer}/with"), &call.with, input, &format!("the input of `{}`", call.workflow));
        }
        if let Some(way) = self.way_back(&call.workflow, &callee) {
            let message = format!("this call comes back to this workflow: {way}");
            self.add(&name, message, Some("a circle of calls never ends: break it at one of them".to_owned()));
        }
    }

    fn on_failure(&mut self, to: &WorkflowId) {
        const PLACE: &str = "/settings/on_failure";
        if *to == self.workflow().id {
            let help = Some("name another workflow: one that fails cannot report its own failures".to_owned());
            return self.add(PLACE, "a workflow cannot be its own error workflow", help);
        }
        let Some(callee) = self.look_up(PLACE, to, None) else { return };
        if callee.trigger != "error" {
            let message = format!("workflow `{to}` is started by `{}`, not by failures", callee.trigger);
            self.add(PLACE, message, Some(format!("give `{to}` the trigger `error: true`, or name another one")));
        }
    }

    fn look_up(&mut self, pointer: &str, id: &WorkflowId, version: Option<u32>) -> Option<Callee> {
        match self.others.find(id, version) {
            Found::There(callee) => return Some(*callee),
            Found::Unknown => self.not_looked_up.push(id.clone()),
            Found::Missing { known } => {
                let near = similar(id.as_str(), known.iter().map(WorkflowId::as_str));
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "apply that workflow first".to_owned(),
                };
                self.add(pointer, format!("there is no workflow `{id}`"), Some(help));
            }
            Found::NoVersion { latest } => {
                let (message, help) = match version {
                    Some(version) => (
                        format!("workflow `{id}` has no version {version}"),
                        format!("its newest version is {latest}; without `version` the published one is called"),
                    ),
                    None => (
                        format!("workflow `{id}` is not published"),
                        format!("publish it, or name a version: the newest is {latest}"),
                    ),
                };
                self.add(pointer, message, Some(help));
            }
        }
        None
    }

    /// The circle that a call is part of, as `a → b → a`.
    fn way_back(&self, to: &WorkflowId, callee: &Callee) -> Option<String> {
        let own = &self.workflow().id;
        let mut seen = BTreeSet::from([to.clone()]);
        let mut ways = vec![(vec![to.clone()], callee.calls.clone())];
        while let Some((way, calls)) = ways.pop() {
            for next in calls {
                let further: Vec<WorkflowId> = way.iter().cloned().chain([next.clone()]).collect();
                if next == *own {
                    let names: Vec<_> = std::iter::once(own).chain(&further).map(WorkflowId::as_str).collect();
                    return Some(names.join(" → "));
                }
                if seen.len() < CALLS_MAX
                    && seen.insert(next.clone())
                    && let Found::There(callee) = self.others.find(&next, None)
                {
                    ways.push((further, callee.calls));
                }
            }
        }
        None
    }

    /// What is known of the output of a call.
    pub(super) fn callee_output(&self, call: &Call) -> Known {
        match self.others.find(&call.workflow, call.version) {
            Found::There(callee) => callee.output.as_ref().map_or(Known::Anything, Known::authored),
            Found::Missing { .. } | Found::NoVersion { .. } | Found::Unknown => Known::Anything,
        }
    }
}
