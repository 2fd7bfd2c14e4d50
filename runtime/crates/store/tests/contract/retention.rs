//! What goes is gone, and nothing else.

use std::time::Duration;

use flowcell_core::ports::{PageRequest, Pinning, Removed, RunFilter, StoreError};
use flowcell_core::run::fold::RunStatus;
use serde_json::json;

use crate::backend::{Backend, at, delivery, delivery_to, finished, later, run_id, started, workspace};

async fn ended(store: &Backend, number: u64) {
    let run = store.start(number).await;
    store.happens(run, started(1)).await;
    store.happens(run, finished()).await;
}

async fn listed(store: &Backend) -> Vec<u64> {
    let runs = store.retention.oldest(&workspace(), None, 1_000).await.unwrap();
    runs.into_iter().map(|run| run.summary.created_at.since(at(0)).as_millis().try_into().unwrap()).collect()
}

pub(crate) async fn removed_runs_are_gone_from_everywhere_and_the_others_stay(store: Backend) {
    for number in 1..=10 {
        ended(&store, number).await;
    }
    store.start(11).await;
    let gone: Vec<_> = [2, 3, 7, 11, 99].map(run_id).to_vec();
    let removed = store.retention.remove(&workspace(), &gone).await.unwrap();
    assert_eq!(removed.runs, 3, "an unfinished run and one that is not there are passed over");
    assert!(removed.bytes > 0);
    let mut store = store;
    for _ in 0..2 {
        assert_eq!(listed(&store).await, [1, 4, 5, 6, 8, 9, 10, 11]);
        let filter = RunFilter { status: Some(RunStatus::Succeeded), ..RunFilter::default() };
        let page = PageRequest { before: None, limit: 100 };
        let found = store.index.search(&workspace(), &filter, page).await.unwrap();
        assert_eq!(found.runs.iter().map(|run| run.id).collect::<Vec<_>>(), [10, 9, 8, 6, 5, 4, 1].map(run_id));
        assert!(matches!(store.journal.load(run_id(3)).await, Err(StoreError::NotFound { .. })));
        assert_eq!(store.index.get(&workspace(), run_id(3)).await.unwrap(), None);
        assert_eq!(store.journal.load(run_id(4)).await.unwrap().len(), 3);
        assert_eq!(store.retention.remove(&workspace(), &[run_id(3)]).await.unwrap(), Removed::default());
        store = store.restart();
    }
}

pub(crate) async fn a_pinned_run_stays_until_it_is_unpinned(store: Backend) {
    ended(&store, 1).await;
    store.retention.pin(&workspace(), run_id(1), Pinning::Pinned).await.unwrap();
    let store = store.restart();
    assert!(store.retention.is_pinned(&workspace(), run_id(1)).await.unwrap());
    assert_eq!(store.retention.remove(&workspace(), &[run_id(1)]).await.unwrap().runs, 0);
    assert!(store.retention.newest(&workspace(), None, 9).await.unwrap()[0].is_pinned);
    store.retention.pin(&workspace(), run_id(1), Pinning::Free).await.unwrap();
    assert_eq!(store.retention.remove(&workspace(), &[run_id(1)]).await.unwrap().runs, 1);
    let missing = store.retention.pin(&workspace(), run_id(1), Pinning::Pinned).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn a_delivery_is_known_until_its_key_expires_although_its_runs_are_gone(store: Backend) {
    let mut first = delivery(1);
    first.dedupe_key = Some("key".to_owned());
    store.journal.accept(first.clone()).await.unwrap();
    store.happens(run_id(1), finished()).await;
    store.retention.remove(&workspace(), &[run_id(1)]).await.unwrap();
    let hours = |hours| later(Duration::from_hours(hours));
    assert_eq!(store.retention.forget_deliveries(&workspace(), hours(71), 100).await.unwrap(), 0);
    let mut again = delivery(2);
    again.dedupe_key.clone_from(&first.dedupe_key);
    assert!(store.journal.accept(again).await.unwrap().duplicate);
    assert!(store.retention.forget_deliveries(&workspace(), hours(73), 100).await.unwrap() > 0);
    let store = store.restart();
    let mut new = delivery(3);
    new.dedupe_key = first.dedupe_key;
    new.received_at = hours(73);
    assert!(!store.journal.accept(new).await.unwrap().duplicate);
    drop(store.restart());
}

pub(crate) async fn an_expired_key_that_was_used_again_is_not_forgotten_with_the_old_delivery(store: Backend) {
    let late = later(Duration::from_hours(80));
    for (number, received_at) in [(1, at(1)), (2, late)] {
        let mut delivery = delivery(number);
        delivery.dedupe_key = Some("key".to_owned());
        delivery.received_at = received_at;
        assert!(!store.journal.accept(delivery).await.unwrap().duplicate);
        store.happens(run_id(number), finished()).await;
    }
    store.retention.remove(&workspace(), &[run_id(1)]).await.unwrap();
    store.retention.forget_deliveries(&workspace(), late, 100).await.unwrap();
    let store = store.restart();
    let mut third = delivery(3);
    third.dedupe_key = Some("key".to_owned());
    third.received_at = late;
    let accepted = store.journal.accept(third).await.unwrap();
    assert!(accepted.duplicate && accepted.runs == [run_id(2)], "{accepted:?}");
}

pub(crate) async fn large_payloads_go_and_shared_ones_stay(store: Backend) {
    let large = json!({"text": "x".repeat(20_000)});
    for number in [1, 2] {
        let mut delivery = delivery_to(number, &workspace(), "push", large.clone());
        // The same entry twice: one file.
        delivery.runs[0].created.at = at(0);
        store.journal.accept(delivery).await.unwrap();
        store.happens(run_id(number), finished()).await;
    }
    store.retention.remove(&workspace(), &[run_id(1)]).await.unwrap();
    let mut store = store;
    for _ in 0..2 {
        assert_eq!(store.journal.load(run_id(2)).await.unwrap().len(), 2);
        store = store.restart();
    }
}

pub(crate) async fn runs_are_kept_in_pages_from_both_ends(store: Backend) {
    for number in 1..=5 {
        store.start(number).await;
    }
    let ids = |kept: Vec<flowcell_core::ports::Kept>| kept.into_iter().map(|run| run.summary.id).collect::<Vec<_>>();
    let oldest = store.retention.oldest(&workspace(), Some(run_id(2)), 2).await.unwrap();
    assert_eq!(ids(oldest), [3, 4].map(run_id));
    let newest = store.retention.newest(&workspace(), Some(run_id(5)), 2).await.unwrap();
    assert_eq!(ids(newest), [4, 3].map(run_id));
    assert!(store.retention.oldest(&"nobody".parse().unwrap(), None, 9).await.unwrap().is_empty());
}
