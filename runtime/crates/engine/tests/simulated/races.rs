//! Two things at one moment, in the order that is worst: made sure of by a journal or an index that waits for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::id::{RunId, StepRef, WorkflowId, WorkspaceId};
use flowcell_core::ports::{
    Accepted, Append, Delivery, Durability, Journal, PageRequest, RunFilter, RunIndex, RunPage, StoreError,
};
use flowcell_core::run::event::{Decision, Outcome, Recorded, RunEvent};
use flowcell_core::run::fold::{Mark, Run, RunStatus, RunSummary};
use flowcell_core::search::FieldPath;
use flowcell_engine::{Engine, Shutdown};
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::Answer;
use serde_json::json;
use tokio::sync::Notify;

use crate::world::{World, echo, output};

/// What comes from outside just before a write that `at` is for, once.
type Meddler = Box<dyn Fn(&[Recorded]) -> Option<RunEvent> + Send + Sync>;

/// A journal to which somebody else writes first.
struct Meddled {
    inner: MemoryStore,
    meddler: Mutex<Option<Meddler>>,
    /// Told when a run has ended.
    ended: Arc<Notify>,
}

impl Meddled {
    fn new(store: &MemoryStore, meddler: Option<Meddler>) -> Arc<Self> {
        Arc::new(Self { inner: store.clone(), meddler: Mutex::new(meddler), ended: Arc::default() })
    }

    fn meddling(&self, entries: &[Recorded]) -> Option<RunEvent> {
        let mut meddler = self.meddler.lock().unwrap();
        let event = meddler.as_ref()?(entries)?;
        *meddler = None;
        Some(event)
    }
}

#[async_trait]
impl Journal for Meddled {
    async fn accept(&self, delivery: Delivery) -> Result<Accepted, StoreError> {
        self.inner.accept(delivery).await
    }
    async fn append(&self, append: Append) -> Result<(), StoreError> {
        if let Some(event) = self.meddling(&append.entries) {
            let mut history = self.inner.load(append.run).await?;
            let seq = u32::try_from(history.len()).unwrap();
            let entry = Recorded { seq, at: append.entries[0].at, event };
            history.push(entry.clone());
            let summary = Run::fold(append.run, &history).unwrap().summary();
            let first = Append { run: append.run, entries: vec![entry], summary, durability: Durability::Synced };
            self.inner.append(first).await?;
        }
        let ends = append.entries.iter().any(|entry| matches!(entry.event, RunEvent::Finished { .. }));
        self.inner.append(append).await?;
        if ends {
            self.ended.notify_one();
        }
        Ok(())
    }
    async fn load(&self, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        self.inner.load(run).await
    }
}

/// An index that answers the second run that asks for a place when the first has just ended, and with what it knew before.
struct Late {
    inner: MemoryStore,
    asked: Mutex<u32>,
    ended: Arc<Notify>,
}

#[async_trait]
impl RunIndex for Late {
    async fn get(&self, workspace: &WorkspaceId, run: RunId) -> Result<Option<RunSummary>, StoreError> {
        self.inner.get(workspace, run).await
    }
    async fn search(
        &self,
        workspace: &WorkspaceId,
        filter: &RunFilter,
        page: PageRequest,
    ) -> Result<RunPage, StoreError> {
        self.inner.search(workspace, filter, page).await
    }
    fn index_fields(&self, workspace: &WorkspaceId, workflow: &WorkflowId, fields: Vec<FieldPath>) {
        self.inner.index_fields(workspace, workflow, fields);
    }
    async fn marked(&self, workspace: &WorkspaceId, mark: &Mark) -> Result<Vec<RunSummary>, StoreError> {
        let known = self.inner.marked(workspace, mark).await?;
        let is_second = {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            *asked == 2
        };
        if is_second {
            self.ended.notified().await;
        }
        Ok(known)
    }
}

