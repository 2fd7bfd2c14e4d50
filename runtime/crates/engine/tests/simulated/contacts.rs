//! Changes of contacts start runs, each once, whenever the process dies; circles end and say so; `contact` is what it is when a step reads it.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use flowcell_core::contact::decide::{ContactWrite, Refusal, Wish};
use flowcell_core::contact::event::{ChainLimits, ContactEvent, Link};
use flowcell_core::contact::field::FieldDefinition;
use flowcell_core::contact::filter::{ContactFilter, ContactPage, ContactPageRequest};
use flowcell_core::contact::port::{Contacts, Written};
use flowcell_core::contact::wanted::Wanted;
use flowcell_core::contact::{Actor, Change, Contact, Identity, Note};
use flowcell_core::id::{ContactEventId, ContactId, FieldName, NoteId, RunId, WorkspaceId};
use flowcell_core::ports::{
    Accepted, Append, Changed, Clock as _, Delivery, Journal, RunFilter, RunIndex as _, StoreError,
};
use flowcell_core::run::event::{Outcome, Recorded};
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::TriggerKind;
use flowcell_core::workflow::parse::Authored;
use flowcell_engine::contacts::{Became, Dispatcher, DispatcherPorts, ListeningSource, ListeningWorkflow};
use flowcell_engine::{RunControl, Shutdown};
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::{Answer, CrashPoint};
use serde_json::{Value, json};

use crate::world::{World, output};

/// The outcome of what never waits.
fn at_once<T>(doing: impl Future<Output = T>) -> T {
    match pin!(doing).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("the memory store never lets anybody wait"),
    }
}

/// The published workflows of a world that listen, and what became of events.
struct Listeners {
    workflows: Vec<ListeningWorkflow>,
    became: Mutex<Vec<(String, Became)>>,
}

impl Listeners {
    fn of(world: &World) -> Arc<Self> {
        let workflows = world.others.iter().chain([&world.version]).filter_map(|version| {
            let TriggerKind::Contact(on) = Authored::parse(&version.source).unwrap().workflow.trigger.kind else {
                return None;
            };
            let (workspace, workflow) = (version.workspace.clone(), version.id.clone());
            Some(ListeningWorkflow { workspace, workflow, version: version.version, trigger: "trigger".to_owned(), on })
        });
        Arc::new(Self { workflows: workflows.collect(), became: Mutex::default() })
    }
    fn count(&self, is_it: impl Fn(&Became) -> bool) -> usize {
        self.became.lock().unwrap().iter().filter(|(_, became)| is_it(became)).count()
    }
}

#[async_trait]
impl ListeningSource for Listeners {
    async fn listening(&self) -> Result<Vec<ListeningWorkflow>, StoreError> {
        Ok(self.workflows.clone())
    }
    fn became(&self, workflow: &ListeningWorkflow, _: Timestamp, became: &Became) {
        self.became.lock().unwrap().push((workflow.workflow.to_string(), became.clone()));
    }
}

fn write(store: &dyn Contacts, at: Timestamp, (document, by, chain): (&Value, Actor, Vec<Link>)) -> Written {
    static MADE: AtomicUsize = AtomicUsize::new(1);
    let (id, wanted) = Wanted::read(document, &[]).unwrap();
    let random = MADE.fetch_add(1, Ordering::Relaxed) as u128;
    let workspace = WorkspaceId::default_workspace();
    let wish = Wish::Upsert { id, wanted };
    at_once(store.write(ContactWrite { workspace, wish, by, at, random, chain, key: None })).unwrap().unwrap()
}

fn by_hand(world: &World, document: &Value) -> ContactId {
    write(&world.store, world.clock.now(), (document, Actor::Api, Vec::new())).id
}

/// What a plugin's host call does, for a step under way.
fn by_run(world: &World, control: &RunControl, (run, document): (RunId, &Value)) {
    let chain = at_once(control.contact_chain(run)).unwrap();
    let by = Actor::Run {
        workflow: chain.last().unwrap().workflow.clone(),
        run,
        step: "one".parse().unwrap(),
        plugin: "flowcell/contacts".parse().unwrap(),
    };
    write(&world.store, world.clock.now(), (document, by, chain));
}

fn dispatcher(
    world: &World,
    control: RunControl,
    (contacts, source): (Arc<dyn Contacts>, &Arc<Listeners>),
) -> Dispatcher {
    let (source, clock) = (Arc::clone(source) as _, world.clock.clone());
    Dispatcher::new(DispatcherPorts { control, contacts, source, clock, limits: ChainLimits::default() })
}

