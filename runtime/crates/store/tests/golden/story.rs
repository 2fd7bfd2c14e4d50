//! What a golden store holds: runs in every state, a large payload, deliveries with keys and one without runs, two workspaces, a workflow
//! with two versions. Written one after the other, so that it comes out the same each time; left as a kill leaves it, the last of it in the
//! log alone.

use std::path::Path;
use std::time::Duration;

use flowcell_core::ports::{
    Definitions as _, Durability, Hook, HookBinding, Journal as _, RunIndex as _, WorkflowHead, WorkflowVersion,
};
use flowcell_core::run::event::{Outcome, RunEvent};
use flowcell_core::run::fold::RunSummary;
use flowcell_store::embedded::{EmbeddedStore, Options};
use serde_json::json;

use crate::backend::{
    append, at, copy_dir, delivery, delivery_to, error, failed, finished, parked, run_id, started, succeeded, workspace,
};

/// The runs of the workspace, and one beyond them that belongs to another.
pub(crate) const RUNS: std::ops::RangeInclusive<u64> = 1..=12;
pub(crate) const FOREIGN: u64 = 20;

/// The key of a run's delivery.
pub(crate) fn key(number: u64) -> String {
    format!("key {number}")
}

/// Writes the store and returns what its runs came to.
pub(crate) async fn write(dir: &Path) -> Vec<RunSummary> {
    let at_work = tempfile::tempdir().unwrap();
    let store =
        EmbeddedStore::open(at_work.path(), &Options { idle: Duration::from_hours(1), ..Options::default() }).unwrap();
    for version in 1..=2 {
        let (version, head, hook) = definition(version);
        store.put(version, head, hook).await.unwrap();
    }
    for number in RUNS {
        if number == RUNS.end() / 2 {
            // Whoever reads lets the trees follow.
            assert!(store.get(&workspace(), run_id(1)).await.unwrap().is_some());
        }
        let mut delivery = match number {
            10 => delivery_to(number, &workspace(), "push", json!({"text": "large ".repeat(800)})),
            _ => delivery(number),
        };
        delivery.dedupe_key = Some(key(number));
        store.accept(delivery).await.unwrap();
        let mut history = store.load(run_id(number)).await.unwrap();
        for events in life(number) {
            let append = append(run_id(number), &history, events, Durability::Synced);
            history.extend(append.entries.clone());
            store.append(append).await.unwrap();
        }
    }
    let mut without_runs = delivery(30);
    without_runs.runs.clear();
    without_runs.dedupe_key = Some(key(30));
    store.accept(without_runs).await.unwrap();
    let other = "other".parse().unwrap();
    store.accept(delivery_to(FOREIGN, &other, "push", json!(null))).await.unwrap();
    beyond_the_first(&store).await;
    copy_dir(at_work.path(), dir);
    let mut ends = Vec::new();
    for number in RUNS {
        ends.push(store.get(&workspace(), run_id(number)).await.unwrap().unwrap());
    }
    ends
}

/// The appends of a run.
fn life(number: u64) -> Vec<Vec<RunEvent>> {
    let far = at(3_600_000);
    let again = || vec![vec![started(1)], vec![failed(1, Some(at(5)))], vec![started(2)]];
    let with_last = |last: Vec<RunEvent>| again().into_iter().chain([last]).collect();
    match number % 6 {
        // Nobody has looked at it.
        0 => vec![],
        // The process died while it was at work.
        1 => vec![vec![started(1)]],
        2 => vec![vec![started(1), failed(1, Some(far))]],
        3 => with_last(vec![parked(2)]),
        4 => with_last(vec![succeeded(2, json!({"number": number, "note": "ä \\ \" end"})), finished()]),
        _ => {
            let mut end = finished();
            if let RunEvent::Finished { outcome, .. } = &mut end {
                *outcome = Outcome::Failed { step: "build".parse().unwrap(), error: error() };
            }
            with_last(vec![failed(2, None), end])
        }
    }
}

fn definition(version: u32) -> (WorkflowVersion, WorkflowHead, HookBinding) {
    let id: flowcell_core::id::WorkflowId = "push".parse().unwrap();
    let stored = WorkflowVersion {
        workspace: workspace(),
        id: id.clone(),
        version,
        source: format!("id: push # {version}\n"),
        created_at: at(u64::from(version)),
        pins: std::collections::BTreeMap::new(),
        calls: std::collections::BTreeMap::new(),
    };
    let head = WorkflowHead {
        workspace: workspace(),
        id: id.clone(),
        name: "Push to build".to_owned(),
        latest: version,
        published: Some(version),
        hook_generation: version,
        former_hooks: Vec::new(),
        updated_at: at(u64::from(version)),
    };
    let hook = Hook { workspace: workspace(), workflow: id, trigger: "inbound".to_owned() };
    (stored, head, HookBinding { token_hash: [u8::try_from(version).unwrap(); 32], hook })
}

/// What format 2 has beside: how far a schedule has come, a run that somebody wants kept, a run that waits.
async fn beyond_the_first(store: &EmbeddedStore) {
    use flowcell_core::id::Digest;
    use flowcell_core::ports::{Pinning, Retention as _, ScheduleCursor};
    use flowcell_core::run::event::Detail;

    let cursor = ScheduleCursor {
        workspace: workspace(),
        workflow: "push".parse().unwrap(),
        trigger: "nightly".to_owned(),
        schedule: Digest::of(b"0 9 * * * (UTC)"),
        decided: at(7),
        fired: Some(at(6)),
        is_ended: false,
    };
    flowcell_core::ports::Schedules::put(store, cursor).await.unwrap();
    store.pin(&workspace(), run_id(4), Pinning::Pinned).await.unwrap();
    let detail = Detail::Waiting { until: None, deadline: None, event: Some("approved".to_owned()), resume: true };
    let entered = RunEvent::Entered { step: "approval".parse().unwrap(), detail };
    let history = store.load(run_id(12)).await.unwrap();
    store.append(append(run_id(12), &history, vec![entered], Durability::Synced)).await.unwrap();
}
