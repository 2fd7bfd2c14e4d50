//! What a poll brought and how far it came, together or not at all; and what stands at providers.

use std::sync::Arc;

use flowcell_core::id::{Digest, WorkspaceId};
use flowcell_core::ports::{
    Accepted, Delivery, PollState, Registered, StoreError, SubscriptionState, Subscriptions, Wanted,
};
use serde_json::json;

use crate::backend::{Backend, at, delivery, delivery_to, run_id, workspace};

fn state(workflow: &str, revision: u64, cursor: &str) -> PollState {
    let place = (workspace(), workflow.parse().unwrap(), "trigger".to_owned());
    PollState { revision, cursor: Some(cursor.to_owned()), ..PollState::new(place, Digest::of(b"source"), at(0)) }
}

fn keyed(number: u64, key: &str) -> Delivery {
    Delivery { dedupe_key: Some(key.to_owned()), ..delivery(number) }
}

async fn stored(store: &Backend) -> Option<PollState> {
    store.polls.get(&workspace(), &"push".parse().unwrap()).await.unwrap()
}

pub(crate) async fn what_a_poll_brought_and_its_cursor_are_written_together(store: Backend) {
    let changed = store.changed();
    let accepted = store.polls.record(state("push", 1, "a"), vec![delivery(1), delivery(2)]).await.unwrap();
    changed.await;
    assert_eq!(accepted.iter().map(|one| one.runs.clone()).collect::<Vec<_>>(), [[run_id(1)], [run_id(2)]]);
    assert_eq!(store.queue.claim(at(10), 10).await.unwrap(), [run_id(1), run_id(2)]);
    store.summary_fits(run_id(2)).await;
    // One without anything new.
    assert_eq!(store.polls.record(state("push", 2, "b"), vec![]).await.unwrap(), []);
    let store = store.restart();
    assert_eq!(stored(&store).await, Some(state("push", 2, "b")));
    assert_eq!(store.queue.claim(at(10), 10).await.unwrap(), [run_id(1), run_id(2)]);
    // What is polled goes on to be used as any other run.
    assert_eq!(store.journal.load(run_id(1)).await.unwrap(), [delivery(1).runs[0].created.clone()]);
}

pub(crate) async fn a_state_that_is_not_the_next_is_a_conflict_and_nothing_of_its_runs_is_there(store: Backend) {
    store.polls.record(state("push", 1, "a"), vec![delivery(1)]).await.unwrap();
    for revision in [0, 1, 3] {
        let refused = store.polls.record(state("push", revision, "x"), vec![delivery(2)]).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { actual: 1, .. }), "{refused:?}");
    }
    let first = store.polls.record(state("other", 2, "x"), vec![delivery(2)]).await.unwrap_err();
    assert!(matches!(first, StoreError::Conflict { actual: 0, .. }), "{first:?}");
    let store = store.restart();
    assert_eq!(stored(&store).await, Some(state("push", 1, "a")));
    assert_eq!(store.index.get(&workspace(), run_id(2)).await.unwrap(), None);
    assert!(matches!(store.journal.load(run_id(2)).await, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn one_delivery_that_cannot_be_written_keeps_everything_else_out(store: Backend) {
    store.start(7).await;
    let mut strange = delivery(5);
    strange.runs[0].summary.events = 9;
    let elsewhere: WorkspaceId = "elsewhere".parse().unwrap();
    let foreign = delivery_to(6, &elsewhere, "push", json!({}));
    for bad in [delivery(7), delivery(2), strange, foreign] {
        let deliveries = vec![keyed(2, "k"), delivery(3), bad, delivery(4)];
        let refused = store.polls.record(state("push", 1, "a"), deliveries).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused { .. }), "{refused:?}");
    }
    let store = store.restart();
    assert_eq!(stored(&store).await, None);
    for number in 2..=4 {
        assert_eq!(store.index.get(&workspace(), run_id(number)).await.unwrap(), None);
    }
    assert!(!store.polls.is_known(&keyed(2, "k")).await.unwrap());
}

