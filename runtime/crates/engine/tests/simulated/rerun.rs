//! Repeating a run that has ended.

use std::sync::Mutex;
use std::time::Duration;

use flowcell_core::id::RunId;
use flowcell_core::run::fold::{Run, RunStatus};
use flowcell_core::run::rerun::{Effect, Fate, RerunFrom, RerunKeys, RerunPlan, RerunRequest, RerunVersion};
use flowcell_engine::{ControlError, Shutdown};
use flowcell_testkit::{Answer, sample};
use serde_json::json;

use crate::world::{World, echo, output};

/// Runs once, with some steps failing, then repeats it with nothing failing; the calls of the second run, what was planned, and the run.
fn again(steps: &str, failing: &'static [&'static str], request: RerunRequest) -> (Vec<String>, RerunPlan, Run) {
    let first: Mutex<Option<RunId>> = Mutex::new(None);
    let world = World::new(steps, move |call| {
        let first = *first.lock().unwrap().get_or_insert(call.run);
        if first == call.run && failing.contains(&call.step.to_string().as_str()) {
            Answer::give_up()
        } else {
            echo(call)
        }
    });
    world.clone().block_on(async move {
        world.publish().await;
        let id = world.accept(&world.store, 1).await;
        world.work().await;
        let before = world.invoker.calls().len();
        let (engine, control) = world.engine_here();
        assert!(matches!(
            control.rerun(RunId::from_parts(id.created_at(), 77), &request).await,
            Err(ControlError::NoRun(_))
        ));
        let (new, plan) = control.rerun(id, &request).await.unwrap();
        assert!(matches!(control.rerun(new, &request).await, Err(ControlError::Rerun(_))), "it has not ended");
        let shutdown = Shutdown::new();
        let end = async {
            world.sleep(Duration::from_hours(48)).await;
            shutdown.request();
        };
        let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), end);
        ended.unwrap();
        let calls = world.invoker.calls();
        let keys =
            |step: &str| calls.iter().filter(|call| call.step == step).map(|call| call.key.clone()).collect::<Vec<_>>();
        for call in &calls[before..] {
            assert_eq!(call.run, new);
            let keys = keys(&call.step);
            let is_same = keys.windows(2).all(|pair| pair[0] == pair[1]);
            assert_eq!(is_same, request.keys == RerunKeys::Keep || keys.len() < 2, "{}", call.step);
        }
        let run = world.run(new).await;
        assert_eq!(run.origin.rerun_of, Some(id));
        (calls[before..].iter().map(|call| call.step.clone()).collect(), plan, run)
    })
}

const LINE: &str = r#"
- { id: a, uses: test/tools/charge@1, with: { n: "{{ trigger.number }}" } }
- id: both
  parallel:
    x: [ { id: b, uses: test/tools/send@1 }, { id: c, uses: test/tools/send@1, with: { n: "{{ steps.a.output.echo.n }}" } } ]
    y: [ { id: d, uses: test/tools/charge@1 } ]
- { id: e, uses: test/tools/send@1, with: { n: "{{ steps.d.output.echo }}" } }
"#;

fn fates(plan: &RerunPlan) -> Vec<(String, Fate, Effect)> {
    plan.steps.iter().map(|step| (step.step.to_string(), step.fate, step.effect)).collect()
}

#[test]
fn from_the_failed_step_on_what_succeeded_is_taken_over() {
    let (calls, plan, run) = again(LINE, &["c"], RerunRequest::default());
    assert_eq!(run.status(), RunStatus::Succeeded, "{run:?}");
    // `b` succeeded before `c` failed and cut `d` short, or `d` was over by then: it was not in flight when the branch failed.
    assert_eq!(calls[0], "c");
    assert_eq!(calls.last().unwrap(), "e");
    assert!(!calls.contains(&"a".to_owned()) && !calls.contains(&"b".to_owned()), "{calls:?}");
    let of = |step: &str| fates(&plan).into_iter().find(|(place, ..)| place == step).unwrap();
    assert_eq!(of("a"), ("a".to_owned(), Fate::Skipped, Effect::Happened));
    assert_eq!(of("c"), ("c".to_owned(), Fate::Repeated, Effect::None));
    assert_eq!(output(&run, "c"), Some(&json!({ "echo": { "n": 1 } })), "what was taken over is read");
}

