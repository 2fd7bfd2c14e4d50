use serde_json::json;

use super::*;
use crate::id::{EventId, WorkspaceId};
use crate::invoke::CallRecord;
use crate::run::fold::Run;

fn entries(events: Vec<RunEvent>) -> Vec<Recorded> {
    let at = Timestamp::from_millis(1_764_000_000_000);
    let numbered = events.into_iter().zip(0..);
    numbered.map(|(event, seq)| Recorded { seq, at, event }).collect()
}

fn created(trigger: serde_json::Value) -> RunEvent {
    RunEvent::Created {
        workspace: WorkspaceId::default_workspace(),
        workflow: "push".parse().unwrap(),
        version: 1,
        event: EventId::from_bytes([1; 16]),
        pins: std::collections::BTreeMap::new(),
        origin: crate::run::event::Origin::default(),
        trigger: trigger.into(),
    }
}

fn failed_run() -> Vec<Recorded> {
    let step = |id: &str| id.parse::<StepId>().unwrap().into();
    let error = |code: &str| StepError { code: code.into(), message: String::new(), retryable: true, details: None };
    entries(vec![
        created(json!({"body": {"email": "anna@example.com", "total": 12.5, "tags": ["a", "b"]}})),
        RunEvent::StepStarted { step: step("find"), attempt: 1 },
        RunEvent::StepSucceeded {
            step: step("find"),
            attempt: 1,
            output: json!({"id": 7, "vip": true}).into(),
            input: json!(null).into(),
            call: CallRecord::default().into(),
        },
        RunEvent::StepStarted { step: step("send"), attempt: 1 },
        RunEvent::StepFailed {
            step: step("send"),
            attempt: 1,
            error: error("http-status"),
            retry_at: None,
            origin: None,
            input: None,
            call: CallRecord::default().into(),
        },
        RunEvent::Finished {
            outcome: Outcome::Failed { step: step("send"), error: error("http-status") },
            output: json!(null),
        },
    ])
}

fn passes(filter: &RunFilter) -> bool {
    let entries = failed_run();
    let id = RunId::from_parts(Timestamp::from_millis(1_764_000_000_000), 1);
    filter.passes_entries(&Run::fold(id, &entries).unwrap().summary(), &entries)
}

#[test]
fn a_run_is_found_by_each_thing_and_not_by_another() {
    let plain = RunFilter::default;
    let step = |id: &str| Some(id.parse().unwrap());
    let error = |code: &str| Some(code.to_owned());
    let at = |ms| Some(Timestamp::from_millis(ms));
    for (filter, held) in [
        (plain(), true),
        (RunFilter { workflow: Some("push".parse().unwrap()), ..plain() }, true),
        (RunFilter { workflow: Some("pull".parse().unwrap()), ..plain() }, false),
        (RunFilter { status: Some(RunStatus::Failed), ..plain() }, true),
        (RunFilter { status: Some(RunStatus::Succeeded), ..plain() }, false),
        (RunFilter { step: step("find"), ..plain() }, true),
        (RunFilter { step: step("never"), ..plain() }, false),
        (RunFilter { error: error("http-status"), ..plain() }, true),
        (RunFilter { error: error("timeout"), ..plain() }, false),
        (RunFilter { step: step("send"), error: error("http-status"), ..plain() }, true),
        (RunFilter { step: step("find"), error: error("http-status"), ..plain() }, false),
        (RunFilter { from: at(1_764_000_000_000), to: at(1_764_000_000_001), ..plain() }, true),
        (RunFilter { to: at(1_764_000_000_000), ..plain() }, false),
        (RunFilter { from: at(1_764_000_000_001), ..plain() }, false),
    ] {
        assert_eq!(passes(&filter), held, "{filter:?}");
    }
}

#[test]
fn fields_are_compared_as_text() {
    for (text, held) in [
        ("trigger.body.email=anna@example.com", true),
        ("trigger.body.email=anna", false),
        ("trigger.body.email^=anna", true),
        ("trigger.body.email^=nna", false),
        ("trigger.body.total=12.5", true),
        ("trigger.body.tags.1=b", true),
        ("trigger.body.tags=a", false),
        ("trigger.body.absent=", false),
        ("steps.find.output.id=7", true),
        ("steps.find.output.vip=true", true),
        ("steps.send.output.id=7", false),
    ] {
        let filter = RunFilter { field: Some(text.parse().unwrap()), ..RunFilter::default() };
        assert_eq!(passes(&filter), held, "{text}");
    }
}

#[test]
fn what_is_no_field_says_what_one_looks_like() {
    for (text, words) in [
        ("trigger.body.email", "lacks a value"),
        ("body.email=a", "write `trigger.body.email`"),
        ("trigger=a", "write `trigger.body.email`"),
        ("steps.find.id=a", "write `trigger.body.email`"),
        ("steps.Find.output.id=a", "names no step"),
        ("trigger..email=a", "single dots"),
        (&format!("trigger.{}=a", "x".repeat(200)), "too long"),
    ] {
        let error = text.parse::<FieldMatch>().unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn facts_say_what_the_journal_says_and_when_they_leave_something_out() {
    let indexed = ["trigger.body.email".parse().unwrap(), "steps.find.output.none".parse().unwrap()];
    let mut facts = RunFacts::default();
    for entry in &failed_run() {
        facts.note(&entry.event, &indexed);
    }
    facts.close(&indexed);
    assert_eq!(facts.steps(), ["find".into(), "send".into()]);
    assert_eq!(facts.errors(), [("send".into(), "http-status".into())]);
    let values: Vec<_> = facts.fields().iter().map(|field| field.value.clone()).collect();
    assert_eq!(values, [Some(FieldValue::of("anna@example.com")), None]);
    assert!(!facts.has_more());
    for number in 0..70 {
        facts.note(
            &RunEvent::StepStarted { step: format!("s{number}").parse::<StepId>().unwrap().into(), attempt: 1 },
            &indexed,
        );
    }
    assert!(facts.has_more());
}
