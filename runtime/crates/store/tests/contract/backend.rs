//! A store that can be restarted, whichever it is, and material to put into it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flowcell_core::connection::Connections;
use flowcell_core::contact::port::Contacts;
use flowcell_core::id::{EventId, RunId, StepRef, WorkflowId, WorkspaceId};
use flowcell_core::inbox::Inbox;
use flowcell_core::invoke::CallRecord;
use flowcell_core::key_value::KeyValues;
use flowcell_core::people::People;
use flowcell_core::ports::{
    Append, Blobs, Changed, DedupeTerms, Definitions, Delivery, Destinations, Durability, Journal, NewRun, Polls,
    Retention, RunIndex, RunQueue, Schedules, Subscriptions, Tail, Triggers,
};
use flowcell_core::receipt::Receipts;
use flowcell_core::run::event::{Outcome, Recorded, RunEvent, StepError};
use flowcell_core::run::fold::Run;
use flowcell_core::time::Timestamp;
use flowcell_store::embedded::{EmbeddedStore, Options};
use flowcell_store::memory::MemoryStore;
use serde_json::{Value, json};

pub(crate) struct Backend {
    kind: Kind,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) queue: Arc<dyn RunQueue>,
    pub(crate) index: Arc<dyn RunIndex>,
    pub(crate) definitions: Arc<dyn Definitions>,
    pub(crate) triggers: Arc<dyn Triggers>,
    pub(crate) schedules: Arc<dyn Schedules>,
    pub(crate) connections: Arc<dyn Connections>,
    pub(crate) contacts: Arc<dyn Contacts>,
    pub(crate) destinations: Arc<dyn Destinations>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) people: Arc<dyn People>,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) receipts: Arc<dyn Receipts>,
    pub(crate) values: Arc<dyn KeyValues>,
    pub(crate) tail: Arc<dyn Tail>,
    pub(crate) retention: Arc<dyn Retention>,
    pub(crate) polls: Arc<dyn Polls>,
    pub(crate) subscriptions: Arc<dyn Subscriptions>,
}

enum Kind {
    Memory(MemoryStore),
    Embedded(tempfile::TempDir),
}

impl Backend {
    pub(crate) fn memory() -> Self {
        let store = MemoryStore::new();
        Self::of(Kind::Memory(store.clone()), Arc::new(store))
    }

    pub(crate) fn embedded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(dir.path(), &Options::default()).unwrap();
        Self::of(Kind::Embedded(dir), Arc::new(store))
    }

    fn of<
        S: Journal
            + RunQueue
            + RunIndex
            + Definitions
            + Triggers
            + Schedules
            + Connections
            + Contacts
            + Destinations
            + Blobs
            + People
            + Inbox
            + Receipts
            + KeyValues
            + Tail
            + Retention
            + Polls
            + Subscriptions
            + 'static,
    >(
        kind: Kind,
        store: Arc<S>,
    ) -> Self {
        Self {
            kind,
            journal: Arc::clone(&store) as _,
            queue: Arc::clone(&store) as _,
            index: Arc::clone(&store) as _,
            definitions: Arc::clone(&store) as _,
            triggers: Arc::clone(&store) as _,
            schedules: Arc::clone(&store) as _,
            connections: Arc::clone(&store) as _,
            contacts: Arc::clone(&store) as _,
            destinations: Arc::clone(&store) as _,
            blobs: Arc::clone(&store) as _,
            people: Arc::clone(&store) as _,
            inbox: Arc::clone(&store) as _,
            receipts: Arc::clone(&store) as _,
            values: Arc::clone(&store) as _,
            tail: Arc::clone(&store) as _,
            retention: Arc::clone(&store) as _,
            polls: Arc::clone(&store) as _,
            subscriptions: store,
        }
    }

    /// What a crash of the process and a new start do.
    pub(crate) fn restart(self) -> Self {
        let Self {
            kind,
            journal,
            queue,
            index,
            definitions,
            triggers,
            schedules,
            connections,
            contacts,
            destinations,
            blobs,
            people,
            inbox,
            receipts,
            values,
            tail,
            retention,
            polls,
            subscriptions,
        } = self;
        drop((
            journal,
            queue,
            index,
            definitions,
            triggers,
            schedules,
            connections,
            contacts,
            destinations,
            tail,
            retention,
        ));
        drop((blobs, people, inbox, receipts, values));
        drop((polls, subscriptions));
        match kind {
            Kind::Memory(store) => {
                store.crash();
                Self::of(Kind::Memory(store.clone()), Arc::new(store))
            }
            Kind::Embedded(dir) => {
                let store = EmbeddedStore::open(dir.path(), &Options::default()).unwrap();
                Self::of(Kind::Embedded(dir), Arc::new(store))
            }
        }
    }

    pub(crate) fn changed(&self) -> Changed {
        self.queue.changed()
    }

    /// Accepts a delivery that starts run `number`.
    pub(crate) async fn start(&self, number: u64) -> RunId {
        self.journal.accept(delivery(number)).await.unwrap();
        run_id(number)
    }

    /// Appends `event` to the run as it is stored.
    pub(crate) async fn happens(&self, run: RunId, event: RunEvent) {
        let append = self.next(run, vec![event], Durability::Synced).await;
        self.journal.append(append).await.unwrap();
    }

    /// The append of `events` to the run as it is stored.
    pub(crate) async fn next(&self, run: RunId, events: Vec<RunEvent>, durability: Durability) -> Append {
        let stored = self.journal.load(run).await.unwrap();
        append(run, &stored, events, durability)
    }

    pub(crate) async fn summary_fits(&self, run: RunId) {
        let folded = Run::fold(run, &self.journal.load(run).await.unwrap()).unwrap().summary();
        assert_eq!(self.index.get(&folded.workspace, run).await.unwrap(), Some(folded));
    }
}

