//! Claims, releases, due times, and being told.

use std::time::Duration;

use flowcell_core::ports::Durability;
use serde_json::json;

use crate::backend::{Backend, append, at, failed, finished, later, parked, run_id, started, succeeded};

pub(crate) async fn a_new_run_is_claimed_once(store: Backend) {
    let run = store.start(1).await;
    assert_eq!(store.queue.claim(at(10), 10).await.unwrap(), [run]);
    assert!(store.queue.claim(at(10), 10).await.unwrap().is_empty());
    assert_eq!(store.queue.next_due().await.unwrap(), None);
}

pub(crate) async fn nothing_is_claimed_before_it_is_due_and_the_longest_due_comes_first(store: Backend) {
    for number in [3, 1, 2] {
        store.start(number).await;
        store.happens(run_id(number), started(1)).await;
        store.happens(run_id(number), failed(1, Some(at(number * 10)))).await;
    }
    assert!(store.queue.claim(at(9), 10).await.unwrap().is_empty());
    assert_eq!(store.queue.next_due().await.unwrap(), Some(at(10)));
    assert_eq!(store.queue.claim(at(20), 1).await.unwrap(), [run_id(1)]);
    assert_eq!(store.queue.claim(at(30), 10).await.unwrap(), [run_id(2), run_id(3)]);
}

pub(crate) async fn what_is_due_since_its_creation_is_due_by_a_clock_that_was_set_back(store: Backend) {
    for number in [30, 10, 20] {
        store.start(number).await;
    }
    store.happens(run_id(10), started(1)).await;
    store.happens(run_id(10), failed(1, Some(at(40)))).await;
    assert!(store.queue.next_due().await.unwrap().is_some_and(|due| due <= at(5)));
    assert_eq!(store.queue.claim(at(5), 10).await.unwrap(), [run_id(20), run_id(30)]);
    assert_eq!(store.queue.next_due().await.unwrap(), Some(at(40)), "a retry waits for its time");
}

pub(crate) async fn a_released_run_is_claimed_again_with_what_was_written_before(store: Backend) {
    let run = store.start(1).await;
    for attempt in 1..=20 {
        let changed = store.changed();
        assert_eq!(store.queue.claim(at(1_000), 1).await.unwrap(), [run]);
        let mut history = store.journal.load(run).await.unwrap();
        assert_eq!(history.len(), attempt as usize * 2 - 1);
        for event in [started(attempt), failed(attempt, Some(at(5)))] {
            let append = append(run, &history, vec![event], Durability::NextGroup);
            history.extend(append.entries.clone());
            store.journal.append(append).await.unwrap();
        }
        store.queue.release(run).await.unwrap();
        changed.await;
    }
}

pub(crate) async fn a_restart_releases_every_claim_and_keeps_every_unfinished_run(store: Backend) {
    for number in 1..=4 {
        store.start(number).await;
    }
    store.happens(run_id(2), started(1)).await;
    store.happens(run_id(3), finished()).await;
    assert_eq!(store.queue.claim(at(100), 10).await.unwrap().len(), 3);
    let store = store.restart();
    assert_eq!(store.queue.claim(at(100), 10).await.unwrap(), [run_id(1), run_id(2), run_id(4)]);
}

pub(crate) async fn finished_and_parked_runs_are_not_claimed(store: Backend) {
    let (done, stuck) = (store.start(1).await, store.start(2).await);
    let append = store.next(done, vec![started(1), succeeded(1, json!(1)), finished()], Durability::Synced).await;
    store.journal.append(append).await.unwrap();
    let append = store.next(stuck, vec![started(1), parked(1)], Durability::Synced).await;
    store.journal.append(append).await.unwrap();
    assert!(store.queue.claim(later(Duration::from_hours(99)), 10).await.unwrap().is_empty());
    let store = store.restart();
    assert!(store.queue.claim(later(Duration::from_hours(99)), 10).await.unwrap().is_empty());
    // Parked is not the end: somebody decides, and it goes on.
    store.happens(stuck, started(2)).await;
    assert_eq!(store.queue.claim(at(10), 10).await.unwrap(), [stuck]);
}

pub(crate) async fn a_retry_moves_the_run_to_its_new_time(store: Backend) {
    let run = store.start(1).await;
    let append = store.next(run, vec![started(1), failed(1, Some(at(5_000)))], Durability::Synced).await;
    store.journal.append(append).await.unwrap();
    let mut store = store;
    for restarted in [false, true] {
        assert!(store.queue.claim(at(4_999), 10).await.unwrap().is_empty(), "restarted: {restarted}");
        assert_eq!(store.queue.next_due().await.unwrap(), Some(at(5_000)));
        store = store.restart();
    }
    assert_eq!(store.queue.claim(at(5_000), 10).await.unwrap(), [run]);
}

pub(crate) async fn changed_resolves_for_what_comes_after_the_call(store: Backend) {
    let accepted = store.changed();
    let run = store.start(1).await;
    // Not polled before the change: the call itself is the subscription.
    accepted.await;
    assert_eq!(store.queue.claim(at(10), 1).await.unwrap(), [run]);
    let released = store.changed();
    store.queue.release(run).await.unwrap();
    released.await;
    let retried = store.changed();
    let append = store.next(run, vec![started(1), failed(1, Some(at(7)))], Durability::NextGroup).await;
    store.journal.append(append).await.unwrap();
    retried.await;
    assert_eq!(store.queue.next_due().await.unwrap(), Some(at(7)));
}

pub(crate) async fn releasing_what_is_not_claimed_does_nothing(store: Backend) {
    let run = store.start(1).await;
    store.queue.release(run).await.unwrap();
    store.queue.release(run_id(99)).await.unwrap();
    // A synced write afterwards: the releases have been taken.
    store.start(2).await;
    assert_eq!(store.queue.claim(at(10), 10).await.unwrap(), [run_id(1), run_id(2)]);
    assert!(store.queue.claim(at(10), 10).await.unwrap().is_empty());
}
