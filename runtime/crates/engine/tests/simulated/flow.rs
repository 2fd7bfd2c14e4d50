//! Decisions, loops, parallel branches, waits, failures that are handled: what a run comes to.

use std::time::Duration;

use flowcell_core::invoke::ActionCall;
use flowcell_core::run::event::{Detail, Outcome, RunEvent};
use flowcell_core::run::fold::{Phase, Run, RunStatus};
use flowcell_testkit::Answer;
use serde_json::{Value, json};

use crate::world::{World, echo, offsets, output};

/// Fails where the input says so, else echoes it; takes as long as the input says.
fn obedient(call: &ActionCall) -> Answer {
    let answer = match call.input.get("fail").and_then(Value::as_str) {
        Some("retry") => Answer::try_again(None),
        Some(_) => Answer::give_up(),
        None => echo(call),
    };
    answer.delayed(Duration::from_millis(call.input.get("takes").and_then(Value::as_u64).unwrap_or(0)))
}

fn run(steps: &str) -> (World, Run) {
    let world = World::new(steps, obedient);
    let run = world.run_one();
    (world, run)
}

fn called(world: &World) -> Vec<String> {
    world.invoker.calls().into_iter().map(|call| call.step).collect()
}

fn error_code(run: &Run) -> Option<&str> {
    match &run.outcome {
        Some(Outcome::Failed { error, .. }) => Some(&error.code),
        _ => None,
    }
}

#[test]
fn the_first_branch_that_holds_is_taken_and_the_journal_says_why() {
    let steps = r#"
- id: size
  if:
    - { name: small, when: "{{ trigger.number > 5 }}", steps: [ { id: a, uses: test/tools/send@1 } ] }
    - name: mine
      when: { all: [ { value: "{{ trigger.number }}", is: equal, to: 1 }, { value: "{{ trigger.body.id }}", is: starts-with, to: "ä" } ] }
      steps: [ { id: b, uses: test/tools/send@1, with: { n: "{{ trigger.number }}" } } ]
  else: [ { id: c, uses: test/tools/send@1 } ]
- { id: after, uses: test/tools/send@1, with: { n: "{{ steps.b.output.echo.n }}", taken: "{{ steps.size.output.branch }}" } }
"#;
    let (world, run) = run(steps);
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    assert_eq!(called(&world), ["b", "after"]);
    assert_eq!(output(&run, "after"), Some(&json!({ "echo": { "n": 1, "taken": "mine" } })));
    let Detail::Decided { branch, name, because } = &run.steps[0].control.as_ref().unwrap().detail else {
        panic!("{:?}", run.steps[0])
    };
    assert_eq!((branch, name.as_deref(), because.len()), (&Some(1), Some("mine"), 2));
    assert_eq!((because[0].holds, because[1].holds), (Some(false), Some(true)));
    assert!(serde_json::to_string(&because[1]).unwrap().contains("ä1"), "the values are shown");
}

#[test]
fn a_loop_keeps_to_its_limit_and_collects_in_order() {
    let steps = r#"
- id: each
  for_each: "{{ [5, 1, 4, 2, 3] }}"
  parallel: 2
  collect: "{{ steps.send.output.echo.n * 10 + loop.index }}"
  steps:
    - { id: send, uses: test/tools/send@1, with: { n: "{{ item }}", takes: "{{ item * 1000 }}", of: "{{ loop.count }}" } }
- { id: after, uses: test/tools/send@1, with: { all: "{{ steps.each.output.results }}" } }
"#;
    let (world, run) = run(steps);
    assert_eq!(run.outcome, Some(Outcome::Succeeded), "{run:?}");
    assert_eq!(
        output(&run, "each"),
        Some(&json!({ "count": 5, "succeeded": 5, "failed": 0, "results": [50, 11, 42, 23, 34], "errors": [] }))
    );
    // Two at a time: 5 s beside 1 s and 4 s; 2 s begins at 5 s, and so does 3 s.
    assert_eq!(offsets(&world.invoker), [0, 0, 1_000, 5_000, 5_000, 8_000]);
    assert_eq!(called(&world)[..5], ["send[0]", "send[1]", "send[2]", "send[3]", "send[4]"].map(String::from));
    assert_eq!(world.invoker.effects().len(), 6, "each iteration has a key of its own");
    assert_eq!(output(&run, "after"), Some(&json!({ "echo": { "all": [50, 11, 42, 23, 34] } })));
}