#[test]
fn a_run_that_is_refused_a_place_while_it_becomes_free_is_let_in() {
    let world = World::new("- { id: a, uses: test/tools/send@1 }", |call| echo(call).after(Duration::from_secs(10)))
        .with("settings: { concurrency: { limit: 1 } }\n");
    world.clone().block_on(async move {
        world.publish().await;
        let journal = Meddled::new(&world.store, None);
        let index = Late { inner: world.store.clone(), asked: Mutex::default(), ended: Arc::clone(&journal.ended) };
        let mut ports = world.ports(journal, Arc::new(world.store.clone()));
        ports.index = Arc::new(index);
        let engine = Engine::new(world.config.clone(), ports);
        let (control, shutdown) = (engine.control(), Shutdown::new());
        let others = async {
            for number in 0..2 {
                control.deliver(world.incoming(json!({ "number": number }))).await.unwrap();
                world.sleep(Duration::from_secs(1)).await;
            }
            world.sleep(Duration::from_mins(1)).await;
            shutdown.request();
        };
        let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), others);
        ended.unwrap();
        let statuses: Vec<_> = world.runs().await.iter().map(|run| run.status).collect();
        assert_eq!(statuses, [RunStatus::Succeeded; 2]);
    });
}

/// Runs one event to its end, with somebody who writes first.
fn run_meddled(world: &World, meddler: Meddler) -> Run {
    let world = world.clone();
    world.clone().block_on(async move {
        world.publish().await;
        let id = world.accept(&world.store, 1).await;
        let journal = Meddled::new(&world.store, Some(meddler));
        world.work_over(Arc::clone(&journal) as _).await.unwrap();
        assert!(journal.meddler.lock().unwrap().is_none(), "nobody came in between");
        world.run(id).await
    })
}

#[test]
fn an_event_that_comes_at_the_moment_of_the_timeout_is_taken_and_nothing_of_the_timeout_is_done() {
    let steps = r#"
- id: paid
  wait: { event: order.paid, timeout: 1h }
  on_timeout: [ { id: remind, uses: test/tools/charge@1 } ]
- { id: after, uses: test/tools/send@1, with: { reason: "{{ steps.paid.output.reason }}" } }
"#;
    let world = World::new(steps, echo);
    let run = run_meddled(
        &world,
        Box::new(|entries| {
            let step: StepRef = "paid".parse().unwrap();
            let times_out = entries.iter().any(|entry| matches!(entry.event, RunEvent::TimedOut { .. }));
            times_out.then(|| RunEvent::EventArrived { step, payload: json!({ "id": 7 }) })
        }),
    );
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    assert_eq!(output(&run, "paid"), Some(&json!({ "reason": "event", "event": { "id": 7 } })));
    let called: Vec<_> = world.invoker.calls().into_iter().map(|call| call.step).collect();
    assert_eq!(called, ["after"], "nobody is reminded");
}

#[test]
fn a_decision_at_the_moment_the_run_is_over_ends_it_all_the_same() {
    let steps = r#"
- id: both
  parallel:
    one: [ { id: pay, uses: test/tools/charge@1, timeout: 1s } ]
    two: [ { id: pause, wait: { for: 3d } } ]
"#;
    let cut_short = |entries: &[Recorded], id: &str| {
        let is_it =
            |entry: &&Recorded| matches!(&entry.event, RunEvent::Cancelled { step, .. } if step.to_string() == id);
        entries.iter().any(|entry| is_it(&entry))
    };
    for decision in [Decision::Failed, Decision::Succeeded { output: json!(1) }] {
        let world = World::new(steps, |_| Answer::never()).with("settings: { timeout: 1m }\n");
        let decided = decision.clone();
        let run = run_meddled(
            &world,
            Box::new(move |entries| {
                let (step, decision): (StepRef, _) = ("pay".parse().unwrap(), decided.clone());
                cut_short(entries, "pay").then_some(RunEvent::Decided { step, decision })
            }),
        );
        let Some(Outcome::Failed { error, .. }) = &run.outcome else { panic!("{:?} after {decision:?}", run.outcome) };
        assert_eq!(error.code, "run-timeout", "{decision:?}");
        assert_eq!(run.finished_at.unwrap().since(run.created_at), Duration::from_mins(1));
    }
}

#[test]
fn a_cancellation_at_the_moment_of_the_last_result_leaves_one_end() {
    let world = World::new("- { id: a, uses: test/tools/send@1 }", echo);
    let run = run_meddled(
        &world,
        Box::new(|entries| {
            let ends = entries.iter().any(|entry| matches!(entry.event, RunEvent::Finished { .. }));
            ends.then(|| RunEvent::CancelRequested { reason: "enough".to_owned() })
        }),
    );
    // Everything had happened by then: there was nothing left to cut short.
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    assert_eq!(world.invoker.calls().len(), 1);
}
