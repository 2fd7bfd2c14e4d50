use flowcell_core::connection::{Binding, Kind, Outgoing};
use flowcell_core::plugin::PluginId;
use flowcell_core::secret::Secret;
use flowcell_store::memory::MemoryStore;

use super::*;
use crate::clock::SystemClock;
use crate::entropy::SystemEntropy;
use crate::vault::MasterKey;

fn workspace() -> WorkspaceId {
    WorkspaceId::default_workspace()
}

fn name() -> ConnectionName {
    "crm".parse().unwrap()
}

fn plugin() -> PluginId {
    "acme/crm".parse().unwrap()
}

fn bearer(token: &str) -> SecretDocument {
    SecretDocument::Bearer { token: Secret::new(token.to_owned()) }
}

fn connection(clock: &dyn Clock) -> Connection {
    Connection {
        workspace: workspace(),
        name: name(),
        kind: Kind::Bearer,
        bound: Binding { hosts: vec!["https://a.example".parse().unwrap()], anywhere: false, plugins: vec![plugin()] },
        note: String::new(),
        state: State::Ready,
        created_at: clock.now(),
        updated_at: clock.now(),
    }
}

fn broker(store: &MemoryStore) -> Broker {
    let vault = Vault::new(MasterKey::generate(&SystemEntropy), None, Arc::new(SystemEntropy));
    Broker::new(Arc::new(store.clone()), vault, Arc::new(SystemClock))
}

fn asking<'a>(workspace: &'a WorkspaceId, name: &'a ConnectionName, plugin: &'a PluginId) -> Asking<'a> {
    Asking { workspace, name, plugin }
}

async fn refusal(broker: &Broker) -> &'static str {
    match broker.authorizer(asking(&workspace(), &name(), &plugin())).await {
        Ok(_) => "none",
        Err(error) => error.code(),
    }
}

#[tokio::test]
async fn a_plugin_that_may_use_it_gets_what_puts_the_secret_where_it_is_bound() {
    let store = MemoryStore::new();
    let broker = broker(&store);
    assert_eq!(refusal(&broker).await, "connection-unknown");
    broker.add(connection(&SystemClock), &bearer("s3cret")).await.unwrap();
    let authorizer = broker.authorizer(asking(&workspace(), &name(), &plugin())).await.unwrap();
    let sent = async |url: &str| {
        let url = url.parse().unwrap();
        let request = Outgoing { method: "GET", url: &url, body: b"", message_id: "m", now: SystemClock.now() };
        if !authorizer.is_bound_to(&request) {
            return None;
        }
        let added = authorizer.authorize(&request).await.unwrap();
        added.headers.first().map(|(name, value)| format!("{name}: {}", value.expose()))
    };
    assert_eq!(sent("https://a.example/v1").await.as_deref(), Some("authorization: Bearer s3cret"));
    assert_eq!(sent("https://b.example/v1").await, None);
    let other: PluginId = "evil/crm".parse().unwrap();
    let refused = broker.authorizer(asking(&workspace(), &name(), &other)).await.err().unwrap();
    assert!(refused.to_string().contains("flowcell connection allow crm evil/crm"), "{refused}");
}

#[tokio::test]
async fn what_is_taken_away_reaches_calls_under_way() {
    let store = MemoryStore::new();
    let broker = broker(&store);
    let hosts = ["https://a.example", "https://b.example"].map(|rule| rule.parse().unwrap()).to_vec();
    let mut added = connection(&SystemClock);
    added.bound.hosts = hosts;
    broker.add(added, &bearer("s3cret")).await.unwrap();
    let call = broker.authorizer(asking(&workspace(), &name(), &plugin())).await.unwrap();
    let sent = async |url: &str| {
        let url = url.parse().unwrap();
        let request = Outgoing { method: "GET", url: &url, body: b"", message_id: "m", now: SystemClock.now() };
        call.authorize(&request).await.map(|added| added.headers.len()).map_err(|error| error.code())
    };
    let change = async |change: fn(&mut Connection)| {
        let (workspace, name) = (workspace(), name());
        let changed = broker.change::<WriteError>(&workspace, &name, |stored| {
            let mut connection = stored.connection.clone();
            change(&mut connection);
            Ok(Change { connection, usage: stored.usage.clone(), secret: None })
        });
        changed.await.unwrap();
    };
    assert_eq!((sent("https://a.example").await, sent("https://b.example").await), (Ok(1), Ok(1)));
    change(|connection| connection.bound.hosts.truncate(1)).await;
    assert_eq!((sent("https://a.example").await, sent("https://b.example").await), (Ok(1), Ok(0)));
    change(|connection| connection.bound.plugins.clear()).await;
    assert_eq!(sent("https://a.example").await, Err("connection-not-allowed"));
    change(|connection| connection.bound.plugins.push(plugin())).await;
    assert_eq!(sent("https://a.example").await, Ok(1));
    broker.remove(&workspace(), &name()).await.unwrap();
    assert_eq!(sent("https://a.example").await, Err("connection-unknown"));
}

