//! Triggers that register their URL at a provider: whatever dies when, exactly what is wanted stands there in the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::id::{ConnectionName, Digest, WorkflowId, WorkspaceId};
use flowcell_core::invoke::{
    ActionCall, ActionError, CallRecord, Invocation, InvokeError, SubscribeCall, Subscription, UnsubscribeCall,
    WebhookCall, WebhookOutcome,
};
use flowcell_core::ports::{Changed, Hold, Invoker, StoreError, SubscriptionState, Subscriptions, Wanted};
use flowcell_core::time::Timestamp;
use flowcell_engine::subscribing::{SubscribedTrigger, Subscriber, SubscriberPorts, SubscriptionSource};
use flowcell_engine::{Engine, Shutdown};
use flowcell_store::memory::MemoryStore;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::polling::station::{Crash, MINUTE};
use crate::world::{World, echo};

const HOUR: Duration = Duration::from_hours(1);

type Fails = dyn Fn(&str, usize) -> Option<InvokeError> + Send + Sync;

/// Knows one registration for each URL and list.
struct Provider {
    standing: Mutex<BTreeMap<u64, (String, Value)>>,
    made: AtomicUsize,
    calls: Mutex<Vec<String>>,
    fails: Mutex<Option<Box<Fails>>>,
    expires_after: Mutex<Option<Duration>>,
}

impl Provider {
    fn call(&self, what: &str) -> Option<InvokeError> {
        let mut calls = self.calls.lock().unwrap();
        calls.push(what.to_owned());
        self.fails.lock().unwrap().as_ref().and_then(|fails| fails(what, calls.len() - 1))
    }

    fn standing(&self) -> Vec<(String, Value)> {
        self.standing.lock().unwrap().values().cloned().collect()
    }
}

fn refused(code: &str) -> InvokeError {
    let message = "no".to_owned();
    InvokeError::Action(ActionError {
        code: code.to_owned(),
        message,
        retryable: false,
        retry_after_ms: None,
        details: None,
    })
}

fn answer<T>(outcome: Result<T, InvokeError>) -> Invocation<T> {
    Invocation { outcome, record: CallRecord::default() }
}

#[async_trait]
impl Invoker for Provider {
    async fn invoke(&self, _: ActionCall) -> Invocation<Value> {
        unreachable!("no run is here")
    }
    async fn on_webhook(&self, _: WebhookCall) -> Invocation<WebhookOutcome> {
        unreachable!("nobody calls its URL")
    }
    async fn subscribe(&self, call: SubscribeCall) -> Invocation<Subscription> {
        if let Some(error) = self.call("subscribe") {
            return answer(Err(error));
        }
        let wanted = (call.callback_url, call.trigger.config);
        let mut standing = self.standing.lock().unwrap();
        let known = standing.iter().find(|(_, stands)| **stands == wanted).map(|(id, _)| *id);
        if let Some(registration) = &call.registration {
            assert_eq!(known, registration["id"].as_u64(), "it is renewed with what it was made with");
        }
        let id = known.unwrap_or_else(|| self.made.fetch_add(1, Ordering::SeqCst) as u64 + 1);
        standing.insert(id, wanted);
        let renew_before_ms = self.expires_after.lock().unwrap().map(|after| after.as_millis() as u64);
        answer(Ok(Subscription { registration: json!({ "id": id }), renew_before_ms }))
    }
    async fn unsubscribe(&self, call: UnsubscribeCall) -> Invocation<()> {
        if let Some(error) = self.call("unsubscribe") {
            return answer(Err(error));
        }
        let id = call.registration["id"].as_u64().unwrap();
        let was_there = self.standing.lock().unwrap().remove(&id).is_some();
        answer(if was_there { Ok(()) } else { Err(refused("not-found")) })
    }
}

/// The store as one process sees it.
struct Cut {
    inner: MemoryStore,
    crash: Crash,
    writes: AtomicUsize,
    has_crashed: AtomicUsize,
}

#[async_trait]
impl Subscriptions for Cut {
    async fn put(&self, state: SubscriptionState) -> Result<(), StoreError> {
        if self.has_crashed.load(Ordering::SeqCst) > 0 {
            return Err(StoreError::Stopped);
        }
        let made = self.writes.fetch_add(1, Ordering::SeqCst);
        match self.crash {
            Crash::Before(writes) if made == writes => {}
            Crash::After(writes) if made == writes => Subscriptions::put(&self.inner, state).await?,
            _ => return Subscriptions::put(&self.inner, state).await,
        }
        self.has_crashed.store(1, Ordering::SeqCst);
        Err(StoreError::Stopped)
    }
    async fn get(&self, workspace: &WorkspaceId, id: &WorkflowId) -> Result<Option<SubscriptionState>, StoreError> {
        Subscriptions::get(&self.inner, workspace, id).await
    }
    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<SubscriptionState>, StoreError> {
        Subscriptions::list(&self.inner, workspace).await
    }
}

#[derive(Default)]
struct Source {
    wanted: Mutex<Option<Wanted>>,
    reconnected: Mutex<Option<Timestamp>>,
    changed: Arc<Notify>,
}

