//! Ninety days of runs, then a prune: the disk is given back, while deliveries go on, and nothing that is kept is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a test waits for every task it spawns")]

#[path = "contract/backend.rs"]
#[allow(dead_code, reason = "the contract suite uses the rest")]
mod backend;

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backend::{append, at, delivery_to, finished, run_id, started, succeeded, workspace};
use flowcell_core::id::{EventId, RunId};
use flowcell_core::ports::{Delivery, Durability, Journal as _, Retention as _, RunFilter, RunIndex as _, Usage};
use flowcell_core::retention::{ByteCap, Picker, RetentionRules};
use flowcell_core::run::event::{Recorded, RunEvent};
use flowcell_core::run::fold::Run;
use flowcell_core::time::Timestamp;
use flowcell_store::embedded::{EmbeddedStore, Options};
use serde_json::json;

const DAYS: u64 = 90;
const RUNS_A_DAY: u64 = 60;

/// What a file system counts for everything below `path`, in bytes.
fn on_disk(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::symlink_metadata(path).unwrap();
    let below = if found.is_dir() {
        std::fs::read_dir(path).unwrap().map(|entry| on_disk(&entry.unwrap().path())).sum()
    } else {
        0
    };
    below + found.blocks() * 512
}

fn time(number: u64) -> Timestamp {
    at(0) + Duration::from_secs(number * 86_400 / RUNS_A_DAY)
}

fn id(number: u64) -> RunId {
    RunId::from_parts(time(number), u128::from(number))
}

/// A delivery of its day; each tenth brings a payload that needs a file.
fn delivery(number: u64) -> Delivery {
    let text = "x".repeat(if number.is_multiple_of(10) { 12_000 } else { 700 });
    let mut delivery = delivery_to(number, &workspace(), "push", json!({"number": number, "text": text}));
    let event = EventId::from_parts(time(number), u128::from(number));
    (delivery.event, delivery.received_at) = (event, time(number));
    let RunEvent::Created { event: named, .. } = &mut delivery.runs[0].created.event else { panic!() };
    *named = event;
    delivery.runs[0].created.at = time(number);
    delivery.runs[0].id = id(number);
    let created: &Recorded = &delivery.runs[0].created;
    delivery.runs[0].summary = Run::fold(id(number), std::slice::from_ref(created)).unwrap().summary();
    delivery.dedupe_key = Some(number.to_string());
    delivery
}

async fn write(store: &EmbeddedStore, number: u64) {
    let delivery = delivery(number);
    let history = vec![delivery.runs[0].created.clone()];
    store.accept(delivery).await.unwrap();
    let events = vec![started(1), succeeded(1, json!({"text": "y".repeat(500)})), finished()];
    let mut write = append(id(number), &history, events, Durability::Synced);
    for entry in &mut write.entries {
        entry.at = time(number);
    }
    write.summary.finished_at = Some(time(number));
    store.append(write).await.unwrap();
}

async fn write_all(store: &Arc<EmbeddedStore>, numbers: std::ops::Range<u64>) {
    let mut writing = tokio::task::JoinSet::new();
    for lane in 0..32 {
        let (store, numbers) = (Arc::clone(store), numbers.clone());
        writing.spawn(async move {
            for number in numbers.filter(|number| number % 32 == lane) {
                write(&store, number).await;
            }
        });
    }
    while let Some(written) = writing.join_next().await {
        written.unwrap();
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "retention: {line}");
}

