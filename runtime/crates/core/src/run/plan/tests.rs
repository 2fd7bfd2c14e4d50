#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]
#![allow(
    clippy::too_many_lines,
    clippy::format_collect,
    clippy::needless_pass_by_value,
    clippy::cast_possible_truncation,
    reason = "tables"
)]

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

mod flow;

use std::sync::Arc;

use super::*;
use crate::id::{Digest, EventId, WorkspaceId};
use crate::invoke::CallRecord;
use crate::manifest::{Capabilities, Limits, Manifest};
use crate::plugin::{Pin, Uses};
use crate::run::calendar::AlwaysOpen;
use crate::run::event::{Origin, Recorded};
use crate::run::fold::Phase;

#[derive(Debug)]
struct NoLinks;
impl crate::run::resume::ResumeLinks for NoLinks {
    fn resume_link(&self, run: RunId, step: &StepRef) -> String {
        format!("/resume/{run}.{step}")
    }
}

const T0: u64 = 1_763_884_800_000;

/// Steps `a` (idempotent), `b` (not) and, with what its author chose, `c` (not, repeated) and `d` (idempotent, parked).
fn workflow() -> CompiledWorkflow {
    compiled(json!({
        "id": "w", "name": "W", "trigger": { "uses": "t/t/in@1" },
        "steps": [
            { "id": "a", "uses": "t/t/safe@1" },
            { "id": "b", "uses": "t/t/charge@1" },
            { "id": "c", "uses": "t/t/charge@1", "on_uncertain": "repeat" },
            { "id": "d", "uses": "t/t/safe@1", "on_uncertain": "park" },
        ],
    }))
}

fn compiled(workflow: Value) -> CompiledWorkflow {
    let manifest = Arc::new(Manifest {
        id: "t/t".parse().expect("a plugin id"),
        version: "1.0.0".parse().expect("a version"),
        api: "flowcell:plugin@1".to_owned(),
        title: String::new(),
        description: String::new(),
        icon: None,
        changelog: Vec::new(),
        actions: Vec::new(),
        triggers: Vec::new(),
        capabilities: Capabilities::default(),
        connections: Vec::new(),
        limits: Limits::default(),
    });
    let workflow = serde_json::from_value(workflow).expect("a workflow");
    CompiledWorkflow::compile(workflow, |_| Some(Arc::clone(&manifest))).expect("it compiles")
}

/// What is planned by a worker that has `flying` attempts under way.
fn plan_at(compiled: &CompiledWorkflow, run: &Run, now: Timestamp, flying: &[&str]) -> Vec<Next> {
    let in_flight = flying.iter().map(|step| step.parse().expect("a place")).collect();
    let definition = Definition {
        compiled,
        calls: &BTreeMap::new(),
        calendar: &AlwaysOpen,
        custom_values: &Value::Null,
        resume_links: &NoLinks,
    };
    plan(definition, run, Moment { now, in_flight: &in_flight })
}

/// The same, as the only thing to do.
fn only(compiled: &CompiledWorkflow, run: &Run, now: Timestamp) -> Next {
    let mut plan = plan_at(compiled, run, now, &[]);
    assert_eq!(plan.len(), 1, "{plan:?}");
    plan.remove(0)
}

fn run_id() -> RunId {
    RunId::from_parts(Timestamp::from_millis(T0), 1)
}

fn created() -> RunEvent {
    let pin = |member: &str, idempotent| {
        let uses: Uses = format!("t/t/{member}@1").parse().expect("uses");
        let pin = Pin {
            plugin: uses.plugin.clone(),
            version: "1.0.0".parse().expect("a version"),
            digest: Digest::of(b"t"),
            member: member.to_owned(),
            idempotent,
        };
        (uses, pin)
    };
    RunEvent::Created {
        workspace: WorkspaceId::default_workspace(),
        workflow: "w".parse().expect("an id"),
        version: 1,
        event: EventId::from_parts(Timestamp::from_millis(T0), 2),
        pins: [pin("safe", true), pin("charge", false)].into(),
        trigger: json!({ "list": [3, 4, 5], "n": 2 }).into(),
        origin: Origin::default(),
    }
}

fn error() -> StepError {
    StepError { code: "boom".to_owned(), message: "it broke".to_owned(), retryable: true, details: None }
}

