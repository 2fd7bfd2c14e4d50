//! Golden stores: what an earlier version wrote opens, every run of it is what it was, and everything goes on. What a newer version wrote is
//! refused with a sentence that says what to do.
//!
//! `tests/golden/format-N.txt` was written by the code of its time and never changes. With `FLOWCELL_WRITE_GOLDEN=FILE` the test of today's
//! format leaves what today's code writes there: that is how the next one is made, when the format goes up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "contract/backend.rs"]
#[allow(dead_code, reason = "the contract suite uses the rest")]
mod backend;
#[path = "golden/dump.rs"]
mod dump;
#[path = "golden/story.rs"]
mod story;

use std::path::Path;

use backend::{append, at, delivery, finished, run_id, started, succeeded, workspace};
use flowcell_core::ports::{
    Definitions as _, Durability, Journal as _, Retention as _, RunFilter, RunIndex as _, RunQueue as _,
};
use flowcell_core::run::event::RunEvent;
use flowcell_core::run::fold::{Run, RunStatus, RunSummary};
use flowcell_store::embedded::{EmbeddedStore, OpenError, Options};
use serde_json::json;

const FORMAT_1: &str = include_str!("golden/format-1.txt");
const FORMAT_2: &str = include_str!("golden/format-2.txt");
const FORMAT_3: &str = include_str!("golden/format-3.txt");

fn open(dir: &Path) -> EmbeddedStore {
    EmbeddedStore::open(dir, &Options::default()).unwrap()
}

/// Every run is what its journal says and what the version that wrote it said.
async fn ends_are_as_stated(store: &EmbeddedStore, ends: &[RunSummary]) {
    for end in ends {
        let folded = Run::fold(end.id, &store.load(end.id).await.unwrap()).unwrap().summary();
        assert_eq!(folded, *end);
        assert_eq!(store.get(&workspace(), end.id).await.unwrap().as_ref(), Some(end));
    }
}

