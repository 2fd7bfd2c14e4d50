//! Many runs, and more than one engine.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::id::{RunId, WorkspaceId};
use flowcell_core::ports::{Changed, Clock, Journal, RunFilter, RunIndex, RunQueue, StoreError};
use flowcell_core::run::event::RunEvent;
use flowcell_core::run::fold::RunStatus;
use flowcell_core::time::Timestamp;
use flowcell_engine::Shutdown;
use flowcell_store::memory::MemoryStore;

use crate::world::{THREE, World, echo};

#[test]
fn a_thousand_runs_end_and_never_more_than_the_limit_are_driven() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gauge = Gauge { running, most: Arc::clone(&most) };
    let world = World::new(THREE, move |call| {
        gauge.note(call.step.id().as_str());
        echo(call).after(Duration::from_millis(u64::from(call.attempt)))
    });
    let runs = world.block_on({
        let world = world.clone();
        async move {
            world.publish().await;
            for number in 0..1_000 {
                world.accept(&world.store, number).await;
            }
            world.work().await;
            world.runs().await
        }
    });
    assert_eq!(runs.iter().filter(|run| run.status == RunStatus::Succeeded).count(), 1_000);
    assert_eq!(world.invoker.effects().len(), 3_000);
    assert_eq!(most.load(Ordering::Relaxed), world.config.concurrency);
}

/// Counts the runs between their first and their last step's start.
struct Gauge {
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Gauge {
    fn note(&self, step: &str) {
        match step {
            "first" => {
                let now = self.running.fetch_add(1, Ordering::Relaxed) + 1;
                self.most.fetch_max(now, Ordering::Relaxed);
            }
            "third" => {
                self.running.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

#[test]
fn the_longest_due_run_goes_first() {
    let mut world =
        World::new("- { id: a, uses: test/tools/send@1, with: { number: '{{ trigger.number }}' } }", |call| {
            echo(call).after(Duration::from_secs(1))
        });
    world.config.concurrency = 1;
    world.block_on({
        let world = world.clone();
        async move {
            world.publish().await;
            for number in 0..5 {
                world.accept(&world.store, number).await;
                let next = Timestamp::from_millis(world.clock.now().as_millis() + 1);
                world.clock.sleep_until(next).await;
            }
            world.work().await;
        }
    });
    let order: Vec<_> = world.invoker.calls().iter().map(|call| call.input["number"].clone()).collect();
    assert_eq!(order, [0, 1, 2, 3, 4].map(serde_json::Value::from));
}

#[test]
fn two_engines_with_the_same_run_leave_one_result() {
    for delay_ms in [0, 1, 5, 10, 15, 25, 40] {
        let world = World::new(THREE, |call| echo(call).after(Duration::from_millis(10)));
        let (run, entries) = world.block_on({
            let world = world.clone();
            async move {
                world.publish().await;
                let id = world.accept(&world.store, 1).await;
                let shutdown = Shutdown::new();
                let engine = || {
                    let queue = Arc::new(Unleased::new(&world.store, &world.clock));
                    world.engine(Arc::new(world.store.clone()), queue).run(shutdown.clone())
                };
                let later = async {
                    world.clock.sleep_until(world.clock.now() + Duration::from_millis(delay_ms)).await;
                    engine().await
                };
                let end = async {
                    world.clock.sleep_until(world.clock.now() + Duration::from_hours(1)).await;
                    shutdown.request();
                };
                let (one, two, ()) = tokio::join!(engine(), later, end);
                one.and(two).unwrap();
                (world.run(id).await, world.store.load(id).await.unwrap())
            }
        });
        assert_eq!(run.status(), RunStatus::Succeeded, "{delay_ms} ms");
        let results: Vec<_> = entries
            .iter()
            .filter_map(|entry| match &entry.event {
                RunEvent::StepSucceeded { step, .. } => Some(step.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(results, ["first", "second", "third"], "{delay_ms} ms: each result once");
        assert_eq!(world.invoker.effects().len(), 3, "{delay_ms} ms: {:?}", world.invoker.calls());
    }
}

/// A queue whose leases have run out: each engine claims every run that is due once, whoever else drives it.
struct Unleased {
    store: MemoryStore,
    clock: Arc<dyn Clock>,
    claimed: Mutex<HashSet<RunId>>,
}

impl Unleased {
    fn new(store: &MemoryStore, clock: &Arc<flowcell_testkit::SimClock>) -> Self {
        Self { store: store.clone(), clock: clock.clone(), claimed: Mutex::default() }
    }

    async fn due(&self) -> BTreeSet<(Timestamp, RunId)> {
        let runs = self.store.list(&WorkspaceId::default_workspace(), RunFilter::default(), None, 100).await.unwrap();
        let claimed = self.claimed.lock().unwrap();
        runs.iter().filter(|run| !claimed.contains(&run.id)).filter_map(|run| Some((run.due_at?, run.id))).collect()
    }
}

#[async_trait]
impl RunQueue for Unleased {
    async fn claim(&self, now: Timestamp, limit: usize) -> Result<Vec<RunId>, StoreError> {
        let due: Vec<_> =
            self.due().await.into_iter().filter(|(at, _)| *at <= now).take(limit).map(|(_, run)| run).collect();
        self.claimed.lock().unwrap().extend(&due);
        Ok(due)
    }
    async fn release(&self, _run: RunId) -> Result<(), StoreError> {
        Ok(())
    }
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.due().await.first().map(|(at, _)| (*at).max(self.clock.now())))
    }
    fn changed(&self) -> Changed {
        self.store.changed()
    }
}
