//! What goes is gone, and nothing else.

use std::time::Duration;

use flowcell_core::ports::{Durability, PageRequest, Pinning, Removed, RunFilter, StoreError, Usage};
use flowcell_core::retention::{ByteCap, Picker, RetentionRules};
use flowcell_core::run::event::{Outcome, RunEvent};
use flowcell_core::run::fold::RunStatus;
use serde_json::json;

use crate::backend::{Backend, append, at, delivery, delivery_to, error, finished, later, run_id, started, workspace};

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

/// Runs of two workflows over days: finished and failed ones, one that is pinned, one that goes on. Returns them, the oldest first.
async fn history(store: &Backend) -> Vec<u64> {
    for (number, (days_ago, workflow, status)) in (1..).zip([
        (100, "push", RunStatus::Failed),
        (60, "push", RunStatus::Succeeded), // pinned
        (50, "push", RunStatus::Queued),
        (41, "push", RunStatus::Succeeded),
        (40, "push", RunStatus::Failed),
        (39, "pull", RunStatus::Succeeded),
        (20, "push", RunStatus::Succeeded),
        (2, "push", RunStatus::Failed),
        (1, "push", RunStatus::Succeeded),
    ]) {
        store.journal.accept(delivery_to(number, &workspace(), workflow, json!({"n": number}))).await.unwrap();
        let end = match status {
            RunStatus::Succeeded => finished(),
            RunStatus::Failed => {
                let outcome = Outcome::Failed { step: "build".parse().unwrap(), error: error() };
                RunEvent::Finished { outcome, output: json!(null) }
            }
            _ => continue,
        };
        let stored = store.journal.load(run_id(number)).await.unwrap();
        let mut append = append(run_id(number), &stored, vec![started(1), end], Durability::Synced);
        let ended = later(Duration::from_hours(24 * (100 - days_ago)));
        append.entries.last_mut().unwrap().at = ended;
        append.summary.finished_at = Some(ended);
        store.journal.append(append).await.unwrap();
    }
    store.retention.pin(&workspace(), run_id(2), Pinning::Pinned).await.unwrap();
    listed(store).await
}

/// What the rules leave of the history on this store.
async fn left_by(store: &Backend, default: RetentionRules, own: &[(&str, RetentionRules)]) -> Vec<u64> {
    let own = own.iter().map(|(workflow, rules)| (workflow.parse().unwrap(), *rules)).collect();
    let mut picker = Picker::new(later(Duration::from_hours(24 * 100)), default, own);
    // In pages, as it is done: what is removed of one must not shift the next.
    let mut before = None;
    loop {
        let page = store.retention.newest(&workspace(), before, 2).await.unwrap();
        let Some(last) = page.last() else { return listed(store).await };
        before = Some(last.summary.id);
        store.retention.remove(&workspace(), &picker.pick(&page)).await.unwrap();
    }
}

fn rules(days: Option<u32>, runs: Option<u32>, keep_failed_days: Option<u32>) -> RetentionRules {
    RetentionRules { days, runs, keep_failed_days }
}

pub(crate) async fn runs_go_by_age(store: Backend) {
    assert_eq!(history(&store).await, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(left_by(&store, rules(None, None, None), &[]).await, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(left_by(&store, rules(Some(40), None, None), &[]).await, [2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(left_by(&store.restart(), rules(Some(30), None, None), &[]).await, [2, 3, 7, 8, 9]);
}

pub(crate) async fn runs_go_by_their_number_for_each_workflow(store: Backend) {
    history(&store).await;
    assert_eq!(left_by(&store, rules(None, Some(3), None), &[]).await, [2, 3, 6, 7, 8, 9]);
    assert_eq!(left_by(&store.restart(), rules(None, Some(1), None), &[]).await, [2, 3, 6, 9]);
}

pub(crate) async fn failed_runs_stay_longer_where_it_is_said(store: Backend) {
    history(&store).await;
    assert_eq!(left_by(&store, rules(Some(30), None, Some(90)), &[]).await, [2, 3, 5, 7, 8, 9]);
    assert_eq!(left_by(&store.restart(), rules(None, Some(1), Some(30)), &[]).await, [2, 3, 8, 9]);
}

pub(crate) async fn the_rules_of_a_workflow_come_before_the_operators(store: Backend) {
    history(&store).await;
    let own = [("pull", rules(Some(60), None, None))];
    assert_eq!(left_by(&store, rules(Some(10), None, None), &own).await, [2, 3, 6, 8, 9]);
}

pub(crate) async fn runs_go_by_bytes_the_oldest_first_until_the_rest_fits(store: Backend) {
    history(&store).await;
    let used = async |store: &Backend| {
        let usage = store.retention.usage().await.unwrap();
        usage.live_bytes + usage.payload_bytes
    };
    let before = used(&store).await;
    assert_eq!(store.retention.remove_oldest(&workspace(), 0).await.unwrap(), Removed::default());
    // Every run takes about as much as the others.
    let first = store.retention.remove(&workspace(), &[run_id(1)]).await.unwrap();
    let after = used(&store).await;
    assert!(first.bytes > 200 && before - after >= first.bytes, "{first:?}: {before}, {after}");
    let cap = ByteCap(after * 4);
    let usage = Usage { live_bytes: after + 1, ..Usage::default() };
    let excess = cap.excess(&usage).unwrap();
    let removed = store.retention.remove_oldest(&workspace(), excess).await.unwrap();
    assert!(removed.bytes >= excess && cap.excess(&store.retention.usage().await.unwrap()).is_none());
    let store = store.restart();
    // One page at a time: all that may go are in one, and everything else stays.
    assert_eq!(listed(&store).await, [2, 3]);
    assert_eq!(store.retention.remove_oldest(&workspace(), u64::MAX).await.unwrap(), Removed::default());
}
