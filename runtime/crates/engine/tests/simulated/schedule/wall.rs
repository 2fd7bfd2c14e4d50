//! A clock on the wall: an installation with schedules and nothing else, and what outlives its processes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::id::{RunId, WorkflowId, WorkspaceId};
use flowcell_core::ports::{
    Accepted, Append, Changed, Clock, Delivery, Journal, RunFilter, RunIndex, ScheduleCursor, Schedules, StoreError,
};
use flowcell_core::run::event::{Recorded, RunEvent};
use flowcell_core::schedule::{Missed, Schedule, ScheduleSpec, Zone};
use flowcell_core::time::Timestamp;
use flowcell_engine::Shutdown;
use flowcell_engine::scheduler::{ScheduleSource, ScheduledTrigger, Scheduler, SchedulerPorts};
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::SimClock;
use serde_json::Value;
use tokio::sync::Notify;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A schedule of the workflow `daily`, published before anything happens.
pub(super) struct Given(ScheduledTrigger);

pub(super) fn scheduled(text: &str, zone: &str, missed: &str) -> Given {
    let missed: Missed = serde_json::from_value(missed.into()).unwrap();
    let (at, cron) = match text.strip_prefix("at ") {
        Some(at) => (Some(at.to_owned()), None),
        None => (None, Some(text.to_owned())),
    };
    let spec = ScheduleSpec { cron, at, timezone: Some(zone.to_owned()), missed, ..ScheduleSpec::default() };
    let schedule: Schedule = spec.schedule(&Zone::utc()).unwrap();
    Given(ScheduledTrigger {
        workspace: WorkspaceId::default_workspace(),
        workflow: "daily".parse().unwrap(),
        version: 1,
        trigger: "trigger".to_owned(),
        pins: std::collections::BTreeMap::new(),
        schedule,
        since: Timestamp::from_millis(0),
    })
}

pub(super) fn daily_at_nine(missed: &str) -> Given {
    scheduled("0 9 * * *", "UTC", missed)
}

/// Four a day, of the workflow `hourly`.
pub(super) fn hourly_in_the_morning() -> Given {
    scheduled("15 6-9 * * *", "UTC", "all").named("hourly")
}

impl Given {
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
    store: MemoryStore,
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
            store: MemoryStore::new(),
            naps: Arc::default(),
            stumbles: Arc::default(),
        }
    }

    /// Publishes one more schedule, now.
    pub(super) fn with(self, mut given: Given) -> Self {
        given.0.since = self.clock.now();
        self.source.triggers.lock().unwrap().push(given.0);
        self
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
        let scheduler = Scheduler::new(SchedulerPorts {
            journal: Arc::clone(&store) as _,
            schedules: store,
            source: Arc::clone(&self.source) as _,
            clock: Arc::new(Napping { clock: Arc::clone(&self.clock), naps: Arc::clone(&self.naps) }),
        });
        let (clock, end) = (Arc::clone(&self.clock), self.clock.now() + time);
        self.clock.block_on(async move {
            let work = scheduler.run(shutdown.clone());
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
                        runs.push(Run { workflow: workflow.to_string(), version, trigger });
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
