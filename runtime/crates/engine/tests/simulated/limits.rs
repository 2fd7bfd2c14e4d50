//! Runs that may not go on: queued for too long, parked, set aside; and what becomes of their places.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::id::{RunId, StepRef};
use flowcell_core::ports::{Accepted, Append, Delivery, Journal, StoreError};
use flowcell_core::run::event::{Decision, Outcome, Recorded};
use flowcell_core::run::fold::RunStatus;
use flowcell_engine::{RunControl, Shutdown};
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::{Answer, sample};
use serde_json::json;

use crate::world::{World, echo};

const ONE_AT_A_TIME: &str = "settings: { concurrency: { limit: 1 } }\n";

/// Works while `others` happen, and ends then.
fn work_while<F>(
    world: &World,
    journal: Option<Arc<dyn Journal>>,
    others: impl FnOnce(World, RunControl) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let world = world.clone();
    world.clone().block_on(async move {
        world.publish().await;
        let journal = journal.unwrap_or_else(|| Arc::new(world.store.clone()));
        let engine = world.engine(journal, Arc::new(world.store.clone()));
        let (control, shutdown) = (engine.control(), Shutdown::new());
        let others = async {
            others(world.clone(), control).await;
            shutdown.request();
        };
        let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), others);
        ended.unwrap();
    });
}

/// Delivers, a millisecond apart: runs of one moment have ids in no order.
async fn deliver(world: &World, control: &RunControl, count: usize) -> Vec<RunId> {
    let mut runs = Vec::new();
    for number in 0..count {
        let delivered = control.deliver(world.incoming(json!({ "number": number }))).await.unwrap();
        runs.extend(delivered.accepted.runs);
        world.sleep(Duration::from_millis(1)).await;
    }
    runs
}

#[test]
fn a_queued_run_ends_when_its_workflows_time_is_over_and_says_why() {
    // The first version lets its runs take as long as they like; one of them holds the place.
    let steps = "- { id: a, uses: test/tools/send@1 }\n- { id: pause, wait: { for: 5d } }";
    let world = World::new(steps, echo).with(ONE_AT_A_TIME);
    work_while(&world, None, move |world, control| async move {
        let holder = deliver(&world, &control, 1).await[0];
        let limited = sample::workflow(steps).clone() + &ONE_AT_A_TIME.replace(" }\n", ", timeout: 1m }\n");
        sample::publish(&world.store, &sample::version(&limited, 2, &*world.catalog)).await.unwrap();
        let queued = deliver(&world, &control, 2).await;
        world.sleep(Duration::from_secs(59)).await;
        assert_eq!(control.queue_position(queued[1]).await.unwrap(), Some(1));
        world.sleep(Duration::from_secs(2)).await;
        for id in queued {
            let run = world.run(id).await;
            assert_eq!(run.finished_at.map(|at| at.since(run.created_at)), Some(Duration::from_mins(1)));
            let Some(Outcome::Failed { step, error }) = &run.outcome else { panic!("{:?}", run.outcome) };
            assert_eq!((step.to_string().as_str(), error.code.as_str()), ("a", "run-timeout"));
            assert!(error.message.contains("settings.concurrency"), "{}", error.message);
        }
        assert_eq!(world.run(holder).await.status(), RunStatus::Waiting);
        assert_eq!(world.invoker.calls().len(), 1, "what is over is not begun");
    });
}

#[test]
fn a_queued_run_that_is_over_is_ended_by_the_next_process_too() {
    let world = World::new("- { id: a, wait: { for: 5d } }", echo)
        .with("settings: { concurrency: { limit: 1 }, timeout: 1h }\n");
    world.clone().block_on(async move {
        world.publish().await;
        let (engine, control) = world.engine_here();
        let shutdown = Shutdown::new();
        let others = async {
            let runs = deliver(&world, &control, 2).await;
            world.sleep(Duration::from_mins(1)).await;
            shutdown.request();
            runs
        };
        let (ended, runs) = tokio::join!(engine.run(shutdown.clone()), others);
        ended.unwrap();
        world.store.crash();
        world.sleep(Duration::from_hours(2)).await;
        world.work_for(Arc::new(world.store.clone()), Duration::from_secs(1)).await.unwrap();
        for run in runs {
            let run = world.run(run).await;
            let Some(Outcome::Failed { error, .. }) = &run.outcome else { panic!("{:?}", run.outcome) };
            assert_eq!(error.code, "run-timeout");
        }
    });
}

