//! The embedded store when something is in its way: another process, a newer format, a disk that fails, an end without notice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a test waits for every task it spawns")]

#[path = "contract/backend.rs"]
#[allow(dead_code, reason = "the contract suite uses the rest")]
mod backend;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backend::{append, at, copy_dir, delivery, delivery_to, run_id, started, workspace};
use flowcell_core::ports::{Durability, Journal as _, RunFilter, RunIndex as _, RunQueue as _, StoreError};
use flowcell_store::embedded::{DiskSync, EmbeddedStore, OpenError, Options};
use serde_json::json;

fn open(dir: &Path) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open(dir, &Options::default())
}

/// The trees follow only when there is a reason other than time.
fn never_idle() -> Options {
    Options { idle: Duration::from_hours(1), ..Options::default() }
}

#[tokio::test]
async fn a_second_open_is_refused_with_the_directory_and_the_process_that_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, OpenError::Locked { .. }), "{message}");
    assert!(message.contains(dir.path().to_str().unwrap()), "{message}");
    assert!(message.contains(&std::process::id().to_string()), "{message}");
    // The refused open has not disturbed the first.
    first.accept(delivery(1)).await.unwrap();
    drop(first);
    assert_eq!(open(dir.path()).unwrap().load(run_id(1)).await.unwrap().len(), 1);
}

#[test]
fn a_creation_that_was_cut_short_is_begun_again_and_a_lost_manifest_is_not() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    std::fs::remove_file(dir.path().join("MANIFEST")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { what, .. } if what == "MANIFEST"), "{error}");
    std::fs::write(dir.path().join("CREATING"), "").unwrap();
    std::fs::write(dir.path().join("sled/db"), "half of something").unwrap();
    open(dir.path()).unwrap();
    assert!(!dir.path().join("CREATING").exists());
}

#[test]
fn a_snapshot_that_was_cut_short_does_not_keep_the_store_closed() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    std::fs::write(dir.path().join("sled/snap.FFFFFFFFFFFFFFFF.generating"), "half").unwrap();
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_an_error_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = open(&file.join("store")).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }));
    assert!(error.to_string().contains("check that"), "{error}");
}

/// Fails at the `at`-th sync and, as a disk may, succeeds again after it.
struct FailsOnce {
    disk: Box<dyn DiskSync>,
    at: u32,
    count: Arc<AtomicU32>,
}

impl DiskSync for FailsOnce {
    fn sync(&self) -> io::Result<()> {
        if self.count.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.disk.sync()
    }
}

