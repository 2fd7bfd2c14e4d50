use expect_test::{Expect as Golden, expect as golden};
use serde_json::{Value, json};

use super::expect::place_and_path;
use super::*;
use crate::id::{RunId, StepRef};
use crate::run::event::{Detail, Origin, Outcome, Recorded, RunEvent, StepError};
use crate::workflow::parse::Authored;

const WORKFLOW: &str = r#"
id: demo
name: Demo
trigger: { manual: true }
steps:
  - id: size
    if: [{ name: big, when: "trigger.total > 100", steps: [] }]
  - id: create
    uses: test/tools/send@1
  - id: paid
    wait: { event: order.paid, timeout: 2d }
  - id: approved
    wait: { resume: true, timeout: 2d }
"#;

fn problems(text: &str) -> String {
    let workflow = Authored::parse(&WORKFLOW.replace("steps: []", "steps: [{ id: x, set: { a: 1 } }]"))
        .expect("a workflow")
        .workflow;
    let problems = match Suite::parse(text) {
        Ok(suite) => suite.check(&workflow),
        Err(problems) => problems,
    };
    problems.iter().fold(String::new(), |said, problem| said + &problem.to_string() + "\n")
}

fn check(text: &str, expected: &Golden) {
    expected.assert_eq(&problems(text));
}

