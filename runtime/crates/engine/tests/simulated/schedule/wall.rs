//! A clock on the wall: an installation with schedules and nothing else, and what outlives its processes.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::id::{RunId, WorkflowId, WorkspaceId};
use flowcell_core::ports::{
    Accepted, Append, Changed, Clock, Definitions, Delivery, Hook, HookBinding, Journal, RunFilter, RunIndex,
    ScheduleCursor, Schedules, StoreError, WorkflowHead, WorkflowVersion,
};
use flowcell_core::run::calendar::AlwaysOpen;
use flowcell_core::run::event::{Recorded, RunEvent};
use flowcell_core::run::fold::RunStatus;
use flowcell_core::schedule::{Missed, Schedule, ScheduleSpec, Zone};
use flowcell_core::time::Timestamp;
use flowcell_engine::scheduler::{Became, ScheduleSource, ScheduledTrigger, Scheduler, SchedulerPorts};
use flowcell_engine::{Engine, EngineConfig, InstanceKey, Ports, Shutdown};
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::{FakeInvoker, SeededEntropy, SimClock, StaticCatalog};
use serde_json::Value;
use tokio::sync::Notify;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A schedule of the workflow `daily`, published before anything happens, and the rest of its text.
pub(super) struct Given(ScheduledTrigger, String);

pub(super) fn scheduled(text: &str, zone: &str, missed: &str) -> Given {
    let missed: Missed = serde_json::from_value(missed.into()).unwrap();
    let (at, cron) = match text.strip_prefix("at ") {
        Some(at) => (Some(at.to_owned()), None),
        None => (None, Some(text.to_owned())),
    };
    let spec = ScheduleSpec { cron, at, timezone: Some(zone.to_owned()), missed, ..ScheduleSpec::default() };
    let schedule: Schedule = spec.schedule(&Zone::utc()).unwrap();
    let trigger = ScheduledTrigger {
        workspace: WorkspaceId::default_workspace(),
        workflow: "daily".parse().unwrap(),
        version: 1,
        trigger: "trigger".to_owned(),
        schedule,
        since: Timestamp::from_millis(0),
    };
    Given(trigger, WORKFLOW.to_owned())
}

pub(super) fn daily_at_nine(missed: &str) -> Given {
    scheduled("0 9 * * *", "UTC", missed)
}

/// Four a day, of the workflow `hourly`.
pub(super) fn hourly_in_the_morning() -> Given {
    scheduled("15 6-9 * * *", "UTC", "all").named("hourly")
}

/// What every version of every workflow here says, if nothing else is given.
const WORKFLOW: &str = "id: daily\nname: D\ntrigger: { manual: true }\nsteps: [ { id: pause, wait: { for: 90m } } ]\n";

impl Given {
    /// With a filter of its trigger.
    pub(super) fn filtered(mut self, filter: &str) -> Self {
        self.1 = self.1.replace("{ manual: true }", &format!("{{ manual: true, filter: {filter} }}"));
        self
    }
    pub(super) fn settings(mut self, settings: &str) -> Self {
        self.1 = format!("{}settings: {{ {settings} }}\n", self.1);
        self
    }
    pub(super) fn named(mut self, workflow: &str) -> Self {
        self.0.workflow = workflow.parse().unwrap();
        self
    }
    pub(super) fn version(mut self, version: u32, since: Timestamp) -> Self {
        (self.0.version, self.0.since) = (version, since);
        self
    }
}

#[derive(Default)]
pub(super) struct Source {
    triggers: Mutex<Vec<ScheduledTrigger>>,
    changed: Arc<Notify>,
    pub(super) became: Mutex<Vec<Became>>,
}

impl Source {
    pub(super) fn replace(&self, given: Given) {
        *self.triggers.lock().unwrap() = vec![given.0];
        self.changed.notify_waiters();
    }
    pub(super) fn clear(&self) {
        self.triggers.lock().unwrap().clear();
        self.changed.notify_waiters();
    }
}

