//! The success line, and what is written when.

use std::sync::Arc;
use std::time::Duration;

use flowcell_core::ports::Journal;
use flowcell_core::run::event::{Outcome, RunEvent};
use flowcell_core::run::fold::RunStatus;
use flowcell_testkit::{Answer, CrashPoint, FaultyJournal};
use serde_json::json;

use crate::world::{THREE, World, echo, output};

#[test]
fn three_steps_succeed_and_each_reads_the_one_before() {
    let world = World::new(THREE, echo);
    let run = world.run_one();
    assert_eq!((run.status(), &run.outcome), (RunStatus::Succeeded, &Some(Outcome::Succeeded)));
    assert_eq!(output(&run, "third"), Some(&json!({ "echo": { "text": "after 1" } })));
    let calls = world.invoker.calls();
    assert_eq!(
        calls.iter().map(|call| (call.step.as_str(), call.attempt)).collect::<Vec<_>>(),
        [("first", 1), ("second", 1), ("third", 1)]
    );
    assert_eq!(world.invoker.effects().len(), 3);
    assert!(
        calls
            .iter()
            .all(|call| call.key.starts_with("fc_") && call.deadline.since(call.at) == world.config.step_timeout)
    );
}

#[test]
fn a_result_rides_in_the_append_that_starts_the_next_step() {
    let world = World::new(THREE, echo);
    let (events, writes, unsynced) = world.block_on({
        let world = world.clone();
        async move {
            world.publish().await;
            let journal = FaultyJournal::new(Arc::new(world.store.clone()), CrashPoint::Never);
            let id = world.accept(&*journal, 1).await;
            world.work_over(journal.clone()).await.unwrap();
            (world.store.load(id).await.unwrap(), journal.writes(), journal.unsynced())
        }
    });
    let kinds: Vec<_> = events.iter().map(|entry| kind(&entry.event)).collect();
    assert_eq!(kinds, ["created", "started", "succeeded", "started", "succeeded", "started", "succeeded", "finished"]);
    assert_eq!(
        writes,
        1 + 3,
        "the acceptance, the first step with the start of the second, that one with the third, the end"
    );
    assert_eq!(unsynced, 3, "nothing after the acceptance waits for the disk");
}

#[test]
fn a_short_attempt_is_one_write_and_a_long_one_shows_that_it_has_begun() {
    for (millis, appends) in [(19, 1), (21, 2)] {
        let world = World::new("- { id: a, uses: test/tools/send@1 }", move |_| {
            Answer::ok(json!(1)).after(Duration::from_millis(millis))
        });
        let writes = world.block_on({
            let world = world.clone();
            async move {
                world.publish().await;
                let journal = FaultyJournal::new(Arc::new(world.store.clone()), CrashPoint::Never);
                world.accept(&*journal, 1).await;
                world.work_over(journal.clone()).await.unwrap();
                journal.writes()
            }
        });
        assert_eq!(writes, 1 + appends, "the acceptance, and {appends} for an attempt of {millis} ms");
    }
}

#[test]
fn a_step_that_is_not_idempotent_waits_for_the_disk() {
    let world = World::new("- { id: pay, uses: test/tools/charge@1 }", echo);
    let unsynced = world.block_on({
        let world = world.clone();
        async move {
            world.publish().await;
            let journal = FaultyJournal::new(Arc::new(world.store.clone()), CrashPoint::Never);
            world.accept(&*journal, 1).await;
            world.work_over(journal.clone()).await.unwrap();
            journal.unsynced()
        }
    });
    assert_eq!(unsynced, 1, "only its result is not synced");
}

#[test]
fn an_input_that_cannot_be_built_fails_the_step_for_good() {
    let world = World::new("- { id: a, uses: test/tools/send@1, with: { x: { y: '{{ trigger.nothing }}' } } }", echo);
    let run = world.run_one();
    assert!(world.invoker.calls().is_empty());
    let Some(Outcome::Failed { step, error }) = run.outcome else { panic!("{:?}", run.outcome) };
    assert_eq!((step.to_string().as_str(), error.code.as_str(), error.retryable), ("a", "expression", false));
    assert!(error.message.contains("trigger.nothing") && error.message.contains("with/x/y"), "{}", error.message);
    assert_eq!(error.details, Some(json!({ "field": "/x/y", "at": "steps[0].with.x.y", "line": 6 })));
    assert_eq!(run.steps[0].attempts[0].input, None);
}

#[test]
fn a_full_disk_delays_a_run_and_repeats_nothing() {
    let world = World::new(THREE, echo);
    let run = world.block_on({
        let world = world.clone();
        async move {
            world.publish().await;
            let journal = FaultyJournal::new(Arc::new(world.store.clone()), CrashPoint::Never);
            let id = world.accept(&*journal, 1).await;
            journal.stumble(20);
            world.work_over(journal).await.unwrap();
            world.run(id).await
        }
    });
    assert_eq!(run.status(), RunStatus::Succeeded);
    assert_eq!(world.invoker.calls().len(), 3);
}

fn kind(event: &RunEvent) -> &'static str {
    match event {
        RunEvent::Created { .. } => "created",
        RunEvent::StepStarted { .. } => "started",
        RunEvent::StepSucceeded { .. } => "succeeded",
        RunEvent::StepFailed { .. } => "failed",
        RunEvent::StepParked { .. } => "parked",
        RunEvent::Finished { .. } => "finished",
        _ => "other",
    }
}
