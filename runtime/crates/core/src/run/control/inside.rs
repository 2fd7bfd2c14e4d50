//! What goes on inside control steps: a branch, the iterations of a loop, parallel branches; and how each ends.

use serde_json::{Map, Value, json};

use crate::id::StepRef;
use crate::run::event::{Detail, Failure, RunEvent, StepError};
use crate::run::place;
use crate::run::state::Control;
use crate::run::walk::{Standing, Walk, expression_error};
use crate::workflow::Step;
use crate::workflow::compiled::CompiledKind;
use crate::workflow::step::{ForEach, If, Join, OnItemError, Parallel};

impl<'w> Walk<'w> {
    pub(in crate::run) fn branch(&mut self, step: &'w Step, each: &'w If, control: &'w Control) -> Standing {
        let Detail::Decided { branch, name, .. } = &control.detail else { return Standing::Open };
        let steps = match branch {
            Some(index) => each.branches.get(*index as usize).map(|branch| branch.steps.as_slice()),
            None => each.otherwise.as_deref(),
        };
        match self.block(steps.unwrap_or_default()) {
            Standing::Done => {
                let taken = match (name, branch) {
                    (Some(name), _) => json!(name),
                    (None, Some(index)) => json!(index),
                    (None, None) if each.otherwise.is_some() => json!("else"),
                    (None, None) => Value::Null,
                };
                self.leave(step, json!({ "branch": taken }))
            }
            Standing::Failed(failure) => self.fail(step, failure),
            other => other,
        }
    }

    pub(in crate::run) fn each(&mut self, step: &'w Step, each: &'w ForEach, control: &'w Control) -> Standing {
        let Detail::Each { count, .. } = control.detail else { return Standing::Open };
        let iterations = &control.iterations;
        if iterations.failed() > 0 && each.on_item_error == OnItemError::Fail {
            let failed = iterations.ended().find_map(|(_, iteration)| iteration.error.clone());
            if let Some(failure) = failed {
                return self.fail(step, failure);
            }
        }
        let to_do = iterations.to_do(count, each.parallel.max(1));
        if to_do.is_empty() {
            return self.leave(step, result(control, count, each.collect.is_some()));
        }
        for index in to_do {
            self.at.push(index);
            let standing = self.block(&each.steps);
            self.at.pop();
            let ended = match standing {
                Standing::Done => self.collect(step, index),
                Standing::Failed(failure) => Err(failure),
                Standing::Open => continue,
                stopped @ Standing::Stopped(_) => return stopped,
            };
            if ended.is_err() {
                self.at.push(index);
                self.cancel_inside(step, "its iteration has failed");
                self.at.pop();
            }
            let (collected, error) = match ended {
                Ok(collected) => (collected, None),
                Err(failure) => (Value::Null, Some(failure)),
            };
            let step = self.place(step);
            self.note(RunEvent::Iterated { step, index, collected, error });
        }
        Standing::Open
    }

    /// What an iteration that has ended well yields.
    #[expect(clippy::result_large_err, reason = "it goes into an event as it is, once per failed iteration")]
    fn collect(&self, step: &Step, index: u32) -> Result<Value, Failure> {
        let compiled = self.definition.compiled;
        let Some(CompiledKind::ForEach { collect: Some(collect), .. }) =
            compiled.steps.get(&step.id).map(|step| &step.kind)
        else {
            return Ok(Value::Null);
        };
        let place = self.place(step);
        let mut locals = place::locals(compiled, self.run, &place);
        locals.extend(place::of_iteration(compiled, self.run, &place, index));
        let at: Vec<u32> = self.at.iter().copied().chain([index]).collect();
        let rendered = collect.render(&self.definition.scope(self.run, self.moment.now).within(&at, &locals));
        rendered.map_err(|error| Failure {
            step: StepRef::new(step.id.clone(), &at),
            error: expression_error("what the iteration yields", "collect", &error),
        })
    }

    pub(in crate::run) fn parallel(&mut self, step: &'w Step, parallel: &'w Parallel) -> Standing {
        let mut branches: Vec<(&str, Standing)> = Vec::with_capacity(parallel.branches.len());
        for (name, steps) in &parallel.branches {
            match self.block(steps) {
                stopped @ Standing::Stopped(_) => return stopped,
                standing => branches.push((name, standing)),
            }
        }
        let first_failure = branches.iter().find_map(|(_, standing)| match standing {
            Standing::Failed(failure) => Some(failure.clone()),
            _ => None,
        });
        let is_over = |standing: &Standing| !matches!(standing, Standing::Open);
        let winner = branches.iter().find(|(_, standing)| matches!(standing, Standing::Done)).map(|(name, _)| *name);
        let all_over = branches.iter().all(|(_, standing)| is_over(standing));
        match (parallel.join, winner, first_failure) {
            (Join::All, _, Some(failure)) => self.fail(step, failure),
            (Join::Race, Some(winner), _) => {
                self.cancel_inside(step, &format!("branch `{winner}` was first"));
                let mut output = outcome(&branches);
                output.insert("winner".to_owned(), winner.into());
                self.leave(step, Value::Object(output))
            }
            (Join::Race, None, Some(failure)) if all_over => self.fail(step, failure),
            (Join::All | Join::Settled, _, _) if all_over => self.leave(step, Value::Object(outcome(&branches))),
            _ => Standing::Open,
        }
    }
}

/// How each branch stands at the end.
fn outcome(branches: &[(&str, Standing)]) -> Map<String, Value> {
    let shown = branches.iter().map(|(name, standing)| {
        let shown = match standing {
            Standing::Done => json!({ "status": "succeeded" }),
            Standing::Failed(Failure { step, error }) => json!({
                "status": "failed", "error": { "step": step, "code": error.code, "message": error.message },
            }),
            Standing::Open | Standing::Stopped(_) => json!({ "status": "cancelled" }),
        };
        ((*name).to_owned(), shown)
    });
    shown.collect()
}

/// The output of a loop.
fn result(control: &Control, count: u32, has_collected: bool) -> Value {
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (index, iteration) in control.iterations.ended() {
        if has_collected {
            results.push(iteration.collected.clone());
        }
        if let Some(Failure { step, error: StepError { code, message, .. } }) = &iteration.error {
            errors.push(json!({ "index": index, "step": step, "code": code, "message": message }));
        }
    }
    let failed = control.iterations.failed();
    json!({
        "count": count, "succeeded": count.saturating_sub(failed), "failed": failed, "results": results, "errors": errors,
    })
}
