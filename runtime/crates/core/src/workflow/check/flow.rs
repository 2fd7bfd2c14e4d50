//! What the shape of the tree makes impossible: steps that are never reached, answers that nobody waits for, limits.

use super::Check;
use super::visible::always_ends;
use crate::expression::{ROOTS, has_expression};
use crate::redact::RedactedField;
use crate::schedule::Zone;
use crate::workflow::duration;
use crate::workflow::problem::similar;
use crate::workflow::settings::Window;
use crate::workflow::step::{ForEach, Missing, Step, StepKind, Wait, WaitFor};
use crate::workflow::trigger::TriggerKind;
use crate::workflow::walk::{EVENT, LOOP, Placed, list_pointer};

impl Check<'_> {
    pub(super) fn flow(&mut self) {
        self.unreachable(&self.authored.workflow.steps, "/steps");
        for placed in self.authored.workflow.all_steps() {
            for (within, steps) in placed.step.lists() {
                self.unreachable(steps, &list_pointer(&placed.pointer, within));
            }
            match &placed.step.kind {
                StepKind::ForEach(each) => self.item_name(&placed, each),
                StepKind::Wait(wait) => self.wait(&placed, wait),
                _ => {}
            }
            self.missing(&placed);
        }
        self.replies();
        self.settings();
    }

    /// The first step behind one that always ends the run; those after it are clear then.
    fn unreachable(&mut self, steps: &[Step], pointer: &str) {
        let Some(end) = steps.iter().position(always_ends) else { return };
        if let (Some(last), Some(next)) = (steps.get(end), steps.get(end + 1)) {
            let message = match last.kind {
                StepKind::Stop(_) => format!("step `{}` is never reached: `{}` ends the run", next.id, last.id),
                _ => format!("step `{}` is never reached: every way through `{}` ends the run", next.id, last.id),
            };
            let help = format!("move it before `{}`, or leave it out", last.id);
            self.add(&format!("{pointer}/{}/id", end + 1), message, Some(help));
        }
    }

    fn item_name(&mut self, placed: &Placed<'_>, each: &ForEach) {
        let pointer = format!("{}/as", placed.pointer);
        if ROOTS.contains(&each.item_name.as_str()) || [LOOP, EVENT].contains(&each.item_name.as_str()) {
            let message = format!("`{}` means something else in expressions; call the item otherwise", each.item_name);
            self.add(&pointer, message, Some("for example `as: item`".to_owned()));
        } else if placed.locals().contains(&each.item_name.as_str()) {
            let message =
                format!("a loop around this one calls its item `{}` too; here it cannot be read", each.item_name);
            self.warn(&pointer, message, Some("give this one another name: `as: …`".to_owned()));
        }
    }

    fn wait(&mut self, placed: &Placed<'_>, wait: &Wait) {
        let place = |key: &str| format!("{}/{key}", placed.pointer);
        match &wait.what {
            WaitFor::Duration(text) if !has_expression(text) => {
                if let Err(message) = duration::parse(text) {
                    self.add(&place("wait/for"), message, None);
                }
            }
            WaitFor::Until(text) if is_no_instant(text) => {
                let message = format!("`{text}` is not a date and time with its offset");
                let help = "write it as in 2026-12-24T09:00:00+01:00".to_owned();
                self.add(&place("wait/until"), message, Some(help));
            }
            WaitFor::Window(window) => self.window(window, &place("wait/window")),
            _ => {}
        }
        if wait.on_timeout.is_some() && wait.timeout_ms.is_none() {
            let help = "add `timeout: …` to `wait`, or leave `on_timeout` out".to_owned();
            self.add(
                &place("on_timeout"),
                format!("step `{}` has no timeout: this never happens", placed.step.id),
                Some(help),
            );
        }
    }

    /// Fields for which a value may be missing have to be there.
    fn missing(&mut self, placed: &Placed<'_>) {
        let Missing(policies) = &placed.step.missing;
        let fields = match &placed.step.kind {
            StepKind::Action(action) => action.with.clone(),
            StepKind::Set(value) => value.clone(),
            StepKind::Call(call) => call.with.clone(),
            StepKind::Respond(respond) => serde_json::to_value(respond).unwrap_or_default(),
            _ => return,
        };
        for pointer in policies.keys().filter(|pointer| *pointer != "*" && fields.pointer(pointer).is_none()) {
            let known: Vec<String> =
                fields.as_object().into_iter().flatten().map(|(key, _)| format!("/{key}")).collect();
            let help = match similar(pointer, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its fields are {}", known.join(", ")),
            };
            let key = crate::expression::join_pointer(&format!("{}/missing", placed.pointer), pointer);
            self.add(&key, format!("step `{}` has no field `{pointer}`", placed.step.id), Some(help));
        }
    }

    /// Answers need somebody who waits, and who waits needs an answer.
    fn replies(&mut self) {
        let trigger = &self.authored.workflow.trigger;
        let answer = self.authored.workflow.all_steps().find(|placed| matches!(placed.step.kind, StepKind::Respond(_)));
        let takes_replies = matches!(trigger.kind, TriggerKind::Plugin { .. });
        match (&trigger.reply, answer) {
            (Some(_), _) if !takes_replies => {
                let message = format!("nobody waits for the answer of a run that is started by `{}`", trigger.key());
                self.add("/trigger/reply", message, Some("leave `reply` out".to_owned()));
            }
            (Some(_), None) => self.add(
                "/trigger/reply",
                "the sender would wait for an answer, and no step gives one",
                Some("add a step with `respond: { json: … }`, or leave `reply` out".to_owned()),
            ),
            (None, Some(placed)) if takes_replies => self.add(
                &format!("{}/respond", placed.pointer),
                format!("step `{}` answers a sender that does not wait", placed.step.id),
                Some("add `reply: { wait: 10s }` to the trigger, or leave the step out".to_owned()),
            ),
            (None, Some(placed)) => self.add(
                &format!("{}/respond", placed.pointer),
                format!(
                    "step `{}` answers nobody: no sender waits for a run that is started by `{}`",
                    placed.step.id,
                    trigger.key()
                ),
                Some("leave the step out; a `call` gets the workflow's `output`".to_owned()),
            ),
            _ => {}
        }
    }

    fn settings(&mut self) {
        let settings = &self.authored.workflow.settings;
        if let Some(timezone) = &settings.timezone {
            self.timezone(timezone, "/settings/timezone");
        }
        if let Some(window) = &settings.window {
            self.window(window, "/settings/window");
        }
        for (index, field) in settings.redact.iter().enumerate() {
            self.redacted(field, &format!("/settings/redact/{index}"));
        }
        if let TriggerKind::Schedule(schedule) = &self.authored.workflow.trigger.kind
            && let Err(error) = schedule.schedule(&Zone::utc())
        {
            let key = error.part.key().map_or_else(String::new, |key| format!("/{key}"));
            self.add(&format!("/trigger/schedule{key}"), error.message, error.help);
        }
    }

    fn redacted(&mut self, field: &RedactedField, pointer: &str) {
        let workflow = self.workflow();
        if let Some(step) = field.step().filter(|step| workflow.step(step).is_none()) {
            let ids: Vec<_> = workflow.all_steps().map(|placed| placed.step.id.as_str()).collect();
            let help = match similar(step.as_str(), ids.iter().copied()) {
                Some(near) => format!("did you mean `steps.{near}`?"),
                None => format!("the steps are {}", ids.join(", ")),
            };
            self.add(pointer, format!("there is no step `{step}` whose data could be hidden"), Some(help));
        }
        if let Some(found) = workflow.settings.index.iter().find(|found| field.covers(found)) {
            let message = format!("`{found}` is hidden by this, so no run can be found by it");
            self.add(pointer, message, Some("leave it out of `settings.index`".to_owned()));
        }
    }

    fn window(&mut self, window: &Window, pointer: &str) {
        if window.from == window.to {
            let message = format!("from {} to {} is no time at all", window.from, window.to);
            self.add(pointer, message, Some("for whole days leave `from` and `to` out".to_owned()));
        }
        if let Some(timezone) = &window.timezone {
            self.timezone(timezone, &format!("{pointer}/timezone"));
        }
    }

    fn timezone(&mut self, name: &str, pointer: &str) {
        if let Err(error) = name.parse::<Zone>() {
            self.add(pointer, format!("there is no time zone `{name}`"), error.help);
        }
    }
}

/// Whether a text that begins as a date is none; other texts are expressions.
fn is_no_instant(text: &str) -> bool {
    let is_written_out = !has_expression(text) && text.starts_with(|c: char| c.is_ascii_digit());
    is_written_out && text.parse::<jiff::Timestamp>().is_err()
}