#[test]
fn a_whole_rerun_says_what_will_happen_twice() {
    let request = RerunRequest { from: RerunFrom::Start, keys: RerunKeys::New, ..RerunRequest::default() };
    let (calls, plan, run) = again(LINE, &["e"], request);
    assert_eq!((run.status(), calls.len()), (RunStatus::Succeeded, 5));
    assert_eq!(
        plan.warnings,
        [
            "step `a` has happened and will happen again, under a new idempotency key",
            "step `d` has happened and will happen again, under a new idempotency key",
        ]
    );
    assert!(fates(&plan).iter().all(|(_, fate, _)| *fate == Fate::Repeated));
}

#[test]
fn an_edited_payload_replaces_the_trigger() {
    let request =
        RerunRequest { from: RerunFrom::Start, trigger: Some(json!({ "number": 9 })), ..RerunRequest::default() };
    let (_, _, run) = again(LINE, &["e"], request);
    assert_eq!(output(&run, "a"), Some(&json!({ "echo": { "n": 9 } })));
}

const LOOP: &str = r#"
- id: each
  for_each: "{{ [10, 20, 30, 40] }}"
  on_item_error: continue
  collect: "{{ steps.send.output.echo.n }}"
  steps:
    - { id: first, uses: test/tools/charge@1 }
    - { id: send, uses: test/tools/charge@1, with: { n: "{{ item }}" } }
- { id: after, uses: test/tools/send@1, with: { all: "{{ steps.each.output.results }}" } }
"#;

#[test]
fn only_the_failed_items_of_a_loop_are_repeated() {
    let request = RerunRequest { from: RerunFrom::FailedItems("each".parse().unwrap()), ..RerunRequest::default() };
    let (calls, plan, run) = again(LOOP, &["send[1]", "first[3]"], request);
    assert_eq!(calls, ["send[1]", "first[3]", "send[3]", "after"]);
    assert_eq!(output(&run, "after"), Some(&json!({ "echo": { "all": [10, 20, 30, 40] } })));
    let repeated: Vec<_> =
        plan.steps.iter().filter(|step| step.fate == Fate::Repeated).map(|step| step.step.to_string()).collect();
    assert_eq!(repeated, ["send[1]", "first[3]", "after"]);

    let wrong = RerunRequest { from: RerunFrom::FailedItems("after".parse().unwrap()), ..RerunRequest::default() };
    let world = World::new(LOOP, echo);
    world.clone().block_on(async move {
        world.publish().await;
        let id = world.accept(&world.store, 1).await;
        world.work().await;
        let refused = world.engine_here().1.plan_rerun(id, &wrong).await;
        assert!(matches!(refused, Err(ControlError::Rerun(_))), "{refused:?}");
    });
}

#[test]
fn a_rerun_on_the_latest_version_follows_it_from_the_failed_step() {
    let world = World::new("- { id: a, uses: test/tools/send@1 }\n- { id: b, uses: test/tools/send@1 }", |call| {
        if call.input.get("repaired").is_none() && call.step.id().as_str() == "b" {
            Answer::give_up()
        } else {
            echo(call)
        }
    });
    world.clone().block_on(async move {
        world.publish().await;
        let id = world.accept(&world.store, 1).await;
        world.work().await;
        let source = sample::workflow("- { id: a, uses: test/tools/send@1 }\n- { id: b, uses: test/tools/send@1, with: { repaired: true } }\n- { id: c, uses: test/tools/send@1 }");
        sample::publish(&world.store, &sample::version(&source, 2, &*world.catalog)).await.unwrap();
        let (engine, control) = world.engine_here();
        let request = RerunRequest { version: RerunVersion::Latest, ..RerunRequest::default() };
        let (new, plan) = control.rerun(id, &request).await.unwrap();
        assert_eq!(plan.version, 2);
        let shutdown = Shutdown::new();
        let end = async {
            world.sleep(Duration::from_hours(1)).await;
            shutdown.request();
        };
        let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), end);
        ended.unwrap();
        assert_eq!(world.run(new).await.status(), RunStatus::Succeeded);
        let steps: Vec<_> = world.invoker.calls().into_iter().map(|call| call.step).collect();
        assert_eq!(steps, ["a", "b", "b", "c"]);
    });
}
