//! What plugins keep between calls.

use std::sync::Arc;
use std::time::Duration;

use flowcell_core::host_call::HostError;
use flowcell_core::host_call::key_value::{Expected, Namespace, Request};
use flowcell_core::key_value::{KeyRange, Space, ValueWrite};
use serde_json::{Value, json};

use crate::backend::{Backend, at, later, workspace};

fn space(plugin: &str, workflow: Option<&str>) -> Space {
    Space {
        workspace: workspace(),
        plugin: plugin.parse().unwrap(),
        workflow: workflow.map(|workflow| workflow.parse().unwrap()),
    }
}

fn write(request: Request) -> ValueWrite {
    ValueWrite { space: space("acme/p", None), request, quota_bytes: 1_000_000, now: at(0), receipt_key: None }
}

fn set(key: &str, value: Value, expected: Expected) -> ValueWrite {
    write(Request::Set { namespace: Namespace::Plugin, key: key.into(), value, ttl_ms: None, expected })
}

fn living(key: &str, ttl_ms: u64) -> ValueWrite {
    let (namespace, value) = (Namespace::Plugin, json!("mine"));
    write(Request::Set { namespace, key: key.into(), value, ttl_ms: Some(ttl_ms), expected: Expected::Absent })
}

fn delete(key: &str, expected: Expected) -> ValueWrite {
    write(Request::Delete { namespace: Namespace::Plugin, key: key.into(), expected })
}

fn add(delta: i64) -> ValueWrite {
    write(Request::Add { namespace: Namespace::Plugin, key: "sum".into(), delta, ttl_ms: None })
}

async fn made(store: &Backend, write: ValueWrite) -> Result<Value, HostError> {
    store.values.write(write).await.unwrap()
}

fn range(prefix: &str, after: Option<&str>, limit: usize) -> KeyRange {
    KeyRange { prefix: prefix.into(), after: after.map(str::to_owned), limit }
}

pub(crate) async fn a_value_is_there_until_it_expires_or_is_deleted_and_after_a_restart(store: Backend) {
    let here = space("acme/p", None);
    // Larger than what lies in a tree.
    let large = json!({"größe": "x".repeat(40_000)});
    let version = made(&store, set("large", large.clone(), Expected::Absent)).await.unwrap();
    made(&store, living("short", 500)).await.unwrap();
    let store = store.restart();
    let entry = store.values.get(&here, "large").await.unwrap().unwrap();
    assert_eq!((entry.value, json!(entry.version), entry.expires_at), (large.clone(), version, None));
    let short = store.values.get(&here, "short").await.unwrap().unwrap();
    assert!(short.is_there(at(499)) && !short.is_there(at(500)));

    made(&store, set("large", json!(large.to_string() + "again"), Expected::Anything)).await.unwrap();
    assert_eq!(made(&store, delete("large", Expected::Anything)).await, Ok(json!(true)));
    assert_eq!(made(&store, delete("large", Expected::Anything)).await, Ok(json!(false)));
    let store = store.restart();
    assert_eq!(store.values.get(&here, "large").await.unwrap(), None);
    assert_eq!(store.values.get(&space("acme/q", None), "short").await.unwrap(), None);
    assert_eq!(store.values.get(&space("acme/p", Some("w")), "short").await.unwrap(), None);
}

pub(crate) async fn a_write_on_another_expectation_changes_nothing(store: Backend) {
    let version = made(&store, set("k", json!(1), Expected::Absent)).await.unwrap().as_u64().unwrap();
    let wrong = [Expected::Absent, Expected::Version(version + 1)];
    for expected in wrong {
        assert_eq!(made(&store, set("k", json!(2), expected)).await.unwrap_err().code, "conflict");
        assert_eq!(made(&store, delete("k", expected)).await.unwrap_err().code, "conflict");
    }
    let entry = store.values.get(&space("acme/p", None), "k").await.unwrap().unwrap();
    assert_eq!((entry.value, entry.version), (json!(1), version));
    made(&store, set("k", json!(2), Expected::Version(version))).await.unwrap();
}

pub(crate) async fn sixty_four_concurrent_sums_count_each_once_and_a_repeated_one_not_again(store: Backend) {
    let keyed = |number: u32| ValueWrite { receipt_key: Some(format!("key-value/step-{number}/1")), ..add(1) };
    let store = Arc::new(store);
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { made(&store, keyed(number)).await.unwrap().as_i64().unwrap() })
        })
        .collect();
    let mut sums = Vec::new();
    for task in tasks {
        sums.push(task.await.unwrap());
    }
    let first = sums[0];
    sums.sort_unstable();
    assert_eq!(sums, (1..=64).collect::<Vec<i64>>());
    let store = Arc::into_inner(store).unwrap().restart();
    assert_eq!(made(&store, keyed(0)).await, Ok(json!(first)), "an attempt that is made again gets the first answer");
    assert_eq!(made(&store, add(0)).await, Ok(json!(64)));
    // After its time the receipt counts no more.
    let late = ValueWrite { now: later(Duration::from_hours(73)), ..keyed(0) };
    assert_eq!(made(&store, late).await, Ok(json!(65)));
}

