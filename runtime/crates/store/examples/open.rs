//! How soon a store answers after a start: `cargo run --release -p flowcell-store --example open [DIRECTORY] [OPEN RUNS] [MIB]`.
//!
//! Writes a store with runs that wait (100,000) until it takes so much of the disk (1,024 MiB), ends without closing it, as a killed process
//! does, and starts it again: three times from the same files, each time in a process of its own. Prints the time until the store was open
//! and until the first delivery was acknowledged. What the directory has from an earlier measurement is used again.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints and ends at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "it measures time, and waits for every task it spawns")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flowcell_core::id::{EventId, RunId, StepRef, WorkspaceId};
use flowcell_core::invoke::CallRecord;
use flowcell_core::ports::{Append, DedupeTerms, Delivery, Durability, Journal as _, NewRun, Retention as _, RunQueue};
use flowcell_core::run::event::{Detail, Origin, Outcome, Recorded, RunEvent};
use flowcell_core::run::fold::{Run, RunStatus};
use flowcell_core::time::Timestamp;
use flowcell_store::embedded::{EmbeddedStore, Options};
use serde_json::{Value, json};

/// As the binary has it: an open is mostly allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LANES: u64 = 256;
/// Of so many runs one waits, as long as there are to be more of them.
const ONE_WAITS_OF: u64 = 3;
const STARTS: usize = 3;

fn main() {
    let argument = |at| std::env::args().nth(at);
    let base = argument(1).map_or_else(std::env::temp_dir, PathBuf::from).join("flowcell-open");
    if argument(2).as_deref() == Some("start") {
        return start(&base.join("copy"));
    }
    let waiting: u64 = argument(2).map_or(100_000, |runs| runs.parse().unwrap());
    let mib: u64 = argument(3).map_or(1_024, |mib| mib.parse().unwrap());
    let original = base.join("original");
    if !original.exists() {
        let begun = Instant::now();
        let unfinished = base.join("unfinished");
        let _ = std::fs::remove_dir_all(&unfinished);
        let total = runtime().block_on(write(&unfinished, waiting, mib << 20));
        std::fs::rename(&unfinished, &original).unwrap();
        println!("{total} runs, {waiting} of them waiting, written in {:.1} s", begun.elapsed().as_secs_f64());
    }
    for _ in 0..STARTS {
        let _ = std::fs::remove_dir_all(base.join("copy"));
        copy(&original, &base.join("copy"));
        let own = std::env::current_exe().unwrap();
        let started = Command::new(own).arg(base.parent().unwrap()).arg("start").status().unwrap();
        assert!(started.success());
    }
    std::fs::remove_dir_all(base.join("copy")).unwrap();
}

fn start(dir: &Path) {
    let (begun, cpu_begun) = (Instant::now(), cpu_ms());
    let store = EmbeddedStore::open(dir, &Options::default()).unwrap();
    let (open, open_cpu) = (begun.elapsed(), cpu_ms() - cpu_begun);
    runtime().block_on(async {
        store.accept(delivery(u64::from(u32::MAX))).await.unwrap();
        let acknowledged = begun.elapsed();
        let usage = store.usage().await.unwrap();
        // Everything that waits is there: nothing of it is due, and so nothing of it is claimed.
        let due = store.claim(at(0) + Duration::from_hours(24 * 3_000), 1).await.unwrap();
        assert_eq!(due.len(), 1, "the new one");
        println!(
            "open after {:.2} s ({:.2} s of processor time), first delivery acknowledged after {:.2} s; {} MiB on disk, {} MiB of them count",
            open.as_secs_f64(),
            Duration::from_millis(open_cpu).as_secs_f64(),
            acknowledged.as_secs_f64(),
            usage.disk_bytes() >> 20,
            usage.live_bytes >> 20,
        );
    });
}