#[test]
fn a_file_is_wrong_with_its_line_and_what_was_meant() {
    check(
        "cases: []",
        &golden![[r"
        1:8: `cases` is empty; at least one item is needed
    "]],
    );
    check(
        "cases:\n  - name: a\n    expct: {}\n",
        &golden![[r"
            3:5: there is no `expct` in `cases[0]`
              help: did you mean `expect`?
        "]],
    );
    check(
        "cases:\n  - name: a\n    pin: { crate: { output: 1 } }\n    expect:\n      steps: { create: done }\n",
        &golden![[r"
            5:24: `cases[0].expect.steps.create` is `done`, which is none of succeeded, failed, handled, cancelled, waiting, parked, running, absent
        "]],
    );
    check(
        "pin: { crate: { output: 1 }, paid: { output: 1 }, approved: { event: 1 }, create: { resume: 1 } }\ncases:\n  - name: a\n    expect: { outputs: { siz.a: 1 }, branches: { size: big }, requests: [{ step: other:create }, { step: nothing }] }\n",
        &golden![[r"
            1:8: workflow `demo` has no step `crate`
              help: did you mean `create`?
            1:30: `output` cannot stand in for step `paid`, which waits for an event
              help: possible: event; without one its timeout comes
            1:51: `event` cannot stand in for step `approved`, which waits for its resume link
              help: possible: resume; without it its timeout comes
            1:75: `resume` cannot stand in for step `create`, which is an action
              help: possible: output, error, http
            4:26: workflow `demo` has no step `siz`
              help: did you mean `size`?
            4:100: workflow `demo` has no step `nothing`
              help: the steps are size, x, create, paid, approved
        "]],
    );
    check(
        "cases:\n  - name: a\n    pin: { create: { output: 1, error: { code: x } } }\n",
        &golden![[r"
            3:20: exactly one of output, error, http, event, resume is needed
        "]],
    );
    check(
        "cases:\n  - name: a\n    pin: { create: [{ http: [{ text: x, json: 1 }] }] }\n",
        &golden![[r"
            3:30: it has several bodies; give `json`, `text` or `base64`
        "]],
    );
}

#[test]
fn what_is_said_for_all_cases_stands_behind_what_a_case_says() {
    let suite = Suite::parse(
        "now: 2026-03-01T10:00:00+01:00\npin: { a: { output: 1 }, b: { output: 2 } }\nanswers: [{ status: 201 }]\ncases:\n  - name: one\n    pin: { a: [{ error: { code: x, retryable: true } }, { output: null }] }\n    answers: [{ status: 202 }]\n  - name: two\n    now: 2026-03-02T10:00:00Z\n",
    )
    .expect("a suite");
    let [one, two] = suite.cases.as_slice() else { panic!("two cases") };
    let place = |text: &str| text.parse::<StepRef>().expect("a place");
    assert!(matches!(one.pins.attempt(&place("a"), 1), Some(Pinned::Error(error)) if error.retryable));
    assert_eq!(one.pins.attempt(&place("a"), 2), Some(&Pinned::Output(Value::Null)));
    assert_eq!(
        one.pins.attempt(&place("a[4]"), 9),
        Some(&Pinned::Output(Value::Null)),
        "the id stands for each iteration"
    );
    assert_eq!(one.pins.attempt(&place("b"), 1), Some(&Pinned::Output(json!(2))));
    assert_eq!(one.pins.attempt(&place("c"), 1), None);
    assert_eq!(one.answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [Some(202), Some(201)]);
    assert_eq!(
        (one.now.to_string().as_str(), two.now.to_string().as_str()),
        ("2026-03-01T09:00:00.000Z", "2026-03-02T10:00:00.000Z")
    );
    assert_eq!((one.line, two.line), (5, 8));
}

#[test]
fn an_output_is_named_by_place_and_path() {
    for (key, place, path) in [
        ("create", "create", ""),
        ("create.body.id", "create", "body.id"),
        ("send[2]", "send[2]", ""),
        ("send[3.1].status", "send[3.1]", "status"),
    ] {
        assert_eq!(place_and_path(key), (place, path), "{key}");
    }
}

fn journal(events: Vec<RunEvent>) -> Story {
    let run = RunId::from_parts(NOW, 1);
    let created = RunEvent::Created {
        workspace: crate::id::WorkspaceId::default_workspace(),
        workflow: "demo".parse().expect("an id"),
        version: 1,
        event: crate::id::EventId::from_parts(NOW, 1),
        pins: std::collections::BTreeMap::new(),
        trigger: json!({}).into(),
        origin: Origin::default(),
    };
    let events = std::iter::once(created).chain(events).zip(0..);
    let events: Vec<_> = events
        .map(|(event, seq)| Recorded { seq, at: NOW + std::time::Duration::from_secs(seq.into()), event })
        .collect();
    Story::of(run, &events).expect("a possible story")
}

fn story() -> Story {
    let place = |text: &str| text.parse::<StepRef>().expect("a place");
    let call = serde_json::from_value(json!({ "http": [{
        "number": 1, "started_at": "2026-01-05T09:00:02Z", "duration_ms": 0,
        "request": { "method": "POST", "url": "https://crm.example.com/leads", "headers": [["x-a", "1"]], "body": { "bytes": 20, "text": "{\"email\":\"a@b.c\"}" } },
        "response": { "status": 201, "headers": [], "body": { "bytes": 0 } }
    }]}))
    .expect("a record");
    journal(vec![
        RunEvent::Entered {
            step: place("size"),
            detail: Detail::Decided { branch: Some(0), name: Some("big".to_owned()), because: Vec::new() },
        },
        RunEvent::Left { step: place("size"), output: json!({}) },
        RunEvent::StepStarted { step: place("create"), attempt: 1 },
        RunEvent::StepSucceeded {
            step: place("create"),
            attempt: 1,
            output: json!({ "body": { "id": 7 } }).into(),
            input: json!({}).into(),
            call,
        },
        RunEvent::StepStarted { step: place("mail"), attempt: 1 },
        RunEvent::StepFailed {
            step: place("mail"),
            attempt: 1,
            error: StepError::permanent("http-status", "the peer answered 404"),
            retry_at: None,
            input: None,
            origin: None,
            call: crate::invoke::CallRecord::default().into(),
        },
        RunEvent::Finished {
            outcome: Outcome::Failed {
                step: place("mail"),
                error: StepError::permanent("http-status", "the peer answered 404"),
            },
            output: Value::Null,
        },
    ])
}

fn mismatches(expect: Value) -> String {
    let expect: Expect = serde_json::from_value(expect).expect("an expectation");
    expect.check(&story()).iter().fold(String::new(), |said, each| {
        let place = each.place.as_ref().map_or_else(String::new, |place| format!(" at {place}"));
        format!("{said}{}: {} / {}{place}\n", each.what, each.expected, each.came)
    })
}

#[test]
fn a_run_is_as_expected() {
    golden![[""]].assert_eq(&mismatches(json!({
        "error": { "code": "http-status", "step": "mail", "message": "404" },
        "branches": { "size": "big" },
        "steps": { "create": "succeeded", "mail": "failed", "later": "absent" },
        "outputs": { "create.body.id": 7, "create": { "body": {} } },
        "requests": [{ "step": "create", "method": "post", "url": "https://crm.example.com/*", "headers": { "X-A": "1" }, "json": { "email": { "$contains": "@" } } }],
        "lasted": "7s",
    })));
    golden![[""]].assert_eq(&mismatches(json!({ "status": "failed", "branches": { "size": 0 } })));
}

#[test]
fn each_difference_says_what_was_expected_and_what_came() {
    golden![[r"
        status: succeeded / failed at step `mail`: the peer answered 404 [http-status]
    "]]
    .assert_eq(&mismatches(json!({})));
    golden![[r#"
        error.code: denied / http-status at the peer answered 404 [http-status]
        error.step: create / mail at the peer answered 404 [http-status]
        steps.mail: succeeded / failed
        branches.size: small / big
        iterations.lines: {"count":3} / nothing
        outputs.create.body.id: 8 / 7
        outputs.late.x: 1 / nothing at step `late` was never reached
        outputs.mail: 1 / nothing at step `mail` has no output: it is failed
        output: {"a":1} / null
        response: {"status":200} / nothing
        requests[0].json.email: "x" / "a@b.c" at POST https://crm.example.com/leads (step create, attempt 1)
        requests[1]: {"step":"mail"} / nothing: no further request was sent
        lasted: 1d / 7s
    "#]]
    .assert_eq(&mismatches(json!({
        "error": { "code": "denied", "step": "create" },
        "steps": { "mail": "succeeded" },
        "branches": { "size": "small" },
        "iterations": { "lines": 3 },
        "outputs": { "create.body.id": 8, "late.x": 1, "mail": 1 },
        "output": { "a": 1 },
        "response": { "status": 200 },
        "requests": [{ "json": { "email": "x" } }, { "step": "mail" }],
        "lasted": "1d",
    })));
    golden![[r"
        requests: no further request / POST https://crm.example.com/leads (step create, attempt 1)
    "]]
    .assert_eq(&mismatches(json!({ "status": "failed", "requests": [] })));
}

#[test]
fn the_schema_takes_what_the_types_take() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let properties = |pointer: &str| -> Vec<String> {
        let mut names: Vec<String> =
            schema.pointer(pointer).and_then(Value::as_object).expect(pointer).keys().cloned().collect();
        names.sort();
        names
    };
    // Of serde's "unknown field, expected one of …": what the types take.
    let fields = |error: String| {
        let mut names: Vec<String> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        names.sort();
        names
    };
    let odd = json!({ "no such field": 1 });
    let expect = serde_json::from_value::<Expect>(odd.clone()).expect_err("an odd one").to_string();
    assert_eq!(properties("/$defs/expect/properties"), fields(expect));
    let answer = serde_json::from_value::<Answer>(odd).expect_err("an odd one").to_string();
    assert_eq!(properties("/$defs/answers/items/properties"), fields(answer));
}
