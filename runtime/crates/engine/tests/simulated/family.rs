//! Runs that start runs: calls and error workflows.

use std::sync::Arc;
use std::time::Duration;

use flowcell_core::run::event::Outcome;
use flowcell_core::run::fold::{Run, RunStatus};
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::{Answer, CrashPoint, FaultyJournal};
use serde_json::json;

use crate::world::{World, echo, output};

const CALLER: &str = r#"
- { id: sub, call: { workflow: enrich, with: { n: "{{ trigger.number }}" } }, timeout: 1h }
- { id: after, uses: test/tools/send@1, with: { got: "{{ steps.sub.output.doubled }}" } }
"#;

const ENRICH: &str = r#"
id: enrich
name: Enrich
trigger: { manual: true }
input: { type: object, required: [n], properties: { n: { type: integer } } }
output: { doubled: "{{ steps.work.output.echo.n * 2 }}" }
steps: [ { id: work, uses: test/tools/send@1, with: { n: "{{ trigger.n }}" } } ]
"#;

#[test]
fn a_called_workflow_gets_its_input_and_gives_its_output_back() {
    let world = World::new(CALLER, echo).beside(ENRICH);
    let run = world.run_one();
    assert_eq!(run.outcome, Some(Outcome::Succeeded), "{run:?}");
    assert_eq!(output(&run, "after"), Some(&json!({ "echo": { "got": 2 } })));
    assert_eq!(world.invoker.calls().len(), 2);
}

#[test]
fn a_call_fails_with_its_child_or_with_an_input_that_does_not_fit_or_when_it_takes_too_long() {
    let failing =
        World::new(CALLER, |call| if call.step.id().as_str() == "work" { Answer::give_up() } else { echo(call) });
    let cases = [
        (failing.beside(ENRICH), "call-failed"),
        (World::new(&CALLER.replace("{{ trigger.number }}", "text"), echo).beside(ENRICH), "invalid-input"),
        (World::new(CALLER, echo), "workflow-not-published"),
        (
            World::new(CALLER, |call| echo(call).delayed(Duration::from_secs(20)))
                .beside(&ENRICH.replace("steps: [", "steps: [ { id: w, wait: { for: 2h } },")),
            "call-timeout",
        ),
    ];
    for (world, code) in cases {
        let (run, runs) = world.clone().block_on(async move {
            world.publish().await;
            let id = world.accept(&world.store, 1).await;
            world.work().await;
            (world.run(id).await, world.runs().await)
        });
        let Some(Outcome::Failed { step, error }) = &run.outcome else { panic!("{code}: {:?}", run.outcome) };
        assert_eq!((step.to_string().as_str(), error.code.as_str()), ("sub", code));
        assert!(runs.iter().all(|run| run.status.is_final()), "{code}: a child goes on: {runs:?}");
    }
}

#[test]
fn a_crash_at_any_write_leaves_one_child_and_one_result() {
    let world = World::new(CALLER, |call| echo(call).after(Duration::from_millis(30))).beside(ENRICH);
    let whole = crash_at(&world, CrashPoint::Never);
    assert_eq!(whole.1, 2);
    for write in 1..12 {
        for crash in [CrashPoint::Before(write), CrashPoint::After(write)] {
            let (run, runs) = crash_at(&world, crash);
            assert_eq!((run.outcome.as_ref(), runs), (Some(&Outcome::Succeeded), 2), "{crash:?}");
            assert_eq!(output(&run, "after"), Some(&json!({ "echo": { "got": 2 } })), "{crash:?}");
        }
    }
}

/// Lives until the crash, loses what was not synced, lives on; the run, and how many there are.
fn crash_at(world: &World, crash: CrashPoint) -> (Run, usize) {
    let first = World { store: MemoryStore::new(), ..world.clone() };
    world.clone().block_on(async move {
        first.publish().await;
        let journal = FaultyJournal::new(Arc::new(first.store.clone()), CrashPoint::Never);
        let id = first.accept(&*journal, 1).await;
        journal.crash_at(crash);
        let _ = first.work_over(journal.clone()).await;
        let second = World { store: MemoryStore::new(), ..first };
        second.publish().await;
        journal.survive(0, &second.store).await.unwrap();
        second.work().await;
        (second.run(id).await, second.runs().await.len())
    })
}

const RESCUE: &str = r#"
id: rescue
name: Rescue
trigger: { error: true }
settings: { on_failure: rescue }
steps: [ { id: tell, uses: test/tools/charge@1, with: { why: "{{ trigger.error.code }}", step: "{{ trigger.step }}", of: "{{ trigger.workflow.id }}" } } ]
"#;

#[test]
fn a_failed_run_starts_its_error_workflow_once_and_that_one_starts_none() {
    for rescue_fails in [false, true] {
        let world = World::new("- { id: a, uses: test/tools/send@1 }", move |call| {
            if call.step.id().as_str() == "a" || rescue_fails { Answer::give_up() } else { echo(call) }
        })
        .with("settings: { on_failure: rescue }\n")
        .beside(RESCUE);
        let runs = world.clone().block_on({
            let world = world.clone();
            async move {
                world.publish().await;
                world.accept(&world.store, 1).await;
                world.work().await;
                world.runs().await
            }
        });
        let statuses: Vec<_> = runs.iter().map(|run| (run.workflow.as_str(), run.status)).collect();
        let rescued = if rescue_fails { RunStatus::Failed } else { RunStatus::Succeeded };
        assert_eq!(runs.len(), 2, "{statuses:?}");
        assert!(
            statuses.contains(&("sample", RunStatus::Failed)) && statuses.contains(&("rescue", rescued)),
            "{statuses:?}"
        );
        let told = world.invoker.calls().into_iter().find(|call| call.step == "tell").unwrap();
        assert_eq!(told.input, json!({ "why": "http-status", "step": "a", "of": "sample" }));
    }
}

#[test]
fn cancelling_a_caller_cancels_what_it_called() {
    let world = World::new(CALLER, echo).beside(&ENRICH.replace("steps: [", "steps: [ { id: w, wait: { for: 2h } },"));
    let run = world.run_while(|world, control, id| async move {
        world.sleep(Duration::from_mins(1)).await;
        control.cancel(id, "enough").await.unwrap();
        world.sleep(Duration::from_secs(1)).await;
        let statuses: Vec<_> = world.runs().await.into_iter().map(|run| run.status).collect();
        assert_eq!(statuses, [RunStatus::Cancelled, RunStatus::Cancelled]);
    });
    assert_eq!(run.status(), RunStatus::Cancelled);
}
