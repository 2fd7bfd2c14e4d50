//! What is known of destinations.

use flowcell_core::destination::{DestinationRecord, Disabled, Health, Verdict};
use flowcell_core::id::WorkspaceId;

use crate::backend::{Backend, at, workspace};

fn record(workspace: &WorkspaceId, url: &str) -> DestinationRecord {
    DestinationRecord::new(workspace.clone(), url.to_owned())
}

pub(crate) async fn records_replace_those_before_and_are_listed_by_workspace_and_url(store: Backend) {
    let other: WorkspaceId = "a-team".parse().unwrap();
    let (one, two) = (record(&workspace(), "https://h.example/b"), record(&workspace(), "https://h.example/a"));
    let foreign = record(&other, "https://h.example/b");
    store.destinations.put(vec![one.clone(), two.clone(), foreign.clone()], Vec::new()).await.unwrap();
    assert_eq!(store.destinations.list().await.unwrap(), [foreign.clone(), two.clone(), one.clone()]);
    let mut health = Health::default();
    health.note(&Verdict::Sick { status: Some(503), error: "it answered 503".to_owned() }, at(1));
    let failing = DestinationRecord { health, ..one };
    store.destinations.put(vec![failing.clone()], vec![two]).await.unwrap();
    assert_eq!(store.destinations.list().await.unwrap(), [foreign, failing]);
}

pub(crate) async fn destinations_survive_a_restart(store: Backend) {
    let disabled = Disabled { since: at(7), run: None, reason: "ä".repeat(200) };
    let record = DestinationRecord {
        disabled: Some(disabled),
        ..record(&workspace(), &format!("https://h.example/{}", "ä".repeat(480)))
    };
    store.destinations.put(vec![record.clone()], Vec::new()).await.unwrap();
    let store = store.restart();
    assert_eq!(store.destinations.list().await.unwrap(), std::slice::from_ref(&record));
    store.destinations.put(Vec::new(), vec![record]).await.unwrap();
    assert_eq!(store.restart().destinations.list().await.unwrap(), []);
}