#[tokio::test]
async fn a_connection_whose_owner_has_to_act_is_not_given_out() {
    let store = MemoryStore::new();
    let broker = broker(&store);
    broker.add(connection(&SystemClock), &bearer("s3cret")).await.unwrap();
    for (state, code) in [
        (State::Pending, "connection-needs-reconnecting"),
        (
            State::NeedsReconnecting { since: SystemClock.now(), reason: "revoked".to_owned() },
            "connection-needs-reconnecting",
        ),
        (State::Ready, "none"),
    ] {
        let (workspace, name) = (workspace(), name());
        let changed = broker.change::<WriteError>(&workspace, &name, |stored| {
            let connection = Connection { state: state.clone(), ..stored.connection.clone() };
            Ok(Change { connection, usage: stored.usage.clone(), secret: None })
        });
        changed.await.unwrap();
        assert_eq!(refusal(&broker).await, code);
    }
}

#[tokio::test]
async fn a_binding_that_was_changed_behind_our_back_makes_the_secret_unreadable() {
    let store = MemoryStore::new();
    let broker = broker(&store);
    let mut stored = broker.add(connection(&SystemClock), &bearer("s3cret")).await.unwrap();
    stored.revision += 1;
    stored.connection.bound.hosts = vec!["https://evil.example".parse().unwrap()];
    store.put(stored.clone()).await.unwrap();
    assert_eq!(refusal(&broker).await, "connection-sealed");
    stored.revision += 1;
    stored.connection.bound.hosts = vec!["https://a.example".parse().unwrap()];
    store.put(stored).await.unwrap();
    assert_eq!(refusal(&broker).await, "none");
}

#[tokio::test]
async fn a_change_by_the_broker_seals_the_secret_for_its_new_binding() {
    let store = MemoryStore::new();
    let broker = broker(&store);
    broker.add(connection(&SystemClock), &bearer("s3cret")).await.unwrap();
    let (workspace, name) = (workspace(), name());
    let narrowed = broker.change::<WriteError>(&workspace, &name, |stored| {
        let mut connection = stored.connection.clone();
        connection.bound.hosts = vec!["GET https://a.example/v1/*".parse().unwrap()];
        Ok(Change { connection, usage: stored.usage.clone(), secret: None })
    });
    let narrowed = narrowed.await.unwrap();
    assert!(matches!(broker.open(&narrowed), Ok(SecretDocument::Bearer { token }) if token.expose() == "s3cret"));
    let again = broker.add(connection(&SystemClock), &bearer("other")).await;
    assert!(matches!(again, Err(WriteError::Exists(_))));
}

#[tokio::test]
async fn concurrent_changes_all_take_place() {
    let store = MemoryStore::new();
    let broker = Arc::new(broker(&store));
    broker.add(connection(&SystemClock), &bearer("s3cret")).await.unwrap();
    let tasks = tokio_util::task::TaskTracker::new();
    let changes: Vec<_> = (0..4)
        .map(|number| {
            let broker = Arc::clone(&broker);
            tasks.spawn(async move {
                let (workspace, name) = (workspace(), name());
                let added = broker.change::<WriteError>(&workspace, &name, |stored| {
                    let mut connection = stored.connection.clone();
                    connection.bound.plugins.push(format!("acme/p{number}").parse().unwrap());
                    Ok(Change { connection, usage: stored.usage.clone(), secret: None })
                });
                added.await.unwrap();
            })
        })
        .collect();
    for change in changes {
        change.await.unwrap();
    }
    let stored = broker.get(&workspace(), &name()).await.unwrap().unwrap();
    assert_eq!((stored.connection.bound.plugins.len(), stored.revision), (5, 5));
    assert_eq!(refusal(&broker).await, "none");
}

#[tokio::test]
async fn a_signer_is_made_once_and_anew_when_its_connection_changes() {
    let store = MemoryStore::new();
    let broker = broker(&store);
    let signs = Connection { kind: Kind::StandardWebhooks { public_key: None }, ..connection(&SystemClock) };
    let secret = |byte: u8| {
        let json = format!(r#"{{"secrets":[{{"value":"whsec_{}"}}]}}"#, data_encoding::BASE64.encode(&[byte; 32]));
        SecretDocument::read(&signs.kind, json.as_bytes()).unwrap()
    };
    let (workspace, name, plugin) = (workspace(), name(), plugin());
    let signature = async || {
        let authorizer = broker.authorizer(asking(&workspace, &name, &plugin)).await.unwrap();
        let url = "https://a.example/".parse().unwrap();
        let request =
            Outgoing { method: "POST", url: &url, body: b"x", message_id: "m", now: Timestamp::from_millis(1) };
        authorizer.authorize(&request).await.unwrap().headers.last().unwrap().1.expose().clone()
    };
    broker.add(signs.clone(), &secret(1)).await.unwrap();
    let first = signature().await;
    assert_eq!(signature().await, first);
    let before = broker.get(&workspace, &name).await.unwrap().unwrap();
    let change = Change { connection: before.connection.clone(), usage: Usage::default(), secret: Some(secret(2)) };
    broker.write(&before, change).await.unwrap();
    let second = signature().await;
    assert_ne!(second, first, "rotated");
    // The same name and revision, at another time.
    broker.remove(&workspace, &name).await.unwrap();
    let later = Connection { updated_at: signs.updated_at + std::time::Duration::from_secs(1), ..signs.clone() };
    broker.add(later, &secret(3)).await.unwrap();
    assert!(![first, second].contains(&signature().await), "added again");
}
