//! Accepting deliveries, appending, loading.

use std::sync::Arc;

use flowcell_core::id::Digest;
use flowcell_core::ports::{Accepted, DedupeTerms, Durability, StoreError};
use flowcell_core::run::event::RunEvent;
use flowcell_core::run::fold::Run;
use flowcell_store::DEDUPE_WINDOW;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::backend::{
    Backend, append, at, delivery, delivery_to, event_id, failed, finished, parked, run_id, started, succeeded,
    workspace,
};

pub(crate) async fn an_accepted_delivery_is_there_with_its_runs(store: Backend) {
    let mut delivery = delivery(1);
    delivery.runs.extend(crate::backend::delivery(2).runs.into_iter().map(|mut run| {
        run.summary.event = event_id(1);
        run
    }));
    let created = delivery.runs.iter().map(|run| run.created.clone()).collect::<Vec<_>>();
    let accepted = store.journal.accept(delivery).await.unwrap();
    assert_eq!(accepted, Accepted { event: event_id(1), runs: vec![run_id(1), run_id(2)], duplicate: false });
    let store = store.restart();
    for (run, created) in accepted.runs.into_iter().zip(created) {
        assert_eq!(store.journal.load(run).await.unwrap(), [created]);
    }
    store.summary_fits(run_id(1)).await;
}

pub(crate) async fn an_event_without_runs_is_accepted_too(store: Backend) {
    let mut delivery = delivery(1);
    delivery.runs.clear();
    delivery.dedupe_key = Some("k".to_owned());
    assert!(store.journal.accept(delivery.clone()).await.unwrap().runs.is_empty());
    assert!(store.journal.accept(delivery).await.unwrap().duplicate);
}

pub(crate) async fn the_same_key_starts_nothing_and_answers_with_the_first_event(store: Backend) {
    let keyed = |number| {
        let mut delivery = delivery(number);
        delivery.dedupe_key = Some("push-77".to_owned());
        delivery
    };
    let first = store.journal.accept(keyed(1)).await.unwrap();
    let second = store.journal.accept(keyed(2)).await.unwrap();
    assert_eq!(second, Accepted { duplicate: true, ..first.clone() });
    assert!(matches!(store.journal.load(run_id(2)).await, Err(StoreError::NotFound { .. })));
    let store = store.restart();
    assert_eq!(store.journal.accept(keyed(3)).await.unwrap(), second);
}

pub(crate) async fn the_same_key_on_another_trigger_or_workspace_is_another_delivery(store: Backend) {
    let other = "other".parse().unwrap();
    let mut deliveries = [delivery(1), delivery(2), delivery_to(3, &other, "push", json!(null)), delivery(4)];
    "second".clone_into(&mut deliveries[1].trigger);
    for delivery in &mut deliveries[..3] {
        delivery.dedupe_key = Some("k".to_owned());
    }
    for delivery in deliveries {
        assert!(!store.journal.accept(delivery).await.unwrap().duplicate);
    }
}

pub(crate) async fn a_key_is_forgotten_after_seventy_two_hours(store: Backend) {
    let keyed = |number, received_at| {
        let mut delivery = delivery(number);
        delivery.dedupe_key = Some("k".to_owned());
        delivery.received_at = received_at;
        delivery
    };
    let millisecond = std::time::Duration::from_millis(1);
    assert!(!store.journal.accept(keyed(1, at(0))).await.unwrap().duplicate);
    assert!(
        store
            .journal
            .accept(keyed(2, at(0) + DEDUPE_WINDOW.checked_sub(millisecond).unwrap()))
            .await
            .unwrap()
            .duplicate
    );
    assert!(!store.journal.accept(keyed(3, at(0) + DEDUPE_WINDOW)).await.unwrap().duplicate);
    // The key now stands for the third delivery, also for a clock that has gone back.
    let repeated = store.journal.accept(keyed(4, at(5))).await.unwrap();
    assert_eq!((repeated.event, repeated.duplicate), (event_id(3), true));
}