#[test]
fn loops_in_loops_and_batches_read_their_own_items() {
    let steps = r#"
- id: outer
  for_each: "{{ [[1, 2, 3], [4]] }}"
  as: row
  collect: "{{ steps.inner.output.results }}"
  steps:
    - id: inner
      for_each: "{{ row }}"
      batch: 2
      collect: "{{ [row | length, loop.index, item | sum] }}"
      steps: [ { id: sum, set: { of: "{{ item }}", row: "{{ row }}" } } ]
"#;
    let (_, run) = run(&steps.replace("item | sum", "item | length"));
    assert_eq!(output(&run, "outer").unwrap()["results"], json!([[[3, 0, 2], [3, 1, 1]], [[1, 0, 1]]]), "{run:?}");
    assert_eq!(output(&run, "sum[0.1]"), Some(&json!({ "of": [3], "row": [1, 2, 3] })));
}

#[test]
fn a_failed_item_ends_the_loop_or_is_listed() {
    let steps = |mode: &str| {
        format!(
            r#"
- id: each
  for_each: "{{{{ [1, 2, 3] }}}}"
  parallel: 3
  on_item_error: {mode}
  collect: "{{{{ item }}}}"
  steps:
    - id: send
      uses: test/tools/send@1
      with: {{ n: "{{{{ item }}}}", fail: "{{{{ 'no' if item == 2 else none }}}}", takes: "{{{{ item * 1000 }}}}" }}
"#
        )
    };
    let (world, failed) = run(&steps("fail"));
    let Some(Outcome::Failed { step, error }) = &failed.outcome else { panic!("{:?}", failed.outcome) };
    assert_eq!((step.to_string().as_str(), error.code.as_str()), ("send[1]", "http-status"));
    let third = failed.steps.values().nth(3).unwrap();
    assert!(matches!(&third.phase, Phase::Cancelled { .. }), "the third was cut short: {third:?}");
    assert_eq!(world.invoker.calls().len(), 3);

    let (_, went_on) = run(&steps("continue"));
    let result = output(&went_on, "each").unwrap();
    assert_eq!((&result["succeeded"], &result["failed"]), (&json!(2), &json!(1)));
    assert_eq!(result["results"], json!([1, null, 3]));
    assert_eq!((&result["errors"][0]["index"], &result["errors"][0]["step"]), (&json!(1), &json!("send[1]")));
}

#[test]
fn the_first_success_wins_a_race_and_the_others_are_cut_short() {
    let steps = r#"
- id: both
  parallel:
    slow: [ { id: a, uses: test/tools/send@1, with: { takes: 9000 } }, { id: never, uses: test/tools/send@1 } ]
    quick: [ { id: b, uses: test/tools/send@1, with: { takes: 2000 } } ]
  join: race
- { id: after, uses: test/tools/send@1, with: { winner: "{{ steps.both.output.winner }}" } }
"#;
    let (world, run) = run(steps);
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    assert_eq!(called(&world), ["b", "a", "after"]);
    assert_eq!(offsets(&world.invoker), [0, 0, 2_000], "nobody waits for the loser");
    assert_eq!(
        output(&run, "both"),
        Some(&json!({ "slow": { "status": "cancelled" }, "quick": { "status": "succeeded" }, "winner": "quick" }))
    );
    let loser = &run.steps[2];
    assert!(matches!(&loser.phase, Phase::Cancelled { reason } if reason.contains("quick")), "{loser:?}");
}

#[test]
fn branches_join_when_all_have_ended_and_fail_together_or_settle() {
    let steps = |join: &str| {
        format!(
            r#"
- id: both
  parallel:
    bad: [ {{ id: a, uses: test/tools/send@1, with: {{ takes: 1000, fail: yes }} }} ]
    good: [ {{ id: b, uses: test/tools/send@1, with: {{ takes: 3000 }} }}, {{ id: c, uses: test/tools/send@1 }} ]
  join: {join}
"#
        )
    };
    let (world, failed) = run(&steps("all"));
    assert_eq!((error_code(&failed), called(&world).len()), (Some("http-status"), 2));
    let (world, settled) = run(&steps("settled"));
    assert_eq!((settled.status(), called(&world).len()), (RunStatus::Succeeded, 3));
    let result = output(&settled, "both").unwrap();
    assert_eq!((&result["bad"]["status"], &result["good"]["status"]), (&json!("failed"), &json!("succeeded")));
    assert_eq!(result["bad"]["error"]["step"], json!("a"));
}

#[test]
fn a_wait_of_three_days_takes_no_time_here_and_survives_restarts() {
    let steps = r#"
- { id: before, uses: test/tools/send@1 }
- { id: pause, wait: { for: 3d } }
- { id: after, uses: test/tools/send@1, with: { reason: "{{ steps.pause.output.reason }}" } }
"#;
    let world = World::new(steps, obedient);
    let run = world.block_on({
        let world = world.clone();
        async move {
            world.publish().await;
            let id = world.accept(&world.store, 1).await;
            world.work().await;
            let waiting = world.run(id).await;
            assert_eq!(waiting.status(), RunStatus::Waiting);
            world.store.crash();
            world.work().await;
            world.run(id).await
        }
    });
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    assert_eq!(offsets(&world.invoker), [0, 3 * 86_400_000]);
    assert_eq!(output(&run, "after"), Some(&json!({ "echo": { "reason": "elapsed" } })));
}

