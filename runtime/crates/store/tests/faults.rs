//! The N-th write, sync or rename fails, for every N: nothing is acknowledged after it that is not there, what is there is a beginning of
//! what was to be written, and the next open finds it whole.
//!
//! The failures are the kernel's: `strace` answers the N-th call of a child process in its place, whoever makes it, sled or this crate.
//! (It counts for each thread by itself.) Where there is no `strace`, or it may not trace, the test says so and passes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a test asks its environment what it is")]

#[path = "contract/backend.rs"]
#[allow(dead_code, reason = "the contract suite uses the rest")]
mod backend;

use std::collections::BTreeMap;
use std::fs;
use std::io::{IoSlice, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backend::{append, delivery_to, finished, run_id, started, succeeded, workspace};
use flowcell_core::ports::{
    Append, Delivery, Durability, Journal as _, Retention as _, RunFilter, RunIndex as _, StoreError,
};
use flowcell_core::run::event::Recorded;
use flowcell_core::run::fold::Run;
use flowcell_store::embedded::{EmbeddedStore, Options};
use serde_json::json;

/// Where the child works, and where it writes what was acknowledged.
const CHILD_VARIABLE: &str = "FLOWCELL_FAULTS_CHILD";

/// What `cargo xtask torture` sets: every N, instead of some.
const EVERY_VARIABLE: &str = "FLOWCELL_TORTURE_FAULTS";

/// The calls that fail, the error they fail with, and which N the ordinary test tries. Each has its own: a disk fails, or runs full.
const FAULTS: [(&str, &str, &[u32]); 8] = [
    ("pwrite64", "EIO", &[1, 2, 3, 9, 20, 41]),
    ("pwrite64", "ENOSPC", &[5, 30]),
    ("write", "ENOSPC", &[1, 2, 3]),
    ("fdatasync", "EIO", &[1, 2, 11]),
    ("fsync", "EIO", &[1, 2, 7]),
    ("rename", "EIO", &[1, 2]),
    ("renameat", "EIO", &[1, 2]),
    ("renameat2", "EIO", &[1]),
];

/// No child takes this long, in seconds; a store may also wait for itself for ever.
const PATIENCE_S: &str = "120";

const RUNS: u64 = 8;
/// In the middle the data file is compacted, and one run removed before.
const COMPACTED_BEFORE: u64 = 5;
const REMOVED: u64 = 2;

fn options(on_fatal: Arc<dyn Fn(&str) + Send + Sync>) -> Options {
    Options { compact_above_bytes: 1, on_fatal, ..Options::default() }
}

fn delivery(number: u64) -> Delivery {
    // Each third brings a payload that needs a file.
    let text = format!("{number} ").repeat(if number.is_multiple_of(3) { 3_000 } else { 10 });
    let mut delivery = delivery_to(number, &workspace(), "push", json!({ "text": text }));
    delivery.dedupe_key = Some(number.to_string());
    delivery
}

/// What happens to a run after its creation.
fn appends(number: u64, history: &mut Vec<Recorded>) -> [Append; 2] {
    let output = json!({"text": "y".repeat(if number.is_multiple_of(4) { 6_000 } else { 60 })});
    [vec![started(1)], vec![succeeded(1, output), finished()]].map(|events| {
        let append = append(run_id(number), history, events, Durability::Synced);
        history.extend(append.entries.clone());
        append
    })
}

/// The whole journal of a run.
fn life(number: u64) -> Vec<Recorded> {
    let mut history = vec![delivery(number).runs[0].created.clone()];
    appends(number, &mut history);
    history
}

/// What the child was told: entries of each run that are on the disk by its word, removals, and what came too late.
#[derive(Debug, Default)]
struct Told {
    lines: Vec<String>,
    has_failed: Arc<AtomicBool>,
}

impl Told {
    /// Notes a call's answer; returns whether it was a good one.
    fn note<T>(&mut self, what: &str, answer: Result<T, StoreError>) -> bool {
        match answer {
            Ok(_) if self.has_failed.load(Ordering::SeqCst) => self.lines.push(format!("late {what}")),
            Ok(_) => self.lines.push(what.to_owned()),
            Err(error) => {
                self.lines.push(format!("# {what}: {error}"));
                return false;
            }
        }
        true
    }
}

/// What the child does, until something fails for good.
async fn work(dir: &Path) -> Told {
    let mut told = Told::default();
    let failed = Arc::clone(&told.has_failed);
    let store =
        EmbeddedStore::open(&dir.join("store"), &options(Arc::new(move |_| failed.store(true, Ordering::SeqCst))));
    let store = match store {
        Ok(store) => store,
        Err(error) => {
            told.lines.push(format!("# open: {error}"));
            return told;
        }
    };
    for number in 0..RUNS {
        if number == COMPACTED_BEFORE {
            told.note(&format!("removed {REMOVED}"), store.remove(&workspace(), &[run_id(REMOVED)]).await);
            told.note("# compacted", store.compact().await);
        }
        if !told.note(&format!("has {number} 1"), store.accept(delivery(number)).await.map(drop)) {
            continue;
        }
        let mut history = vec![delivery(number).runs[0].created.clone()];
        for append in appends(number, &mut history) {
            let length = append.summary.events;
            if !told.note(&format!("has {number} {length}"), store.append(append).await) {
                break;
            }
        }
    }
    if let Err(error) = store.close().await {
        told.lines.push(format!("# close: {error}"));
    }
    told
}

/// The child; by itself it shows that without a fault everything is acknowledged.
#[tokio::test]
async fn without_a_fault_everything_is_acknowledged() {
    let given = std::env::var_os(CHILD_VARIABLE).map(PathBuf::from);
    let own = tempfile::tempdir().unwrap();
    let dir = given.as_deref().unwrap_or(own.path());
    let told = work(dir).await;
    if given.is_some() {
        // By a call that is not among those that fail.
        let mut file = fs::File::create(dir.join("told")).unwrap();
        let text = told.lines.join("\n");
        assert_eq!(file.write_vectored(&[IoSlice::new(text.as_bytes())]).unwrap(), text.len());
        return;
    }
    assert!(told.lines.iter().all(|line| !line.starts_with("late") && !line.contains(": ")), "{:?}", told.lines);
    check(dir, &told.lines).await.unwrap();
}

/// Whether the store is what the child was told, and goes on.
async fn check(dir: &Path, told: &[String]) -> Result<(), String> {
    let mut acknowledged = BTreeMap::<u64, usize>::new();
    let mut is_removed = false;
    for line in told.iter().filter(|line| !line.starts_with('#')) {
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["has", number, length] => {
                acknowledged.insert(number.parse().unwrap(), length.parse().unwrap());
            }
            ["removed", _] => is_removed = true,
            _ => return Err(format!("the child was told: {line}")),
        }
    }
    for open in 1..=2 {
        let store = EmbeddedStore::open(&dir.join("store"), &Options::default())
            .map_err(|error| format!("open {open} afterwards: {error}"))?;
        let mut there = Vec::new();
        for number in 0..RUNS {
            let least = acknowledged.get(&number).copied().unwrap_or(0);
            let stored = match store.load(run_id(number)).await {
                Ok(stored) => stored,
                Err(StoreError::NotFound { .. }) if least == 0 => continue,
                // The removal was told, or may have been written and not told.
                Err(StoreError::NotFound { .. }) if number == REMOVED && least == 4 => continue,
                Err(error) => return Err(format!("run {number} of {least} acknowledged entries: {error}")),
            };
            if number == REMOVED && is_removed {
                return Err("a removed run is there again".to_owned());
            }
            let whole = life(number);
            if stored.len() < least || ![1, 2, 4].contains(&stored.len()) || stored != whole[..stored.len()] {
                return Err(format!("run {number} of {least} acknowledged entries has {}", stored.len()));
            }
            let summary = Run::fold(run_id(number), &stored).unwrap().summary();
            if store.get(&workspace(), run_id(number)).await.unwrap() != Some(summary) {
                return Err(format!("the summary of run {number} is not that of its journal"));
            }
            there.push((number, stored));
        }
        let listed = store.list(&workspace(), RunFilter::default(), None, 100).await.unwrap();
        if listed.len() != there.len() {
            return Err(format!("{} runs are listed, {} are there", listed.len(), there.len()));
        }
        // Everything goes on: what was not finished is finished, and what was refused is sent again.
        for (number, stored) in there {
            let mut history = vec![stored[0].clone()];
            for append in appends(number, &mut history)
                .into_iter()
                .filter(|append| append.entries[0].seq as usize >= stored.len())
            {
                store.append(append).await.map_err(|error| format!("run {number} does not go on: {error}"))?;
            }
            acknowledged.insert(number, 4);
        }
        for number in 0..RUNS {
            let again = store.accept(delivery(number)).await.map_err(|error| format!("sent again: {error}"))?;
            if !again.duplicate {
                acknowledged.insert(number, 1);
            }
        }
    }
    Ok(())
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "faults: {line}");
}