/// Lets engine and dispatcher work until nothing happens for two days.
fn work(world: &World, listeners: &Arc<Listeners>, control_is: Arc<OnceLock<RunControl>>) {
    let (world, listeners) = (world.clone(), Arc::clone(listeners));
    world.clone().block_on(async move {
        if flowcell_core::ports::Definitions::head(&world.store, &world.version.workspace, &world.version.id)
            .await
            .unwrap()
            .is_none()
        {
            world.publish().await;
        }
        let (engine, control) = world.engine_here();
        assert!(control_is.set(control.clone()).is_ok());
        let shutdown = Shutdown::new();
        let dispatcher = dispatcher(&world, control, (Arc::new(world.store.clone()), &listeners));
        let end = async {
            world.sleep(std::time::Duration::from_hours(48)).await;
            shutdown.request();
        };
        let (engine, dispatcher, ()) =
            tokio::join!(engine.run(shutdown.clone()), dispatcher.run(shutdown.clone()), end);
        engine.unwrap();
        dispatcher.unwrap();
    });
}

fn listening(id: &str, on: &str, steps: &str) -> String {
    let indented = steps.trim_matches('\n').replace('\n', "\n  ");
    format!("id: {id}\nname: {id}\ntrigger: {{ contact: {on} }}\nsteps:\n  {indented}\n")
}

const ONE: &str = "- { id: one, uses: test/tools/send@1, with: { to: '{{ contact.email }}' } }";

/// The journal and the contacts of one process that dies at one of its writes.
struct Dying {
    store: MemoryStore,
    point: CrashPoint,
    writes: AtomicUsize,
}

impl Dying {
    /// Makes a write, or not, and lets its answer arrive, or not.
    fn survives<T>(&self, write: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        match self.point {
            CrashPoint::Before(last) if number >= last => Err(StoreError::Stopped),
            CrashPoint::After(last) if number > last => Err(StoreError::Stopped),
            CrashPoint::After(last) if number == last => write().and(Err(StoreError::Stopped)),
            _ => write(),
        }
    }
}

#[async_trait]
impl Journal for Dying {
    async fn accept(&self, delivery: Delivery) -> Result<Accepted, StoreError> {
        self.survives(|| at_once(self.store.accept(delivery)))
    }
    async fn append(&self, append: Append) -> Result<(), StoreError> {
        self.survives(|| at_once(self.store.append(append)))
    }
    async fn load(&self, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        self.store.load(run).await
    }
}

#[async_trait]
impl Contacts for Dying {
    async fn waiting(&self, limit: usize) -> Result<Vec<ContactEvent>, StoreError> {
        self.store.waiting(limit).await
    }
    async fn dispatched(&self, events: &[(WorkspaceId, ContactEventId)]) -> Result<(), StoreError> {
        self.survives(|| at_once(self.store.dispatched(events)))
    }
    fn changed(&self) -> Changed {
        Contacts::changed(&self.store)
    }
    // The dispatcher asks for nothing else.
    async fn write(&self, _: ContactWrite) -> Result<Result<Written, Refusal>, StoreError> {
        unreachable!()
    }
    async fn get(&self, _: &WorkspaceId, _: ContactId) -> Result<Option<Contact>, StoreError> {
        unreachable!()
    }
    async fn find(&self, _: &WorkspaceId, _: &Identity) -> Result<Option<Contact>, StoreError> {
        unreachable!()
    }
    async fn search(
        &self,
        _: &WorkspaceId,
        _: &ContactFilter,
        _: ContactPageRequest,
    ) -> Result<ContactPage, StoreError> {
        unreachable!()
    }
    async fn notes(&self, _: &WorkspaceId, _: ContactId, _: (Option<NoteId>, usize)) -> Result<Vec<Note>, StoreError> {
        unreachable!()
    }
    async fn history(&self, _: &WorkspaceId, _: ContactId, _: (Option<u32>, usize)) -> Result<Vec<Change>, StoreError> {
        unreachable!()
    }
    async fn definitions(&self, _: &WorkspaceId) -> Result<Vec<FieldDefinition>, StoreError> {
        unreachable!()
    }
    async fn define(&self, _: &WorkspaceId, _: FieldDefinition) -> Result<(), StoreError> {
        unreachable!()
    }
    async fn undefine(&self, _: &WorkspaceId, _: &FieldName) -> Result<bool, StoreError> {
        unreachable!()
    }
    async fn forget_keys(&self, _: Timestamp) -> Result<usize, StoreError> {
        unreachable!()
    }
}

