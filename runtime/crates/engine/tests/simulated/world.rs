//! One installation, simulated: everything that outlives a crash.

use std::sync::Arc;
use std::time::Duration;

use flowcell_core::id::{RunId, StepRef, WorkspaceId};
use flowcell_core::invoke::ActionCall;
use flowcell_core::ports::{Clock, DedupeTerms, Entropy, Journal, RunFilter, RunIndex, RunQueue, WorkflowVersion};
use flowcell_core::run::calendar::{AlwaysOpen, Calendar};
use flowcell_core::run::fold::{Run, RunSummary};
use flowcell_engine::{Engine, EngineConfig, EngineStopped, Incoming, Input, InstanceKey, Ports, RunControl, Shutdown};
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::{Answer, FakeInvoker, SeededEntropy, SimClock, StaticCatalog, sample};
use serde_json::{Value, json};

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: Arc<SimClock>,
    pub(crate) store: MemoryStore,
    pub(crate) catalog: Arc<StaticCatalog>,
    pub(crate) invoker: Arc<FakeInvoker>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) version: WorkflowVersion,
    /// Other workflows that are published beside it.
    pub(crate) others: Vec<WorkflowVersion>,
    pub(crate) config: EngineConfig,
    pub(crate) calendar: Arc<dyn Calendar>,
}

impl World {
    /// With version 1 of the sample workflow made of `steps`; every draw of jitter is the greatest.
    pub(crate) fn new(steps: &str, script: impl Fn(&ActionCall) -> Answer + Send + Sync + 'static) -> Self {
        let clock = SimClock::new();
        let catalog = StaticCatalog::of([sample::tools("1.0.0")]);
        Self {
            version: sample::version(&sample::workflow(steps), 1, &*catalog),
            others: Vec::new(),
            invoker: FakeInvoker::new(&clock, script),
            entropy: Arc::new(SeededEntropy::always(255)),
            config: EngineConfig::new(InstanceKey::new(&[7; 32])),
            store: MemoryStore::new(),
            calendar: Arc::new(AlwaysOpen),
            clock,
            catalog,
        }
    }