/// Options whose `at`-th sync fails, where the syncs are counted, and where the reasons for a stop go.
fn failing(at: u32) -> (Options, Arc<AtomicU32>, Arc<Mutex<Vec<String>>>) {
    let (count, reasons) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (counter, told) = (Arc::clone(&count), Arc::clone(&reasons));
    let options = Options {
        wrap_sync: Arc::new(move |disk| Box::new(FailsOnce { disk, at, count: Arc::clone(&counter) })),
        on_fatal: Arc::new(move |reason| told.lock().unwrap().push(reason.to_owned())),
        ..never_idle()
    };
    (options, count, reasons)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nothing_is_acknowledged_and_the_disk_decides() {
    for fails_at in 1..=12 {
        let dir = tempfile::tempdir().unwrap();
        let (options, count, reasons) = failing(fails_at);
        let store = Arc::new(EmbeddedStore::open(dir.path(), &options).unwrap());
        let calls = (0..40_u64).map(|number| {
            let store = Arc::clone(&store);
            tokio::task::spawn(async move {
                let accepted = store.accept(delivery(number)).await;
                (number, accepted.is_ok())
            })
        });
        let mut acknowledged = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            let (number, is_acknowledged) = call.await.unwrap();
            acknowledged.extend(is_acknowledged.then_some(number));
        }
        // However the forty were grouped: one at a time they surely reach the sync that fails.
        for number in 40..60 {
            match store.accept(delivery(number)).await {
                Ok(_) => acknowledged.push(number),
                Err(error) => assert!(matches!(error, StoreError::Stopped), "{error}"),
            }
        }
        assert_eq!(count.load(Ordering::SeqCst), fails_at, "something was synced after the failure");
        let reason = reasons.lock().unwrap().join("; ");
        let named = ["the sync of the write-ahead log failed", "the sync of the data file failed"];
        assert!(named.iter().any(|named| reason.contains(named)) && !reason.contains(';'), "{reason}");
        assert!(matches!(store.load(run_id(0)).await, Err(StoreError::Stopped)));
        assert!(matches!(store.get(&workspace(), run_id(0)).await, Err(StoreError::Stopped)));
        assert!(matches!(store.claim(at(99), 9).await, Err(StoreError::Stopped)));
        drop(store);
        let store = open(dir.path()).unwrap();
        for number in acknowledged {
            assert_eq!(store.load(run_id(number)).await.unwrap().len(), 1, "event {number}, sync {fails_at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_append_whose_group_fails_stops_the_store() {
    let dir = tempfile::tempdir().unwrap();
    // 1: the workspace gets its number. 2: the delivery. 3: the append.
    let (options, _, reasons) = failing(3);
    let store = EmbeddedStore::open(dir.path(), &options).unwrap();
    store.accept(delivery(1)).await.unwrap();
    let created = store.load(run_id(1)).await.unwrap();
    store.append(append(run_id(1), &created, vec![started(1)], Durability::NextGroup)).await.unwrap();
    assert!(matches!(store.accept(delivery(2)).await, Err(StoreError::Stopped)));
    assert!(matches!(store.release(run_id(1)).await, Err(StoreError::Stopped)));
    assert_eq!(reasons.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_closed_store_has_everything_on_disk_and_takes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    store.accept(delivery(1)).await.unwrap();
    let created = store.load(run_id(1)).await.unwrap();
    store.append(append(run_id(1), &created, vec![started(1)], Durability::NextGroup)).await.unwrap();
    store.close().await.unwrap();
    let error = store.accept(delivery(2)).await.unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
    assert_eq!(store.load(run_id(1)).await.unwrap().len(), 2);
    drop(store);
    assert_eq!(open(dir.path()).unwrap().load(run_id(1)).await.unwrap().len(), 2);
}

/// Tells of every sync and holds it until the other end is dropped.
struct Held(Mutex<std::sync::mpsc::Receiver<()>>, Arc<tokio::sync::Semaphore>, Box<dyn DiskSync>);

impl DiskSync for Held {
    fn sync(&self) -> io::Result<()> {
        self.1.add_permits(1);
        let _ = self.0.lock().unwrap().recv();
        self.2.sync()
    }
}

/// Options whose syncs of the write-ahead log wait until the sender is dropped, and where they are counted.
fn holding() -> (Options, std::sync::mpsc::SyncSender<()>, Arc<tokio::sync::Semaphore>) {
    let (hold, held) = std::sync::mpsc::sync_channel(0);
    let (held, begun) = (Mutex::new(Some(held)), Arc::new(tokio::sync::Semaphore::new(0)));
    let told = Arc::clone(&begun);
    let wrap_sync = move |disk| match held.lock().unwrap().take() {
        Some(held) => Box::new(Held(Mutex::new(held), Arc::clone(&told), disk)) as Box<dyn DiskSync>,
        None => disk,
    };
    (Options { wrap_sync: Arc::new(wrap_sync), ..Options::default() }, hold, begun)
}

#[tokio::test]
async fn nothing_is_reported_before_it_is_durable_and_other_runs_do_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().accept(delivery(0)).await.unwrap();
    let (options, hold, begun) = holding();
    let store = Arc::new(EmbeddedStore::open(dir.path(), &options).unwrap());
    let spawn = |read: u8| {
        let store = Arc::clone(&store);
        tokio::task::spawn(async move {
            match read {
                0 => store.accept(delivery(1)).await.map(|_| 1),
                1 => store.load(run_id(1)).await.map(|entries| entries.len()),
                2 => {
                    store.get(&workspace(), run_id(1)).await.map(|found| found.map_or(0, |found| found.events as usize))
                }
                _ => store.list(&workspace(), RunFilter::default(), None, 9).await.map(|page| page.len()),
            }
        })
    };
    let accepted = spawn(0);
    // The group is in the log now, and its sync held.
    begun.acquire().await.unwrap().forget();
    assert_eq!(store.load(run_id(0)).await.unwrap().len(), 1);
    assert!(matches!(spawn(1).await.unwrap(), Err(StoreError::NotFound { .. })));
    assert_eq!((spawn(2).await.unwrap().unwrap(), spawn(3).await.unwrap().unwrap()), (0, 1));
    assert!(!accepted.is_finished());
    drop(hold);
    accepted.await.unwrap().unwrap();
    // What was answered is there for everybody who asks afterwards.
    for (read, found) in [(1, 1), (2, 1), (3, 2)] {
        assert_eq!(spawn(read).await.unwrap().unwrap(), found);
    }
}

#[tokio::test]
async fn what_only_the_log_has_is_there_after_a_kill_and_missing_groups_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), &never_idle()).unwrap();
    let keyed = |number: u64| {
        let mut delivery = delivery(number);
        delivery.dedupe_key = Some(number.to_string());
        delivery
    };
    for number in 1..=9 {
        store.accept(keyed(number)).await.unwrap();
        let created = store.load(run_id(number)).await.unwrap();
        store.append(append(run_id(number), &created, vec![started(1)], Durability::Synced)).await.unwrap();
        // A duplicate is known before the trees know the first, and an id is taken.
        assert!(store.accept(keyed(number)).await.unwrap().duplicate);
        assert!(store.accept(delivery(number)).await.is_err());
    }
    let [killed, cut, lost] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    for copy in [&killed, &cut, &lost] {
        copy_dir(dir.path(), copy.path());
    }
    drop(store);

    // Twice: the first open gives it to the trees.
    for _ in 0..2 {
        let store = open(killed.path()).unwrap();
        for number in 1..=9 {
            assert_eq!(store.load(run_id(number)).await.unwrap().len(), 2, "run {number}");
            assert!(store.accept(keyed(number)).await.unwrap().duplicate);
        }
    }
    let log = std::fs::read(cut.path().join("wal")).unwrap();
    let used = log.iter().rposition(|byte| *byte != 0).unwrap();
    std::fs::write(cut.path().join("wal"), &log[..used - 10]).unwrap();
    let error = open(cut.path()).unwrap_err().to_string();
    assert!(error.contains("were acknowledged and are not there"), "{error}");
    std::fs::remove_file(lost.path().join("wal")).unwrap();
    let error = open(lost.path()).unwrap_err().to_string();
    assert!(
        error.contains("the write-ahead log is damaged") || error.contains("the write-ahead log: it is missing"),
        "{error}"
    );
}

