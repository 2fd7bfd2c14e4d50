//! Connections and their sealed secrets.

use std::sync::Arc;

use flowcell_core::connection::{Binding, Connection, Kind, State, StoredConnection, Usage};
use flowcell_core::id::{ConnectionName, WorkspaceId};
use flowcell_core::ports::StoreError;

use crate::backend::{Backend, at, workspace};

fn connection(workspace: &WorkspaceId, name: &str, revision: u32) -> StoredConnection {
    StoredConnection {
        connection: Connection {
            workspace: workspace.clone(),
            name: name.parse().unwrap(),
            kind: Kind::Basic { username: "ada".to_owned() },
            bound: Binding { hosts: Vec::new(), anywhere: false, plugins: vec!["flowcell/http".parse().unwrap()] },
            note: String::new(),
            state: State::NeedsReconnecting { since: at(1), reason: "revoked".to_owned() },
            created_at: at(0),
            updated_at: at(u64::from(revision)),
        },
        revision,
        sealed: vec![0, 159, 146, u8::try_from(revision % 256).unwrap()],
        usage: Usage { last_used_at: Some(at(2)), origins: vec!["https://a.example".to_owned()], plugins: Vec::new() },
    }
}

fn name(name: &str) -> ConnectionName {
    name.parse().unwrap()
}

pub(crate) async fn a_connection_is_there_after_it_was_put_and_each_write_is_the_next_revision(store: Backend) {
    let of = |revision| connection(&workspace(), "crm", revision);
    assert_eq!(store.connections.get(&workspace(), &name("crm")).await.unwrap(), None);
    for wrong in [0, 2] {
        let refused = store.connections.put(of(wrong)).await;
        assert!(matches!(refused, Err(StoreError::Conflict { actual: 0, .. })), "{refused:?}");
    }
    store.connections.put(of(1)).await.unwrap();
    for wrong in [1, 3] {
        let refused = store.connections.put(of(wrong)).await;
        assert!(matches!(refused, Err(StoreError::Conflict { actual: 1, .. })), "{refused:?}");
    }
    store.connections.put(of(2)).await.unwrap();
    assert_eq!(store.connections.get(&workspace(), &name("crm")).await.unwrap(), Some(of(2)));
}

pub(crate) async fn one_of_many_concurrent_writes_wins(store: Backend) {
    store.connections.put(connection(&workspace(), "crm", 1)).await.unwrap();
    let puts: Vec<_> = (0..32)
        .map(|_| {
            let connections = Arc::clone(&store.connections);
            tokio::task::spawn(async move { connections.put(connection(&workspace(), "crm", 2)).await.is_ok() })
        })
        .collect();
    let mut won = 0;
    for put in puts {
        won += usize::from(put.await.unwrap());
    }
    assert_eq!(won, 1);
    let stored = store.restart().connections.list(&workspace()).await.unwrap();
    assert_eq!(stored, [connection(&workspace(), "crm", 2)]);
}

pub(crate) async fn connections_are_listed_by_name_within_their_workspace(store: Backend) {
    let other: WorkspaceId = "other".parse().unwrap();
    for (workspace, name) in [(&workspace(), "b"), (&workspace(), "a-b"), (&other, "z"), (&workspace(), "a")] {
        store.connections.put(connection(workspace, name, 1)).await.unwrap();
    }
    let names = |listed: Vec<StoredConnection>| -> Vec<String> {
        listed.into_iter().map(|stored| stored.connection.name.to_string()).collect()
    };
    assert_eq!(names(store.connections.list(&workspace()).await.unwrap()), ["a", "a-b", "b"]);
    assert_eq!(names(store.connections.list(&other).await.unwrap()), ["z"]);
    assert_eq!(store.connections.get(&other, &name("a")).await.unwrap(), None);
    assert!(!store.connections.remove(&other, &name("a")).await.unwrap());
    assert!(store.connections.list(&"nowhere".parse().unwrap()).await.unwrap().is_empty());
}

pub(crate) async fn a_removed_connection_is_gone_and_its_name_is_free(store: Backend) {
    assert!(!store.connections.remove(&workspace(), &name("crm")).await.unwrap());
    store.connections.put(connection(&workspace(), "crm", 1)).await.unwrap();
    assert!(store.connections.remove(&workspace(), &name("crm")).await.unwrap());
    assert!(!store.connections.remove(&workspace(), &name("crm")).await.unwrap());
    assert_eq!(store.connections.get(&workspace(), &name("crm")).await.unwrap(), None);
    let store = store.restart();
    assert!(store.connections.list(&workspace()).await.unwrap().is_empty());
    store.connections.put(connection(&workspace(), "crm", 1)).await.unwrap();
    assert_eq!(store.connections.list(&workspace()).await.unwrap().len(), 1);
}

pub(crate) async fn connections_survive_a_restart_however_large(store: Backend) {
    let large = |revision| StoredConnection { sealed: vec![7; 60_000], ..connection(&workspace(), "large", revision) };
    let longest = connection(&workspace(), &"n".repeat(64), 1);
    store.connections.put(large(1)).await.unwrap();
    store.connections.put(large(2)).await.unwrap();
    assert!(store.connections.put(large(2)).await.is_err());
    store.connections.put(longest.clone()).await.unwrap();
    let store = store.restart();
    assert_eq!(store.connections.list(&workspace()).await.unwrap(), [large(2), longest.clone()]);
    store.connections.put(StoredConnection { sealed: vec![8; 9], ..large(3) }).await.unwrap();
    let store = store.restart();
    assert!(store.connections.remove(&workspace(), &name("large")).await.unwrap());
    assert_eq!(store.restart().connections.list(&workspace()).await.unwrap(), [longest]);
}