pub(crate) async fn one_of_many_takes_a_lock_and_nobody_takes_it_until_it_is_released_or_expired(store: Backend) {
    let store = Arc::new(store);
    for round in 0..4_u64 {
        let now = at(round * 2_000);
        let take = ValueWrite { now, ..living("lock", 1_000) };
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let (store, take) = (Arc::clone(&store), take.clone());
                tokio::spawn(async move { made(&store, take).await })
            })
            .collect();
        let mut taken = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Ok(version) => taken.push(version.as_u64().unwrap()),
                Err(error) => assert_eq!(error.code, "conflict"),
            }
        }
        assert_eq!(taken.len(), 1, "round {round}: two never hold it");
        if round % 2 == 0 {
            let release = delete("lock", Expected::Version(taken[0]));
            assert_eq!(made(&store, ValueWrite { now, ..release.clone() }).await, Ok(json!(true)));
            // Who was late does not release another's.
            let next = made(&store, take).await.unwrap();
            assert_eq!(made(&store, ValueWrite { now, ..release }).await.unwrap_err().code, "conflict");
            let own = delete("lock", Expected::Version(next.as_u64().unwrap()));
            made(&store, ValueWrite { now, ..own }).await.unwrap();
        }
    }
}

pub(crate) async fn keys_are_listed_in_order_within_their_space(store: Backend) {
    for key in ["b/2", "a", "b/1", "b/10", "c"] {
        made(&store, set(key, json!(key), Expected::Absent)).await.unwrap();
    }
    for (plugin, workflow) in [("acme/p", Some("w")), ("acme/p", Some("w2")), ("acme/p2", None)] {
        let elsewhere = ValueWrite { space: space(plugin, workflow), ..set("b/0", json!(0), Expected::Absent) };
        made(&store, elsewhere).await.unwrap();
    }
    made(&store, living("b/3", 10)).await.unwrap();
    let here = space("acme/p", None);
    let keys = async |range: KeyRange| store.values.keys(&here, range, at(10)).await.unwrap();
    assert_eq!(keys(range("", None, 10)).await, ["a", "b/1", "b/10", "b/2", "c"]);
    assert_eq!(keys(range("b/", None, 2)).await, ["b/1", "b/10"]);
    assert_eq!(keys(range("b/", Some("b/10"), 2)).await, ["b/2"]);
    assert_eq!(store.values.keys(&space("acme/p", Some("w")), range("", None, 9), at(0)).await.unwrap(), ["b/0"]);
    let all = store.values.values(&workspace(), Some(&here.plugin)).await.unwrap();
    assert_eq!(all.len(), 8);
    assert_eq!(store.values.values(&workspace(), None).await.unwrap().len(), 9);
    let other = "other".parse().unwrap();
    assert!(store.values.values(&other, None).await.unwrap().is_empty());
}

pub(crate) async fn a_plugin_has_room_for_its_quota_and_gets_it_back(store: Backend) {
    let quota = |write: ValueWrite| ValueWrite { quota_bytes: 100, ..write };
    made(&store, quota(set("a", json!("x".repeat(50)), Expected::Absent))).await.unwrap();
    let in_workflow =
        ValueWrite { space: space("acme/p", Some("w")), ..set("b", json!("x".repeat(50)), Expected::Absent) };
    assert_eq!(made(&store, quota(in_workflow.clone())).await.unwrap_err().code, "quota", "all workflows share it");
    let other = ValueWrite { space: space("acme/q", None), ..in_workflow.clone() };
    made(&store, quota(other)).await.unwrap();
    let store = store.restart();
    assert_eq!(made(&store, quota(in_workflow.clone())).await.unwrap_err().code, "quota");
    made(&store, delete("a", Expected::Anything)).await.unwrap();
    made(&store, quota(in_workflow)).await.unwrap();
}

pub(crate) async fn what_has_expired_is_swept_with_its_room(store: Backend) {
    for key in ["a", "b", "c"] {
        made(&store, living(key, 10)).await.unwrap();
    }
    made(&store, set("stays", json!(1), Expected::Absent)).await.unwrap();
    assert_eq!(store.values.sweep(at(9), 10).await.unwrap(), 0);
    assert_eq!(store.values.sweep(at(10), 2).await.unwrap(), 2);
    assert_eq!(store.values.sweep(at(10), 2).await.unwrap(), 1);
    let store = store.restart();
    assert_eq!(store.values.values(&workspace(), None).await.unwrap().len(), 1);
    // `stays` and its value take 6 bytes: nothing else counts any more.
    let fits = ValueWrite { quota_bytes: 10, ..set("k", json!(123), Expected::Absent) };
    made(&store, fits).await.unwrap();
}

pub(crate) async fn versions_never_come_again(store: Backend) {
    let mut seen = std::collections::BTreeSet::new();
    let mut store = store;
    for round in 0..6 {
        let version = made(&store, set("k", json!(round), Expected::Absent)).await.unwrap();
        assert!(seen.insert(version.as_u64().unwrap()), "{version} came before");
        made(&store, delete("k", Expected::Anything)).await.unwrap();
        if round == 3 {
            store = store.restart();
        }
    }
}