#[test]
fn a_wait_until_reads_instants_and_local_times() {
    for (until, zone, hours) in [
        ("2026-01-01T06:00:00Z", "UTC", 6),
        ("2026-01-01T06:00:00+02:00", "UTC", 4),
        ("2026-01-01T06:00", "Europe/Berlin", 5),
        ("2025-12-31T06:00", "UTC", 0),
    ] {
        let steps = format!("- {{ id: pause, wait: {{ until: '{until}' }} }}\n- {{ id: a, uses: test/tools/send@1 }}");
        let world = World::new(&steps, obedient).with(&format!("settings: {{ timezone: {zone} }}\n"));
        let start = flowcell_core::ports::Clock::now(&*world.clock);
        let run = world.run_one();
        assert_eq!(run.outcome, Some(Outcome::Succeeded), "{until}");
        assert_eq!(world.invoker.calls()[0].at.since(start), Duration::from_hours(hours), "{until} in {zone}");
    }
    let (_, run) = run("- { id: pause, wait: { until: '{{ trigger.body.id }}' } }");
    assert_eq!(error_code(&run), Some("invalid-wait"));
}

#[test]
fn an_authors_on_error_takes_failures() {
    let steps = r#"
- { id: a, uses: test/tools/send@1, with: { fail: yes }, on_error: continue }
- { id: b, uses: test/tools/send@1, with: { fail: yes }, on_error: { substitute: { n: "{{ steps.b.error.code }}" } } }
- id: c
  uses: test/tools/send@1
  with: { fail: yes }
  on_error: { steps: [ { id: tell, uses: test/tools/send@1, with: { why: "{{ steps.c.error.message }}" } } ] }
- { id: d, uses: test/tools/send@1, with: { a: "{{ steps.a.status }}", b: "{{ steps.b.output.n }}", why: "{{ steps.tell.output.echo.why }}" } }
"#;
    let (world, run) = run(steps);
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    assert_eq!(called(&world), ["a", "b", "c", "tell", "d"]);
    assert_eq!(
        output(&run, "d").unwrap()["echo"],
        json!({ "a": "handled", "b": "http-status", "why": "the receiver answered 404" })
    );
}

#[test]
fn retries_come_before_on_error_and_a_failing_handler_fails_the_run() {
    let steps = r#"
- id: a
  uses: test/tools/send@1
  with: { fail: retry }
  retry: { attempts: 3, initial: 1s, max: 1s }
  on_error: { steps: [ { id: tell, uses: test/tools/send@1, with: { fail: yes } } ] }
"#;
    let (world, run) = run(steps);
    assert_eq!(called(&world), ["a", "a", "a", "tell"]);
    let Some(Outcome::Failed { step, .. }) = &run.outcome else { panic!("{:?}", run.outcome) };
    assert_eq!(step.to_string(), "tell");
}

#[test]
fn stop_ends_the_run_from_anywhere() {
    let steps = |status: &str| {
        format!(
            r#"
- id: both
  parallel:
    one: [ {{ id: a, uses: test/tools/send@1, with: {{ takes: 9000 }} }} ]
    two:
      - {{ id: b, uses: test/tools/send@1, with: {{ takes: 1000 }} }}
      - {{ id: done, stop: {{ status: {status}, message: "enough of {{{{ trigger.number }}}}" }} }}
- {{ id: after, uses: test/tools/send@1 }}
"#
        )
    };
    for (status, expected) in
        [("succeeded", RunStatus::Succeeded), ("failed", RunStatus::Failed), ("cancelled", RunStatus::Cancelled)]
    {
        let (world, run) = run(&steps(status));
        assert_eq!((run.status(), called(&world).len()), (expected, 2), "{status}");
        match &run.outcome {
            Some(Outcome::Failed { step, error }) => {
                assert_eq!((step.to_string().as_str(), error.message.as_str()), ("done", "enough of 1"));
            }
            Some(Outcome::Cancelled { reason }) => assert_eq!(reason, "enough of 1"),
            _ => {}
        }
        assert!(run.open().next().is_none(), "nothing is left in progress");
    }
}

