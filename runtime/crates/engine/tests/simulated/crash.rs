//! The process dies at every write there is, with and without what was not synced, and a new engine goes on with what survives.

use std::collections::BTreeMap;
use std::sync::Arc;

use flowcell_core::run::event::Outcome;
use flowcell_core::run::fold::Run;
use flowcell_engine::EngineStopped;
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::{Answer, CrashPoint, FaultyJournal};
use serde_json::{Value, json};

use crate::world::{THREE, World, echo};

/// The writes of a run of three idempotent steps that succeed at once.
const WRITES: usize = 5;

#[test]
fn a_crash_at_any_write_ends_in_the_same_result_with_one_key_per_step() {
    let undisturbed = ending(&World::new(THREE, echo).run_one());
    for made in 1..=WRITES {
        for point in [CrashPoint::Before(made), CrashPoint::After(made)] {
            for is_tail_lost in [false, true] {
                let world = World::new(THREE, echo);
                let run = crash_and_recover(&world, point, is_tail_lost);
                let case = format!("{point:?}, the tail is lost: {is_tail_lost}");
                assert_eq!(ending(&run), undisturbed, "{case}");
                assert_eq!(world.invoker.effects().len(), 3, "{case}: {:?}", world.invoker.calls());
                let crashes = usize::from(point != CrashPoint::Before(WRITES));
                assert!(
                    world.invoker.calls().len() <= 3 + if is_tail_lost { 3 } else { crashes },
                    "{case}: only what is unknown is repeated"
                );
            }
        }
    }
}

#[test]
fn a_crash_around_a_retry_keeps_its_time() {
    let steps = "- { id: a, uses: test/tools/send@1, retry: { attempts: 3, initial: 60s, max: 60s } }";
    let world =
        World::new(steps, |call| if call.attempt == 1 { Answer::try_again(None) } else { Answer::ok(json!(1)) });
    // Accepted, started, failed: the crash comes when the second attempt is written.
    let run = crash_and_recover(&world, CrashPoint::Before(3), false);
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    assert_eq!(crate::world::offsets(&world.invoker), [0, 60_000]);
}

/// Accepts one event, works until the crash, and lets a new engine work on the store that survives.
fn crash_and_recover(world: &World, point: CrashPoint, is_tail_lost: bool) -> Run {
    let first = world.clone();
    world.block_on(async move {
        first.publish().await;
        let journal = FaultyJournal::new(Arc::new(first.store.clone()), point);
        let id = first.accept(&*journal, 1).await;
        let ended = first.work_over(journal.clone()).await;
        assert_eq!(ended, if journal.has_crashed() { Err(EngineStopped) } else { Ok(()) });

        let second = World { store: MemoryStore::new(), ..first };
        second.publish().await;
        let kept = if is_tail_lost { 0 } else { journal.unsynced() };
        journal.survive(kept, &second.store).await.unwrap();
        second.work().await;
        second.run(id).await
    })
}

/// What does not depend on how often something was tried.
fn ending(run: &Run) -> (Option<Outcome>, BTreeMap<String, Option<Value>>) {
    let outputs = run.steps.iter().map(|(id, step)| (id.to_string(), step.output().cloned()));
    (run.outcome.clone(), outputs.collect())
}
