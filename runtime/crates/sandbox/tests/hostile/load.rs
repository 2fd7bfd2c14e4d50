//! Loading: once for many callers, not undone by an impatient one, ahead of time when asked.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use flowcell_core::id::Digest;
use flowcell_core::invoke::InvokeError;
use flowcell_core::ports::{Clock as _, Invoker as _};
use serde_json::json;

use crate::support::{RealClock, World, call};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_calls_load_a_plugin_once() {
    let world = World::new().await;
    let act = || world.act(world.hostile, "behave", json!({ "say": 1.to_string() }));
    let (a, b, c, d) = tokio::join!(act(), act(), act(), act());
    for answer in [a, b, c, d] {
        assert!(answer.outcome.is_ok(), "{answer:?}");
    }
    assert_eq!(world.catalog.lookups.load(Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_gives_up_does_not_undo_the_load() {
    let world = World::new().await;
    let mut impatient = call(world.hostile, "behave", json!({}));
    impatient.deadline = RealClock.now() + Duration::from_millis(1);
    let answer = world.sandbox.invoke(impatient).await;
    assert!(matches!(answer.outcome, Err(InvokeError::DeadlineExceeded { .. })), "{answer:?}");
    world.still_serves().await;
    assert_eq!(world.catalog.lookups.load(Relaxed), 1, "the second call waited for the load of the first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preparing_names_what_cannot_be_loaded() {
    let world = World::new().await;
    let unknown = Digest::of(b"nobody has this");
    let failed = world.sandbox.prepare([world.hostile, unknown]).await;
    let [(digest, reason)] = failed.as_slice() else { panic!("{failed:?}") };
    assert_eq!(*digest, unknown);
    assert!(reason.contains("not installed"), "{reason}");
    let answer = world.act(world.hostile, "behave", json!({})).await;
    assert!(answer.record.duration_ms < 1_000, "compiled before: {:?}", answer.record);
    world.sandbox.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_slots_wait_for_their_turn_and_not_for_ever() {
    let world = World::with(|config| {
        config.pool.calls = 1;
        config.pool.wait = Duration::from_millis(50);
    })
    .await;
    world.still_serves().await;
    let wait = || world.act(world.hostile, "wait-for-ever", json!({ "url": "http://granted.test/never" }));
    let second = async {
        // The first holds the only slot once its request has arrived.
        while world.network.connections.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        world.act(world.hostile, "behave", json!({})).await
    };
    let (_, second) = tokio::join!(wait(), second);
    assert!(matches!(second.outcome, Err(InvokeError::Busy { waited_ms: 50.. })), "{second:?}");
    world.still_serves().await;
}
