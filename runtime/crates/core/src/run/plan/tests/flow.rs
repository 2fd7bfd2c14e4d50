//! Control steps: what is planned and noted for each journal.

use super::*;
use crate::run::event::Detail;

/// An event in few words.
pub(super) fn noted(event: &RunEvent) -> String {
    match event {
        RunEvent::Entered { step, detail } => match detail {
            Detail::Decided { branch, name, because } => {
                let asked: Vec<_> = because.iter().map(|each| each.holds).collect();
                format!("{step} takes {branch:?} {name:?} because {asked:?}")
            }
            Detail::Each { items, count } => format!("{step} goes over {items} in {count}"),
            Detail::Parallel => format!("{step} forks"),
            Detail::Waiting { until, deadline, event, resume } => {
                let at = |at: &Option<Timestamp>| at.map(|at| (at.as_millis() - T0) / 1_000);
                format!("{step} waits until {:?} or {:?} for {event:?} resume {resume}", at(until), at(deadline))
            }
            Detail::Called { workflow, version, input, .. } => {
                format!("{step} calls {workflow} {version} with {input}")
            }
        },
        RunEvent::Left { step, output } => format!("{step} left with {output}"),
        RunEvent::Iterated { step, index, collected, error } => {
            let failed = error.as_ref().map_or_else(String::new, |failure| format!(", {} failed", failure.step));
            format!("{step} iterated {index}: {collected}{failed}")
        }
        RunEvent::StepFailed { step, error, origin, .. } => {
            let origin = origin.as_ref().map_or_else(String::new, |origin| format!(" in {origin}"));
            format!("{step} failed: {}{origin}", error.code)
        }
        RunEvent::Handled { step, output } => format!("{step} handled with {output}"),
        RunEvent::Cancelled { step, reason } => format!("{step} cancelled: {reason}"),
        RunEvent::TimedOut { step } => format!("{step} timed out"),
        RunEvent::Responded { step, status, .. } => format!("{step} responded {status}"),
        other => format!("{other:?}"),
    }
}

/// A run, and what a worker does with it.
struct Told {
    workflow: CompiledWorkflow,
    run: Run,
    entries: Vec<Recorded>,
    lines: String,
}

impl Told {
    fn new(steps: Value) -> Self {
        let workflow = compiled(json!({
            "id": "w", "name": "W", "trigger": { "uses": "t/t/in@1" }, "steps": steps,
        }));
        let entries = history("");
        Self { workflow, run: Run::fold(run_id(), &entries).expect("a beginning"), entries, lines: String::new() }
    }

    fn apply(&mut self, event: RunEvent, seconds: u64) {
        let entry = Recorded { seq: self.run.next_seq, at: Timestamp::from_millis(T0 + seconds * 1_000), event };
        self.run.apply(&entry).unwrap_or_else(|error| panic!("{error}: {entry:?}"));
        self.entries.push(entry);
    }

    /// Notes what follows at this second until nothing more does; shows that and what is to be done.
    fn settle(&mut self, seconds: u64, flying: &[&str]) -> &mut Self {
        loop {
            let plan = plan_at(&self.workflow, &self.run, Timestamp::from_millis(T0 + seconds * 1_000), flying);
            let shown: Vec<_> = plan.iter().map(shown).collect();
            let _ = writeln!(self.lines, "{:<6} {}", format!("{seconds} s"), shown.join(" · "));
            let notes: Vec<_> = plan
                .into_iter()
                .filter_map(|next| if let Next::Note(event) = next { Some(event) } else { None })
                .collect();
            if notes.is_empty() || self.run.outcome.is_some() {
                return self;
            }
            let is_last = notes.iter().any(|note| matches!(note, RunEvent::Finished { .. }));
            for note in notes {
                self.apply(note, seconds);
            }
            if is_last {
                return self;
            }
        }
    }

