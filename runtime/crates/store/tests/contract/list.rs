//! Runs by their summary.

use flowcell_core::ports::RunFilter;
use flowcell_core::run::fold::RunStatus;
use serde_json::json;

use crate::backend::{Backend, delivery_to, finished, run_id, started, workspace};

pub(crate) async fn runs_are_listed_newest_first_in_pages(store: Backend) {
    for number in 1..=7 {
        store.start(number).await;
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = store.index.list(&workspace(), RunFilter::default(), before, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.into_iter().map(|run| run.id));
    }
    assert_eq!(seen, (1..=7).rev().map(run_id).collect::<Vec<_>>());
    assert!(store.index.list(&workspace(), RunFilter::default(), None, 0).await.unwrap().is_empty());
}

pub(crate) async fn a_filter_passes_over_other_runs(store: Backend) {
    for number in 1..=9 {
        let workflow = if number % 3 == 0 { "third" } else { "push" };
        store.journal.accept(delivery_to(number, &workspace(), workflow, json!(null))).await.unwrap();
    }
    for number in [2, 3, 4] {
        store.happens(run_id(number), finished()).await;
    }
    store.happens(run_id(5), started(1)).await;
    let listed = async |workflow: Option<&str>, status| {
        let filter = RunFilter { workflow: workflow.map(|id| id.parse().unwrap()), status, ..RunFilter::default() };
        let runs = store.index.list(&workspace(), filter, None, 100).await.unwrap();
        runs.into_iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(Some("third"), None).await, [run_id(9), run_id(6), run_id(3)]);
    assert_eq!(listed(None, Some(RunStatus::Succeeded)).await, [run_id(4), run_id(3), run_id(2)]);
    assert_eq!(listed(Some("third"), Some(RunStatus::Succeeded)).await, [run_id(3)]);
    assert_eq!(listed(None, Some(RunStatus::Running)).await, [run_id(5)]);
    assert!(listed(Some("absent"), None).await.is_empty());
}

pub(crate) async fn a_workspace_sees_only_its_own_runs(store: Backend) {
    let other = "other".parse().unwrap();
    store.start(1).await;
    store.journal.accept(delivery_to(2, &other, "push", json!(null))).await.unwrap();
    for (workspace, own, foreign) in [(workspace(), run_id(1), run_id(2)), (other, run_id(2), run_id(1))] {
        let runs = store.index.list(&workspace, RunFilter::default(), None, 10).await.unwrap();
        assert_eq!(runs.into_iter().map(|run| run.id).collect::<Vec<_>>(), [own]);
        assert!(store.index.get(&workspace, own).await.unwrap().is_some());
        assert_eq!(store.index.get(&workspace, foreign).await.unwrap(), None);
    }
    let nobody = "nobody".parse().unwrap();
    assert!(store.index.list(&nobody, RunFilter::default(), None, 10).await.unwrap().is_empty());
}
