#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]
#![allow(clippy::too_many_lines, clippy::format_collect, reason = "tables")]

mod aliases;
mod documentation;
mod filters;
mod fuzz;
mod hostile;
mod missing;
mod refusals;
mod values;
mod whole;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::id::{EventId, RunId, WorkspaceId};
use crate::invoke::CallRecord;
use crate::run::event::{Recorded, RunEvent};
use crate::run::fold::Run;
use crate::time::Timestamp;
use crate::workflow::Workflow;

const STARTED: Timestamp = Timestamp::from_millis(1_763_884_800_000);

/// 2026-11-23T08:30:05Z, 09:30:05 in Berlin: the moment of the examples.
const HALF_PAST_NINE: Timestamp = Timestamp::from_millis(1_795_422_605_000);

fn workflow() -> Workflow {
    serde_json::from_value(json!({
        "id": "push-to-build",
        "name": "Tell the build server",
        "trigger": { "uses": "flowcell/webhook/inbound@1" },
        "steps": [
            { "id": "build", "uses": "flowcell/custom-webhook/request@1" },
            { "id": "tell", "uses": "flowcell/webhook/send@1" },
            { "id": "log_it", "uses": "flowcell/webhook/send@1" },
        ],
    }))
    .expect("a workflow")
}

/// A run whose step `build` has succeeded and whose step `tell` is running.
fn run(trigger: Value) -> Run {
    let id = RunId::from_parts(STARTED, 7);
    let events = [
        RunEvent::Created {
            workspace: WorkspaceId::default_workspace(),
            workflow: "push-to-build".parse().expect("an id"),
            version: 3,
            event: EventId::from_parts(STARTED, 8),
            pins: std::collections::BTreeMap::new(),
            trigger: trigger.into(),
            origin: crate::run::event::Origin::default(),
        },
        RunEvent::StepStarted { step: "build".parse().expect("an id"), attempt: 1 },
        RunEvent::StepSucceeded {
            step: "build".parse().expect("an id"),
            attempt: 1,
            output: json!({ "status": 201, "body": { "number": 42 } }).into(),
            input: json!({}).into(),
            call: CallRecord::default().into(),
        },
        RunEvent::StepStarted { step: "tell".parse().expect("an id"), attempt: 1 },
    ];
    let events = events.into_iter().zip(0..).map(|(event, seq)| Recorded { seq, at: STARTED, event });
    Run::fold(id, &events.collect::<Vec<_>>()).expect("a possible history")
}

fn trigger() -> Value {
    json!({
        "method": "POST",
        "headers": { "x-github-event": "push" },
        "body": {
            "after": "9b1c",
            "size": 9_007_199_254_740_993_i64,
            "huge": u64::MAX,
            "ratio": 0.5,
            "forced": false,
            "nothing": null,
            "html": "<b>&amp;</b>",
            "repository": { "name": "grün/ж" },
            "commits": [
                { "id": 1, "message": "fix", "author": { "name": "Ada" } },
                { "id": 2, "message": "add", "author": { "name": "Bo" } },
            ],
            "commits-url": "https://example.com",
            "empty": {},
            "evil": "{{ 7 * 7 }}{% for x in range(9) %}x{% endfor %}",
        },
    })
}

#[expect(clippy::needless_pass_by_value, reason = "called with `json!`")]
fn render(input: Value) -> Result<Value, String> {
    let run = run(trigger());
    let workflow = workflow();
    let program = Program::compile(&input).map_err(|errors| {
        errors.iter().map(|error| format!("compile {}: {error}", error.pointer)).collect::<Vec<_>>().join("\n")
    })?;
    program.render(&Scope::of(&run, &workflow)).map_err(|error| format!("{}: {error}", error.pointer))
}

fn shown(input: Value) -> String {
    match render(input) {
        Ok(value) => value.to_string().chars().take(200).collect(),
        Err(message) => format!("error {message}"),
    }
}

fn table(texts: &[&str], expected: &Expect) {
    let lines = texts.iter().map(|text| format!("{text}\n    {}\n", shown(json!(text)).replace('\n', "\n    ")));
    expected.assert_eq(&lines.collect::<String>());
}
