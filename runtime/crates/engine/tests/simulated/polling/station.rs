//! An installation whose workflow asks a provider what is new, and what outlives its processes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::id::{Digest, WorkflowId, WorkspaceId};
use flowcell_core::invoke::{
    ActionCall, CallRecord, Invocation, InvokeError, PollCall, Polled, TriggerEvent, WebhookCall, WebhookOutcome,
};
use flowcell_core::ports::{
    Accepted, Changed, Clock, Delivery, Entropy, Invoker, Journal, PollState, Polls, RunFilter, RunIndex, StoreError,
};
use flowcell_core::run::event::RunEvent;
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::trigger::Dedupe;
use flowcell_engine::polling::{PollHandle, PollOutcome, PollSource, PolledTrigger, Poller, PollerConfig, PollerPorts};
use flowcell_engine::{Engine, Shutdown};
use flowcell_testkit::{SimClock, sample};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::world::{World, echo};

type Hook = dyn Fn(usize, &PollCall) -> Option<InvokeError> + Send + Sync;
type Event = dyn Fn(&Value) -> TriggerEvent + Send + Sync;

/// A provider with numbered items; its cursor is how many were told.
pub(crate) struct Provider {
    clock: Arc<SimClock>,
    pub(crate) items: Mutex<Vec<Value>>,
    /// How many it tells at a time.
    pub(crate) page: AtomicUsize,
    pub(crate) delay: Mutex<Duration>,
    /// What goes wrong with the n-th poll.
    pub(crate) fails: Mutex<Option<Box<Hook>>>,
    pub(crate) event: Mutex<Box<Event>>,
    /// When each poll came, for whom, and with which cursor.
    pub(crate) polls: Mutex<Vec<(Timestamp, String, Option<String>)>>,
    under_way: AtomicUsize,
    pub(crate) under_way_max: AtomicUsize,
}

impl Provider {
    fn new(clock: &Arc<SimClock>) -> Self {
        Self {
            clock: Arc::clone(clock),
            items: Mutex::default(),
            page: AtomicUsize::new(100),
            delay: Mutex::default(),
            fails: Mutex::default(),
            event: Mutex::new(Box::new(|item| TriggerEvent { payload: item.clone(), dedupe_key: None })),
            polls: Mutex::default(),
            under_way: AtomicUsize::new(0),
            under_way_max: AtomicUsize::new(0),
        }
    }

    pub(crate) fn put(&self, numbers: std::ops::Range<u64>) {
        self.items.lock().unwrap().extend(numbers.map(|number| json!({ "number": number })));
    }

    pub(crate) fn fail(&self, fails: impl Fn(usize, &PollCall) -> Option<InvokeError> + Send + Sync + 'static) {
        *self.fails.lock().unwrap() = Some(Box::new(fails));
    }

    /// Milliseconds from one poll to the next.
    pub(crate) fn waits(&self) -> Vec<u64> {
        let polls = self.polls.lock().unwrap();
        polls.windows(2).map(|pair| pair[1].0.as_millis() - pair[0].0.as_millis()).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.polls.lock().unwrap().len()
    }
}

#[async_trait]
impl Invoker for Provider {
    async fn invoke(&self, call: ActionCall) -> Invocation<Value> {
        drop(echo(&call));
        Invocation { outcome: Ok(json!({})), record: CallRecord::default() }
    }
    async fn on_webhook(&self, _: WebhookCall) -> Invocation<WebhookOutcome> {
        unreachable!("nobody calls its URL")
    }
    async fn poll(&self, call: PollCall) -> Invocation<Polled> {
        let (number, workflow) = {
            let mut polls = self.polls.lock().unwrap();
            polls.push((self.clock.now(), call.trigger.workflow.to_string(), call.cursor.clone()));
            (polls.len() - 1, call.trigger.workflow.to_string())
        };
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.under_way_max.fetch_max(under_way, Ordering::SeqCst);
        let delay = *self.delay.lock().unwrap();
        self.clock.sleep_until(self.clock.now() + delay).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let fails = self.fails.lock().unwrap().as_ref().and_then(|fails| fails(number, &call));
        let outcome = if let Some(error) = fails {
            Err(error)
        } else {
            let items = self.items.lock().unwrap();
            let from = call.cursor.as_ref().map_or(0, |cursor| cursor.parse().unwrap());
            let page = self.page.load(Ordering::SeqCst);
            let told: Vec<_> = items.iter().skip(from).take(page).collect();
            let event = self.event.lock().unwrap();
            let cursor = from + told.len();
            assert!(workflow == call.trigger.workflow.to_string());
            Ok(Polled {
                events: told.into_iter().map(&*event).collect(),
                cursor: Some(cursor.to_string()),
                more: cursor < items.len(),
            })
        };
        Invocation { outcome, record: CallRecord { cpu_ms: 1.0, ..CallRecord::default() } }
    }
}

