//! The users of a workspace.

use std::sync::Arc;

use flowcell_core::id::{NotificationId, UserId, WorkspaceId};
use flowcell_core::inbox::{Delivery, Which};
use flowcell_core::people::{Person, QuietHours, StoredPerson};
use flowcell_core::ports::StoreError;

use crate::backend::{Backend, at, workspace};
use crate::inbox::notification;

pub(crate) fn user(workspace: &WorkspaceId, id: &str, revision: u32) -> StoredPerson {
    let quiet_hours = QuietHours {
        from: "22:00".parse().unwrap(),
        to: "07:00".parse().unwrap(),
        timezone: "Europe/Berlin".to_owned(),
    };
    let person = Person {
        workspace: workspace.clone(),
        id: id.parse().unwrap(),
        name: "Zoë".to_owned(),
        email: Some("zoe@example.com".to_owned()),
        phone: Some("+4930901820".to_owned()),
        roles: vec!["support".parse().unwrap()],
        quiet_hours: Some(quiet_hours),
        channels: vec!["in-app".to_owned()],
        created_at: at(0),
        updated_at: at(u64::from(revision)),
    };
    StoredPerson { person, revision }
}

fn id(id: &str) -> UserId {
    id.parse().unwrap()
}

pub(crate) async fn a_user_is_there_after_it_was_put_and_each_write_is_the_next_revision(store: Backend) {
    let of = |revision| user(&workspace(), "zoe", revision);
    assert_eq!(store.people.get(&workspace(), &id("zoe")).await.unwrap(), None);
    for (stored, wrong) in [(0, vec![0, 2]), (1, vec![1, 3])] {
        for wrong in wrong {
            let refused = store.people.put(of(wrong)).await;
            assert!(matches!(refused, Err(StoreError::Conflict { actual, .. }) if actual == stored), "{refused:?}");
        }
        store.people.put(of(stored + 1)).await.unwrap();
    }
    assert_eq!(store.people.get(&workspace(), &id("zoe")).await.unwrap(), Some(of(2)));
}

pub(crate) async fn one_of_many_concurrent_writes_of_a_user_wins(store: Backend) {
    store.people.put(user(&workspace(), "zoe", 1)).await.unwrap();
    let puts: Vec<_> = (0..32)
        .map(|_| {
            let people = Arc::clone(&store.people);
            tokio::task::spawn(async move { people.put(user(&workspace(), "zoe", 2)).await.is_ok() })
        })
        .collect();
    let mut won = 0;
    for put in puts {
        won += usize::from(put.await.unwrap());
    }
    assert_eq!(won, 1);
}

pub(crate) async fn users_are_listed_by_id_within_their_workspace_and_survive_a_restart(store: Backend) {
    let other: WorkspaceId = "other".parse().unwrap();
    for (workspace, id) in [(&workspace(), "ben"), (&workspace(), "a-b"), (&other, "zoe"), (&workspace(), "a")] {
        store.people.put(user(workspace, id, 1)).await.unwrap();
    }
    let store = store.restart();
    let ids = |listed: Vec<StoredPerson>| -> Vec<String> {
        listed.into_iter().map(|stored| stored.person.id.to_string()).collect()
    };
    assert_eq!(ids(store.people.list(&workspace()).await.unwrap()), ["a", "a-b", "ben"]);
    assert_eq!(ids(store.people.list(&other).await.unwrap()), ["zoe"]);
    assert_eq!(store.people.get(&other, &id("zoe")).await.unwrap(), Some(user(&other, "zoe", 1)));
    assert!(store.people.list(&"nowhere".parse().unwrap()).await.unwrap().is_empty());
    assert!(!store.people.remove(&other, &id("a")).await.unwrap());
}

pub(crate) async fn a_removed_user_takes_their_inbox_along(store: Backend) {
    for name in ["ana", "ben"] {
        store.people.put(user(&workspace(), name, 1)).await.unwrap();
    }
    let recipients = vec![id("ana"), id("ben")];
    let delivery = Delivery { notification: notification(1), recipients, receipt: None };
    store.inbox.deliver(delivery).await.unwrap();
    assert!(store.people.remove(&workspace(), &id("ana")).await.unwrap());
    assert!(!store.people.remove(&workspace(), &id("ana")).await.unwrap());
    let store = store.restart();
    store.people.put(user(&workspace(), "ana", 1)).await.unwrap();
    assert_eq!(store.inbox.unread(&workspace(), &id("ana")).await.unwrap(), 0);
    assert_eq!(store.inbox.unread(&workspace(), &id("ben")).await.unwrap(), 1);
    let one = Which::One(NotificationId::from_parts(at(1), 1));
    assert_eq!(store.inbox.delete(&workspace(), &id("ben"), one).await.unwrap(), 1);
}
