//! What the store can carry: `cargo run --release -p flowcell-store --example throughput [DIRECTORY]`.
//!
//! Prints, for 1, 16, 64 and 256 callers at a time, acceptances per second alone and whole runs per second (accept, claim, two
//! appends that nobody waits for, release), the time until the acknowledgement, and processor time. The directory (default: the
//! system's temporary one) should lie on the disk in question; what is written there is removed.
#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flowcell_core::id::{EventId, RunId, StepRef, WorkflowId, WorkspaceId};
use flowcell_core::invoke::CallRecord;
use flowcell_core::ports::{Append, DedupeTerms, Delivery, Durability, Journal as _, NewRun, RunQueue as _};
use flowcell_core::run::event::{Outcome, Recorded, RunEvent};
use flowcell_core::run::fold::Run;
use flowcell_core::time::Timestamp;
use flowcell_store::embedded::{EmbeddedStore, Options};
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Accept,
    WholeRun,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for work in [Work::Accept, Work::WholeRun] {
        for callers in [1, 16, 64, 256] {
            let dir = base.join(format!("flowcell-throughput-{}", std::process::id()));
            let result = runtime.block_on(measure(&dir, work, callers));
            std::fs::remove_dir_all(&dir)?;
            result?;
        }
    }
    Ok(())
}

async fn measure(dir: &Path, work: Work, callers: u64) -> Result<(), Box<dyn std::error::Error>> {
    let store = Arc::new(EmbeddedStore::open(dir, &Options::default())?);
    let number = Arc::new(AtomicU64::new(0));
    let duration = Duration::from_secs(3);
    let (begin, cpu_begin) = (Instant::now(), cpu_ms()?);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (store, number) = (Arc::clone(&store), Arc::clone(&number));
        tasks.spawn(async move {
            let mut acknowledged_us = Vec::new();
            while begin.elapsed() < duration {
                let at = Instant::now();
                let number = number.fetch_add(1, Ordering::Relaxed);
                let created = start(&store, number).await?;
                acknowledged_us.push(u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX));
                if work == Work::WholeRun {
                    go_through(&store, number, created).await?;
                }
            }
            Ok::<_, flowcell_core::ports::StoreError>(acknowledged_us)
        });
    }
    let mut acknowledged_us = Vec::new();
    while let Some(done) = tasks.join_next().await {
        acknowledged_us.extend(done??);
    }
    store.close().await?;
    let (elapsed, cpu) = (begin.elapsed(), cpu_ms()? - cpu_begin);
    acknowledged_us.sort_unstable();
    let at = |percent: usize| acknowledged_us.get(acknowledged_us.len() * percent / 100).copied().unwrap_or(0);
    let runs = acknowledged_us.len() as u64;
    let per_second = runs * 1_000 / u64::try_from(elapsed.as_millis())?.max(1);
    let name = if work == Work::Accept { "accept " } else { "whole run" };
    let disk = std::fs::metadata(dir.join("sled/db"))?.len() / runs.max(1);
    drop(store);
    let reopened = Instant::now();
    drop(EmbeddedStore::open(dir, &Options::default())?);
    println!(
        "{name:9} c={callers:<3} {per_second:>6}/s  ack p50 {:>6} us  p99 {:>6} us  cpu {:>3} us each  disk {disk} B each  reopen of {runs} in {} ms",
        at(50),
        at(99),
        cpu * 1_000 / runs.max(1),
        reopened.elapsed().as_millis(),
    );
    Ok(())
}

async fn start(store: &EmbeddedStore, number: u64) -> Result<Recorded, flowcell_core::ports::StoreError> {
    let id = RunId::from_parts(at(number), u128::from(number));
    let event = EventId::from_parts(at(number), u128::from(number));
    let created = RunEvent::Created {
        workspace: WorkspaceId::default_workspace(),
        workflow: workflow(),
        version: 1,
        event,
        pins: BTreeMap::new(),
        trigger: payload(number).into(),
        origin: flowcell_core::run::event::Origin::default(),
    };
    let created = Recorded { seq: 0, at: at(number), event: created };
    let summary = Run::fold(id, std::slice::from_ref(&created)).map_err(failed)?.summary();
    let delivery = Delivery {
        event,
        workspace: WorkspaceId::default_workspace(),
        trigger: "inbound".to_owned(),
        received_at: at(number),
        dedupe_key: Some(format!("delivery-{number}")),
        dedupe: DedupeTerms::default(),
        runs: vec![NewRun { id, created: created.clone(), summary }],
    };
    store.accept(delivery).await?;
    Ok(created)
}

async fn go_through(
    store: &EmbeddedStore,
    number: u64,
    created: Recorded,
) -> Result<(), flowcell_core::ports::StoreError> {
    let id = RunId::from_parts(at(number), u128::from(number));
    store.claim(at(u64::MAX >> 24), 1).await?;
    let mut run = Run::fold(id, std::slice::from_ref(&created)).map_err(failed)?;
    let step: StepRef = "build".parse().map_err(failed)?;
    let result = RunEvent::StepSucceeded {
        step: step.clone(),
        attempt: 1,
        output: json!({"status": 200, "headers": {"content-type": "application/json"}, "body": payload(number)}).into(),
        input: payload(number).into(),
        call: CallRecord { duration_ms: 3, cpu_ms: 0.04, memory_bytes: 1 << 17, ..CallRecord::default() }.into(),
    };
    let finished = RunEvent::Finished { outcome: Outcome::Succeeded, output: Value::Null };
    for events in [vec![RunEvent::StepStarted { step, attempt: 1 }], vec![result, finished]] {
        let mut entries = Vec::new();
        for event in events {
            let entry = Recorded { seq: run.next_seq, at: at(number), event };
            run.apply(&entry).map_err(failed)?;
            entries.push(entry);
        }
        store.append(Append { run: id, entries, summary: run.summary(), durability: Durability::NextGroup }).await?;
    }
    store.release(id).await
}

/// 297 bytes, as in W1.
fn payload(number: u64) -> Value {
    json!({"id": number, "customer": {"name": "Ada Lovelace", "mail": "ada@example.com"}, "note": "x".repeat(200)})
}

fn workflow() -> WorkflowId {
    #[expect(clippy::expect_used, reason = "a literal that is one")]
    "push-to-build".parse().expect("a workflow id")
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(1_764_000_000_000 + ms)
}

fn failed(error: impl std::fmt::Display) -> flowcell_core::ports::StoreError {
    flowcell_core::ports::StoreError::Failed { message: error.to_string() }
}

/// Processor time of this process, in ms (the kernel counts in hundredths of a second).
fn cpu_ms() -> Result<u64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(ticks * 10)
}