    /// `a1 a1+` and so on, as in [`history`], but with places.
    fn happen(&mut self, seconds: u64, words: &str) -> &mut Self {
        for word in words.split_whitespace() {
            let (place, end) = word.split_at(word.find(['+', '-']).unwrap_or(word.len()));
            let step: StepRef = place.parse().expect("a place");
            let attempt = self.run.steps.get(&step).map_or(1, |state| match state.phase {
                Phase::Started => state.attempts.len() as u32,
                _ => state.attempts.len() as u32 + 1,
            });
            let call = CallRecord::default().into();
            let input = json!({}).into();
            if end.is_empty() || !self.run.steps.contains_key(&step) {
                self.apply(RunEvent::StepStarted { step: step.clone(), attempt }, seconds);
            }
            match end {
                "+" => self.apply(
                    RunEvent::StepSucceeded { step, attempt, output: json!({ "of": place }).into(), input, call },
                    seconds,
                ),
                "-" => {
                    let input = Some(input);
                    let failed = RunEvent::StepFailed {
                        step,
                        attempt,
                        error: error(),
                        retry_at: None,
                        input,
                        origin: None,
                        call,
                    };
                    self.apply(failed, seconds);
                }
                _ => {}
            }
        }
        self
    }

    fn outside(&mut self, seconds: u64, event: RunEvent) -> &mut Self {
        assert!(event.is_outside());
        self.apply(event, seconds);
        self
    }

    /// Compares what was told; every prefix of the journal folds as it did, and its summary with it.
    fn expect(&self, expected: &Expect) {
        let mut incremental = Run::fold(run_id(), &self.entries[..1]).expect("a beginning");
        for (index, entry) in self.entries.iter().enumerate().skip(1) {
            incremental.apply(entry).expect("possible");
            let whole = Run::fold(run_id(), &self.entries[..=index]).expect("possible");
            assert_eq!(whole, incremental);
            let at = entry.at;
            assert_eq!(plan_at(&self.workflow, &whole, at, &[]), plan_at(&self.workflow, &incremental, at, &[]));
            let text = serde_json::to_string(entry).expect("JSON");
            assert_eq!(
                serde_json::from_str::<Recorded>(&text).expect(&text),
                *entry,
                "what is written reads as it was"
            );
        }
        expected.assert_eq(&self.lines);
    }
}

fn act(id: &str) -> Value {
    json!({ "id": id, "uses": "t/t/safe@1" })
}

