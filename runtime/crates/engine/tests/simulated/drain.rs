//! Ending: the first request drains, the second aborts, and a store that stops takes the engine with it.

use std::sync::Arc;
use std::time::Duration;

use flowcell_core::id::RunId;
use flowcell_core::ports::{Clock, RunQueue};
use flowcell_core::run::fold::{Run, RunStatus};
use flowcell_engine::Shutdown;
use flowcell_testkit::Answer;
use serde_json::json;

use crate::world::{THREE, World};

/// Works, asks to end at each of `requests` (seconds after the start), and tells when the engine ended and what the run is then.
fn end(world: &World, requests: &'static [u64]) -> (u64, Run) {
    let world = world.clone();
    world.clone().block_on(async move {
        world.publish().await;
        let id: RunId = world.accept(&world.store, 1).await;
        let start = world.clock.now();
        let shutdown = Shutdown::new();
        let signals = async {
            for seconds in requests {
                world.clock.sleep_until(start + Duration::from_secs(*seconds)).await;
                shutdown.request();
            }
            std::future::pending::<()>().await;
        };
        let engine = world.engine(Arc::new(world.store.clone()), Arc::new(world.store.clone()));
        tokio::select! {
            ended = engine.run(shutdown.clone()) => ended.unwrap(),
            () = signals => {}
        }
        let ended = world.clock.now().since(start).as_secs();
        let claimable = world.store.claim(world.clock.now(), 10).await.unwrap();
        assert_eq!(claimable, [id], "the run was given back");
        world.store.release(id).await.unwrap();
        (ended, world.run(id).await)
    })
}

fn taking(seconds: u64) -> World {
    World::new(THREE, move |_| {
        Answer::ok(json!({ "echo": { "number": 1, "before": 1 } })).after(Duration::from_secs(seconds))
    })
}

/// The next engine on the same store ends the run.
fn restart(world: &World, id: RunId) -> Run {
    let world = world.clone();
    world.clone().block_on(async move {
        world.work().await;
        world.run(id).await
    })
}

#[test]
fn draining_lets_the_attempt_end_writes_it_down_and_begins_nothing() {
    let world = taking(10);
    let (ended, run) = end(&world, &[5]);
    assert_eq!(ended, 10);
    assert_eq!((run.steps.len(), run.steps[0].output().is_some(), run.status()), (1, true, RunStatus::Running));
    assert_eq!(restart(&world, run.id).status(), RunStatus::Succeeded);
    assert_eq!(world.invoker.calls().len(), 3, "nothing is repeated");
}

#[test]
fn draining_waits_no_longer_than_it_may() {
    let world = taking(1_000);
    let (ended, run) = end(&world, &[5]);
    assert_eq!(ended, 5 + world.config.drain.as_secs());
    assert_eq!((run.steps.len(), run.steps[0].output()), (1, None));
}

#[test]
fn a_second_request_aborts_and_equals_a_crash() {
    let world = taking(20);
    let shutdown_at = 7;
    let world_again = world.clone();
    let (ended, id) = world.block_on(async move {
        world_again.publish().await;
        let id = world_again.accept(&world_again.store, 1).await;
        let start = world_again.clock.now();
        let shutdown = Shutdown::new();
        let engine = world_again.engine(Arc::new(world_again.store.clone()), Arc::new(world_again.store.clone()));
        let signals = async {
            for seconds in [5, shutdown_at] {
                world_again.clock.sleep_until(start + Duration::from_secs(seconds)).await;
                shutdown.request();
            }
        };
        let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), signals);
        ended.unwrap();
        let ended = world_again.clock.now().since(start).as_secs();
        world_again.store.crash();
        (ended, id)
    });
    assert_eq!(ended, shutdown_at);
    let run = restart(&world, id);
    assert_eq!(run.status(), RunStatus::Succeeded);
    assert_eq!(run.steps[0].attempts.iter().map(|attempt| attempt.output.is_some()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(world.invoker.effects().len(), 3);
}

#[test]
fn an_idle_engine_ends_at_once() {
    let world = taking(1);
    world.clone().block_on(async move {
        let shutdown = Shutdown::new();
        shutdown.request();
        world.engine(Arc::new(world.store.clone()), Arc::new(world.store.clone())).run(shutdown).await.unwrap();
    });
}
