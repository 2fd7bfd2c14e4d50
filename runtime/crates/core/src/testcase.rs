//! Test cases beside a workflow: what starts a run, what stands in for the world, and what is expected of it.
//!
//! Data and comparison only; running a case is somebody else's work. `docs/testing.md` is the author's side of it.

mod differ;
mod expect;
mod names;
mod pin;
mod story;
#[cfg(test)]
mod tests;
pub mod yaml;

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

pub use self::expect::{Expect, Mismatch};
pub use self::pin::{Pin, Pinned, PinnedError, Pins};
pub use self::story::{Branch, Iterations, Request, Story, StoryError, StoryStep};
use crate::record::Answer;
use crate::time::Timestamp;
use crate::workflow::parse::{in_order, pointer_of};
use crate::workflow::problem::Problem;
use crate::workflow::schema::Schema;
use crate::workflow::text::Located;

/// The published schema of test files (JSON Schema 2020-12).
pub const SCHEMA: &str = include_str!("testcase/schema.json");

static COMPILED: LazyLock<Schema> = LazyLock::new(|| {
    let schema = serde_json::from_str(SCHEMA).expect("the schema in this crate is JSON");
    Schema::compile(&schema).expect("the schema in this crate is a JSON Schema")
});

/// A test file.
#[derive(Debug, Clone)]
pub struct Suite {
    /// The workflow's file, relative to this one; absent: by this file's name.
    pub workflow: Option<String>,
    /// Files of other workflows that it calls, relative to this one.
    pub workflows: Vec<String>,
    /// What the file says for all cases.
    pub pins: Pins,
    pub answers: Vec<Answer>,
    pub cases: Vec<Case>,
    located: Located,
}

/// One case, with what the file says for all of them.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub start: Start,
    /// What the clock says when the run begins.
    pub now: Timestamp,
    pub pins: Pins,
    /// For any step, by method and URL; the case's own first.
    pub answers: Vec<Answer>,
    pub expect: Expect,
    /// Where it stands in the file.
    pub line: usize,
}

/// What starts the run.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// What expressions read as `trigger`.
    Trigger(Value),
    /// The same, in a file beside this one.
    TriggerFile(String),
    /// A request to the trigger's URL: the trigger's plugin makes of it what it makes of any.
    Request(StartRequest),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartRequest {
    #[serde(default = "StartRequest::post")]
    pub method: String,
    #[serde(default)]
    pub query: String,
    #[serde(default)]
    pub headers: indexmap::IndexMap<String, String>,
    #[serde(default)]
    pub json: Option<Value>,
    #[serde(default)]
    pub text: Option<String>,
    /// A file beside the test file whose content is the body.
    #[serde(default)]
    pub file: Option<String>,
}

impl StartRequest {
    fn post() -> String {
        "POST".to_owned()
    }
}

/// Monday, 2026-01-05, 09:00 UTC: an ordinary working hour, the same every time.
const NOW: Timestamp = Timestamp::from_millis(1_767_603_600_000);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct WrittenSuite {
    workflow: Option<String>,
    workflows: Vec<String>,
    now: Option<Timestamp>,
    pin: Pins,
    answers: Vec<Answer>,
    cases: Vec<WrittenCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    name: String,
    #[serde(default)]
    trigger: Option<Value>,
    #[serde(default)]
    trigger_file: Option<String>,
    #[serde(default)]
    request: Option<StartRequest>,
    #[serde(default)]
    now: Option<Timestamp>,
    #[serde(default)]
    pin: Pins,
    #[serde(default)]
    answers: Vec<Answer>,
    #[serde(default)]
    expect: Expect,
}

impl Suite {
    /// Reads YAML or JSON and checks its shape. Whether the steps it names exist is asked with [`Suite::check`].
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let located = Located::read(text).map_err(|problem| vec![problem])?;
        let violations = COMPILED.check(&located.value, "");
        if !violations.is_empty() {
            return Err(in_order(violations.into_iter().map(|violation| located.violation("", violation)).collect()));
        }
        let mut value = located.value.clone();
        if let Some(fields) = value.as_object_mut() {
            // For editors: where the schema is.
            fields.remove("$schema");
        }
        let written = serde_path_to_error::deserialize::<_, WrittenSuite>(value).map_err(|error| {
            let pointer = pointer_of(error.path());
            vec![located.problem(&pointer, error.into_inner().to_string())]
        })?;
        let suite = Self::of(written, located);
        let wrong = suite.impossible_answers();
        if wrong.is_empty() { Ok(suite) } else { Err(wrong) }
    }

    fn of(written: WrittenSuite, located: Located) -> Self {
        let WrittenSuite { workflow, workflows, now, pin, answers, cases } = written;
        let cases = cases.into_iter().enumerate().map(|(index, case)| {
            let WrittenCase { name, trigger, trigger_file, request, now: own, pin: pins, answers: first, expect } =
                case;
            let start = match (request, trigger_file) {
                (Some(request), _) => Start::Request(request),
                (None, Some(file)) => Start::TriggerFile(file),
                (None, None) => Start::Trigger(trigger.unwrap_or(Value::Null)),
            };
            Case {
                name,
                start,
                now: own.or(now).unwrap_or(NOW),
                pins: pins.before(&pin),
                answers: first.into_iter().chain(answers.iter().cloned()).collect(),
                expect,
                line: located.value_position(&format!("/cases/{index}")).line,
            }
        });
        let cases = cases.collect();
        Self { workflow, workflows, pins: pin, answers, cases, located }
    }

    /// Answers that no request can get.
    fn impossible_answers(&self) -> Vec<Problem> {
        let wrong = |pointer: String, answers: &[Answer]| {
            let answers = crate::record::Answers { http: answers.to_vec() };
            answers.check().err().map(|error| {
                let pointer = format!("{pointer}/{}", error.number - 1);
                self.located.problem(&pointer, error.problem)
            })
        };
        let lists = self.located.answer_lists();
        lists.into_iter().filter_map(|(pointer, answers)| wrong(pointer, &answers)).collect()
    }
}

impl Located {
    /// Every list of answers in a test file, with its place.
    fn answer_lists(&self) -> Vec<(String, Vec<Answer>)> {
        let mut pointers = vec!["/answers".to_owned()];
        let mut pins = vec!["/pin".to_owned()];
        let cases = self.value.pointer("/cases").and_then(Value::as_array).map_or(0, Vec::len);
        for index in 0..cases {
            pointers.push(format!("/cases/{index}/answers"));
            pins.push(format!("/cases/{index}/pin"));
        }
        for pin in pins {
            for (step, value) in self.value.pointer(&pin).and_then(Value::as_object).into_iter().flatten() {
                let place = crate::expression::join_pointer(&pin, step);
                let attempts = value.as_array().map_or(0, Vec::len);
                pointers.push(format!("{place}/http"));
                pointers.extend((0..attempts).map(|attempt| format!("{place}/{attempt}/http")));
            }
        }
        let read = |pointer: String| {
            let answers = serde_json::from_value(self.value.pointer(&pointer)?.clone()).ok()?;
            Some((pointer, answers))
        };
        pointers.into_iter().filter_map(read).collect()
    }
}