#[test]
fn each_change_starts_each_workflow_once_wherever_the_process_dies() {
    // Three changes for two workflows (four runs), and the note that they were dispatched.
    const WRITES: usize = 5;
    for number in 0..=WRITES {
        for point in [CrashPoint::Before(number), CrashPoint::After(number)] {
            for days_down in [0, 4] {
                let world = World::new("- { id: one, uses: test/tools/send@1 }", crate::world::echo)
                    .beside(&listening("welcome", "{ created: true }", ONE))
                    .beside(&listening("moved", "{ changed: [city], tag_added: true }", ONE));
                let listeners = Listeners::of(&world);
                for document in [
                    json!({ "email": "ana@example.com", "tags": ["new"] }),
                    json!({ "email": "ben@example.com" }),
                    json!({ "email": "ana@example.com", "city": "Lisbon", "add_tags": ["vip"] }),
                ] {
                    by_hand(&world, &document);
                }
                let (first, heard) = (world.clone(), Arc::clone(&listeners));
                world.block_on(async move {
                    first.publish().await;
                    let dying = Arc::new(Dying { store: first.store.clone(), point, writes: AtomicUsize::new(0) });
                    let control = first.engine(Arc::clone(&dying) as _, Arc::new(first.store.clone())).control();
                    let shutdown = Shutdown::new();
                    let running = dispatcher(&first, control, (Arc::clone(&dying) as _, &heard)).run(shutdown.clone());
                    let end = async {
                        first.sleep(std::time::Duration::from_mins(1)).await;
                        shutdown.request();
                    };
                    let (ended, ()) = tokio::join!(running, end);
                    assert_eq!(ended.is_err(), number < WRITES, "{point:?}");
                    first.sleep(std::time::Duration::from_hours(24 * days_down)).await;
                });
                work(&world, &listeners, Arc::default());
                let mut started: Vec<String> =
                    at_once(world.runs()).iter().map(|run| run.workflow.to_string()).collect();
                started.sort();
                assert_eq!(started, ["moved", "moved", "welcome", "welcome"], "{point:?} {days_down}");
                assert_eq!(at_once(world.store.waiting(10)).unwrap(), [], "{point:?}");
                let effects = world.invoker.effects().len();
                assert_eq!(effects, 4, "{point:?}");
            }
        }
    }
}

#[test]
fn workflows_that_set_each_other_off_are_stopped_with_their_names() {
    let control: Arc<OnceLock<RunControl>> = Arc::default();
    let itself: Arc<OnceLock<World>> = Arc::default();
    let (known, seen) = (Arc::clone(&control), Arc::clone(&itself));
    let world = World::new("- { id: one, uses: test/tools/send@1 }", move |call| {
        let (from, to) = if call.workflow.as_str() == "ping" { ("ping", "pong") } else { ("pong", "ping") };
        let document = json!({ "email": "ana@example.com", "remove_tags": [from], "add_tags": [to] });
        by_run(seen.get().unwrap(), known.get().unwrap(), (call.run, &document));
        Answer::ok(json!({}))
    });
    let world = world.beside(&listening("ping", "{ tag_added: [ping] }", ONE)).beside(&listening(
        "pong",
        "{ tag_added: [pong] }",
        ONE,
    ));
    assert!(itself.set(world.clone()).is_ok());
    let listeners = Listeners::of(&world);
    let ana = by_hand(&world, &json!({ "email": "ana@example.com", "tags": ["ping"] }));
    work(&world, &listeners, control);
    let runs = at_once(world.runs());
    assert_eq!(runs.len(), 10, "each five times");
    assert!(runs.iter().all(|run| run.contact == Some(ana)));
    assert_eq!(listeners.count(|became| *became == Became::Started), 10);
    let became = listeners.became.lock().unwrap();
    let (workflow, Became::Circle { message }) = became.last().unwrap() else { panic!("{became:?}") };
    assert_eq!(workflow, "ping");
    for part in ["`ping` and `pong`", &ana.to_string(), "5 times", "a `filter`", "by a person"] {
        assert!(message.contains(part), "{message}");
    }
    drop(became);
    // A person lets it go on once more.
    by_hand(&world, &json!({ "email": "ana@example.com", "add_tags": ["vip"] }));
    assert_eq!(at_once(world.store.waiting(10)).unwrap()[0].chain, []);
}