/// Reads a history such as `a1 a1+ b1 b1-5 b2`: `a1` starts, `+` succeeds, `-` fails for good, `-5` fails until five seconds after
/// the run's creation, `?` parks, `?!` with what is known of its end, `end` finishes. The run's creation comes first by itself.
fn history(text: &str) -> Vec<Recorded> {
    let events = std::iter::once(created()).chain(text.split_whitespace().map(event));
    let recorded =
        events.zip(0..).map(|(event, seq)| Recorded { seq, at: Timestamp::from_millis(T0 + u64::from(seq)), event });
    recorded.collect()
}

fn event(word: &str) -> RunEvent {
    if word == "end" {
        return RunEvent::Finished { outcome: Outcome::Succeeded, output: Value::Null };
    }
    if word == "new" {
        return created();
    }
    let (step, rest) = word.split_at(1);
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (attempt, end) = rest.split_at(digits);
    let (step, attempt) = (step.parse().expect("a step id"), attempt.parse().expect("an attempt"));
    let call = std::sync::Arc::new(CallRecord::default());
    match end.split_at(end.len().min(1)) {
        ("", _) => RunEvent::StepStarted { step, attempt },
        ("+", _) => RunEvent::StepSucceeded {
            step,
            attempt,
            output: json!({ "of": word }).into(),
            input: json!({}).into(),
            call,
        },
        ("?", how) => RunEvent::StepParked {
            step,
            attempt,
            reason: "who knows".to_owned(),
            error: (how == "!").then(error),
            input: (how == "!").then(|| json!({}).into()),
            call: (how == "!").then_some(call),
        },
        ("-", seconds) => {
            let retry_at = seconds.parse::<u64>().ok().map(|seconds| Timestamp::from_millis(T0 + seconds * 1_000));
            RunEvent::StepFailed { step, attempt, error: error(), retry_at, input: None, origin: None, call }
        }
        _ => panic!("{word} is no event"),
    }
}

fn shown(next: &Next) -> String {
    match next {
        Next::Start { step, attempt } => format!("start {step}{attempt}"),
        Next::WaitUntil(at) => format!("wait until +{} s", (at.as_millis() - T0) / 1_000),
        Next::Note(RunEvent::StepParked { step, attempt, reason, .. }) => format!("park {step}{attempt}: {reason}"),
        Next::Note(event) => format!("note {}", flow::noted(event)),
        Next::Call { step, .. } => format!("call {step}"),
        Next::Finish { outcome: Outcome::Succeeded, output: Value::Null } => "finish: succeeded".to_owned(),
        Next::Finish { outcome: Outcome::Succeeded, output } => format!("finish: succeeded with {output}"),
        Next::Finish { outcome: Outcome::Failed { step, error }, .. } => {
            format!("finish: {step} failed with {}", error.code)
        }
        Next::Finish { outcome: Outcome::Cancelled { reason }, .. } => format!("finish: cancelled, {reason}"),
        Next::Rest => "rest".to_owned(),
        Next::Done => "done".to_owned(),
    }
}

/// What is planned four seconds after the run's creation.
fn planned(text: &str) -> String {
    let run = Run::fold(run_id(), &history(text)).unwrap_or_else(|error| panic!("{text}: {error}"));
    shown(&only(&workflow(), &run, Timestamp::from_millis(T0 + 4_000)))
}

fn table(histories: &[&str], expected: &Expect) {
    expected.assert_eq(&histories.iter().map(|text| format!("{text:<28} → {}\n", planned(text))).collect::<String>());
}