pub(crate) async fn a_key_is_forgotten_after_the_window_of_its_terms(store: Backend) {
    let (hour, terms) = (std::time::Duration::from_hours(1), |window| DedupeTerms { window, body: None });
    let keyed = |number, received_at, terms| {
        let mut delivery = delivery(number);
        (delivery.dedupe_key, delivery.received_at, delivery.dedupe) = (Some("k".to_owned()), received_at, terms);
        delivery
    };
    assert!(!store.journal.accept(keyed(1, at(0), terms(hour))).await.unwrap().duplicate);
    assert!(store.journal.accept(keyed(2, at(0) + hour / 2, terms(hour))).await.unwrap().duplicate);
    assert!(!store.journal.accept(keyed(3, at(0) + hour, terms(hour))).await.unwrap().duplicate);
    // No terms reach beyond what the store keeps.
    let late = keyed(4, at(0) + hour + DEDUPE_WINDOW, terms(DEDUPE_WINDOW * 2));
    assert!(!store.journal.accept(late).await.unwrap().duplicate);
}

pub(crate) async fn the_same_key_with_another_body_is_refused_where_bodies_count(store: Backend) {
    let keyed = |number, body: Option<&str>| {
        let mut delivery = delivery(number);
        delivery.dedupe_key = Some("k".to_owned());
        delivery.dedupe.body = body.map(|body| Digest::of(body.as_bytes()));
        delivery
    };
    let first = store.journal.accept(keyed(1, Some("a"))).await.unwrap();
    let store = store.restart();
    let refused = store.journal.accept(keyed(2, Some("b"))).await;
    assert!(matches!(refused, Err(StoreError::OtherBody { event }) if event == first.event), "{refused:?}");
    for same in [keyed(3, Some("a")), keyed(4, None)] {
        assert_eq!(store.journal.accept(same).await.unwrap(), Accepted { duplicate: true, ..first.clone() });
    }
    assert!(matches!(store.journal.load(run_id(2)).await, Err(StoreError::NotFound { .. })));
    // A record of before bodies counted says nothing about its body.
    let mut unsaid = [keyed(5, None), keyed(6, Some("c"))];
    for delivery in &mut unsaid {
        delivery.dedupe_key = Some("unsaid".to_owned());
    }
    let mut duplicates = Vec::new();
    for delivery in unsaid {
        duplicates.push(store.journal.accept(delivery).await.unwrap().duplicate);
    }
    assert_eq!(duplicates, [false, true]);
}

pub(crate) async fn sixty_four_concurrent_duplicates_are_one_event_before_and_after_a_restart(store: Backend) {
    let mut first = None;
    let mut store = store;
    for round in 0..2 {
        let calls = (0..64).map(|caller| {
            let mut delivery = delivery(100 * round + caller);
            delivery.dedupe_key = Some("k".to_owned());
            let journal = Arc::clone(&store.journal);
            tokio::task::spawn(async move { journal.accept(delivery).await.unwrap() })
        });
        let mut fresh = 0;
        for call in calls.collect::<Vec<_>>() {
            let accepted = call.await.unwrap();
            fresh += u32::from(!accepted.duplicate);
            let first = first.get_or_insert(accepted.event);
            assert_eq!(accepted.event, *first);
        }
        assert_eq!(fresh, u32::from(round == 0));
        assert_eq!(store.queue.claim(at(1_000_000), 1_000).await.unwrap().len(), 1);
        store = store.restart();
    }
}

pub(crate) async fn an_event_or_run_that_is_there_is_never_replaced(store: Backend) {
    let run = store.start(1).await;
    let before = store.journal.load(run).await.unwrap();
    assert!(store.journal.accept(delivery(1)).await.is_err());
    let mut same_run = delivery(2);
    same_run.runs[0].id = run;
    same_run.runs[0].summary.id = run;
    assert!(store.journal.accept(same_run).await.is_err());
    assert_eq!(store.journal.load(run).await.unwrap(), before);
    // The refused delivery has left nothing behind that takes its place.
    store.start(2).await;
}