fn mib(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninety_days_of_runs_are_pruned_to_nine_and_the_disk_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { compact_above_bytes: 8 << 20, ..Options::default() };
    let store = Arc::new(EmbeddedStore::open(dir.path(), &options).unwrap());
    let total = DAYS * RUNS_A_DAY;
    write_all(&store, 0..total).await;
    let measured = |when: &str, usage: Usage| {
        let disk = on_disk(dir.path());
        let (live, file, payloads) = (mib(usage.live_bytes), mib(usage.file_bytes), mib(usage.payload_bytes));
        say(&format!("{when}: {} on disk; counts {live}, data file {file}, payload files {payloads}", mib(disk)));
        disk
    };
    let before = measured("before", store.usage().await.unwrap());
    let payloads_before = store.usage().await.unwrap().payload_bytes;

    let now = time(total);
    let rules = RetentionRules { days: Some(9), ..RetentionRules::default() };
    let mut picker = Picker::new(now, rules, HashMap::new());
    let (mut removed, mut last) = (0, None);
    loop {
        let page = store.newest(&workspace(), last, 500).await.unwrap();
        let Some(run) = page.last() else { break };
        last = Some(run.summary.id);
        removed += store.remove(&workspace(), &picker.pick(&page)).await.unwrap().runs;
    }
    let mut forgotten = 0;
    loop {
        match store.forget_deliveries(&workspace(), now, 1_000).await.unwrap() {
            0 => break,
            some => forgotten += some,
        }
    }
    let removed_only = measured("after the prune", store.usage().await.unwrap());
    let payloads_after = store.usage().await.unwrap().payload_bytes;

    // Deliveries go on while the file is copied.
    let compacting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.compact().await })
    };
    write_all(&store, total..total + 300).await;
    let freed = compacting.await.unwrap().unwrap();
    let after = measured("after the compaction", store.usage().await.unwrap());
    say(&format!("{removed} of {total} runs and {forgotten} keys removed; the compaction gave {} back", mib(freed)));

    let kept = 9 * RUNS_A_DAY;
    assert!((total - kept..=total - kept + 1).contains(&(removed as u64)), "{removed} of {total}");
    assert!(payloads_after * 5 < payloads_before, "payload files go at once: {payloads_after} of {payloads_before}");
    assert!(after < removed_only, "the data file does not shrink by itself");
    assert!(after * 3 < before, "a tenth of the runs takes less than a third of the disk: {after} of {before}");
    drop(store);
    for _ in 0..2 {
        let store = EmbeddedStore::open(dir.path(), &options).unwrap();
        let runs = store.list(&workspace(), RunFilter::default(), None, 10_000).await.unwrap();
        let (first, last) = (total - kept, total + 300);
        let expected: Vec<_> = (first..last).rev().map(id).collect();
        assert_eq!(runs.iter().map(|run| run.id).take(expected.len()).collect::<Vec<_>>(), expected);
        for number in [first, total, last - 1] {
            assert_eq!(store.load(id(number)).await.unwrap().len(), 4);
        }
        assert!(store.load(id(first - 10)).await.is_err());
        let filter = RunFilter {
            workflow: Some("push".parse().unwrap()),
            step: Some("build".parse().unwrap()),
            ..RunFilter::default()
        };
        assert_eq!(store.list(&workspace(), filter, None, 10_000).await.unwrap().len(), runs.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_compacts_a_file_that_is_mostly_garbage() {
    let dir = tempfile::tempdir().unwrap();
    let never = Options { compact_above_bytes: u64::MAX, ..Options::default() };
    let store = Arc::new(EmbeddedStore::open(dir.path(), &never).unwrap());
    write_all(&store, 0..2_000).await;
    let ids: Vec<_> = (0..1_950).map(id).collect();
    assert_eq!(store.remove(&workspace(), &ids).await.unwrap().runs, ids.len());
    assert_eq!(store.compact().await.unwrap(), 0, "it is not worth it");
    let before = store.usage().await.unwrap().file_bytes;
    drop(store);
    let options = Options { compact_above_bytes: 1 << 20, ..Options::default() };
    let store = EmbeddedStore::open(dir.path(), &options).unwrap();
    let after = store.usage().await.unwrap().file_bytes;
    say(&format!("a start made {} of {}", mib(after), mib(before)));
    assert!(after < before, "{after} of {before}");
    assert_eq!(store.list(&workspace(), RunFilter::default(), None, 1_000).await.unwrap().len(), 50);
    assert!(store.load(run_id(1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cap_on_bytes_holds_round_after_round_and_the_newest_runs_stay() {
    const CAP: u64 = 24 << 20;
    const ROUND: u64 = 600;
    let dir = tempfile::tempdir().unwrap();
    let options = Options { compact_above_bytes: 8 << 20, ..Options::default() };
    let store = Arc::new(EmbeddedStore::open(dir.path(), &options).unwrap());
    let (mut total, mut removed, mut written) = (0, 0, 0);
    let mut most = 0;
    for round in 1..=10 {
        write_all(&store, total..total + ROUND).await;
        total += ROUND;
        let before = on_disk(dir.path());
        most = most.max(before);
        // As `retention.bytes_max_mib` does.
        while let Some(excess) = ByteCap(CAP).excess(&store.usage().await.unwrap()) {
            let gone = store.remove_oldest(&workspace(), excess).await.unwrap();
            assert!(gone.runs > 0, "there is always something that may go");
            removed += gone.runs as u64;
            written += gone.bytes;
        }
        store.compact().await.unwrap();
        let after = on_disk(dir.path());
        say(&format!("round {round}: {} on disk, {} after the cap was applied", mib(before), mib(after)));
        assert!(after <= CAP, "round {round}: {after} of {CAP}");
    }
    say(&format!("at most {} on disk for a cap of {}; {} were removed", mib(most), mib(CAP), mib(written)));
    // Several times the cap went through it, and each time the next round fits into what is free beside it.
    assert!(removed > total / 2 && most < CAP * 2, "{removed} of {total} runs, {most}");
    let left = store.list(&workspace(), RunFilter::default(), None, 10_000).await.unwrap();
    let expected: Vec<_> = (removed..total).rev().map(id).collect();
    assert_eq!(left.iter().map(|run| run.id).collect::<Vec<_>>(), expected, "the oldest go, and no other");
}
