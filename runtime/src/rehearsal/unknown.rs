//! What a dry run cannot know: contacts, people and stored values lie on a server. A step that asked for them is named, so that nobody takes "not there" for
//! an answer.

use flowcell_core::exchange::AnsweredBy;
use flowcell_core::host_call::HostCall;
use flowcell_core::run::event::{Recorded, RunEvent};
use serde_json::Value;

/// Notes for people about the steps that met nothing.
pub(super) fn notes(journal: &[Recorded]) -> Vec<String> {
    let asked: Vec<(String, &str)> = journal.iter().flat_map(|entry| calls(&entry.event)).collect();
    let steps = |calls: &[&str]| {
        let mut steps: Vec<&str> = Vec::new();
        for (step, _) in asked.iter().filter(|(_, call)| calls.contains(call)) {
            if !steps.contains(&step.as_str()) {
                steps.push(step);
            }
        }
        let steps: Vec<String> = steps.into_iter().map(|step| format!("`{step}`")).collect();
        (!steps.is_empty()).then(|| steps.join(", "))
    };
    let sought = steps(&["contacts.find"]).map(|steps| {
        format!(
            "{steps} looked for a contact and found nobody: a dry run knows no contacts. Pin what is found in a test case, or preview the step on a \
             server (`flowcell workflow preview`), which looks at the real ones."
        )
    });
    let enrolled = steps(&["contacts.enroll"]).map(|steps| {
        format!(
            "{steps} would give the run a contact; here nobody is stored, so the steps behind it read no `contact`."
        )
    });
    let people = steps(&["inbox.people"])
        .map(|steps| format!("{steps} asked for users and found none: a dry run knows no users."));
    let values = steps(&["key-value.get", "key-value.keys"]).map(|steps| {
        format!("{steps} read stored values and found none: a dry run begins without any, and stores none.")
    });
    [sought, enrolled, people, values].into_iter().flatten().collect()
}

/// The calls of a step's attempt that somebody else than a server has answered with nothing.
fn calls(event: &RunEvent) -> Vec<(String, &str)> {
    let (RunEvent::StepSucceeded { step, call, .. }
    | RunEvent::StepFailed { step, call, .. }
    | RunEvent::StepParked { step, call: Some(call), .. }) = event
    else {
        return Vec::new();
    };
    let met_nothing = |call: &&HostCall| {
        let is_empty = match &call.outcome {
            Ok(Value::Null) => true,
            Ok(Value::Array(items)) => items.is_empty(),
            _ => false,
        };
        is_empty && (call.answered_by == Some(AnsweredBy::StandIn) || call.call.starts_with("key-value."))
    };
    call.host.iter().filter(met_nothing).map(|call| (step.to_string(), call.call.as_str())).collect()
}