pub(crate) async fn a_delivery_whose_run_does_not_begin_right_is_refused(store: Backend) {
    let break_it: [fn(&mut flowcell_core::ports::Delivery); 4] = [
        |delivery| delivery.runs[0].created.seq = 1,
        |delivery| delivery.runs[0].created.event = finished(),
        |delivery| delivery.runs[0].summary.events = 2,
        |delivery| delivery.runs[0].summary.id = run_id(9),
    ];
    for break_it in break_it {
        let mut delivery = delivery(1);
        break_it(&mut delivery);
        assert!(matches!(store.journal.accept(delivery).await, Err(StoreError::Refused { .. })));
    }
}

pub(crate) async fn an_append_at_the_wrong_length_is_a_conflict_that_tells_the_length(store: Backend) {
    let run = store.start(1).await;
    let stale = store.next(run, vec![started(1)], Durability::Synced).await;
    store.journal.append(stale.clone()).await.unwrap();
    let Err(StoreError::Conflict { what, expected, actual }) = store.journal.append(stale).await else {
        panic!("a second first attempt")
    };
    assert!(what.contains(&run.to_string()), "{what}");
    assert_eq!((expected, actual), (1, 2));
    store.summary_fits(run).await;
}

pub(crate) async fn one_of_many_concurrent_appends_wins(store: Backend) {
    let run = store.start(1).await;
    let append = store.next(run, vec![started(1)], Durability::Synced).await;
    let calls = (0..32).map(|_| {
        let (journal, append) = (Arc::clone(&store.journal), append.clone());
        tokio::task::spawn(async move { journal.append(append).await })
    });
    let mut won = 0;
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(()) => won += 1,
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(store.journal.load(run).await.unwrap().len(), 2);
}

pub(crate) async fn an_append_that_is_only_queued_conflicts_at_once(store: Backend) {
    let run = store.start(1).await;
    let append = store.next(run, vec![started(1)], Durability::NextGroup).await;
    store.journal.append(append.clone()).await.unwrap();
    assert!(matches!(store.journal.append(append).await, Err(StoreError::Conflict { expected: 1, actual: 2, .. })));
}

pub(crate) async fn queued_appends_are_there_after_a_synced_one(store: Backend) {
    let run = store.start(1).await;
    let mut history = store.journal.load(run).await.unwrap();
    let steps = [
        (started(1), Durability::NextGroup),
        (failed(1, Some(at(3))), Durability::NextGroup),
        (started(2), Durability::NextGroup),
        (succeeded(2, json!(1)), Durability::Synced),
    ];
    for (event, durability) in steps {
        let append = append(run, &history, vec![event], durability);
        history.extend(append.entries.clone());
        store.journal.append(append).await.unwrap();
    }
    let store = store.restart();
    assert_eq!(store.journal.load(run).await.unwrap(), history);
    store.summary_fits(run).await;
}

pub(crate) async fn nothing_is_appended_after_the_end(store: Backend) {
    let run = store.start(1).await;
    let late = store.next(run, vec![started(1)], Durability::Synced).await;
    store.happens(run, finished()).await;
    let before = store.journal.load(run).await.unwrap();
    assert!(matches!(store.journal.append(late.clone()).await, Err(StoreError::Conflict { actual: 2, .. })));
    let mut later = late;
    later.entries[0].seq = 2;
    later.summary.events = 3;
    assert!(matches!(store.journal.append(later).await, Err(StoreError::Refused { .. })));
    assert_eq!(store.journal.load(run).await.unwrap(), before);
    store.summary_fits(run).await;
}