#[async_trait]
impl ScheduleSource for Source {
    async fn schedules(&self) -> Result<Vec<ScheduledTrigger>, StoreError> {
        Ok(self.triggers.lock().unwrap().clone())
    }
    fn changed(&self) -> Changed {
        Box::pin(Arc::clone(&self.changed).notified_owned())
    }
    fn became(&self, _: &ScheduledTrigger, _: Timestamp, became: &Became) {
        self.became.lock().unwrap().push(became.clone());
    }
}

/// Workflows as their texts stand, in any version.
#[derive(Default)]
struct Texts(Mutex<HashMap<WorkflowId, String>>);

#[async_trait]
impl Definitions for Texts {
    async fn put(&self, _: WorkflowVersion, _: WorkflowHead, _: HookBinding) -> Result<(), StoreError> {
        unreachable!("nothing is applied here")
    }
    async fn rotate(&self, _: WorkflowHead, _: HookBinding, _: Vec<[u8; 32]>) -> Result<(), StoreError> {
        unreachable!("there are no URLs")
    }
    async fn head(&self, _: &WorkspaceId, _: &WorkflowId) -> Result<Option<WorkflowHead>, StoreError> {
        unreachable!("the schedule says which version")
    }
    async fn version(
        &self,
        workspace: &WorkspaceId,
        id: &WorkflowId,
        version: u32,
    ) -> Result<Option<WorkflowVersion>, StoreError> {
        let source = self.0.lock().unwrap().get(id).cloned().unwrap_or_else(|| WORKFLOW.to_owned());
        let source = source.replacen("daily", id.as_str(), 1);
        let (workspace, id, created_at) = (workspace.clone(), id.clone(), Timestamp::from_millis(0));
        let (pins, calls) = (BTreeMap::new(), BTreeMap::new());
        Ok(Some(WorkflowVersion { workspace, id, version, source, created_at, pins, calls }))
    }
    async fn list(&self, _: &WorkspaceId) -> Result<Vec<WorkflowHead>, StoreError> {
        unreachable!("nobody lists")
    }
    async fn hook(&self, _: [u8; 32]) -> Result<Option<Hook>, StoreError> {
        unreachable!("there are no URLs")
    }
}

/// Where the process dies, in writes of any kind.
#[derive(Debug, Clone, Copy)]
pub(super) enum Crash {
    Never,
    /// The next write after so many is not made.
    Before(usize),
    /// It is made, and not answered.
    After(usize),
}

/// The store as a process sees it: it may stumble, and it dies where the test says.
struct Store {
    inner: MemoryStore,
    crash: Crash,
    writes: AtomicUsize,
    crashed: AtomicUsize,
    stumbles: Arc<AtomicUsize>,
    /// Asked to drain after so many accepted deliveries.
    drain: Option<(usize, Shutdown)>,
    accepted: AtomicUsize,
}

impl Store {
    async fn write<T>(&self, write: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        if self.crashed.load(Ordering::SeqCst) > 0 {
            return Err(StoreError::Stopped);
        }
        if self.stumbles.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(StoreError::Failed { message: "no space left on the device".to_owned() });
        }
        let made = self.writes.fetch_add(1, Ordering::SeqCst);
        let (is_made, is_answered) = match self.crash {
            Crash::Before(writes) if made == writes => (false, false),
            Crash::After(writes) if made == writes => (true, false),
            _ => (true, true),
        };
        if !is_answered {
            self.crashed.store(1, Ordering::SeqCst);
        }
        if !is_made {
            return Err(StoreError::Stopped);
        }
        let result = write.await;
        if is_answered { result } else { Err(StoreError::Stopped) }
    }
}

#[async_trait]
impl Journal for Store {
    async fn accept(&self, delivery: Delivery) -> Result<Accepted, StoreError> {
        let accepted = self.write(self.inner.accept(delivery)).await?;
        let count = self.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some((after, shutdown)) = &self.drain
            && count == *after
        {
            shutdown.request();
        }
        Ok(accepted)
    }
    async fn append(&self, append: Append) -> Result<(), StoreError> {
        self.write(self.inner.append(append)).await
    }
    async fn load(&self, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        self.inner.load(run).await
    }
}