/// What became of a child whose N-th call failed.
enum Child {
    /// Its call failed, and this is what it was told.
    Failed(Vec<String>),
    /// It does not make so many.
    MadeFewer,
    /// There is no way to make calls fail here.
    NotTraced(String),
}

fn child(dir: &Path, (call, error, at): (&str, &str, u32)) -> Child {
    let log = dir.join("strace");
    // Killed with all its threads when it takes too long.
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", PATIENCE_S, "strace", "-f", "-qq", "-o"]).arg(&log);
    command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:error={error}:when={at}")]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "without_a_fault_everything_is_acknowledged"]);
    command.env(CHILD_VARIABLE, dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let ended = match command.status() {
        Ok(ended) => ended,
        Err(error) => return Child::NotTraced(format!("`timeout` cannot be run: {error}")),
    };
    assert_ne!(ended.code(), Some(137), "{call} {at}: the child does not come to an end: a failure was swallowed");
    let log = fs::read_to_string(log).unwrap_or_default();
    let told = fs::read_to_string(dir.join("told"));
    match told {
        Ok(_) if !log.contains("(INJECTED)") => Child::MadeFewer,
        Ok(told) => Child::Failed(told.lines().map(str::to_owned).collect()),
        // The call that failed was one of the test's own: nothing is known to be acknowledged.
        Err(_) if log.contains("(INJECTED)") => Child::Failed(Vec::new()),
        Err(_) => Child::NotTraced(format!("`strace` ended with {ended} and traced nothing")),
    }
}

#[tokio::test]
async fn after_a_failed_write_sync_or_rename_the_disk_has_what_was_acknowledged_and_a_beginning_of_the_rest() {
    let every = std::env::var_os(EVERY_VARIABLE).is_some();
    let mut wrong = Vec::new();
    for (call, error, some) in FAULTS {
        let (mut failed, mut stopped) = (0, 0);
        let mut numbers: Box<dyn Iterator<Item = u32>> =
            if every { Box::new(1..) } else { Box::new(some.iter().copied()) };
        while let Some(at) = numbers.next() {
            let dir = tempfile::tempdir().unwrap();
            match child(dir.path(), (call, error, at)) {
                Child::MadeFewer => break,
                Child::NotTraced(reason) => {
                    return say(&format!("skipped: no call was made to fail, because {reason}"));
                }
                Child::Failed(told) => {
                    failed += 1;
                    stopped += u32::from(told.iter().any(|line| line.starts_with('#') && line.contains(": ")));
                    if let Err(problem) = check(dir.path(), &told).await {
                        wrong.push(format!("{call} {at} ({error}): {problem}; told: {told:?}"));
                    }
                }
            }
        }
        say(&format!("{call} with {error}: {failed} failed, {stopped} of them were told to somebody"));
        assert!(failed > 0, "{call} was never made to fail: this test no longer tests it");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