#[test]
fn the_next_thing_follows_from_the_events() {
    table(
        &[
            "",
            "a1 a1+",
            "a1 a1-5",
            "a1 a1-4",
            "a1 a1-3",
            "a1 a1-3 a2 a2+",
            "a1 a1-3 a2 a2-9",
            "a1 a1-",
            "a1 a1+ b1 b1-",
            "a1 a1+ b1 b1+ c1 c1+ d1 d1+",
            "a1 a1+ b1 b1+ c1 c1+ d1 d1+ end",
        ],
        &expect![[r#"
                                         → start a1
            a1 a1+                       → start b1
            a1 a1-5                      → wait until +5 s
            a1 a1-4                      → start a2
            a1 a1-3                      → start a2
            a1 a1-3 a2 a2+               → start b1
            a1 a1-3 a2 a2-9              → wait until +9 s
            a1 a1-                       → finish: a failed with boom
            a1 a1+ b1 b1-                → finish: b failed with boom
            a1 a1+ b1 b1+ c1 c1+ d1 d1+  → finish: succeeded
            a1 a1+ b1 b1+ c1 c1+ d1 d1+ end → done
        "#]],
    );
}

#[test]
fn an_attempt_that_a_crash_cut_off_is_repeated_only_where_that_is_harmless_or_allowed() {
    table(
        &[
            "a1",
            "a1 a2",
            "a1 a2 a3 a4",
            "a1 a2 a3 a4 a5",
            "a1 a2 a2-3 a3 a4 a5 a6",
            "a1 a1-3 a2",
            "a1 a1+ b1",
            "a1 a1+ b1 b1-3 b2",
            "a1 a1+ b1 b1?",
            "a1 a1+ b1 b1?!",
            "a1 a1+ b1 b1+ c1",
            "a1 a1+ b1 b1+ c1 c1+ d1",
        ],
        &expect![[r#"
            a1                           → start a2
            a1 a2                        → start a3
            a1 a2 a3 a4                  → start a5
            a1 a2 a3 a4 a5               → park a5: Flowcell stopped 5 times in a row while step `a` was running, so it may be the reason: somebody has to decide whether it is tried again
            a1 a2 a2-3 a3 a4 a5 a6       → start a7
            a1 a1-3 a2                   → start a3
            a1 a1+ b1                    → park b1: Flowcell stopped while step `b` was running: it may or may not have happened, and its action must not be repeated unasked, so somebody has to decide
            a1 a1+ b1 b1-3 b2            → park b2: Flowcell stopped while step `b` was running: it may or may not have happened, and its action must not be repeated unasked, so somebody has to decide
            a1 a1+ b1 b1?                → rest
            a1 a1+ b1 b1?!               → rest
            a1 a1+ b1 b1+ c1             → start c2
            a1 a1+ b1 b1+ c1 c1+ d1      → park d1: Flowcell stopped while step `d` was running: it may or may not have happened, and its `on_uncertain: park` asks for somebody to decide
        "#]],
    );
}

#[test]
fn a_parked_attempt_keeps_what_is_known_of_its_end() {
    let parked = |word: &str| {
        let run = Run::fold(run_id(), &history(&format!("a1 a1+ b1 {word}"))).expect("possible");
        let summary = run.summary();
        assert_eq!((summary.due_at, summary.error_code.as_deref()), (None, Some("parked")));
        run.steps[1].attempts[0].clone()
    };
    let known = parked("b1?!");
    assert!(known.ended_at.is_some() && known.input.is_some() && known.call.is_some());
    assert_eq!(known.error, Some(error()));
    let cut_off = parked("b1?");
    assert!(cut_off.ended_at.is_none() && cut_off.error.is_none() && cut_off.call.is_none());
    // What was written before the fields were there reads as before.
    let old = json!({ "type": "step-parked", "step": "b", "attempt": 1, "reason": "who knows" });
    assert_eq!(serde_json::from_value::<RunEvent>(old.clone()).expect("an event"), event("b1?"));
    assert_eq!(serde_json::to_value(event("b1?")).expect("JSON"), old);
}

#[test]
fn impossible_histories_are_refused() {
    let mut shown = String::new();
    for text in [
        "a2",
        "a1 a3",
        "a1+",
        "a1 a2+",
        "a1 b1+",
        "a1 a1+ a1+",
        "a1 a1+ a2",
        "a1 a1- a2",
        "a1 a1+ a1-",
        "a1 a1? a1+",
        "a1 a1-3 a1+",
        "a1 new",
        "end a1",
        "end end",
    ] {
        let error = Run::fold(run_id(), &history(text)).expect_err(text);
        let _ = writeln!(shown, "{text:<12} → entry {}: {}", error.seq, error.problem);
    }
    expect![[r#"
        a2           → entry 1: an attempt starts out of turn
        a1 a3        → entry 2: an attempt starts out of turn
        a1+          → entry 1: a result without its attempt
        a1 a2+       → entry 2: a result without its attempt
        a1 b1+       → entry 2: a result without its attempt
        a1 a1+ a1+   → entry 3: a result without its attempt
        a1 a1+ a2    → entry 3: an attempt starts out of turn
        a1 a1- a2    → entry 3: an attempt starts out of turn
        a1 a1+ a1-   → entry 3: a failure without its attempt
        a1 a1? a1+   → entry 3: a result without its attempt
        a1 a1-3 a1+  → entry 3: a result without its attempt
        a1 new       → entry 2: the run is created twice
        end a1       → entry 2: something happens after the end
        end end      → entry 2: something happens after the end
    "#]]
    .assert_eq(&shown);
}

#[test]
fn a_journal_with_a_gap_a_double_or_no_beginning_is_refused() {
    let whole = history("a1 a1+ b1");
    let folded =
        |entries: &[Recorded]| Run::fold(run_id(), entries).map(|_| ()).map_err(|error| (error.seq, error.problem));
    let mut gap = whole.clone();
    gap.remove(1);
    assert_eq!(folded(&gap), Err((2, "an entry is missing or doubled")));
    let mut double = whole.clone();
    double.insert(1, double[1].clone());
    assert_eq!(folded(&double), Err((1, "an entry is missing or doubled")));
    assert_eq!(folded(&whole[1..]), Err((1, "the first entry is missing")));
    assert_eq!(folded(&[]), Err((0, "it is empty")));
    let mut headless = history("a1");
    headless.remove(0);
    headless[0].seq = 0;
    assert_eq!(folded(&headless), Err((0, "the first entry does not create the run")));
}

/// What a worker does for a plan, with an outcome drawn by chance.
fn obey(next: &Next, luck: u8, now: &mut u64) -> Vec<String> {
    match next {
        Next::Start { step, attempt } => {
            let start = format!("{step}{attempt}");
            match luck % 8 {
                0..=3 => vec![start.clone(), format!("{start}+")],
                4 | 5 => vec![start.clone(), format!("{start}-{}", *now + u64::from(luck % 3))],
                6 if *attempt > 2 => vec![start.clone(), format!("{start}-")],
                // The process dies.
                _ => vec![start],
            }
        }
        Next::WaitUntil(at) => {
            *now = (at.as_millis() - T0).div_ceil(1_000);
            Vec::new()
        }
        Next::Note(RunEvent::StepParked { step, attempt, .. }) => vec![format!("{step}{attempt}?")],
        Next::Note(event) => panic!("a line of actions decides nothing: {event:?}"),
        Next::Finish { .. } => vec!["end".to_owned()],
        Next::Call { .. } | Next::Rest | Next::Done => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever follows the plan writes a possible history, comes to an end or a stated rest, and plans the same whether the journal
    /// is folded at once or entry by entry.
    #[test]
    fn plans_lead_to_an_end_and_do_not_depend_on_how_the_journal_was_folded(luck in prop::collection::vec(any::<u8>(), 400)) {
        let workflow = workflow();
        let mut words: Vec<String> = Vec::new();
        let mut now = 0;
        let mut incremental = Run::fold(run_id(), &history("")).expect("a beginning");
        for luck in luck {
            let at = Timestamp::from_millis(T0 + now * 1_000);
            let next = only(&workflow, &incremental, at);
            let entries = history(&words.join(" "));
            let whole = Run::fold(run_id(), &entries);
            prop_assert_eq!(whole.as_ref(), Ok(&incremental));
            prop_assert_eq!(only(&workflow, &whole.expect("possible"), at), next.clone());
            if matches!(next, Next::Rest | Next::Done) {
                prop_assert_eq!(incremental.due_at(), None);
                return Ok(());
            }
            words.extend(obey(&next, luck, &mut now));
            for entry in history(&words.join(" ")).iter().skip(entries.len()) {
                prop_assert!(incremental.apply(entry).is_ok());
            }
        }
        prop_assert!(false, "no end after 400 steps");
    }

    /// Any prefix of a possible history is a possible history: what a crash leaves can always be folded.
    #[test]
    fn every_prefix_folds(cut in 0_usize..12) {
        let whole = history("a1 a1-1 a2 a2+ b1 b1+ c1 c2 c2+ d1 d1+ end");
        let kept = &whole[..=cut];
        let run = Run::fold(run_id(), kept).expect("a possible history");
        prop_assert_eq!(run.next_seq as usize, kept.len());
        prop_assert_eq!(run.summary().events, run.next_seq);
    }
}