#[test]
fn a_decision_is_noted_and_its_branch_followed() {
    let steps = json!([
        { "id": "size", "if": [
            { "name": "big", "when": "{{ trigger.n > 5 }}", "steps": [act("a")] },
            { "when": "{{ trigger.n > 1 }}", "steps": [act("b")] },
        ], "else": [act("c")] },
        act("d"),
    ]);
    let mut told = Told::new(steps);
    told.settle(0, &[]).happen(1, "b+").settle(1, &[]).happen(2, "d+").settle(2, &[]);
    told.expect(&expect![[r#"
        0 s    note size takes Some(1) None because [Some(false), Some(true)]
        0 s    start b1
        1 s    note size left with {"branch":1}
        1 s    start d1
        2 s    finish: succeeded
    "#]]);
}

#[test]
fn a_condition_that_cannot_be_evaluated_fails_the_step_and_on_error_takes_it() {
    let steps = json!([
        { "id": "size", "if": [{ "when": "{{ trigger.nothing.there > 5 }}", "steps": [act("a")] }], "on_error": "continue" },
        { "id": "list", "for_each": "{{ trigger.n }}", "steps": [act("b")] },
    ]);
    let mut told = Told::new(steps);
    told.settle(0, &[]);
    told.expect(&expect![[r#"
        0 s    note size failed: expression
        0 s    note size handled with null
        0 s    note list failed: not-a-list
        0 s    finish: list failed with not-a-list
    "#]]);
}

#[test]
fn iterations_go_on_as_many_as_may_and_end_on_their_own() {
    let steps = json!([{
        "id": "each", "for_each": "{{ trigger.list }}", "parallel": 2, "collect": "{{ item + loop.index }}",
        "steps": [act("a"), { "id": "s", "set": { "n": "{{ item }}", "of": "{{ steps.a.output.of }}" } }],
    }]);
    let mut told = Told::new(steps);
    told.settle(0, &[]);
    told.happen(1, "a[0] a[1]").settle(1, &["a[0]", "a[1]"]);
    told.happen(2, "a[1]+").settle(2, &["a[0]"]);
    told.happen(3, "a[2] a[2]+").settle(3, &["a[0]"]);
    told.happen(4, "a[0]+").settle(4, &[]);
    told.expect(&expect![[r#"
        0 s    note each goes over [3,4,5] in 3
        0 s    start a[0]1 · start a[1]1
        1 s    rest
        2 s    note s[1] left with {"n":4,"of":"a[1]"}
        2 s    note each iterated 1: 5
        2 s    start a[2]1
        3 s    note s[2] left with {"n":5,"of":"a[2]"}
        3 s    note each iterated 2: 7
        3 s    rest
        4 s    note s[0] left with {"n":3,"of":"a[0]"}
        4 s    note each iterated 0: 3
        4 s    note each left with {"count":3,"errors":[],"failed":0,"results":[3,5,7],"succeeded":3}
        4 s    finish: succeeded
    "#]]);
}

#[test]
fn a_failed_iteration_cancels_the_others_or_is_counted() {
    let steps = |mode: &str| json!([{ "id": "each", "for_each": "{{ trigger.list }}", "parallel": 3, "on_item_error": mode, "steps": [act("a")] }]);
    let mut told = Told::new(steps("fail"));
    told.settle(0, &[]).happen(1, "a[0] a[1] a[2] a[1]-").settle(2, &["a[0]", "a[2]"]);
    told.expect(&expect![[r#"
        0 s    note each goes over [3,4,5] in 3
        0 s    start a[0]1 · start a[1]1 · start a[2]1
        2 s    note each iterated 1: null, a[1] failed
        2 s    note a[0] cancelled: step `a[1]` has failed · note a[2] cancelled: step `a[1]` has failed · note each failed: boom in a[1]
        2 s    finish: a[1] failed with boom
    "#]]);
    let mut going_on = Told::new(steps("continue"));
    going_on.settle(0, &[]).happen(1, "a[0] a[1] a[2] a[1]-").settle(2, &["a[0]", "a[2]"]);
    going_on.happen(3, "a[0]+ a[2]+").settle(3, &[]);
    going_on.expect(&expect![[r#"
        0 s    note each goes over [3,4,5] in 3
        0 s    start a[0]1 · start a[1]1 · start a[2]1
        2 s    note each iterated 1: null, a[1] failed
        2 s    rest
        3 s    note each iterated 0: null · note each iterated 2: null
        3 s    note each left with {"count":3,"errors":[{"code":"boom","index":1,"message":"it broke","step":"a[1]"}],"failed":1,"results":[],"succeeded":2}
        3 s    finish: succeeded
    "#]]);
}

#[test]
fn a_race_is_won_once_and_a_join_waits_for_all() {
    let steps = |join: &str| json!([{ "id": "both", "parallel": { "x": [act("a"), act("b")], "y": [act("c")] }, "join": join }, act("d")]);
    for (join, expected) in [
        (
            "race",
            expect![[r#"
                0 s    note both forks
                0 s    start a1 · start c1
                1 s    note a cancelled: branch `y` was first · note both left with {"winner":"y","x":{"status":"cancelled"},"y":{"status":"succeeded"}}
                1 s    start d1
            "#]],
        ),
        (
            "all",
            expect![[r#"
                0 s    note both forks
                0 s    start a1 · start c1
                1 s    rest
                2 s    note both failed: boom in a
                2 s    finish: a failed with boom
            "#]],
        ),
        (
            "settled",
            expect![[r#"
                0 s    note both forks
                0 s    start a1 · start c1
                1 s    rest
                2 s    note both left with {"x":{"error":{"code":"boom","message":"it broke","step":"a"},"status":"failed"},"y":{"status":"succeeded"}}
                2 s    start d1
            "#]],
        ),
    ] {
        let mut told = Told::new(steps(join));
        told.settle(0, &[]).happen(1, "a c c+").settle(1, &["a"]);
        if join != "race" {
            told.happen(2, "a-").settle(2, &[]);
        }
        told.expect(&expected);
    }
}

#[test]
fn what_would_begin_in_the_losing_branch_does_not() {
    let steps = json!([{
        "id": "race", "join": "race",
        "parallel": { "x": [{ "id": "s", "set": {} }], "y": [{ "id": "t", "set": {} }, { "id": "w", "wait": { "for": "1d" } }] },
    }]);
    let mut told = Told::new(steps);
    told.settle(0, &[]);
    assert!(told.run.open().next().is_none());
    told.expect(&expect![[r#"
        0 s    note race forks
        0 s    note s left with {} · note t left with {}
        0 s    note race left with {"winner":"x","x":{"status":"succeeded"},"y":{"status":"cancelled"}}
        0 s    finish: succeeded
    "#]]);
}

#[test]
fn waits_end_by_time_by_event_by_link_or_in_vain() {
    let steps = json!([
        { "id": "w", "wait": { "for": "{{ trigger.n }}m" } },
        { "id": "e", "wait": { "event": "paid", "timeout": "1h" }, "on_timeout": [act("a")] },
        { "id": "r", "wait": { "resume": true, "timeout": "1h" } },
        { "id": "v", "wait": { "event": "paid", "timeout": "10s" }, "on_timeout": [act("b")] },
        { "id": "f", "wait": { "event": "paid", "timeout": "10s" } },
    ]);
    let place = |text: &str| text.parse::<StepRef>().expect("a place");
    let mut told = Told::new(steps);
    told.settle(0, &[]).settle(119, &[]).settle(120, &[]);
    told.outside(200, RunEvent::EventArrived { step: place("e"), payload: json!({ "id": 7 }) }).settle(200, &[]);
    told.outside(300, RunEvent::Resumed { step: place("r"), payload: json!("yes") }).settle(300, &[]);
    told.settle(310, &[]).happen(311, "b+").settle(311, &[]).settle(321, &[]);
    told.expect(&expect![[r#"
        0 s    note w waits until Some(120) or None for None resume false
        0 s    wait until +120 s
        119 s  wait until +120 s
        120 s  note w left with {"reason":"elapsed"}
        120 s  note e waits until None or Some(3720) for Some("paid") resume false
        120 s  wait until +3720 s
        200 s  note e left with {"event":{"id":7},"reason":"event"}
        200 s  note r waits until None or Some(3800) for None resume true
        200 s  wait until +3800 s
        300 s  note r left with {"payload":"yes","reason":"resumed"}
        300 s  note v waits until None or Some(310) for Some("paid") resume false
        300 s  wait until +310 s
        310 s  note v timed out
        310 s  start b1
        311 s  note v left with {"reason":"timeout"}
        311 s  note f waits until None or Some(321) for Some("paid") resume false
        311 s  wait until +321 s
        321 s  note f failed: wait-timeout
        321 s  finish: f failed with wait-timeout
    "#]]);
}

#[test]
fn what_is_asked_from_outside_ends_everything() {
    let steps = json!([
        { "id": "both", "parallel": { "x": [act("a")], "y": [{ "id": "w", "wait": { "for": "1d" } }] } },
    ]);
    let mut told = Told::new(steps);
    told.settle(0, &[]).happen(1, "a").settle(1, &["a"]);
    told.outside(2, RunEvent::CancelRequested { reason: "enough".to_owned() }).settle(2, &["a"]);
    told.expect(&expect![[r#"
        0 s    note both forks
        0 s    note w waits until Some(86400) or None for None resume false
        0 s    start a1 · wait until +86400 s
        1 s    wait until +86400 s
        2 s    note a cancelled: enough · note both cancelled: enough · note w cancelled: enough · finish: cancelled, enough
        2 s    finish: cancelled, enough
    "#]]);
}

#[test]
fn a_called_run_is_named_before_it_is_started() {
    let steps =
        json!([{ "id": "sub", "call": { "workflow": "other", "version": 3, "with": { "n": "{{ trigger.n }}" } } }]);
    let mut told = Told::new(steps);
    told.settle(0, &[]);
    let step: StepRef = "sub".parse().expect("a place");
    assert_eq!(told.run.due_at(), Some(told.run.created_at), "a crash now must not forget to start it");
    let ended = RunEvent::ChildEnded { step, outcome: Outcome::Succeeded, output: json!({ "n": 4 }) };
    told.outside(5, ended).settle(5, &[]);
    told.expect(&expect![[r#"
        0 s    note sub calls other 3 with {"n":2}
        0 s    call sub
        5 s    note sub left with {"n":4}
        5 s    finish: succeeded
    "#]]);
}