#[tokio::test]
async fn a_full_queue_is_busy_and_nothing_of_the_refused_delivery_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().accept(delivery(0)).await.unwrap();
    let (options, hold, _) = holding();
    let options = Options { queued_writes_max: 2, ..options };
    let store = Arc::new(EmbeddedStore::open(dir.path(), &options).unwrap());
    let calls = (1..=8).map(|number| {
        let store = Arc::clone(&store);
        tokio::task::spawn(async move { (number, store.accept(delivery(number)).await) })
    });
    let calls: Vec<_> = calls.collect();
    // One thread: each of them has tried before this one goes on. At most one group is at the disk, and two wait.
    tokio::task::yield_now().await;
    drop(hold);
    let (mut accepted, mut busy) = (Vec::new(), Vec::new());
    for call in calls {
        match call.await.unwrap() {
            (number, Ok(_)) => accepted.push(number),
            (number, Err(StoreError::Busy)) => busy.push(number),
            (_, Err(error)) => panic!("{error}"),
        }
    }
    assert!(!accepted.is_empty() && !busy.is_empty(), "{accepted:?} {busy:?}");
    for (numbers, there) in [(accepted, true), (busy, false)] {
        for number in numbers {
            assert_eq!(store.load(run_id(number)).await.is_ok(), there, "{number}");
        }
    }
}

#[tokio::test]
async fn records_never_reach_the_files_that_the_database_does_not_sync() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    // Just below the limit, so that the leaves are as heavy as they can be; and some above it.
    for number in 0..300 {
        let size = if number % 50 == 0 { 9_000 } else { 3_700 };
        store.accept(delivery_to(number, &workspace(), "push", json!("x".repeat(size)))).await.unwrap();
    }
    store.close().await.unwrap();
    assert_eq!(files(&dir.path().join("sled/blobs")), 0);
    assert_eq!(files(&dir.path().join("blobs")), 6);
}

#[tokio::test]
async fn files_of_records_that_were_never_committed_are_removed_at_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let large = |number| {
        let mut delivery = delivery_to(number, &workspace(), "push", json!("x".repeat(9_000)));
        delivery.dedupe_key = Some("k".to_owned());
        delivery
    };
    store.accept(large(1)).await.unwrap();
    assert!(store.accept(large(2)).await.unwrap().duplicate);
    assert_eq!(files(&dir.path().join("blobs")), 1, "the duplicate's file is removed at once");
    drop(store);
    for orphan in ["00", "ff"] {
        let folder = dir.path().join("blobs").join(orphan);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("5e".repeat(31)), "never named").unwrap();
        std::fs::write(folder.join("5e.7.tmp"), "cut short").unwrap();
    }
    let store = open(dir.path()).unwrap();
    assert_eq!(files(&dir.path().join("blobs")), 1);
    assert_eq!(store.load(run_id(1)).await.unwrap().len(), 1);
}

fn files(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.map(Result::unwrap).map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}