#[async_trait]
impl Schedules for Store {
    async fn put(&self, cursor: ScheduleCursor) -> Result<(), StoreError> {
        let before = Schedules::get(&self.inner, &cursor.workspace, &cursor.workflow, &cursor.trigger).await?;
        if let Some(before) = before.filter(|before| before.schedule == cursor.schedule && !before.is_ended) {
            assert!(before.decided <= cursor.decided, "a cursor went back: {before:?} → {cursor:?}");
        }
        self.write(Schedules::put(&self.inner, cursor)).await
    }
    async fn get(
        &self,
        workspace: &WorkspaceId,
        workflow: &WorkflowId,
        trigger: &str,
    ) -> Result<Option<ScheduleCursor>, StoreError> {
        Schedules::get(&self.inner, workspace, workflow, trigger).await
    }
    async fn list(&self) -> Result<Vec<ScheduleCursor>, StoreError> {
        Schedules::list(&self.inner).await
    }
}

/// Counts how often somebody goes to sleep.
struct Napping {
    clock: Arc<SimClock>,
    naps: Arc<AtomicUsize>,
}

#[async_trait]
impl Clock for Napping {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
    async fn sleep_until(&self, at: Timestamp) {
        self.naps.fetch_add(1, Ordering::SeqCst);
        self.clock.sleep_until(at).await;
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub(super) workflow: String,
    pub(super) version: u32,
    pub(super) trigger: Value,
    pub(super) status: RunStatus,
    pub(super) finished_at: Option<Timestamp>,
}

impl Run {
    fn occurrence(&self) -> Timestamp {
        at(self.trigger["scheduled_at"].as_str().unwrap())
    }
}

#[derive(Clone)]
pub(super) struct Wall {
    pub(super) clock: Arc<SimClock>,
    pub(super) source: Arc<Source>,
    pub(super) custom_values: Value,
    store: MemoryStore,
    texts: Arc<Texts>,
    /// Whether the runs are driven, too.
    is_driven: bool,
    naps: Arc<AtomicUsize>,
    stumbles: Arc<AtomicUsize>,
}

impl Wall {
    pub(super) fn at(text: &str) -> Self {
        let clock = SimClock::new();
        clock.set(at(text));
        Self {
            clock,
            source: Arc::default(),
            custom_values: serde_json::json!({}),
            store: MemoryStore::new(),
            texts: Arc::default(),
            is_driven: false,
            naps: Arc::default(),
            stumbles: Arc::default(),
        }
    }

    /// Publishes one more schedule, now.
    pub(super) fn with(self, mut given: Given) -> Self {
        given.0.since = self.clock.now();
        self.texts.0.lock().unwrap().insert(given.0.workflow.clone(), given.1);
        self.source.triggers.lock().unwrap().push(given.0);
        self
    }

    /// Its runs are driven.
    pub(super) fn driven(self) -> Self {
        Self { is_driven: true, ..self }
    }

    /// The next writes fail as they would on a full disk.
    pub(super) fn stumble(&self, writes: usize) {
        self.stumbles.store(writes, Ordering::SeqCst);
    }

    pub(super) fn naps(&self) -> usize {
        self.naps.load(Ordering::SeqCst)
    }

    pub(super) fn work_for(&self, time: Duration) {
        self.work_while(time, |_, _| async {});
    }

    /// Lets a process work for a time, while somebody does something else.
    pub(super) fn work_while<F: Future<Output = ()> + Send + 'static>(
        &self,
        time: Duration,
        other: impl FnOnce(Arc<SimClock>, Timestamp) -> F,
    ) {
        let other = other(Arc::clone(&self.clock), self.clock.now());
        assert!(!self.process(Crash::Never, None, time, other), "it crashed by itself");
    }

    /// Whether it came to the crash within `time`.
    pub(super) fn work_until_crash(&self, crash: Crash, time: Duration) -> bool {
        self.process(crash, None, time, async {})
    }

    pub(super) fn work_and_drain_after(&self, deliveries: usize) {
        assert!(!self.process(Crash::Never, Some(deliveries), Duration::from_hours(1), async {}));
    }

