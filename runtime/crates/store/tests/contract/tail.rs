//! Following what becomes durable.

use flowcell_core::ports::TailRead;

use crate::backend::{Backend, delivery_to, finished, run_id, started, workspace};

pub(crate) async fn a_follower_sees_every_entry_once_and_in_order(store: Backend) {
    let mut reached = store.tail.end();
    let grown = store.tail.grown();
    let run = store.start(1).await;
    // Not polled before the change: the call itself is the subscription.
    grown.await;
    store.journal.accept(delivery_to(2, &"other".parse().unwrap(), "push", serde_json::json!(1))).await.unwrap();
    store.happens(run, started(1)).await;
    store.happens(run, finished()).await;
    let mut seen = Vec::new();
    loop {
        let TailRead::Changes { changes, reached: next } = store.tail.after(&workspace(), reached, 1) else {
            panic!("nothing was cut")
        };
        if next == reached {
            break;
        }
        reached = next;
        seen.extend(changes.iter().flat_map(|change| (change.first_seq..change.next_seq).map(|seq| (change.run, seq))));
    }
    assert_eq!(seen, [(run_id(1), 0), (run_id(1), 1), (run_id(1), 2)]);
    assert_eq!(reached, store.tail.end());
}

pub(crate) async fn what_a_follower_is_told_of_is_in_the_journal(store: Backend) {
    let mut reached = store.tail.end();
    for number in 1..=20 {
        let grown = store.tail.grown();
        store.start(number).await;
        grown.await;
        let TailRead::Changes { changes, reached: next } = store.tail.after(&workspace(), reached, 100) else {
            panic!("nothing was cut")
        };
        reached = next;
        for change in changes {
            assert_eq!(store.journal.load(change.run).await.unwrap().len(), change.next_seq as usize);
        }
    }
    // After a restart nobody knows what was missed; a later place is greater.
    let store = store.restart();
    assert!(store.tail.end() >= reached);
}
