//! Measures searches over a million steps: `cargo run --release -p flowcell-store --example search [RUNS]`.
//!
//! Each run has three steps; one in a thousand fails. Prints what writing cost, and for each search the time of its first page.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints and ends at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "it measures time, and waits for every task it spawns")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use flowcell_core::id::{EventId, RunId, WorkflowId, WorkspaceId};
use flowcell_core::invoke::CallRecord;
use flowcell_core::ports::{
    Append, Delivery, Durability, Journal, NewRun, PageRequest, Retention, RunFilter, RunIndex,
};
use flowcell_core::run::event::{Outcome, Recorded, RunEvent, StepError};
use flowcell_core::run::fold::{Run, RunStatus};
use flowcell_core::time::Timestamp;
use flowcell_store::embedded::{EmbeddedStore, Options};
use serde_json::json;

const LANES: u64 = 256;
/// Between two runs: the whole is some six days of a steady instance.
const EVERY: Duration = Duration::from_millis(1_500);

fn at(number: u64) -> Timestamp {
    Timestamp::from_millis(1_764_000_000_000) + EVERY * u32::try_from(number).unwrap()
}

fn story(number: u64) -> (Delivery, Append) {
    let (id, event) =
        (RunId::from_parts(at(number), u128::from(number)), EventId::from_parts(at(number), u128::from(number)));
    let workflow: WorkflowId = format!("workflow-{}", number % 20).parse().unwrap();
    let created = RunEvent::Created {
        workspace: WorkspaceId::default_workspace(),
        workflow,
        version: 1,
        event,
        pins: std::collections::BTreeMap::new(),
        origin: flowcell_core::run::event::Origin::default(),
        trigger: json!({ "body": { "email": format!("customer-{number}@example.com"), "total": number % 100 } }).into(),
    };
    let mut entries = vec![Recorded { seq: 0, at: at(number), event: created }];
    let mut add = |event| {
        let seq = u32::try_from(entries.len()).unwrap();
        entries.push(Recorded { seq, at: at(number), event });
    };
    let error =
        StepError { code: "http-status".to_owned(), message: "503".to_owned(), retryable: false, details: None };
    for step in ["find", "build", "send"] {
        let step: flowcell_core::id::StepRef = step.parse::<flowcell_core::id::StepId>().unwrap().into();
        add(RunEvent::StepStarted { step: step.clone(), attempt: 1 });
        if step.id().as_str() == "send" && number % 1_000 == 7 {
            let failed = RunEvent::StepFailed {
                step: step.clone(),
                attempt: 1,
                error: error.clone(),
                retry_at: None,
                origin: None,
                input: None,
                call: CallRecord::default().into(),
            };
            add(failed);
            add(RunEvent::Finished { outcome: Outcome::Failed { step, error: error.clone() }, output: json!(null) });
            break;
        }
        let output = json!({ "id": number });
        let (input, call) = (json!(null).into(), CallRecord::default().into());
        add(RunEvent::StepSucceeded { step, attempt: 1, output: output.into(), input, call });
    }
    if number % 1_000 != 7 {
        add(RunEvent::Finished { outcome: Outcome::Succeeded, output: json!(null) });
    }
    let begun = Run::fold(id, entries.get(..1).unwrap()).unwrap().summary();
    let summary = Run::fold(id, &entries).unwrap().summary();
    let created = entries.remove(0);
    let delivery = Delivery {
        event,
        workspace: WorkspaceId::default_workspace(),
        trigger: "inbound".to_owned(),
        received_at: at(number),
        dedupe_key: None,
        dedupe: flowcell_core::ports::DedupeTerms::default(),
        runs: vec![NewRun { id, created, summary: begun }],
    };
    (delivery, Append { run: id, entries, summary, durability: Durability::Synced })
}

#[tokio::main]
async fn main() {
    let runs: u64 = std::env::args().nth(1).map_or(333_334, |runs| runs.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(dir.path(), &Options::default()).unwrap());
    let workspace = WorkspaceId::default_workspace();
    for workflow in 0..10 {
        let fields = vec!["trigger.body.email".parse().unwrap()];
        store.index_fields(&workspace, &format!("workflow-{workflow}").parse().unwrap(), fields);
    }
    let begun = Instant::now();
    let mut writing = tokio::task::JoinSet::new();
    for lane in 0..LANES {
        let store = Arc::clone(&store);
        writing.spawn(async move {
            for number in (0..runs).filter(|number| number % LANES == lane) {
                let (delivery, append) = story(number);
                store.accept(delivery).await.unwrap();
                store.append(append).await.unwrap();
            }
        });
    }
    while let Some(written) = writing.join_next().await {
        written.unwrap();
    }
    let took = begun.elapsed();
    println!(
        "{runs} runs, {} steps, written in {:.1} s ({:.0} runs/s)",
        runs * 3,
        took.as_secs_f64(),
        f64::from(u32::try_from(runs).unwrap()) / took.as_secs_f64()
    );
    println!("{:?}", store.usage().await.unwrap());
    drop(store);
    let begun = Instant::now();
    let store = EmbeddedStore::open(dir.path(), &Options::default()).unwrap();
    println!("opened in {:.1} s\n", begun.elapsed().as_secs_f64());

    let plain = RunFilter::default;
    let workflow = |number: u64| Some(format!("workflow-{number}").parse().unwrap());
    let field = |text: String| Some(text.parse().unwrap());
    let searches = [
        ("no filter", plain()),
        ("workflow", RunFilter { workflow: workflow(3), ..plain() }),
        ("status=failed", RunFilter { status: Some(RunStatus::Failed), ..plain() }),
        ("workflow, status=failed", RunFilter { workflow: workflow(7), status: Some(RunStatus::Failed), ..plain() }),
        (
            "step, error",
            RunFilter { step: Some("send".parse().unwrap()), error: Some("http-status".to_owned()), ..plain() },
        ),
        ("error that nobody had", RunFilter { error: Some("timeout".to_owned()), ..plain() }),
        ("workflow that never failed", RunFilter { workflow: workflow(3), status: Some(RunStatus::Failed), ..plain() }),
        (
            "one hour, five days ago",
            RunFilter { from: Some(at(runs / 6)), to: Some(at(runs / 6 + 2_400)), workflow: workflow(3), ..plain() },
        ),
        (
            "indexed field, oldest run",
            RunFilter {
                workflow: workflow(2),
                field: field("trigger.body.email=customer-2@example.com".to_owned()),
                ..plain()
            },
        ),
        (
            "indexed field, prefix",
            RunFilter { workflow: workflow(2), field: field("trigger.body.email^=customer-22".to_owned()), ..plain() },
        ),
        (
            "field without an index",
            RunFilter {
                workflow: workflow(15),
                field: field("trigger.body.email=customer-15@example.com".to_owned()),
                ..plain()
            },
        ),
    ];
    for (name, filter) in searches {
        let mut times = Vec::new();
        let mut found = None;
        for _ in 0..5 {
            let begun = Instant::now();
            let page = store.search(&workspace, &filter, PageRequest { before: None, limit: 50 }).await.unwrap();
            times.push(begun.elapsed());
            found = Some((page.runs.len(), page.is_cut));
        }
        times.sort();
        let (hits, is_cut) = found.unwrap();
        let cut = if is_cut { ", cut at its bound" } else { "" };
        println!("{name:<28} {:>7.1} ms (slowest {:.1}), {hits} runs{cut}", ms(times.get(2)), ms(times.last()));
    }
}

fn ms(time: Option<&Duration>) -> f64 {
    time.map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