impl Source {
    fn want(&self, wanted: Option<Wanted>) {
        *self.wanted.lock().unwrap() = wanted;
        self.changed.notify_waiters();
    }
}

#[async_trait]
impl SubscriptionSource for Source {
    async fn subscribed(&self) -> Result<Vec<SubscribedTrigger>, StoreError> {
        let wanted = self.wanted.lock().unwrap().clone();
        let trigger =
            |wanted| SubscribedTrigger { workspace: WorkspaceId::default_workspace(), workflow: workflow(), wanted };
        Ok(wanted.map(trigger).into_iter().collect())
    }
    fn callback_url(&self, workflow: &WorkflowId, wanted: &Wanted) -> String {
        format!("{}/hooks/{workflow}-{}", wanted.base_url, wanted.url_generation)
    }
    fn changed(&self) -> Changed {
        Box::pin(Arc::clone(&self.changed).notified_owned())
    }
    async fn reconnected(&self) -> Result<Vec<(ConnectionName, Timestamp)>, StoreError> {
        Ok(self.reconnected.lock().unwrap().map(|at| ("crm".parse().unwrap(), at)).into_iter().collect())
    }
}

fn workflow() -> WorkflowId {
    "sample".parse().unwrap()
}

fn wanted(list: &str, url_generation: u32) -> Wanted {
    Wanted {
        digest: Digest::of(b"plugin"),
        member: "inbound".to_owned(),
        source: Digest::of(list.as_bytes()),
        config: json!({ "list": list }),
        connection: Some("crm".parse().unwrap()),
        url_generation,
        base_url: "https://flowcell.test".to_owned(),
    }
}

fn stands(list: &str, generation: u32) -> (String, Value) {
    (format!("https://flowcell.test/hooks/sample-{generation}"), json!({ "list": list }))
}

#[derive(Clone)]
struct Office {
    world: World,
    provider: Arc<Provider>,
    source: Arc<Source>,
}

impl Office {
    fn new() -> Self {
        let world = World::new("- { id: a, uses: test/tools/send@1 }", echo);
        let provider = Arc::new(Provider {
            standing: Mutex::default(),
            made: AtomicUsize::default(),
            calls: Mutex::default(),
            fails: Mutex::default(),
            expires_after: Mutex::default(),
        });
        Self { world, provider, source: Arc::default() }
    }

    fn fail(&self, fails: impl Fn(&str, usize) -> Option<InvokeError> + Send + Sync + 'static) {
        *self.provider.fails.lock().unwrap() = Some(Box::new(fails));
    }

    /// One process. Returns whether it died.
    fn work(&self, time: Duration, crash: Crash) -> bool {
        let office = self.clone();
        self.world.block_on(async move {
            let store = office.world.store.clone();
            let mut ports = office.world.ports(Arc::new(store.clone()), Arc::new(store.clone()));
            ports.invoker = office.provider.clone();
            let engine = Engine::new(office.world.config.clone(), ports);
            let cut = Cut { inner: store, crash, writes: AtomicUsize::new(0), has_crashed: AtomicUsize::new(0) };
            let subscriber = Subscriber::new(SubscriberPorts {
                control: engine.control(),
                subscriptions: Arc::new(cut),
                source: office.source.clone(),
                workspace: WorkspaceId::default_workspace(),
                timeout: Duration::from_secs(30),
            });
            tokio::select! {
                biased;
                ended = subscriber.run(Shutdown::new()) => ended.is_err(),
                () = office.world.sleep(time) => false,
            }
        })
    }

    fn state(&self) -> Option<SubscriptionState> {
        let world = self.world.clone();
        self.world.block_on(async move {
            Subscriptions::get(&world.store, &WorkspaceId::default_workspace(), &workflow()).await.unwrap()
        })
    }
}

#[test]
fn whatever_write_the_process_dies_at_what_is_wanted_stands_at_the_provider_and_nothing_else() {
    // What is wanted when the process dies, and what is wanted after its restart.
    let wishes = [Some(wanted("a", 1)), Some(wanted("b", 1)), Some(wanted("b", 2)), None];
    let mut deaths = 0;
    for first in &wishes {
        for second in &wishes {
            for third in &wishes {
                for writes in 0..6 {
                    for crash in [Crash::Before(writes), Crash::After(writes)] {
                        let office = Office::new();
                        office.source.want(first.clone());
                        office.work(MINUTE, Crash::Never);
                        office.source.want(second.clone());
                        deaths += usize::from(office.work(MINUTE, crash));
                        office.source.want(third.clone());
                        office.work(HOUR, Crash::Never);
                        let expected: Vec<_> = third
                            .iter()
                            .map(|wanted| stands(wanted.config["list"].as_str().unwrap(), wanted.url_generation))
                            .collect();
                        let what = format!("{first:?} {second:?} {third:?} {crash:?}");
                        assert_eq!(office.provider.standing(), expected, "{what}");
                        let state = office.state();
                        assert!(
                            state.is_none_or(|state| state.intent.is_none()
                                && state.retiring.is_empty()
                                && state.current.is_some() == third.is_some()),
                            "{what}"
                        );
                    }
                }
            }
        }
    }
    assert!(deaths > 100, "{deaths}");
}