/// Ids that differ, and jitter that is always the greatest.
#[derive(Default)]
struct Counting(std::sync::atomic::AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() == 4 {
            return bytes.fill(255);
        }
        let number = self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        bytes.iter_mut().rev().zip(number.iter().rev()).for_each(|(to, from)| *to = *from);
    }
}

/// Where the process dies, in writes of polls.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Crash {
    Never,
    /// The next write after so many is not made.
    Before(usize),
    /// It is made, and not answered.
    After(usize),
}

/// The store as one process sees it.
struct Cut {
    inner: flowcell_store::memory::MemoryStore,
    crash: Crash,
    writes: AtomicUsize,
    has_crashed: AtomicUsize,
    stumbles: Arc<AtomicUsize>,
}

#[async_trait]
impl Polls for Cut {
    async fn record(&self, state: PollState, deliveries: Vec<Delivery>) -> Result<Vec<Accepted>, StoreError> {
        if self.has_crashed.load(Ordering::SeqCst) > 0 {
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
            self.has_crashed.store(1, Ordering::SeqCst);
        }
        if !is_made {
            return Err(StoreError::Stopped);
        }
        let result = self.inner.record(state, deliveries).await;
        if is_answered { result } else { Err(StoreError::Stopped) }
    }
    async fn get(&self, workspace: &WorkspaceId, workflow: &WorkflowId) -> Result<Option<PollState>, StoreError> {
        Polls::get(&self.inner, workspace, workflow).await
    }
    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<PollState>, StoreError> {
        Polls::list(&self.inner, workspace).await
    }
    async fn is_known(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        self.inner.is_known(delivery).await
    }
}

#[derive(Default)]
pub(crate) struct Source {
    pub(crate) triggers: Mutex<Vec<PolledTrigger>>,
    changed: Arc<Notify>,
    pub(crate) became: Mutex<Vec<PollOutcome>>,
}

impl Source {
    pub(crate) fn set(&self, triggers: Vec<PolledTrigger>) {
        *self.triggers.lock().unwrap() = triggers;
        self.changed.notify_waiters();
    }
}

#[async_trait]
impl PollSource for Source {
    async fn polled(&self) -> Result<Vec<PolledTrigger>, StoreError> {
        Ok(self.triggers.lock().unwrap().clone())
    }
    fn changed(&self) -> Changed {
        Box::pin(Arc::clone(&self.changed).notified_owned())
    }
    fn became(&self, _: &PolledTrigger, _: Timestamp, became: &PollOutcome) {
        self.became.lock().unwrap().push(became.clone());
    }
}

#[derive(Clone)]
pub(crate) struct Station {
    pub(crate) world: World,
    pub(crate) provider: Arc<Provider>,
    pub(crate) source: Arc<Source>,
    pub(crate) handle: PollHandle,
    pub(crate) config: PollerConfig,
    pub(crate) is_driven: bool,
    pub(crate) stumbles: Arc<AtomicUsize>,
}

pub(crate) const MINUTE: Duration = Duration::from_mins(1);

impl Station {
    /// With the sample workflow published and polled every minute; every draw of jitter is the greatest, so that it is 66 s.
    pub(crate) fn new(head: &str) -> Self {
        let mut world = World::new("- { id: a, uses: test/tools/send@1 }", echo).with(head);
        world.entropy = Arc::new(Counting::default());
        let station = Self {
            provider: Arc::new(Provider::new(&world.clock)),
            world,
            source: Arc::default(),
            handle: PollHandle::default(),
            config: PollerConfig::default(),
            is_driven: false,
            stumbles: Arc::default(),
        };
        station.source.set(vec![station.trigger()]);
        let published = station.world.clone();
        station.world.block_on(async move { published.publish().await });
        station
    }