    pub(crate) fn block_on<T: Send + 'static>(&self, test: impl Future<Output = T> + Send + 'static) -> T {
        self.clock.block_on(test)
    }

    /// Publishes the workflow in the store.
    pub(crate) async fn publish(&self) {
        for version in self.others.iter().chain([&self.version]) {
            sample::publish(&self.store, version).await.unwrap();
        }
    }

    /// With keys at the top of the workflow's text beside its steps.
    pub(crate) fn with(mut self, head: &str) -> Self {
        let source = format!("{}{head}", self.version.source);
        self.version = sample::version(&source, 1, &*self.catalog);
        self
    }

    /// Publishes another workflow too, and binds `call` steps to it.
    pub(crate) fn beside(mut self, source: &str) -> Self {
        let version = sample::version(source, 1, &*self.catalog);
        self.version.calls.insert(version.id.clone(), 1);
        for other in &mut self.others {
            other.calls.insert(version.id.clone(), 1);
        }
        self.others.push(version);
        self
    }

    pub(crate) async fn accept(&self, journal: &dyn Journal, number: u32) -> RunId {
        let delivery = sample::delivery(
            &self.version,
            number,
            self.clock.now(),
            json!({ "number": number, "body": { "id": "ä1" } }),
        );
        journal.accept(delivery).await.unwrap().runs[0]
    }

    pub(crate) fn engine(&self, journal: Arc<dyn Journal>, queue: Arc<dyn RunQueue>) -> Engine {
        Engine::new(self.config.clone(), self.ports(journal, queue))
    }

    pub(crate) fn ports(&self, journal: Arc<dyn Journal>, queue: Arc<dyn RunQueue>) -> Ports {
        Ports {
            journal,
            queue,
            index: Arc::new(self.store.clone()),
            definitions: Arc::new(self.store.clone()),
            destinations: Arc::new(self.store.clone()),
            contacts: Arc::new(self.store.clone()),
            invoker: self.invoker.clone(),
            catalog: self.catalog.clone(),
            clock: self.clock.clone(),
            entropy: Arc::clone(&self.entropy),
            calendar: Arc::clone(&self.calendar),
        }
    }

    /// Lets an engine work for two days (longer than any wait of these tests) or until its store stops.
    pub(crate) async fn work_over(&self, journal: Arc<dyn Journal>) -> Result<(), EngineStopped> {
        self.work_for(journal, Duration::from_hours(48)).await
    }

    pub(crate) async fn work_for(&self, journal: Arc<dyn Journal>, time: Duration) -> Result<(), EngineStopped> {
        let shutdown = Shutdown::new();
        let engine = self.engine(journal, Arc::new(self.store.clone())).run(shutdown.clone());
        tokio::pin!(engine);
        let end = self.clock.now() + time;
        tokio::select! {
            biased;
            ended = &mut engine => return ended,
            () = self.clock.sleep_until(end) => shutdown.request(),
        }
        engine.await
    }

    pub(crate) async fn work(&self) {
        self.work_over(Arc::new(self.store.clone())).await.unwrap();
    }

    /// A delivery of this payload to the workflow's trigger, as whoever starts runs makes it.
    pub(crate) fn incoming(&self, payload: Value) -> Incoming {
        Incoming {
            workspace: WorkspaceId::default_workspace(),
            workflow: self.version.id.clone(),
            version: None,
            trigger: "sample/trigger".to_owned(),
            dedupe_key: None,
            dedupe: DedupeTerms::default(),
            ids: Vec::new(),
            payloads: vec![payload],
            input: Input::Trusted,
        }
    }

    /// Accepts one event, works, and returns the run.
    pub(crate) fn run_one(&self) -> Run {
        let world = self.clone();
        self.block_on(async move {
            world.publish().await;
            let id = world.accept(&world.store, 1).await;
            world.work().await;
            world.run(id).await
        })
    }

    /// An engine over the world's own store, and what others ask of its runs.
    pub(crate) fn engine_here(&self) -> (Engine, RunControl) {
        let engine = self.engine(Arc::new(self.store.clone()), Arc::new(self.store.clone()));
        let control = engine.control();
        (engine, control)
    }

    /// Publishes and works for as long as `script` goes on; what it found.
    pub(crate) fn work_while<F>(&self, script: impl FnOnce(World, RunControl) -> F + Send + 'static) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let world = self.clone();
        self.block_on(async move {
            world.publish().await;
            let (engine, control) = world.engine_here();
            let shutdown = Shutdown::new();
            let script = async {
                let found = script(world, control).await;
                shutdown.request();
                found
            };
            let (ended, found) = tokio::join!(engine.run(shutdown.clone()), script);
            ended.unwrap();
            found
        })
    }

    /// Accepts one event and works, while `meanwhile` happens; ends two days after that.
    pub(crate) fn run_while<F>(&self, meanwhile: impl FnOnce(World, RunControl, RunId) -> F + Send + 'static) -> Run
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let world = self.clone();
        self.block_on(async move {
            world.publish().await;
            let id = world.accept(&world.store, 1).await;
            let (engine, control) = world.engine_here();
            let shutdown = Shutdown::new();
            let others = async {
                meanwhile(world.clone(), control, id).await;
                world.sleep(Duration::from_hours(48)).await;
                shutdown.request();
            };
            let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), others);
            ended.unwrap();
            world.run(id).await
        })
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        self.clock.sleep_until(self.clock.now() + time).await;
    }

    pub(crate) async fn run(&self, id: RunId) -> Run {
        let run = Run::fold(id, &self.store.load(id).await.unwrap()).unwrap();
        let summary = self.store.get(&run.workspace, id).await.unwrap().unwrap();
        assert_eq!(run.summary(), summary, "the summary is the fold");
        run
    }

    pub(crate) async fn runs(&self) -> Vec<RunSummary> {
        let workspace = WorkspaceId::default_workspace();
        let mut runs: Vec<RunSummary> = Vec::new();
        loop {
            let page =
                self.store.list(&workspace, RunFilter::default(), runs.last().map(|run| run.id), 100).await.unwrap();
            if page.is_empty() {
                return runs;
            }
            runs.extend(page);
        }
    }
}

/// Answers every call with `{"echo": <its input>}`.
pub(crate) fn echo(call: &ActionCall) -> Answer {
    Answer::ok(json!({ "echo": call.input }))
}

/// Milliseconds from the first call to each call.
pub(crate) fn offsets(invoker: &FakeInvoker) -> Vec<u64> {
    let calls = invoker.calls();
    calls.iter().map(|call| call.at.as_millis() - calls[0].at.as_millis()).collect()
}

/// The last output of a step.
pub(crate) fn output<'r>(run: &'r Run, step: &str) -> Option<&'r Value> {
    run.steps.get(&step.parse::<StepRef>().unwrap())?.output()
}

/// Three idempotent steps, each of which reads the one before.
pub(crate) const THREE: &str = r#"
- id: first
  uses: test/tools/send@1
  with: { number: "{{ trigger.number }}" }
- id: second
  uses: test/tools/send@1
  with: { before: "{{ steps.first.output.echo.number }}" }
- id: third
  uses: test/tools/send@1
  with: { text: "after {{ steps.second.output.echo.before }}" }
"#;