#[test]
fn the_new_one_stands_before_the_old_one_goes() {
    let office = Office::new();
    office.source.want(Some(wanted("a", 1)));
    office.work(MINUTE, Crash::Never);
    office.source.want(Some(wanted("a", 2)));
    office.work(MINUTE, Crash::Never);
    assert_eq!(*office.provider.calls.lock().unwrap(), ["subscribe", "subscribe", "unsubscribe"]);
    assert_eq!(office.provider.standing(), [stands("a", 2)]);
    // Another version of the plugin asks for nothing new.
    office.source.want(Some(Wanted { digest: Digest::of(b"2"), ..wanted("a", 2) }));
    office.work(HOUR * 100, Crash::Never);
    assert_eq!(office.provider.calls.lock().unwrap().len(), 3);
}

#[test]
fn it_is_renewed_before_it_ends() {
    let office = Office::new();
    *office.provider.expires_after.lock().unwrap() = Some(HOUR * 10);
    office.source.want(Some(wanted("a", 1)));
    office.work(HOUR * 25, Crash::Never);
    // At 8, 16 and 24 hours.
    assert_eq!(*office.provider.calls.lock().unwrap(), ["subscribe"; 4]);
    assert_eq!((office.provider.standing(), office.provider.made.load(Ordering::SeqCst)), (vec![stands("a", 1)], 1));
}

#[test]
fn a_provider_that_fails_is_asked_again_and_what_failed_is_shown() {
    let office = Office::new();
    office.fail(|_, number| (number < 3).then(|| refused("http-status")));
    office.source.want(Some(wanted("a", 1)));
    office.work(Duration::from_secs(25), Crash::Never);
    let state = office.state().unwrap();
    assert_eq!((state.failures, state.error.unwrap().code.as_str()), (2, "http-status"));
    assert!(state.next_at.is_some());
    office.work(HOUR, Crash::Never);
    assert_eq!(office.provider.standing(), [stands("a", 1)]);
    let state = office.state().unwrap();
    assert_eq!((state.failures, state.error, state.next_at), (0, None, None));
    // The same for what is to be taken away.
    office.fail(|what, number| (what == "unsubscribe" && number < 6).then(|| refused("http-status")));
    office.source.want(None);
    office.work(HOUR, Crash::Never);
    assert_eq!((office.provider.standing(), office.provider.calls.lock().unwrap().len()), (vec![], 7));
}

#[test]
fn one_that_can_never_be_taken_away_is_given_up_and_keeps_nothing_else_from_happening() {
    let office = Office::new();
    office.source.want(Some(wanted("a", 1)));
    office.work(MINUTE, Crash::Never);
    office.fail(|what, _| (what == "unsubscribe").then(|| refused("http-status")));
    office.source.want(Some(wanted("b", 1)));
    office.work(MINUTE, Crash::Never);
    assert_eq!(office.provider.standing().len(), 2);
    assert_eq!(office.state().unwrap().retiring.len(), 1);
    office.work(HOUR * 48, Crash::Never);
    assert_eq!((office.state().unwrap().retiring.len(), office.state().unwrap().failures), (0, 0));
    assert_eq!(office.provider.calls.lock().unwrap().len(), 1 + 1 + 21);
}

#[test]
fn a_call_of_which_nobody_knows_the_end_is_asked_about_before_something_else_is_registered() {
    let office = Office::new();
    office.source.want(Some(wanted("a", 1)));
    office.work(MINUTE, Crash::Never);
    // The answer got lost after the provider had registered it.
    office.fail(|what, number| {
        (what == "subscribe" && number == 1).then_some(InvokeError::DeadlineExceeded { limit_ms: 30_000 })
    });
    office.source.want(Some(wanted("b", 1)));
    office.work(Duration::from_secs(1), Crash::Never);
    office.provider.standing.lock().unwrap().insert(99, stands("b", 1));
    office.source.want(Some(wanted("c", 1)));
    office.work(HOUR, Crash::Never);
    assert_eq!(office.provider.standing(), [stands("c", 1)]);
}

#[test]
fn a_refused_connection_is_waited_for_and_it_goes_on_when_its_owner_acted() {
    let office = Office::new();
    office.fail(|_, number| (number < 1).then(|| refused("unauthorized")));
    office.source.want(Some(wanted("a", 1)));
    office.work(MINUTE * 30, Crash::Never);
    let Some(Hold::Reconnecting { connection, since }) = office.state().unwrap().hold else {
        panic!("{:?}", office.state())
    };
    assert_eq!((connection.as_str(), office.provider.calls.lock().unwrap().len()), ("crm", 1));
    *office.source.reconnected.lock().unwrap() = Some(since);
    office.work(MINUTE, Crash::Never);
    assert_eq!(office.provider.standing(), [], "an act of before does not help");
    *office.source.reconnected.lock().unwrap() = Some(since + Duration::from_millis(1));
    office.work(MINUTE, Crash::Never);
    assert_eq!((office.provider.standing(), office.state().unwrap().hold), (vec![stands("a", 1)], None));
}
