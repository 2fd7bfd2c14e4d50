//! Waits: for how long, until when, for what; and calls of other workflows, which are waits for their end.

use serde_json::{Value, json};

use crate::expression::{Program, Scope};
use crate::run::event::{Detail, Outcome, RunEvent, StepError};
use crate::run::plan::Next;
use crate::run::state::{Arrival, Control};
use crate::run::walk::{Standing, Walk, after, expression_error, failure_of};
use crate::time::Timestamp;
use crate::workflow::Step;
use crate::workflow::compiled::CompiledWait;
use crate::workflow::duration;
use crate::workflow::step::{Wait, WaitFor};

/// What a wait that begins now is for.
pub(super) fn begin(
    walk: &Walk<'_>,
    wait: &Wait,
    compiled: &CompiledWait,
    scope: &Scope<'_>,
) -> Result<Detail, StepError> {
    let now = walk.moment.now;
    let settings = &walk.definition.compiled.workflow.settings;
    let (mut until, mut event, mut resume) = (None, None, false);
    match (&wait.what, compiled) {
        (WaitFor::Duration(_), CompiledWait::Duration(program)) => {
            let text = text(program, scope, "for")?;
            let millis =
                duration::parse(text.trim()).map_err(|problem| StepError::permanent("invalid-wait", problem))?;
            until = Some(after(now, millis));
        }
        (WaitFor::Until(_), CompiledWait::Until(program)) => {
            until = Some(moment(text(program, scope, "until")?.trim(), settings.timezone.as_deref())?);
        }
        (WaitFor::Window(window), CompiledWait::Window) => {
            let zone = settings.timezone.as_deref();
            let opens = walk.definition.calendar.opens(Some(window), &[], zone, now);
            let never =
                || StepError::permanent("invalid-wait", "this window never opens: check its days, times and zone");
            until = Some(opens.ok_or_else(never)?);
        }
        (WaitFor::Event { name, .. }, _) => event = Some(name.clone()),
        (WaitFor::Resume, _) => resume = true,
        _ => {
            return Err(StepError::permanent(
                "not-compiled",
                "this wait was not prepared as what it is; please report this",
            ));
        }
    }
    let deadline = wait.timeout_ms.map(|millis| after(now, millis));
    Ok(Detail::Waiting { until, deadline, event, resume })
}

fn text(program: &Program, scope: &Scope<'_>, key: &str) -> Result<String, StepError> {
    let rendered =
        program.render(scope).map_err(|error| expression_error("the wait", &format!("wait/{key}"), &error))?;
    match rendered {
        Value::String(text) => Ok(text),
        other => Err(StepError::permanent("invalid-wait", format!("`wait.{key}` needs a text and got {other}"))),
    }
}

/// Reads an instant with an offset, or a date with or without a time on the clocks of `timezone`.
fn moment(text: &str, timezone: Option<&str>) -> Result<Timestamp, StepError> {
    let local = || {
        let zone = timezone.unwrap_or("UTC");
        let at = text.parse::<jiff::civil::DateTime>().ok()?.in_tz(zone).ok()?;
        u64::try_from(at.timestamp().as_millisecond()).ok().map(Timestamp::from_millis)
    };
    text.parse().ok().or_else(local).ok_or_else(|| {
        let message = format!("`{text}` is no date and time, such as 2026-12-24T09:00 or 2026-12-24T09:00:00+01:00");
        StepError::permanent("invalid-wait", message)
    })
}

impl<'w> Walk<'w> {
    pub(in crate::run) fn wait(&mut self, step: &'w Step, wait: &'w Wait, control: &'w Control) -> Standing {
        if let Some(arrival) = &control.arrival {
            let output = match arrival {
                Arrival::Event(event) => json!({ "reason": "event", "event": event }),
                Arrival::Resumed(payload) => json!({ "reason": "resumed", "payload": payload }),
                Arrival::Child { .. } => Value::Null,
            };
            return self.leave(step, output);
        }
        if control.has_timed_out {
            return match self.block(wait.on_timeout.as_deref().unwrap_or_default()) {
                Standing::Done => self.leave(step, json!({ "reason": "timeout" })),
                Standing::Failed(failure) => self.fail(step, failure),
                other => other,
            };
        }
        let Detail::Waiting { until, deadline, .. } = &control.detail else { return Standing::Open };
        let now = self.moment.now;
        if until.is_some_and(|until| until <= now) && !deadline.is_some_and(|deadline| Some(deadline) < *until) {
            return self.leave(step, json!({ "reason": "elapsed" }));
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            if wait.on_timeout.is_some() {
                let step = self.place(step);
                self.note(RunEvent::TimedOut { step });
                return Standing::Open;
            }
            let limit = duration::format(wait.timeout_ms.unwrap_or_default());
            let message = format!(
                "what it waits for did not come within {limit}; give the step `on_timeout` steps if the run is to go on then"
            );
            return self.fail_itself(step, StepError::permanent("wait-timeout", message));
        }
        if let Some(at) = control.ends_at() {
            self.wake(at);
        }
        Standing::Open
    }

    pub(in crate::run) fn call(&mut self, step: &'w Step, control: &'w Control) -> Standing {
        let Detail::Called { run, workflow, deadline, .. } = &control.detail else { return Standing::Open };
        match &control.arrival {
            Some(Arrival::Child { outcome: Outcome::Succeeded, output }) => self.leave(step, output.clone()),
            Some(Arrival::Child { outcome: Outcome::Failed { step: inner, error }, .. }) => {
                let message = format!("{run} of workflow `{workflow}` failed in step `{inner}`: {}", error.message);
                let details = Some(
                    json!({ "run": run, "workflow": workflow, "step": inner, "code": error.code, "details": error.details }),
                );
                let error = StepError { code: "call-failed".to_owned(), message, retryable: false, details };
                self.fail_itself(step, error)
            }
            Some(Arrival::Child { outcome: Outcome::Cancelled { reason }, .. }) => {
                let details = Some(json!({ "run": run, "workflow": workflow }));
                let message = format!("{run} of workflow `{workflow}` was cancelled: {reason}");
                self.fail_itself(
                    step,
                    StepError { code: "call-cancelled".to_owned(), message, retryable: false, details },
                )
            }
            Some(_) => Standing::Open,
            None if deadline.is_some_and(|deadline| deadline <= self.moment.now) => {
                let message = format!("{run} of workflow `{workflow}` did not end in time, and was cancelled");
                let details = Some(json!({ "run": run, "workflow": workflow }));
                self.fail_itself(
                    step,
                    StepError { code: "call-timeout".to_owned(), message, retryable: false, details },
                )
            }
            None => {
                let next = Next::Call { step: self.place(step), run: *run };
                self.do_next(next);
                if let Some(at) = deadline {
                    self.wake(*at);
                }
                Standing::Open
            }
        }
    }

    pub(super) fn leave(&mut self, step: &Step, output: Value) -> Standing {
        let step = self.place(step);
        self.note(RunEvent::Left { step, output });
        Standing::Open
    }

    fn fail_itself(&mut self, step: &Step, error: StepError) -> Standing {
        let event = failure_of(self.place(step), error, None);
        self.note(event);
        Standing::Open
    }
}
