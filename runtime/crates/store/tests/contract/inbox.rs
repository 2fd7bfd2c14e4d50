//! Inboxes, and the receipts of what steps did.

use std::sync::Arc;
use std::time::Duration;

use flowcell_core::id::{NotificationId, UserId};
use flowcell_core::inbox::{Delivery, From, Item, ItemQuery, KEPT_MAX, Notification, Priority, Which};
use flowcell_core::receipt::{KEPT, Receipt};
use flowcell_core::time::Timestamp;
use serde_json::json;

use crate::backend::{Backend, at, run_id, workspace};

pub(crate) fn notification(number: u64) -> Notification {
    Notification {
        id: NotificationId::from_parts(at(number), u128::from(number)),
        workspace: workspace(),
        title: format!("Message {number}"),
        body: Some("ä".repeat(1_000)),
        link: Some("/runs/x".to_owned()),
        priority: Priority::High,
        from: Some(From { workflow: "push".parse().unwrap(), run: run_id(1), step: "tell".parse().unwrap() }),
        created_at: at(number),
    }
}

fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

fn receipt(key: &str, at: Timestamp, number: u64) -> Receipt {
    Receipt { workspace: workspace(), key: key.to_owned(), at, result: json!({ "number": number }) }
}

fn to(users: &[&str], number: u64) -> Delivery {
    let recipients = users.iter().map(|id| user(id)).collect();
    Delivery { notification: notification(number), recipients, receipt: None }
}

async fn titles(store: &Backend, id: &str, query: ItemQuery) -> Vec<String> {
    let items = store.inbox.items(&workspace(), &user(id), query).await.unwrap();
    items.into_iter().map(|item| item.notification.title).collect()
}

const ALL: ItemQuery = ItemQuery { before: None, limit: 2_000, only_unread: false };

pub(crate) async fn a_message_is_in_every_recipients_inbox_newest_first_and_in_pages(store: Backend) {
    for number in 1..=3 {
        store.inbox.deliver(to(&["ana", "ben", "ana"], number)).await.unwrap();
    }
    store.inbox.deliver(to(&["ana-b"], 4)).await.unwrap();
    let store = store.restart();
    assert_eq!(titles(&store, "ben", ALL).await, ["Message 3", "Message 2", "Message 1"]);
    assert_eq!(titles(&store, "ana", ALL).await.len(), 3);
    assert_eq!(titles(&store, "ana-b", ALL).await, ["Message 4"]);
    assert_eq!(titles(&store, "nobody", ALL).await, [""; 0]);
    let page = store.inbox.items(&workspace(), &user("ben"), ItemQuery { limit: 2, ..ALL }).await.unwrap();
    let expected = Item { user: user("ben"), notification: notification(2), read_at: None };
    assert_eq!(page[1], expected);
    let before = Some(page[1].notification.id);
    assert_eq!(titles(&store, "ben", ItemQuery { before, ..ALL }).await, ["Message 1"]);
}

pub(crate) async fn the_same_receipt_delivers_once_before_and_after_a_restart(store: Backend) {
    let with = |number| Delivery { receipt: Some(receipt("inbox/k/1", at(number), number)), ..to(&["ana"], number) };
    assert_eq!(store.inbox.deliver(with(1)).await.unwrap(), None);
    assert_eq!(store.inbox.deliver(with(2)).await.unwrap(), Some(receipt("inbox/k/1", at(1), 1)));
    let store = store.restart();
    assert_eq!(store.inbox.deliver(with(3)).await.unwrap(), Some(receipt("inbox/k/1", at(1), 1)));
    assert_eq!(titles(&store, "ana", ALL).await, ["Message 1"]);
}

pub(crate) async fn one_of_many_concurrent_deliveries_of_a_receipt_is_made(store: Backend) {
    let deliveries: Vec<_> = (1..=32)
        .map(|number| {
            let inbox = Arc::clone(&store.inbox);
            let delivery = Delivery { receipt: Some(receipt("k", at(1), number)), ..to(&["ana"], number) };
            tokio::task::spawn(async move { inbox.deliver(delivery).await.unwrap().is_none() })
        })
        .collect();
    let mut made = 0;
    for delivery in deliveries {
        made += usize::from(delivery.await.unwrap());
    }
    assert_eq!(made, 1);
    assert_eq!(store.inbox.unread(&workspace(), &user("ana")).await.unwrap(), 1);
}