/// Searches go by what only an index may know as well as by what the summaries say.
async fn every_run_is_found(store: &EmbeddedStore, ends: &[RunSummary]) {
    let newest_first = |passes: &dyn Fn(&RunSummary) -> bool| {
        ends.iter().rev().filter(|end| passes(end)).map(|end| end.id).collect::<Vec<_>>()
    };
    let plain = RunFilter::default;
    for (filter, expected) in [
        (plain(), newest_first(&|_| true)),
        (RunFilter { workflow: Some("push".parse().unwrap()), ..plain() }, newest_first(&|_| true)),
        (
            RunFilter { status: Some(RunStatus::Succeeded), ..plain() },
            newest_first(&|end| end.status == RunStatus::Succeeded),
        ),
        (
            RunFilter { status: Some(RunStatus::Failed), error: Some("http-status".to_owned()), ..plain() },
            newest_first(&|end| end.status == RunStatus::Failed),
        ),
        (RunFilter { field: Some("trigger.body.number=4".parse().unwrap()), ..plain() }, vec![run_id(4)]),
    ] {
        let found = flowcell_core::ports::RunIndex::list(store, &workspace(), filter.clone(), None, 100).await.unwrap();
        assert_eq!(found.iter().map(|run| run.id).collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

/// Whoever was at work goes on with it, and new deliveries come in; returns what the runs come to by that.
async fn goes_on(store: &EmbeddedStore, ends: &[RunSummary]) -> Vec<RunSummary> {
    // The first delivery of each key is remembered, with its run.
    for number in story::RUNS {
        let mut again = delivery(100 + number);
        again.dedupe_key = Some(story::key(number));
        let accepted = store.accept(again).await.unwrap();
        assert!(accepted.duplicate && accepted.runs == [run_id(number)], "{accepted:?}");
    }
    let due = ends.iter().filter(|end| end.due_at.is_some()).count();
    assert!(due > 0);
    let claimed = store.claim(at(7_200_000), 100).await.unwrap();
    assert_eq!(claimed.len(), due + 1, "every one that is due, and that of the other workspace");
    let mut after = ends.to_vec();
    for run in claimed.into_iter().filter(|run| *run != run_id(story::FOREIGN)) {
        let history = store.load(run).await.unwrap();
        let attempt = history.iter().filter(|entry| matches!(entry.event, RunEvent::StepStarted { .. })).count();
        let attempt = u32::try_from(attempt).unwrap() + 1;
        let events = vec![started(attempt), succeeded(attempt, json!({"late": true})), finished()];
        let append = append(run, &history, events, Durability::Synced);
        let end = after.iter_mut().find(|end| end.id == run).unwrap();
        *end = append.summary.clone();
        store.append(append).await.unwrap();
    }
    store.accept(delivery(200)).await.unwrap();
    let head = store.head(&workspace(), &"push".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((head.latest, head.hook_generation), (2, 2));
    for version in 1..=2 {
        let stored = store.version(&workspace(), &head.id, version).await.unwrap().unwrap();
        assert_eq!(stored.source, format!("id: push # {version}\n"));
    }
    assert_eq!(store.hook([1; 32]).await.unwrap(), None, "the URL of the first version was replaced");
    assert_eq!(store.hook([2; 32]).await.unwrap().unwrap().workflow, head.id);
    after.push(store.get(&workspace(), run_id(200)).await.unwrap().unwrap());
    after
}

async fn opens_and_goes_on(golden: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let ends = dump::load(golden, dir.path());
    assert_eq!(ends.len(), story::RUNS.count());
    // Twice: what the first open changes must be as good as what it found.
    for _ in 0..2 {
        let store = open(dir.path());
        ends_are_as_stated(&store, &ends).await;
        every_run_is_found(&store, &ends).await;
    }
    let store = open(dir.path());
    let after = goes_on(&store, &ends).await;
    assert_ne!(after, ends);
    drop(store);
    let store = open(dir.path());
    ends_are_as_stated(&store, &after).await;
    every_run_is_found(&store, &after).await;
    // Old runs go like new ones.
    let removed = store.remove(&workspace(), &[run_id(5), run_id(10)]).await.unwrap();
    assert_eq!(removed.runs, 2);
    drop(store);
    assert!(open(dir.path()).load(run_id(5)).await.is_err());
    dir
}

#[tokio::test]
async fn a_store_of_format_1_opens_and_every_run_goes_on() {
    let dir = opens_and_goes_on(FORMAT_1).await;
    let manifest = std::fs::read_to_string(dir.path().join("MANIFEST")).unwrap();
    assert!(manifest.contains("\"format\":3"), "an older Flowcell must refuse what it cannot read: {manifest}");
}

#[tokio::test]
async fn a_store_of_format_2_opens_and_every_run_goes_on() {
    let dir = opens_and_goes_on(FORMAT_2).await;
    let store = open(dir.path());
    assert!(store.is_pinned(&workspace(), run_id(4)).await.unwrap());
    let cursors = flowcell_core::ports::Schedules::list(&store).await.unwrap();
    assert_eq!(cursors.iter().map(|cursor| cursor.decided).collect::<Vec<_>>(), [at(7)]);
    let awaits = flowcell_core::run::fold::Mark::Awaits("approved".to_owned());
    assert_eq!(store.marked(&workspace(), &awaits).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_of_format_3_opens_and_gives_the_trees_what_only_its_log_has() {
    opens_and_goes_on(FORMAT_3).await;
}

#[tokio::test]
async fn what_is_written_today_comes_back_from_its_dump() {
    let dir = tempfile::tempdir().unwrap();
    let ends = story::write(dir.path()).await;
    let text = dump::of(dir.path(), "Store format 3, written by tests/golden/story.rs.", &ends);
    #[expect(clippy::disallowed_methods, reason = "the way to ask a test for more")]
    if let Ok(file) = std::env::var("FLOWCELL_WRITE_GOLDEN") {
        std::fs::write(file, &text).unwrap();
    }
    opens_and_goes_on(&text).await;
}

#[tokio::test]
async fn a_store_of_a_newer_format_is_refused_with_what_to_do_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let ends = dump::load(FORMAT_2, dir.path());
    let manifest = dir.path().join("MANIFEST");
    let ours = std::fs::read(&manifest).unwrap();
    let crc = crc32fast::hash(&[b"flowcell".as_slice(), &4_u32.to_be_bytes()].concat());
    std::fs::write(&manifest, json!({"store": "flowcell", "format": 4, "crc32": crc, "new": true}).to_string())
        .unwrap();
    let data = std::fs::read(dir.path().join("sled/db")).unwrap();
    let error = EmbeddedStore::open(dir.path(), &Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::NewerFormat { found: 4, supported: 3, .. }), "{error}");
    let message = error.to_string();
    for part in [dir.path().to_str().unwrap(), "format 4", "install the newer version, or use another data directory"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(std::fs::read(dir.path().join("sled/db")).unwrap() == data, "nothing was touched");
    std::fs::write(&manifest, ours).unwrap();
    ends_are_as_stated(&open(dir.path()), &ends).await;
}