pub(crate) async fn nothing_is_appended_to_a_run_that_is_not_there(store: Backend) {
    store.start(1).await;
    let absent = append(run_id(2), &[delivery(2).runs[0].created.clone()], vec![started(1)], Durability::NextGroup);
    assert!(matches!(store.journal.append(absent).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(store.journal.load(run_id(2)).await, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn an_append_of_another_workspace_does_not_find_the_run(store: Backend) {
    let run = store.start(1).await;
    let other = "other".parse().unwrap();
    store.journal.accept(delivery_to(2, &other, "push", json!(null))).await.unwrap();
    let mut foreign = store.next(run, vec![started(1)], Durability::Synced).await;
    foreign.summary.workspace = other;
    assert!(matches!(store.journal.append(foreign).await, Err(StoreError::NotFound { .. })));
    assert_eq!(store.journal.load(run).await.unwrap().len(), 1);
}

pub(crate) async fn entries_out_of_turn_or_uncounted_are_refused(store: Backend) {
    let run = store.start(1).await;
    let good = store.next(run, vec![started(1), parked(1)], Durability::Synced).await;
    let break_it: [fn(&mut flowcell_core::ports::Append); 4] = [
        |append| append.entries.clear(),
        |append| append.entries[1].seq = 1,
        |append| append.summary.events = 2,
        |append| append.summary.id = run_id(9),
    ];
    for break_it in break_it {
        let mut append = good.clone();
        break_it(&mut append);
        assert!(matches!(store.journal.append(append).await, Err(StoreError::Refused { .. })));
    }
    store.journal.append(good).await.unwrap();
}

pub(crate) async fn large_and_odd_values_come_back_as_they_were(store: Backend) {
    let values = [
        json!("x".repeat(3_500)),
        json!("ä€𝄞\u{0}\"\\".repeat(2_000)),
        json!([0.1, -0.0, 1e300, 2.638_344_616_030_823e-256, 51.248_178_379_011_6, u64::MAX, i64::MIN, null, {"": {"a.b": []}}]),
        json!((0..200_000).collect::<Vec<_>>()),
    ];
    let mut histories = Vec::new();
    for (number, value) in (1..).zip(&values) {
        store.journal.accept(delivery_to(number, &workspace(), "push", value.clone())).await.unwrap();
        let append =
            store.next(run_id(number), vec![started(1), succeeded(1, value.clone())], Durability::Synced).await;
        store.journal.append(append).await.unwrap();
        histories.push((run_id(number), store.journal.load(run_id(number)).await.unwrap()));
    }
    let store = store.restart();
    for ((run, history), value) in histories.into_iter().zip(values) {
        assert_eq!(store.journal.load(run).await.unwrap(), history);
        let RunEvent::StepSucceeded { output, .. } = &history[2].event else { panic!("not a result") };
        assert_eq!(**output, value);
    }
}

pub(crate) async fn any_split_of_a_history_into_appends_folds_to_the_same_run(store: Backend) {
    let mut runner = TestRunner::deterministic();
    let plans = proptest::collection::vec((1_usize..4, proptest::bool::ANY), 1..6);
    let mut store = store;
    for number in 1..=24 {
        let run = store.start(number).await;
        let mut history = store.journal.load(run).await.unwrap();
        let attempts = plans.new_tree(&mut runner).unwrap().current();
        let mut pending = Vec::new();
        for attempt in 1..=u32::try_from(attempts.len()).unwrap() {
            pending.extend([started(attempt), failed(attempt, Some(at(u64::from(attempt))))]);
        }
        for (size, is_synced) in attempts {
            let events: Vec<_> = pending.drain(..size.min(pending.len())).collect();
            if events.is_empty() {
                break;
            }
            let durability = if is_synced { Durability::Synced } else { Durability::NextGroup };
            let append = append(run, &history, events, durability);
            history.extend(append.entries.clone());
            store.journal.append(append).await.unwrap();
        }
        if number % 8 == 0 {
            store = store.restart();
        }
        // A synced write of another run comes after everything queued: then all of it is there.
        store.start(1_000 + number).await;
        let stored = store.journal.load(run).await.unwrap();
        assert_eq!(stored, history);
        for seq in 0..=history.len() {
            let rest = store.journal.load_from(run, u32::try_from(seq).unwrap()).await.unwrap();
            assert_eq!(rest, history[seq..], "from entry {seq} on");
        }
        let folded = Run::fold(run, &stored).unwrap();
        assert_eq!(store.index.get(&workspace(), run).await.unwrap(), Some(folded.summary()));
    }
}