#[test]
fn a_parked_run_gives_its_place_up_and_goes_on_beside_the_others_when_somebody_decides() {
    let calls = Mutex::new(0);
    let world = World::new("- { id: pay, uses: test/tools/charge@1, timeout: 1s }", move |call| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        if *calls == 1 { Answer::never() } else { echo(call).after(Duration::from_millis(500)) }
    })
    .with(ONE_AT_A_TIME);
    work_while(&world, None, |world, control| async move {
        let runs = deliver(&world, &control, 3).await;
        world.sleep(Duration::from_secs(1) / 2).await;
        assert_eq!(control.queue_position(runs[2]).await.unwrap(), Some(1), "the first holds the one place");
        // Its attempt ends at its deadline, five seconds of patience with the sandbox later.
        world.sleep(Duration::from_secs(30)).await;
        let mut statuses = Vec::new();
        for run in &runs {
            statuses.push(world.run(*run).await.summary());
        }
        assert_eq!(statuses[0].error_code.as_deref(), Some("parked"));
        assert_eq!((statuses[1].status, statuses[2].status), (RunStatus::Succeeded, RunStatus::Succeeded));
        let pay: StepRef = "pay".parse().unwrap();
        control.decide(runs[0], &pay, Decision::Repeat).await.unwrap();
        world.sleep(Duration::from_secs(30)).await;
        assert_eq!(world.run(runs[0]).await.status(), RunStatus::Succeeded);
    });
}

/// A journal in which some runs cannot be read.
struct Unreadable {
    inner: MemoryStore,
    runs: Arc<Mutex<BTreeSet<RunId>>>,
}

#[async_trait]
impl Journal for Unreadable {
    async fn accept(&self, delivery: Delivery) -> Result<Accepted, StoreError> {
        self.inner.accept(delivery).await
    }
    async fn append(&self, append: Append) -> Result<(), StoreError> {
        self.inner.append(append).await
    }
    async fn load(&self, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        if self.runs.lock().unwrap().contains(&run) {
            return Err(StoreError::Damaged { what: run.to_string(), problem: "a check sum is wrong".to_owned() });
        }
        self.inner.load(run).await
    }
}

#[test]
fn a_run_that_is_set_aside_keeps_nobody_from_going_on() {
    let world = World::new("- { id: before, uses: test/tools/send@1 }\n- { id: pause, wait: { for: 1h } }", echo)
        .with(ONE_AT_A_TIME);
    let damaged = Arc::new(Mutex::new(BTreeSet::new()));
    let journal = Arc::new(Unreadable { inner: world.store.clone(), runs: Arc::clone(&damaged) });
    work_while(&world, Some(journal), move |world, control| async move {
        let runs = deliver(&world, &control, 3).await;
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(world.run(runs[0]).await.status(), RunStatus::Waiting);
        assert_eq!(control.queue_position(runs[2]).await.unwrap(), Some(1));
        // It rests, with the one place, and cannot be read when its wait is over.
        damaged.lock().unwrap().insert(runs[0]);
        world.sleep(Duration::from_mins(61)).await;
        assert_eq!(world.run(runs[0]).await.status(), RunStatus::Waiting, "nothing more is written of it");
        assert_eq!(world.run(runs[1]).await.status(), RunStatus::Waiting, "the next one has its place");
        assert_eq!(world.run(runs[2]).await.status(), RunStatus::Queued, "and only that one");
        world.sleep(Duration::from_hours(3)).await;
        for run in &runs[1..] {
            assert_eq!(world.run(*run).await.status(), RunStatus::Succeeded);
        }
    });
}
