//! One example of a README, as a workflow with a single step and the case that tries it.

use flowcell_core::plugin::Uses;
use flowcell_core::testcase::{Case, Start, Suite};
use flowcell_core::workflow::problem::Problem;
use flowcell_core::workflow::text::Located;
use serde_json::{Map, Value, json};

use super::readme::Block;
use crate::rehearsal::files;
use crate::rehearsal::{Cue, Ready, Stage};

/// The members a block may have. The first says what it is an example of; the rest is as in workflows and in their test cases.
const MEMBERS: [&str; 10] =
    ["uses", "trigger", "with", "connection", "request", "answers", "requests", "output", "error", "event"];

pub(super) struct Example {
    /// The heading it stands under.
    pub(super) title: String,
    pub(super) line: usize,
    pub(super) uses: Uses,
    pub(super) workflow: Ready,
    pub(super) case: Case,
    pub(super) start: Cue,
}

impl Example {
    /// Reads a block; the error is a sentence for the README's author.
    pub(super) fn read(block: &Block<'_>, stage: &Stage) -> Result<Self, String> {
        let located = Located::read(block.text).map_err(|problem| words(&[problem]))?;
        let Value::Object(members) = &located.value else {
            return Err("an example is an object with `uses` or `trigger`".to_owned());
        };
        if let Some(other) = members.keys().find(|key| !MEMBERS.contains(&key.as_str())) {
            return Err(format!("`{other}` is no part of an example; it has {}", MEMBERS.join(", ")));
        }
        let (workflow, case) = match (members.get("uses"), members.get("trigger")) {
            (Some(uses), None) => (action(uses, members), case_of_action(members)),
            (None, Some(trigger)) => (self::trigger(trigger, members), case_of_trigger(members)),
            _ => return Err("an example has `uses` (an action) or `trigger`".to_owned()),
        };
        let named = members.get("uses").or_else(|| members.get("trigger"));
        let uses: Uses =
            named.and_then(Value::as_str).unwrap_or_default().parse().map_err(|error| format!("{error}"))?;
        let workflow = files::of(&workflow.to_string(), stage).map_err(|problems| words(&problems))?;
        let suite = Suite::parse(&json!({ "cases": [case] }).to_string()).map_err(|problems| words(&problems))?;
        let case = suite.cases.into_iter().next().ok_or("it has no case")?;
        let start = match &case.start {
            Start::TriggerFile(_) => {
                return Err("an example stands in the README as a whole; it names no files".to_owned());
            }
            start => crate::cli::test::cue(start, std::path::Path::new(".")).map_err(|error| format!("{error:#}"))?,
        };
        Ok(Self { title: block.title.to_owned(), line: block.line, uses, workflow, case, start })
    }

    pub(super) fn is_action(&self) -> bool {
        self.workflow.workflow.trigger.uses().is_none()
    }
}

fn words(problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; ")
}

const STEP: &str = "example";

fn action(uses: &Value, members: &Map<String, Value>) -> Value {
    let mut step = json!({ "id": STEP, "uses": uses, "retry": { "attempts": 1 } });
    for key in ["with", "connection"] {
        if let (Some(value), Some(step)) = (members.get(key), step.as_object_mut()) {
            step.insert(key.to_owned(), value.clone());
        }
    }
    json!({ "id": STEP, "name": "An example", "trigger": { "manual": true }, "steps": [step] })
}

fn case_of_action(members: &Map<String, Value>) -> Value {
    let mut expect = Map::new();
    if let Some(output) = members.get("output") {
        expect.insert("outputs".to_owned(), json!({ STEP: output }));
    }
    if let Some(error) = members.get("error") {
        expect.insert("status".to_owned(), "failed".into());
        expect.insert("error".to_owned(), error.clone());
    }
    if let Some(requests) = members.get("requests") {
        expect.insert("requests".to_owned(), requests.clone());
    }
    let answers = members.get("answers").cloned().unwrap_or_else(|| json!([]));
    json!({ "name": STEP, "trigger": {}, "answers": answers, "expect": expect })
}

fn trigger(uses: &Value, members: &Map<String, Value>) -> Value {
    let with = members.get("with").cloned().unwrap_or_else(|| json!({}));
    json!({
        "id": STEP, "name": "An example", "trigger": { "uses": uses, "with": with },
        "steps": [{ "id": STEP, "set": { "event": "{{ trigger }}" } }],
    })
}

fn case_of_trigger(members: &Map<String, Value>) -> Value {
    let request = members.get("request").cloned().unwrap_or_else(|| json!({}));
    let expect = match members.get("event") {
        Some(event) => json!({ "outputs": { STEP: { "event": event } } }),
        None => json!({ "no_run": true }),
    };
    json!({ "name": STEP, "request": request, "expect": expect })
}
