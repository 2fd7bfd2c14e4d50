//! How far schedules have come.

use std::sync::Arc;

use flowcell_core::id::{Digest, WorkspaceId};
use flowcell_core::ports::ScheduleCursor;

use crate::backend::{Backend, at, workspace};

fn cursor(workspace: &WorkspaceId, workflow: &str, trigger: &str, decided: u64) -> ScheduleCursor {
    ScheduleCursor {
        workspace: workspace.clone(),
        workflow: workflow.parse().unwrap(),
        trigger: trigger.to_owned(),
        schedule: Digest::of(b"0 9 * * * (UTC)"),
        decided: at(decided),
        fired: None,
        is_ended: false,
    }
}

async fn stored(store: &Backend, of: &ScheduleCursor) -> Option<ScheduleCursor> {
    store.schedules.get(&of.workspace, &of.workflow, &of.trigger).await.unwrap()
}

pub(crate) async fn a_cursor_is_there_after_it_was_put_and_replaces_the_one_before(store: Backend) {
    let first = cursor(&workspace(), "report", "trigger", 1);
    assert_eq!(stored(&store, &first).await, None);
    store.schedules.put(first.clone()).await.unwrap();
    assert_eq!(stored(&store, &first).await, Some(first.clone()));
    let second = ScheduleCursor { fired: Some(at(2)), is_ended: true, ..cursor(&workspace(), "report", "trigger", 2) };
    store.schedules.put(second.clone()).await.unwrap();
    assert_eq!(stored(&store, &first).await, Some(second.clone()));
    assert_eq!(store.schedules.list().await.unwrap(), [second]);
}

pub(crate) async fn a_cursor_belongs_to_one_trigger_of_one_workflow_of_one_workspace(store: Backend) {
    let other: WorkspaceId = "other".parse().unwrap();
    let all = [
        cursor(&workspace(), "report", "trigger", 1),
        cursor(&workspace(), "report", "trigger2", 2),
        cursor(&workspace(), "report2", "trigger", 3),
        cursor(&other, "report", "trigger", 4),
    ];
    for cursor in &all {
        store.schedules.put(cursor.clone()).await.unwrap();
    }
    for cursor in all {
        assert_eq!(stored(&store, &cursor).await, Some(cursor));
    }
    let nowhere = cursor(&"nowhere".parse().unwrap(), "report", "trigger", 5);
    assert_eq!(stored(&store, &nowhere).await, None);
}

pub(crate) async fn cursors_are_listed_by_workspace_workflow_and_trigger(store: Backend) {
    let before: WorkspaceId = "a".parse().unwrap();
    let put = [("b", &workspace()), ("a-b", &workspace()), ("z", &before), ("a", &workspace())];
    for (number, (workflow, workspace)) in (0..).zip(put) {
        store.schedules.put(cursor(workspace, workflow, "trigger", number)).await.unwrap();
    }
    let listed = store.schedules.list().await.unwrap();
    let names: Vec<_> = listed.iter().map(|cursor| (cursor.workspace.as_str(), cursor.workflow.as_str())).collect();
    assert_eq!(names, [("a", "z"), ("default", "a"), ("default", "a-b"), ("default", "b")]);
}

pub(crate) async fn cursors_survive_a_restart(store: Backend) {
    let longest = cursor(&workspace(), &"w".repeat(64), &"ä".repeat(3_000), 7);
    let short = cursor(&workspace(), "w", "t", 8);
    for cursor in [&longest, &short] {
        store.schedules.put(cursor.clone()).await.unwrap();
    }
    let store = store.restart();
    assert_eq!(store.schedules.list().await.unwrap(), [short, longest.clone()]);
    let later = ScheduleCursor { decided: at(9), ..longest };
    store.schedules.put(later.clone()).await.unwrap();
    let store = store.restart();
    assert_eq!(stored(&store, &later).await, Some(later));
}

pub(crate) async fn one_of_many_concurrent_cursors_is_there_before_and_after_a_restart(store: Backend) {
    let puts: Vec<_> = (0..32)
        .map(|number| {
            let schedules = Arc::clone(&store.schedules);
            tokio::task::spawn(async move { schedules.put(cursor(&workspace(), "report", "trigger", number)).await })
        })
        .collect();
    for put in puts {
        put.await.unwrap().unwrap();
    }
    let before = store.schedules.list().await.unwrap();
    assert_eq!(before.len(), 1);
    assert_eq!(store.restart().schedules.list().await.unwrap(), before);
}
