//! A crash in the middle of a step of which nobody knows whether it happened.

use std::sync::Arc;
use std::time::Duration;

use flowcell_core::run::event::Outcome;
use flowcell_core::run::fold::{Phase, Run, RunStatus};
use flowcell_engine::Shutdown;
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::{Answer, CrashPoint, FaultyJournal};
use serde_json::json;

use crate::world::World;

#[test]
fn a_step_that_is_not_idempotent_is_parked() {
    let world = World::new("- { id: pay, uses: test/tools/charge@1 }", slow);
    let run = cut_off_and_recover(&world);
    assert_eq!(
        (run.status(), run.due_at(), run.summary().error_code.as_deref()),
        (RunStatus::Waiting, None, Some("parked"))
    );
    let Phase::Parked { reason } = &run.steps[0].phase else { panic!("{:?}", run.steps[0].phase) };
    assert!(reason.contains("step `pay`") && reason.contains("may or may not have happened"), "{reason}");
    assert_eq!(world.invoker.calls().len(), 1);
}

#[test]
fn its_author_may_ask_for_a_repetition() {
    let world = World::new("- { id: pay, uses: test/tools/charge@1, on_uncertain: repeat }", slow);
    let run = cut_off_and_recover(&world);
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    let calls = world.invoker.calls();
    assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(calls[0].key, calls[1].key, "the key does not change with the attempt");
}

#[test]
fn an_idempotent_step_is_repeated_unless_its_author_says_park() {
    let world = World::new("- { id: a, uses: test/tools/send@1 }", slow);
    assert_eq!(cut_off_and_recover(&world).outcome, Some(Outcome::Succeeded));
    assert_eq!(world.invoker.effects().into_values().collect::<Vec<_>>(), [2]);

    let world = World::new("- { id: a, uses: test/tools/send@1, on_uncertain: park }", slow);
    assert_eq!(cut_off_and_recover(&world).status(), RunStatus::Waiting);
    assert_eq!(world.invoker.calls().len(), 1);
}

#[test]
fn a_deadline_leaves_it_open_too_so_only_what_may_be_repeated_is() {
    for (uses, policy, calls) in
        [("charge", "auto", 1), ("charge", "repeat", 2), ("send", "auto", 2), ("send", "park", 1)]
    {
        let steps = format!(
            "- {{ id: a, uses: test/tools/{uses}@1, timeout: 1s, on_uncertain: {policy}, retry: {{ attempts: 2 }} }}"
        );
        let world = World::new(&steps, |_| Answer::never());
        let run = world.run_one();
        assert_eq!(world.invoker.calls().len(), calls, "{uses} with {policy}");
        if calls == 1 {
            assert_parked(&run, "deadline-exceeded");
        } else {
            let Some(Outcome::Failed { error, .. }) = &run.outcome else { panic!("{:?}", run.outcome) };
            assert_eq!(error.code, "deadline-exceeded");
        }
    }
}

#[test]
fn a_request_without_an_answer_leaves_it_open_too() {
    for (uses, policy, calls) in
        [("charge", "auto", 1), ("charge", "repeat", 2), ("send", "auto", 2), ("send", "park", 1)]
    {
        let run = |answer: fn() -> Answer| {
            let steps = format!(
                "- {{ id: a, uses: test/tools/{uses}@1, on_uncertain: {policy}, retry: {{ attempts: 2, initial: 1s }} }}"
            );
            let world = World::new(&steps, move |_| answer());
            (world.run_one(), world.invoker.calls().len())
        };
        let (lost, tries) = run(|| Answer::lost("POST", true));
        assert_eq!(tries, calls, "{uses} with {policy}");
        if calls == 1 {
            assert_parked(&lost, "http-connect");
        }
        // A request that never left, or asks for no change, leaves nothing open.
        for answer in [|| Answer::lost("POST", false), || Answer::lost("GET", true)] {
            let (failed, tries) = run(answer);
            assert_eq!((failed.status(), tries), (RunStatus::Failed, 2), "{uses} with {policy}");
        }
    }
}

/// Waits for somebody, and keeps what is known of the attempt.
fn assert_parked(run: &Run, code: &str) {
    let summary = run.summary();
    assert_eq!((summary.status, summary.due_at), (RunStatus::Waiting, None));
    assert_eq!(summary.error_code.as_deref(), Some("parked"));
    let Phase::Parked { reason } = &run.steps[0].phase else { panic!("{:?}", run.steps[0].phase) };
    assert!(reason.contains(code) && reason.contains("may or may not have happened"), "{reason}");
    let attempt = &run.steps[0].attempts[0];
    assert_eq!(attempt.error.as_ref().map(|error| error.code.as_str()), Some(code));
    assert!(attempt.input.is_some() && attempt.call.is_some() && attempt.ended_at.is_some());
}

#[test]
fn attempts_that_were_cut_off_do_not_count_against_the_budget() {
    let steps = "- { id: a, uses: test/tools/send@1, retry: { attempts: 2, initial: 1s, max: 1s } }";
    let world = World::new(steps, |call| match call.attempt {
        2 => Answer::try_again(None),
        _ => slow(call),
    });
    assert_eq!(cut_off_and_recover(&world).outcome, Some(Outcome::Succeeded));
    assert_eq!(world.invoker.calls().len(), 3);
}

fn slow(_: &flowcell_core::invoke::ActionCall) -> Answer {
    Answer::ok(json!(1)).after(Duration::from_secs(20))
}

/// Pulls the plug ten seconds after the start, while the first call is under way; nothing unsynced survives.
fn cut_off_and_recover(world: &World) -> Run {
    use flowcell_core::ports::Clock;
    let first = world.clone();
    world.block_on(async move {
        first.publish().await;
        let journal = FaultyJournal::new(Arc::new(first.store.clone()), CrashPoint::Never);
        let id = first.accept(&*journal, 1).await;
        let engine = first.engine(journal.clone(), Arc::new(first.store.clone()));
        let plug = first.clock.sleep_until(first.clock.now() + Duration::from_secs(10));
        tokio::select! {
            ended = engine.run(Shutdown::new()) => panic!("the engine ended by itself: {ended:?}"),
            () = plug => {}
        }
        // The group commit came long ago, had the plug been pulled later; a step that must not repeat does not rely on it.
        let kept = if first.version.source.contains("charge") || first.version.source.contains("park") {
            0
        } else {
            journal.unsynced()
        };
        let second = World { store: MemoryStore::new(), ..first };
        second.publish().await;
        journal.survive(kept, &second.store).await.unwrap();
        second.work().await;
        second.run(id).await
    })
}