pub(crate) async fn a_delivery_that_came_before_starts_nothing_and_the_others_do(store: Backend) {
    assert!(!store.polls.is_known(&keyed(1, "a")).await.unwrap());
    store.polls.record(state("push", 1, "1"), vec![keyed(1, "a")]).await.unwrap();
    let store = store.restart();
    assert!(store.polls.is_known(&keyed(2, "a")).await.unwrap());
    assert!(!store.polls.is_known(&keyed(2, "b")).await.unwrap());
    assert!(!store.polls.is_known(&delivery(1)).await.unwrap(), "without a key nothing is recognised");
    // The first repeats what an earlier poll brought, the last what came just before it.
    let deliveries = vec![keyed(2, "a"), keyed(3, "b"), keyed(4, "b")];
    let accepted = store.polls.record(state("push", 2, "2"), deliveries).await.unwrap();
    let runs = |accepted: &[Accepted]| accepted.iter().map(|one| (one.runs.clone(), one.duplicate)).collect::<Vec<_>>();
    let expected = [(vec![run_id(1)], true), (vec![run_id(3)], false), (vec![run_id(3)], true)];
    assert_eq!(runs(&accepted), expected);
    assert_eq!(store.queue.claim(at(10), 10).await.unwrap(), [run_id(1), run_id(3)]);
    assert!(matches!(store.journal.load(run_id(4)).await, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn one_of_many_concurrent_polls_wins_with_all_its_runs(store: Backend) {
    let polls: Vec<_> = (0..16_u64)
        .map(|number| {
            let polls = Arc::clone(&store.polls);
            tokio::task::spawn(async move {
                let deliveries = vec![delivery(number * 2), delivery(number * 2 + 1)];
                polls.record(state("push", 1, &number.to_string()), deliveries).await
            })
        })
        .collect();
    let mut won = Vec::new();
    for (number, poll) in polls.into_iter().enumerate() {
        match poll.await.unwrap() {
            Ok(accepted) => won.push((number as u64, accepted.len())),
            Err(error) => assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}"),
        }
    }
    let [(number, 2)] = won[..] else { panic!("{won:?}") };
    assert_eq!(stored(&store).await, Some(state("push", 1, &number.to_string())));
    assert_eq!(store.queue.claim(at(100), 100).await.unwrap(), [run_id(number * 2), run_id(number * 2 + 1)]);
}

pub(crate) async fn large_cursors_and_payloads_are_there_after_a_restart(store: Backend) {
    let large = |size: usize, mark: &str| format!("{mark}{}", "ä".repeat(size));
    for revision in 1..=4_u64 {
        // Every other one has its cursor in a file.
        let size = if revision % 2 == 0 { 100 } else { 100_000 };
        let payload = json!({ "text": large(20_000, &revision.to_string()) });
        let brought = vec![delivery_to(revision, &workspace(), "push", payload)];
        store.polls.record(state("push", revision, &large(size, &revision.to_string())), brought).await.unwrap();
    }
    store.polls.record(state("push", 5, &large(100_000, "5")), vec![]).await.unwrap();
    let refused = store.polls.record(state("push", 5, &large(100_000, "5")), vec![delivery(9)]).await;
    assert!(refused.is_err(), "and what it brought along takes nothing away from the one that is there");
    assert_eq!(stored(&store).await, Some(state("push", 5, &large(100_000, "5"))));
    let store = store.restart();
    assert_eq!(stored(&store).await, Some(state("push", 5, &large(100_000, "5"))));
    for number in 1..=4 {
        assert_eq!(store.journal.load(run_id(number)).await.unwrap().len(), 1);
    }
}

pub(crate) async fn states_are_listed_by_workflow_within_their_workspace(store: Backend) {
    for workflow in ["b", "a", "c"] {
        store.polls.record(state(workflow, 1, workflow), vec![]).await.unwrap();
    }
    let elsewhere = PollState { workspace: "elsewhere".parse().unwrap(), ..state("a", 1, "z") };
    store.polls.record(elsewhere.clone(), vec![]).await.unwrap();
    Subscriptions::put(&*store.subscriptions, subscription(1)).await.unwrap();
    assert_eq!(store.polls.list(&workspace()).await.unwrap(), ["a", "b", "c"].map(|name| state(name, 1, name)));
    assert_eq!(store.polls.list(&elsewhere.workspace).await.unwrap(), [elsewhere]);
    assert_eq!(store.polls.list(&"nowhere".parse().unwrap()).await.unwrap(), []);
}

fn subscription(revision: u64) -> SubscriptionState {
    let wanted = Wanted {
        digest: Digest::of(b"plugin"),
        member: "changed".to_owned(),
        source: Digest::of(b"source"),
        config: json!({ "list": revision }),
        connection: Some("crm".parse().unwrap()),
        url_generation: 2,
        base_url: "https://flowcell.test".to_owned(),
    };
    let registered =
        Registered { wanted: wanted.clone(), registration: json!({ "id": 7 }), at: at(1), expires_at: Some(at(9)) };
    SubscriptionState {
        revision,
        intent: Some(wanted),
        current: Some(registered.clone()),
        retiring: vec![registered],
        ..SubscriptionState::new(workspace(), "push".parse().unwrap())
    }
}

pub(crate) async fn subscriptions_follow_one_another_and_survive_a_restart(store: Backend) {
    let subscriptions = &store.subscriptions;
    subscriptions.put(subscription(1)).await.unwrap();
    assert!(matches!(subscriptions.put(subscription(1)).await, Err(StoreError::Conflict { actual: 1, .. })));
    subscriptions.put(subscription(2)).await.unwrap();
    let store = store.restart();
    let found = store.subscriptions.get(&workspace(), &"push".parse().unwrap()).await.unwrap();
    assert_eq!(found, Some(subscription(2)));
    assert_eq!(store.subscriptions.list(&workspace()).await.unwrap(), [subscription(2)]);
    assert_eq!(stored(&store).await, None, "one is not the other");
}