    fn process(
        &self,
        crash: Crash,
        drain_after: Option<usize>,
        time: Duration,
        other: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        self.store.crash(); // what an earlier process claimed is free
        let shutdown = Shutdown::new();
        let store = Arc::new(Store {
            inner: self.store.clone(),
            crash,
            writes: AtomicUsize::new(0),
            crashed: AtomicUsize::new(0),
            stumbles: Arc::clone(&self.stumbles),
            drain: drain_after.map(|after| (after, shutdown.clone())),
            accepted: AtomicUsize::new(0),
        });
        let engine = Engine::new(
            EngineConfig {
                custom_values: Arc::new(self.custom_values.clone()),
                ..EngineConfig::new(InstanceKey::new(&[7; 32]))
            },
            Ports {
                journal: Arc::clone(&store) as _,
                queue: Arc::new(self.store.clone()),
                index: Arc::new(self.store.clone()),
                definitions: Arc::clone(&self.texts) as _,
                destinations: Arc::new(self.store.clone()),
                contacts: Arc::new(self.store.clone()),
                invoker: FakeInvoker::new(&self.clock, crate::world::echo),
                catalog: StaticCatalog::of([]),
                clock: Arc::clone(&self.clock) as _,
                entropy: Arc::new(SeededEntropy::always(255)),
                calendar: Arc::new(AlwaysOpen),
            },
        );
        let scheduler = Scheduler::new(SchedulerPorts {
            control: engine.control(),
            schedules: store,
            source: Arc::clone(&self.source) as _,
            clock: Arc::new(Napping { clock: Arc::clone(&self.clock), naps: Arc::clone(&self.naps) }),
        });
        let (clock, end, is_driven) = (Arc::clone(&self.clock), self.clock.now() + time, self.is_driven);
        self.clock.block_on(async move {
            let driving = async { if is_driven { engine.run(shutdown.clone()).await } else { Ok(()) } };
            let work = async {
                let (driven, scheduled) = tokio::join!(driving, scheduler.run(shutdown.clone()));
                driven.and(scheduled)
            };
            tokio::pin!(work);
            let others = async {
                other.await;
                clock.sleep_until(end).await;
            };
            tokio::select! {
                biased;
                ended = &mut work => return ended.is_err(),
                () = others => shutdown.request(),
            }
            work.await.is_err()
        })
    }

    /// Every run there is, by the time it was scheduled for.
    pub(super) fn runs(&self) -> Vec<Run> {
        let store = self.store.clone();
        let mut runs = self.clock.block_on(async move {
            let mut runs = Vec::new();
            let mut last = None;
            loop {
                let workspace = WorkspaceId::default_workspace();
                let page = RunIndex::list(&store, &workspace, RunFilter::default(), last, 1_000).await.unwrap();
                let Some(oldest) = page.last() else { return runs };
                last = Some(oldest.id);
                for summary in page {
                    let created = store.load(summary.id).await.unwrap().swap_remove(0);
                    if let RunEvent::Created { workflow, version, trigger, .. } = created.event {
                        let (status, finished_at) = (summary.status, summary.finished_at);
                        let trigger = std::sync::Arc::unwrap_or_clone(trigger);
                        runs.push(Run { workflow: workflow.to_string(), version, trigger, status, finished_at });
                    }
                }
            }
        });
        runs.sort_by_key(Run::occurrence);
        runs
    }

    /// The times that were acted on.
    pub(super) fn fired(&self) -> Vec<Timestamp> {
        self.runs().iter().map(Run::occurrence).collect()
    }

    pub(super) fn fired_by(&self, workflow: &str) -> Vec<Timestamp> {
        self.runs().iter().filter(|run| run.workflow == workflow).map(Run::occurrence).collect()
    }

    pub(super) fn fired_locally(&self) -> Vec<String> {
        self.runs().iter().map(|run| run.trigger["local_time"].as_str().unwrap().to_owned()).collect()
    }

    pub(super) fn cursors(&self) -> Vec<ScheduleCursor> {
        let store = self.store.clone();
        self.clock.block_on(async move { Schedules::list(&store).await.unwrap() })
    }
}