    /// Version 1, asking for `{"list": "a"}`.
    pub(crate) fn trigger(&self) -> PolledTrigger {
        PolledTrigger {
            workspace: WorkspaceId::default_workspace(),
            workflow: self.world.version.id.clone(),
            version: 1,
            trigger: "trigger".to_owned(),
            digest: sample::tools("1.0.0").digest,
            member: "inbound".to_owned(),
            source: Digest::of(b"a"),
            config: json!({ "list": "a" }),
            connection: None,
            every: MINUTE,
            dedupe: None,
        }
    }

    pub(crate) fn deduped(self, dedupe: Value) -> Self {
        let dedupe: Dedupe = serde_json::from_value(dedupe).unwrap();
        self.source.set(vec![PolledTrigger { dedupe: Some(dedupe), ..self.trigger() }]);
        self
    }

    /// The next writes fail as they would on a full disk.
    pub(crate) fn stumble(&self, writes: usize) {
        self.stumbles.store(writes, Ordering::SeqCst);
    }

    /// One process, for so long or until it dies. Returns whether it died.
    pub(crate) fn work(&self, time: Duration, crash: Crash) -> bool {
        self.work_while(time, crash, |_| async {})
    }

    /// The same, while somebody does something.
    pub(crate) fn work_while<F: Future<Output = ()> + Send + 'static>(
        &self,
        time: Duration,
        crash: Crash,
        other: impl FnOnce(Station) -> F + Send + 'static,
    ) -> bool {
        // A process has a handle of its own.
        let station = Self { handle: PollHandle::default(), ..self.clone() };
        self.world.block_on(async move {
            let store = station.world.store.clone();
            let mut ports = station.world.ports(Arc::new(store.clone()), Arc::new(store.clone()));
            ports.invoker = station.provider.clone();
            let engine = Engine::new(station.world.config.clone(), ports);
            let cut = Cut {
                inner: store,
                crash,
                writes: AtomicUsize::new(0),
                has_crashed: AtomicUsize::new(0),
                stumbles: Arc::clone(&station.stumbles),
            };
            let ports = PollerPorts {
                control: engine.control(),
                polls: Arc::new(cut),
                source: station.source.clone(),
                workspace: WorkspaceId::default_workspace(),
            };
            let poller = Poller::new(station.config, ports, &station.handle);
            let shutdown = Shutdown::new();
            let end = station.world.clock.now() + time;
            let driven = async {
                if station.is_driven {
                    engine.run(shutdown.clone()).await.unwrap();
                } else {
                    std::future::pending::<()>().await;
                }
            };
            let other = async {
                other(station.clone()).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                ended = poller.run(shutdown.clone()) => ended.is_err(),
                () = driven => false,
                () = other => false,
                () = station.world.clock.sleep_until(end) => false,
            }
        })
    }

    /// The numbers of the items that have runs, in their order.
    pub(crate) fn started(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> =
            self.runs().iter().map(|(trigger, _)| trigger["number"].as_u64().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// What the runs read as `trigger`, and their version.
    pub(crate) fn runs(&self) -> Vec<(Value, u32)> {
        let world = self.world.clone();
        self.world.block_on(async move {
            let mut runs = Vec::new();
            let workspace = WorkspaceId::default_workspace();
            let all = RunIndex::list(&world.store, &workspace, RunFilter::default(), None, 100_000).await.unwrap();
            for summary in all {
                let created = world.store.load(summary.id).await.unwrap().swap_remove(0);
                let RunEvent::Created { trigger, version, .. } = created.event else { panic!("{created:?}") };
                runs.push((std::sync::Arc::unwrap_or_clone(trigger), version));
            }
            runs.reverse();
            runs
        })
    }

    pub(crate) fn state(&self) -> PollState {
        let world = self.world.clone();
        self.world.block_on(async move {
            let states = Polls::list(&world.store, &WorkspaceId::default_workspace()).await.unwrap();
            states.into_iter().find(|state| state.workflow == world.version.id).unwrap()
        })
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        self.world.sleep(time).await;
    }
}
