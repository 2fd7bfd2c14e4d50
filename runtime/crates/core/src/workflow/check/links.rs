//! Resume links in expressions: `resume.<step>` needs a wait that a link ends, and one such wait, not one for each item of some loop.

use super::Check;
use super::reads::Read;
use super::types::{Key, Known};
use super::visible::Sight;
use crate::id::StepId;
use crate::run::resume::resume_waits;
use crate::workflow::problem::similar;

impl Check<'_> {
    /// Judges the reading of `resume` and of what follows it; what is known of what it leads to.
    pub(super) fn resume_link(&mut self, read: &Read<'_, '_>, keys: &[Key]) -> Known {
        let place = &read.field.place;
        if place.is_start() {
            let help = "read `trigger` here: it is asked before the run begins".to_owned();
            self.add(&read.pointer, "there is no run yet that a link could resume", Some(help));
            return Known::Anything;
        }
        let workflow = self.workflow();
        let waits: Vec<&str> = resume_waits(workflow).map(StepId::as_str).collect();
        let [Key::Name(name), rest @ ..] = keys else { return Known::Anything };
        let Some(target) = workflow.all_steps().find(|placed| placed.step.id.as_str() == name) else {
            let help = match similar(name, waits.iter().copied()) {
                Some(near) => format!("did you mean `resume.{near}`?"),
                None if waits.is_empty() => "no step waits for a link (`wait: { resume: true }`)".to_owned(),
                None => format!("the steps that wait for a link are {}", waits.join(", ")),
            };
            self.add(&read.pointer, format!("there is no step `{name}`"), Some(help));
            return Known::Anything;
        };
        if !waits.contains(&name.as_str()) {
            let help = match waits.as_slice() {
                [] => "only a step `wait: { resume: true }` has one".to_owned(),
                waits => format!("the steps that wait for a link are {}", waits.join(", ")),
            };
            self.add(&read.pointer, format!("step `{name}` has no resume link"), Some(help));
            return Known::Anything;
        }
        let loops: Vec<_> = target.loops().map(|step| &step.id).collect();
        let here: Vec<_> = read.field.place.loops().map(|step| &step.id).collect();
        if let Some(outside) = loops.iter().find(|id| !here.contains(id)) {
            let message = format!(
                "step `{name}` waits inside the loop `{outside}`, once for each item: outside of it there is not one link"
            );
            self.add(&read.pointer, message, Some(format!("read it in a step of the loop `{outside}`")));
            return Known::Anything;
        }
        if place.sight(workflow, name) == Sight::There {
            let message = format!("step `{name}` is over here, and its link opens nothing any more");
            self.warn(&read.pointer, message, Some(format!("send it before `{name}`, or beside it")));
        }
        let known = Known::schema(&serde_json::json!({ "type": "string" }));
        self.follow(read, &format!("resume.{name}"), known, rest)
    }
}
