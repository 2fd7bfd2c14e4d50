//! What cannot be written, or may not be passed on: the run ends and says why; nothing is tried for ever.

use std::sync::Arc;

use flowcell_core::ports::RunQueue;
use flowcell_core::run::event::{Outcome, StepError};
use flowcell_core::run::fold::{Phase, Run};
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::{Answer, CrashPoint, FaultyJournal, sample};
use serde_json::{Value, json};

use crate::world::{THREE, World, echo};

/// Arrays within each other.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

/// Runs the step `a` with `trigger` as its input.
fn run_with(trigger: Value) -> (World, Run) {
    let world = World::new("- { id: a, uses: test/tools/send@1, with: { body: '{{ trigger.body }}' } }", echo);
    let run = world.block_on({
        let world = world.clone();
        async move {
            world.publish().await;
            let delivery =
                sample::delivery(&world.version, 1, flowcell_core::ports::Clock::now(&*world.clock), trigger);
            let id = flowcell_core::ports::Journal::accept(&world.store, delivery).await.unwrap().runs[0];
            world.work().await;
            world.run(id).await
        }
    });
    (world, run)
}

fn failure(run: &Run) -> &StepError {
    match &run.outcome {
        Some(Outcome::Failed { error, .. }) => error,
        other => panic!("the run ended otherwise: {other:?}"),
    }
}

#[test]
fn an_input_that_is_too_deep_or_too_large_fails_the_step_and_is_not_written_down() {
    let text = |bytes: usize| json!("x".repeat(bytes));
    let envelope = json!({ "body": "" }).to_string().len();
    for (body, problem) in
        [(nested(64), "more than 64 levels deep"), (text((1 << 20) - envelope + 1), "more than 1048576 bytes")]
    {
        let (world, run) = run_with(json!({ "body": body }));
        let error = failure(&run);
        assert_eq!((error.code.as_str(), error.retryable), ("invalid-input", false));
        assert!(error.message.contains(problem), "{}", error.message);
        assert_eq!(run.steps[0].attempts[0].input, None);
        assert!(world.invoker.calls().is_empty());
    }
    for body in [nested(63), text((1 << 20) - envelope)] {
        let (world, run) = run_with(json!({ "body": body }));
        assert_eq!((run.outcome, world.invoker.calls().len()), (Some(Outcome::Succeeded), 1));
    }
}

#[test]
fn a_result_that_the_journal_refuses_ends_the_run_once_and_for_all() {
    for refused_step in ["first", "second", "third"] {
        let world = World::new(THREE, move |call| {
            if call.step.id().as_str() == refused_step {
                Answer::ok(json!("x".repeat(10_000)))
            } else {
                Answer::ok(json!({ "echo": { "number": 1, "before": 2 } }))
            }
        });
        let (run, calls) = work_refusing(&world, 5_000);
        assert_eq!(failure(&run).code, "journal-refused");
        assert!(failure(&run).message.contains(refused_step), "{}", failure(&run).message);
        let last = run.steps.values().last().unwrap();
        assert!(matches!(&last.phase, Phase::Failed { error } if error.code == "journal-refused"), "{:?}", last.phase);
        assert_eq!((last.attempts[0].input.as_ref(), last.output()), (None, None));
        assert_eq!(calls.last().map(String::as_str), Some(refused_step), "nothing is repeated, and nothing follows");
        assert_eq!(calls.len(), run.steps.len());
    }
}

#[test]
fn a_journal_that_refuses_everything_keeps_no_worker() {
    let mut world = World::new(THREE, echo);
    world.config.concurrency = 1;
    let shared = world.clone();
    let (refused, other) = world.block_on(async move {
        shared.publish().await;
        let journal = FaultyJournal::new(Arc::new(shared.store.clone()), CrashPoint::Never);
        let refused = shared.accept(&*journal, 1).await;
        journal.refuse_above(0);
        shared.work_over(journal.clone()).await.unwrap();
        journal.refuse_above(usize::MAX);
        let other = shared.accept(&*journal, 2).await;
        shared.work_over(journal.clone()).await.unwrap();
        (shared.run(refused).await, shared.run(other).await)
    });
    assert_eq!((refused.outcome, other.outcome), (None, Some(Outcome::Succeeded)));
}

/// Works over a journal that refuses appends above `bytes_max`; afterwards nothing wants a worker, even after a new start.
fn work_refusing(world: &World, bytes_max: usize) -> (Run, Vec<String>) {
    let shared = world.clone();
    let run = world.block_on(async move {
        shared.publish().await;
        let journal = FaultyJournal::new(Arc::new(shared.store.clone()), CrashPoint::Never);
        let id = shared.accept(&*journal, 1).await;
        journal.refuse_above(bytes_max);
        shared.work_over(journal.clone()).await.unwrap();
        let store: &MemoryStore = &shared.store;
        store.crash();
        assert_eq!(store.next_due().await.unwrap(), None);
        shared.run(id).await
    });
    (run, world.invoker.calls().into_iter().map(|call| call.step).collect())
}