#[test]
fn the_runs_own_limit_cuts_everything_short() {
    let steps = r#"
- id: both
  parallel:
    one: [ { id: a, uses: test/tools/send@1, with: { takes: 3600000 }, timeout: 10m } ]
    two: [ { id: pause, wait: { for: 3d } } ]
"#;
    let world = World::new(steps, obedient).with("settings: { timeout: 1m }\n");
    let start = flowcell_core::ports::Clock::now(&*world.clock);
    let run = world.run_one();
    assert_eq!(error_code(&run), Some("run-timeout"));
    assert_eq!(run.finished_at.unwrap().since(start), Duration::from_mins(1));

    let world = World::new("- { id: pause, wait: { for: 3d } }", obedient).with("settings: { timeout: 1h }\n");
    assert_eq!(error_code(&world.run_one()), Some("run-timeout"), "a run that rests is woken for it");
}

#[test]
fn a_run_answers_its_sender_and_yields_its_output() {
    let steps = r#"
- { id: vars, set: { first: "{{ trigger.body.id | upper }}" } }
- { id: answer, respond: { status: "{{ 200 + 1 }}", headers: { X-Id: "{{ trigger.number }}" }, json: { id: "{{ steps.vars.output.first }}" } } }
"#;
    let world = World::new(steps, obedient).with("output: { made: '{{ steps.vars.output.first }}' }\n");
    let (run, events) = world.block_on({
        let world = world.clone();
        async move {
            world.publish().await;
            let id = world.accept(&world.store, 1).await;
            world.work().await;
            (world.run(id).await, flowcell_core::ports::Journal::load(&world.store, id).await.unwrap())
        }
    });
    assert_eq!((run.status(), &run.output), (RunStatus::Succeeded, &json!({ "made": "Ä1" })));
    let answered = events.iter().find_map(|entry| match &entry.event {
        RunEvent::Responded { status, headers, body, .. } => Some((*status, headers.clone(), body.clone())),
        _ => None,
    });
    let (status, headers, body) = answered.unwrap();
    assert_eq!((status, headers["x-id"].as_str()), (201, "1"));
    assert_eq!(serde_json::to_value(body).unwrap(), json!({ "json": { "id": "Ä1" } }));
}

#[test]
fn no_more_attempts_of_one_run_fly_than_may() {
    let steps = r#"
- id: each
  for_each: "{{ range(40) }}"
  parallel: 40
  steps: [ { id: send, uses: test/tools/send@1, with: { takes: 1000 } } ]
"#;
    let (world, run) = run(steps);
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    let at = |second: u64| offsets(&world.invoker).into_iter().filter(|offset| *offset == second * 1_000).count();
    assert_eq!([at(0), at(1), at(2)], [16, 16, 8]);
}

#[test]
fn a_missing_value_becomes_what_the_step_says_and_the_log_tells() {
    let steps = r#"
- id: send
  uses: test/tools/send@1
  missing: { "/name": { default: nobody }, "*": fail }
  with: { name: "{{ trigger.nobody_sent_this }}", zone: "{{ custom_values.shop }}" }
- { id: values, set: { empty: "{{ trigger.neither_this }}" }, missing: empty }
- { id: strict, uses: test/tools/send@1, with: { name: "{{ trigger.nor_this }}" } }
"#;
    let mut world = World::new(steps, obedient);
    world.config.custom_values = std::sync::Arc::new(json!({ "shop": "Flowcell" }));
    let run = world.run_one();
    assert_eq!(output(&run, "send"), Some(&json!({ "echo": { "name": "nobody", "zone": "Flowcell" } })));
    let attempt = &run.steps[0].attempts[0];
    let log: Vec<_> = attempt.call.as_ref().unwrap().log.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(
        log,
        ["`trigger.nobody_sent_this` is missing; `with/name` takes \"nobody\" instead, as the step's `missing` says"]
    );
    assert_eq!(output(&run, "values"), Some(&json!({ "empty": "" })));
    assert_eq!(error_code(&run), Some("expression"));
}

#[test]
fn the_time_in_expressions_is_the_attempts_own_in_the_workflows_zone() {
    let steps = r#"
- { id: pause, wait: { for: 1d } }
- { id: send, uses: test/tools/send@1, with: { day: "{{ right_now.day }}", hour: "{{ right_now.hour }}" } }
"#;
    let world = World::new(steps, obedient).with("settings: { timezone: Asia/Kolkata }");
    let run = world.run_one();
    let began =
        jiff::Timestamp::from_millisecond(i64::try_from(run.steps[1].attempts[0].started_at.as_millis()).unwrap());
    let there = began.unwrap().in_tz("Asia/Kolkata").unwrap();
    assert_eq!(output(&run, "send"), Some(&json!({ "echo": { "day": there.day(), "hour": there.hour() } })));
    assert!(run.steps[1].attempts[0].started_at.since(run.created_at) >= Duration::from_hours(24));
}