/// Writes whole runs and waiting ones until there is enough of both; returns how many.
async fn write(dir: &Path, waiting: u64, bytes: u64) -> u64 {
    let store = Arc::new(EmbeddedStore::open(dir, &Options::default()).unwrap());
    let (mut total, piece) = (0, 20_000);
    while total < waiting * ONE_WAITS_OF || store.usage().await.unwrap().disk_bytes() < bytes {
        let mut writing = tokio::task::JoinSet::new();
        for lane in 0..LANES {
            let store = Arc::clone(&store);
            writing.spawn(async move {
                for number in (total..total + piece).filter(|number| number % LANES == lane) {
                    let waits = number % ONE_WAITS_OF == 0 && number / ONE_WAITS_OF < waiting;
                    live(&store, number, if waits { RunStatus::Waiting } else { RunStatus::Succeeded }).await;
                }
            });
        }
        while let Some(written) = writing.join_next().await {
            written.unwrap();
        }
        total += piece;
    }
    // As a process does that is killed: nothing is closed.
    std::mem::forget(store);
    total
}

/// Writes a run until it has the status.
async fn live(store: &EmbeddedStore, number: u64, status: RunStatus) {
    let delivery = delivery(number);
    let (id, created) = delivery.runs.first().map(|run| (run.id, run.created.clone())).unwrap();
    store.accept(delivery).await.unwrap();
    let mut run = Run::fold(id, &[created]).unwrap();
    let step: StepRef = "build".parse().unwrap();
    let output = json!({"status": 200, "headers": {"content-type": "application/json"}, "body": payload(number)});
    let call = CallRecord { duration_ms: 3, cpu_ms: 0.04, memory_bytes: 1 << 17, ..CallRecord::default() };
    let last = match status {
        RunStatus::Waiting => RunEvent::Entered {
            step: "approval".parse().unwrap(),
            detail: Detail::Waiting {
                until: None,
                deadline: Some(at(number) + Duration::from_hours(24 * 3_650)),
                event: Some("approved".to_owned()),
                resume: true,
            },
        },
        _ => RunEvent::Finished { outcome: Outcome::Succeeded, output: Value::Null },
    };
    let events = [
        RunEvent::StepStarted { step: step.clone(), attempt: 1 },
        RunEvent::StepSucceeded {
            step,
            attempt: 1,
            output: output.into(),
            input: payload(number).into(),
            call: call.into(),
        },
        last,
    ];
    let mut entries = Vec::new();
    for event in events {
        let entry = Recorded { seq: run.next_seq, at: at(number), event };
        run.apply(&entry).unwrap();
        entries.push(entry);
    }
    let summary = run.summary();
    assert_eq!(summary.status, status);
    store.append(Append { run: id, entries, summary, durability: Durability::Synced }).await.unwrap();
}

fn delivery(number: u64) -> Delivery {
    let (id, event) =
        (RunId::from_parts(at(number), u128::from(number)), EventId::from_parts(at(number), u128::from(number)));
    let created = RunEvent::Created {
        workspace: WorkspaceId::default_workspace(),
        workflow: format!("workflow-{}", number % 20).parse().unwrap(),
        version: 1,
        event,
        pins: std::collections::BTreeMap::new(),
        trigger: payload(number).into(),
        origin: Origin::default(),
    };
    let created = Recorded { seq: 0, at: at(number), event: created };
    let summary = Run::fold(id, std::slice::from_ref(&created)).unwrap().summary();
    Delivery {
        event,
        workspace: WorkspaceId::default_workspace(),
        trigger: "inbound".to_owned(),
        received_at: at(number),
        dedupe_key: Some(format!("delivery-{number}")),
        dedupe: DedupeTerms::default(),
        runs: vec![NewRun { id, created, summary }],
    }
}

/// 297 bytes, as in W1.
fn payload(number: u64) -> Value {
    json!({"id": number, "customer": {"name": "Ada Lovelace", "mail": "ada@example.com"}, "note": "x".repeat(200)})
}

fn at(number: u64) -> Timestamp {
    Timestamp::from_millis(1_764_000_000_000 + number * 10)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Processor time of this process, in ms (the kernel counts in hundredths of a second).
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>() * 10
}