#[test]
fn a_step_reads_the_contact_as_it_is_when_it_begins() {
    let control: Arc<OnceLock<RunControl>> = Arc::default();
    let itself: Arc<OnceLock<World>> = Arc::default();
    let (known, seen) = (Arc::clone(&control), Arc::clone(&itself));
    let world = World::new("- { id: one, uses: test/tools/send@1 }", move |call| {
        if call.step.to_string() == "one" {
            let document = json!({ "email": "ana@example.com", "city": "Lisbon" });
            by_run(seen.get().unwrap(), known.get().unwrap(), (call.run, &document));
        }
        Answer::ok(json!({ "echo": call.input }))
    });
    let steps = "
- { id: one, uses: test/tools/send@1, with: { city: '{{ contact.city }}' } }
- { id: two, if: [{ when: contact.city == 'Lisbon', steps: [{ id: three, uses: test/tools/send@1, with: { city: '{{ contact.city }}', was: '{{ trigger.contact.city }}', by: '{{ trigger.by.via }}' } }] }] }
";
    let world = world.beside(&listening("move", "{ created: true }", steps));
    assert!(itself.set(world.clone()).is_ok());
    by_hand(&world, &json!({ "email": "ana@example.com", "city": "Porto" }));
    work(&world, &Listeners::of(&world), control);
    let run = at_once(world.run(at_once(world.runs())[0].id));
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    assert_eq!(output(&run, "one").unwrap()["echo"], json!({ "city": "Porto" }));
    assert_eq!(output(&run, "three").unwrap()["echo"], json!({ "city": "Lisbon", "was": "Porto", "by": "api" }));
}

#[test]
fn a_run_gains_a_contact_on_its_way_and_is_found_by_it() {
    let control: Arc<OnceLock<RunControl>> = Arc::default();
    let ana: Arc<OnceLock<ContactId>> = Arc::default();
    let (known, hers) = (Arc::clone(&control), Arc::clone(&ana));
    let steps = "
- { id: one, uses: test/tools/charge@1, with: { before: \"{{ contact.email | default('nobody') }}\" } }
- { id: two, uses: test/tools/send@1, with: { to: '{{ contact.email }}' } }
- { id: three, uses: test/tools/send@1, with: { to: '{{ contact.phone }}' }, missing: empty }
";
    let world = World::new(steps, move |call| {
        if call.step.to_string() == "one" {
            for _ in 0..2 {
                at_once(known.get().unwrap().enroll(call.run, &call.step, *hers.get().unwrap())).unwrap();
            }
        }
        Answer::ok(json!({ "echo": call.input }))
    });
    ana.set(by_hand(&world, &json!({ "email": "ana@example.com" }))).unwrap();
    let filled = world.clone();
    let run = world.run_while({
        let control = Arc::clone(&control);
        move |_, engine, _| async move { assert!(control.set(engine).is_ok()) }
    });
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    assert_eq!(output(&run, "one").unwrap()["echo"], json!({ "before": "nobody" }));
    assert_eq!(output(&run, "two").unwrap()["echo"], json!({ "to": "ana@example.com" }));
    assert_eq!(output(&run, "three").unwrap()["echo"], json!({ "to": "" }));
    let by = |contact| RunFilter { contact: Some(contact), ..RunFilter::default() };
    let workspace = WorkspaceId::default_workspace();
    let found = at_once(filled.store.list(&workspace, by(*ana.get().unwrap()), None, 10)).unwrap();
    assert_eq!(found.iter().map(|found| found.id).collect::<Vec<_>>(), [run.id]);
    let nobody = ContactId::from_bytes([7; 16]);
    assert!(at_once(filled.store.list(&workspace, by(nobody), None, 10)).unwrap().is_empty());
}

#[test]
fn without_a_contact_a_step_that_reads_it_fails_with_what_to_do() {
    let run = World::new(ONE, crate::world::echo).run_one();
    let Some(Outcome::Failed { error, .. }) = &run.outcome else { panic!("{:?}", run.outcome) };
    assert!(error.message.contains("this run has no contact. A contact trigger brings one"), "{}", error.message);
}
