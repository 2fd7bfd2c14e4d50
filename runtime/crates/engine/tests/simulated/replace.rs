//! `reentry.policy: replace` and a process that dies between the new run and the end of the old one.

use std::sync::Arc;
use std::time::Duration;

use flowcell_core::run::fold::RunStatus;
use flowcell_engine::{EngineStopped, Shutdown};
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::{CrashPoint, FaultyJournal};
use serde_json::json;

use crate::world::{World, echo};

const SETTINGS: &str = "settings: { reentry: { key: '{{ trigger.email }}', policy: replace } }\n";

/// The writes of two deliveries about one subject, the second of which replaces the first, until the engine rests.
const WRITES_MAX: usize = 12;

#[test]
fn a_crash_at_any_write_leaves_one_unfinished_run_about_a_subject() {
    let mut both = 0;
    for settings in [
        SETTINGS,
        "settings: { concurrency: { limit: 1 }, reentry: { key: '{{ trigger.email }}', policy: replace } }\n",
    ] {
        for writes in 0..WRITES_MAX {
            for point in [CrashPoint::Before(writes), CrashPoint::After(writes)] {
                let statuses = deliver_twice_and_crash(settings, point);
                match statuses.as_slice() {
                    // The first or the second delivery was never written, and its sender was told so.
                    [] | [RunStatus::Waiting] => {}
                    [RunStatus::Cancelled, RunStatus::Waiting] => both += 1,
                    other => panic!("{other:?} after {point:?} with {settings}"),
                }
            }
        }
    }
    assert!(both >= WRITES_MAX, "most crashes come after both deliveries: {both}");
}

/// What became of the runs, the oldest first, when another process has gone on for an hour.
fn deliver_twice_and_crash(settings: &str, point: CrashPoint) -> Vec<RunStatus> {
    let world = World::new("- { id: a, wait: { for: 5d } }", echo).with(settings);
    world.clone().block_on(async move {
        world.publish().await;
        let journal = FaultyJournal::new(Arc::new(world.store.clone()), point);
        let engine = world.engine(journal.clone(), Arc::new(world.store.clone()));
        let (control, shutdown) = (engine.control(), Shutdown::new());
        let incoming = world.incoming(json!({ "email": "a@b.test" }));
        let others = async {
            for _ in 0..2 {
                let delivered = control.deliver(incoming.clone()).await;
                assert!(delivered.is_ok() || journal.has_crashed(), "{delivered:?}");
                world.sleep(Duration::from_secs(1)).await;
            }
            shutdown.request();
        };
        let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), others);
        assert!(ended.is_ok() || ended == Err(EngineStopped) && journal.has_crashed());

        // All that was written survives, and the next process finds it.
        let next = World { store: MemoryStore::new(), ..world };
        next.publish().await;
        journal.survive(journal.unsynced(), &next.store).await.unwrap();
        next.work_for(Arc::new(next.store.clone()), Duration::from_hours(1)).await.unwrap();
        next.runs().await.iter().rev().map(|run| run.status).collect()
    })
}

#[test]
fn of_one_delivery_about_one_subject_the_last_run_goes_on_or_only_the_first_begins() {
    for (policy, expected) in [
        ("replace", vec![RunStatus::Cancelled, RunStatus::Cancelled, RunStatus::Waiting]),
        ("skip", vec![RunStatus::Waiting]),
    ] {
        let world = World::new("- { id: a, wait: { for: 5d } }", echo).with(&SETTINGS.replace("replace", policy));
        let world = World { entropy: Arc::new(flowcell_testkit::SeededEntropy::new(1)), ..world };
        let mut statuses = world.clone().block_on(async move {
            world.publish().await;
            let (engine, control) = world.engine_here();
            let shutdown = Shutdown::new();
            let others = async {
                let mut incoming = world.incoming(json!({ "email": "a@b.test" }));
                incoming.payloads = vec![incoming.payloads[0].clone(); 3];
                let delivered = control.deliver(incoming).await.unwrap();
                assert_eq!(delivered.accepted.runs.len() + delivered.skipped_for.len(), 3);
                world.sleep(Duration::from_secs(1)).await;
                shutdown.request();
            };
            let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), others);
            ended.unwrap();
            world.runs().await.iter().map(|run| run.status).collect::<Vec<_>>()
        });
        // Their ids are of one moment, so their order is chance.
        statuses.sort_unstable_by_key(|status| *status == RunStatus::Waiting);
        assert_eq!(statuses, expected, "{policy}");
    }
}