/// The append of `events` after `stored`.
pub(crate) fn append(run: RunId, stored: &[Recorded], events: Vec<RunEvent>, durability: Durability) -> Append {
    let mut folded = Run::fold(run, stored).unwrap();
    let mut entries = Vec::new();
    for event in events {
        let entry = Recorded { seq: folded.next_seq, at: at(u64::from(folded.next_seq)), event };
        folded.apply(&entry).unwrap();
        entries.push(entry);
    }
    Append { run, entries, summary: folded.summary(), durability }
}

pub(crate) fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(1_764_000_000_000 + ms)
}

pub(crate) fn later(duration: Duration) -> Timestamp {
    at(0) + duration
}

pub(crate) fn workspace() -> WorkspaceId {
    WorkspaceId::default_workspace()
}

pub(crate) fn run_id(number: u64) -> RunId {
    RunId::from_parts(at(number), u128::from(number))
}

pub(crate) fn event_id(number: u64) -> EventId {
    EventId::from_parts(at(number), u128::from(number))
}

/// A delivery at `at(number)` that starts run `number` of workflow `push`, due at once.
pub(crate) fn delivery(number: u64) -> Delivery {
    delivery_to(number, &workspace(), "push", json!({"body": {"number": number}}))
}

pub(crate) fn delivery_to(number: u64, workspace: &WorkspaceId, workflow: &str, trigger: Value) -> Delivery {
    let event = event_id(number);
    let created = RunEvent::Created {
        workspace: workspace.clone(),
        workflow: workflow.parse::<WorkflowId>().unwrap(),
        version: 1,
        event,
        pins: std::collections::BTreeMap::new(),
        trigger: trigger.into(),
        origin: flowcell_core::run::event::Origin::default(),
    };
    let created = Recorded { seq: 0, at: at(number), event: created };
    let id = run_id(number);
    let summary = Run::fold(id, std::slice::from_ref(&created)).unwrap().summary();
    Delivery {
        event,
        workspace: workspace.clone(),
        trigger: "inbound".to_owned(),
        received_at: at(number),
        dedupe_key: None,
        dedupe: DedupeTerms::default(),
        runs: vec![NewRun { id, created, summary }],
    }
}

pub(crate) fn started(attempt: u32) -> RunEvent {
    RunEvent::StepStarted { step: step(), attempt }
}

pub(crate) fn succeeded(attempt: u32, output: Value) -> RunEvent {
    let (input, call) = (json!({"in": 1}).into(), CallRecord::default().into());
    RunEvent::StepSucceeded { step: step(), attempt, output: output.into(), input, call }
}

pub(crate) fn failed(attempt: u32, retry_at: Option<Timestamp>) -> RunEvent {
    RunEvent::StepFailed {
        step: step(),
        attempt,
        error: error(),
        retry_at,
        input: None,
        origin: None,
        call: CallRecord::default().into(),
    }
}

pub(crate) fn parked(attempt: u32) -> RunEvent {
    let reason = "it may have happened".to_owned();
    RunEvent::StepParked { step: step(), attempt, reason, error: None, input: None, call: None }
}

pub(crate) fn finished() -> RunEvent {
    RunEvent::Finished { outcome: Outcome::Succeeded, output: Value::Null }
}

pub(crate) fn error() -> StepError {
    StepError { code: "http-status".to_owned(), message: "503".to_owned(), retryable: true, details: None }
}

fn step() -> StepRef {
    "build".parse().unwrap()
}

/// A store as a kill leaves it, when it is copied while it is open: all that was handed to the kernel, and nothing of what an orderly end does.
#[allow(dead_code, reason = "only the tests of the embedded store need it")]
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
