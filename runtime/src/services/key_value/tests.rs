use std::sync::Arc;

use flowcell_core::capability::{Rights, ServiceCapabilities};
use flowcell_core::host_call::key_value::{Expected, Namespace, Request};
use flowcell_core::id::{Digest, WorkspaceId};
use flowcell_core::manual_clock::ManualClock;
use flowcell_core::time::Timestamp;
use flowcell_store::memory::MemoryStore;
use serde_json::json;

use super::*;

fn caller(workflow: Option<&str>, quota_kib: u32, nth: u32) -> Caller {
    let plugin: flowcell_core::plugin::PluginId = "acme/p".parse().unwrap();
    let asked: ServiceCapabilities =
        serde_json::from_value(json!({"key-value": {"reason": "r", "quota-kib": quota_kib}})).unwrap();
    Caller {
        workspace: WorkspaceId::default_workspace(),
        workflow: workflow.map(|workflow| workflow.parse().unwrap()),
        run: None,
        step: None,
        attempt: 1,
        idempotency_key: "step".to_owned(),
        nth,
        plugin: plugin.clone(),
        digest: Digest::of(b""),
        connection: None,
        deadline: Timestamp::default(),
        rights: Arc::new(Rights::new(plugin, vec![], &[]).with_services(asked, &[])),
    }
}

fn add(namespace: Namespace) -> Request {
    Request::Add { namespace, key: "n".into(), delta: 1, ttl_ms: None }
}

fn set(key: &str, bytes: usize, ttl_ms: Option<u64>) -> Request {
    let (namespace, value) = (Namespace::Plugin, json!("x".repeat(bytes)));
    Request::Set { namespace, key: key.into(), value, ttl_ms, expected: Expected::Anything }
}

#[tokio::test]
async fn workflows_have_values_of_their_own_and_a_repeated_write_is_made_once() {
    let clock = Arc::new(ManualClock::default());
    let values = PluginValues { store: Arc::new(MemoryStore::new()), clock };
    for (workflow, nth, namespace, sum) in [
        ("a", 1, Namespace::Workflow, 1),
        ("a", 2, Namespace::Workflow, 2),
        // The second attempt of the step.
        ("a", 1, Namespace::Workflow, 1),
        ("a", 2, Namespace::Workflow, 2),
        ("b", 3, Namespace::Workflow, 1),
        ("b", 4, Namespace::Plugin, 1),
        ("a", 5, Namespace::Plugin, 2),
    ] {
        assert_eq!(values.answer(&caller(Some(workflow), 1, nth), add(namespace)).await, Ok(json!(sum)));
    }
    let error = values.answer(&caller(None, 1, 9), add(Namespace::Workflow)).await.unwrap_err();
    assert_eq!(error.code, "invalid-input");
}

#[tokio::test]
async fn what_has_expired_is_not_there_and_makes_room_when_it_is_needed() {
    let clock = Arc::new(ManualClock::default());
    let values = PluginValues { store: Arc::new(MemoryStore::new()), clock: Arc::clone(&clock) as _ };
    values.answer(&caller(None, 1, 1), set("old", 900, Some(10))).await.unwrap();
    assert_eq!(values.answer(&caller(None, 1, 2), set("new", 900, None)).await.unwrap_err().code, "quota");
    clock.set(Timestamp::from_millis(10));
    let get = Request::Get { namespace: Namespace::Plugin, key: "old".into() };
    assert_eq!(values.answer(&caller(None, 1, 0), get).await, Ok(Value::Null));
    values.answer(&caller(None, 1, 2), set("new", 900, None)).await.unwrap();
    let keys = Request::Keys { namespace: Namespace::Plugin, prefix: String::new(), after: None, limit: 10 };
    assert_eq!(values.answer(&caller(None, 1, 0), keys).await, Ok(json!(["new"])));
}