pub(crate) async fn a_receipt_that_is_too_old_does_not_count(store: Backend) {
    let with = |at, number| Delivery { receipt: Some(receipt("k", at, number)), ..to(&["ana"], number) };
    store.inbox.deliver(with(at(0), 1)).await.unwrap();
    let just_before = at(0) + KEPT.saturating_sub(Duration::from_millis(1));
    assert!(store.inbox.deliver(with(just_before, 2)).await.unwrap().is_some());
    assert!(store.inbox.deliver(with(at(0) + KEPT, 3)).await.unwrap().is_none());
    assert_eq!(titles(&store, "ana", ALL).await, ["Message 3", "Message 1"]);
}

pub(crate) async fn items_are_marked_read_and_unread_and_deleted(store: Backend) {
    for number in 1..=4 {
        store.inbox.deliver(to(&["ana", "ben"], number)).await.unwrap();
    }
    let (here, ana) = (workspace(), user("ana"));
    let mark = |which, read_at| store.inbox.mark((&here, &ana), which, read_at);
    let id = |number: u64| notification(number).id;
    assert_eq!(mark(Which::One(id(2)), Some(at(10))).await.unwrap(), 1);
    assert_eq!(mark(Which::One(id(2)), Some(at(11))).await.unwrap(), 0);
    assert_eq!(mark(Which::UpTo(id(3)), Some(at(12))).await.unwrap(), 2);
    assert_eq!(store.inbox.unread(&here, &ana).await.unwrap(), 1);
    assert_eq!(titles(&store, "ana", ItemQuery { only_unread: true, ..ALL }).await, ["Message 4"]);
    let read: Vec<_> = store.inbox.items(&here, &ana, ALL).await.unwrap().iter().map(|item| item.read_at).collect();
    assert_eq!(read, [None, Some(at(12)), Some(at(10)), Some(at(12))]);
    assert_eq!(mark(Which::One(id(2)), None).await.unwrap(), 1);
    assert_eq!(mark(Which::All, Some(at(13))).await.unwrap(), 2);
    let store = store.restart();
    assert_eq!(store.inbox.unread(&here, &ana).await.unwrap(), 0);
    assert_eq!(store.inbox.unread(&here, &user("ben")).await.unwrap(), 4);
    assert_eq!(store.inbox.delete(&here, &ana, Which::One(id(2))).await.unwrap(), 1);
    assert_eq!(store.inbox.delete(&here, &ana, Which::One(id(2))).await.unwrap(), 0);
    assert_eq!(titles(&store, "ana", ALL).await, ["Message 4", "Message 3", "Message 1"]);
    assert_eq!(store.inbox.delete(&here, &ana, Which::All).await.unwrap(), 3);
    assert_eq!(titles(&store, "ben", ALL).await.len(), 4);
}

pub(crate) async fn an_inbox_keeps_its_newest(store: Backend) {
    let users: Vec<String> = (0..300).map(|number| format!("u{number}")).collect();
    let everybody: Vec<&str> = users.iter().map(String::as_str).collect();
    store.inbox.deliver(to(&everybody, 0)).await.unwrap();
    let last = KEPT_MAX as u64 + 3;
    for number in 1..=last {
        store.inbox.deliver(to(&["u7"], number)).await.unwrap();
    }
    let kept = titles(&store, "u7", ALL).await;
    assert_eq!((kept.len(), kept[0].as_str()), (KEPT_MAX, "Message 1003"));
    assert!(!kept.contains(&"Message 0".to_owned()));
    assert_eq!(titles(&store, "u299", ALL).await, ["Message 0"]);
}

pub(crate) async fn receipts_are_kept_and_forgotten_by_their_time(store: Backend) {
    for number in 1..=5 {
        store.receipts.put(receipt(&format!("k{number}"), at(number), number)).await.unwrap();
    }
    store.receipts.put(receipt("k5", at(6), 6)).await.unwrap();
    let store = store.restart();
    assert_eq!(store.receipts.get(&workspace(), "k5").await.unwrap(), Some(receipt("k5", at(6), 6)));
    assert_eq!(store.receipts.get(&"other".parse().unwrap(), "k5").await.unwrap(), None);
    assert_eq!(store.receipts.forget(at(4), 2).await.unwrap(), 2);
    assert_eq!(store.receipts.forget(at(4), 2).await.unwrap(), 1);
    assert_eq!(store.receipts.forget(at(4), 2).await.unwrap(), 0);
    assert_eq!(store.receipts.get(&workspace(), "k3").await.unwrap(), None);
    assert_eq!(store.receipts.get(&workspace(), "k4").await.unwrap(), Some(receipt("k4", at(4), 4)));
}
