//! What is kept about triggers.

use flowcell_core::ports::{LateCallers, LateUse, Reference};
use serde_json::json;

use crate::backend::{Backend, at, workspace};

pub(crate) async fn a_reference_is_there_after_a_restart_and_is_written_over(store: Backend) {
    let id: flowcell_core::id::WorkflowId = "push".parse().unwrap();
    assert_eq!(store.triggers.reference(&workspace(), &id).await.unwrap(), None);
    let mut reference = Reference {
        workspace: workspace(),
        workflow: id.clone(),
        saved_at: at(1),
        requests: vec!["req_1".to_owned()],
        samples: vec![json!({ "body": "x".repeat(20_000) })],
        schema: json!({ "type": "object" }),
    };
    store.triggers.put_reference(reference.clone()).await.unwrap();
    reference.saved_at = at(2);
    store.triggers.put_reference(reference.clone()).await.unwrap();
    let store = store.restart();
    assert_eq!(store.triggers.reference(&workspace(), &id).await.unwrap(), Some(reference));
    assert_eq!(store.triggers.reference(&workspace(), &"other".parse().unwrap()).await.unwrap(), None);
    assert_eq!(store.triggers.reference(&"elsewhere".parse().unwrap(), &id).await.unwrap(), None);
    assert_eq!(store.triggers.late(&workspace(), &id).await.unwrap(), None, "one is not the other");
}

pub(crate) async fn late_callers_are_there_after_a_restart(store: Backend) {
    let mut late = LateCallers::none(workspace(), "push".parse().unwrap());
    late.add(&[(1, LateUse { count: 3, last_at: Some(at(5)) })].into(), LateUse { count: 1, last_at: Some(at(4)) });
    store.triggers.put_late(late.clone()).await.unwrap();
    let store = store.restart();
    assert_eq!(store.triggers.late(&workspace(), &late.workflow).await.unwrap(), Some(late));
}
