//! Runs a workflow for show, in this process: the real engine and the real plugins over a store in memory and a clock that skips waits.
//! Nothing leaves: every request is checked, recorded as it would be sent, and answered by what stands in for its peer.

mod bring;
mod chance;
mod definitions;
pub(crate) mod files;
mod filter;
pub(crate) mod live;
mod stand_in;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use flowcell_core::capability::Grant;
use flowcell_core::id::{Digest, RunId, WorkspaceId};
use flowcell_core::invoke::{WebhookCall, WebhookOutcome, WebhookRequest};
use flowcell_core::manual_clock::ManualClock;
use flowcell_core::ports::{
    Catalog, Clock, DedupeTerms, Entropy, Invoker, Journal, NoBlobs, RunFilter, RunIndex, RunQueue,
};
use flowcell_core::record::Answer;
use flowcell_core::run::event::Recorded;
use flowcell_core::run::fold::Run;
use flowcell_core::testcase::{Pins, Story};
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::TriggerKind;
use flowcell_engine::{Engine, EngineConfig, Incoming, Input, RunControl, Shutdown};
use flowcell_sandbox::egress::Door;
use flowcell_sandbox::{Sandbox, StaticGrants};
use flowcell_store::memory::MemoryStore;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use self::chance::SameChance;
pub(crate) use self::definitions::Ready;
use self::definitions::Texts;
use self::stand_in::{SharedAnswers, StandIn};
use crate::app::TRIGGER_ID;
use crate::assemble::{self, settings};
use crate::built_in;
use crate::config::Config;
use crate::token::InstanceKey;

/// How often the clock is moved on for one run: a workflow that waits more often than this does not end.
const MOVES_MAX: usize = 100_000;

/// Everything that rehearsals share: the plugins, compiled once, and the thread they run on.
pub(crate) struct Stage {
    runtime: Runtime,
    catalog: Arc<dyn Catalog>,
    grants: Vec<Grant>,
    /// What expressions read as `custom_values`.
    custom_values: Arc<Value>,
    sandbox: Arc<Sandbox>,
    clock: Arc<ManualClock>,
    in_flight: Arc<AtomicUsize>,
    /// Told when everything waits.
    idle: Arc<Notify>,
}

/// One run for show.
#[derive(Debug, Clone)]
pub(crate) struct Script<'s> {
    pub(crate) workflow: &'s Ready,
    /// Those that it may call, and its error workflow.
    pub(crate) others: &'s [Ready],
    pub(crate) start: Cue,
    pub(crate) now: Timestamp,
    pub(crate) pins: Pins,
    pub(crate) answers: Vec<Answer>,
}

/// What starts the run.
#[derive(Debug, Clone)]
pub(crate) enum Cue {
    /// What expressions read as `trigger`.
    Trigger(Value),
    /// A request to the trigger's URL.
    Request(WebhookRequest),
}

/// A run that was played.
#[derive(Debug)]
pub(crate) struct Played {
    /// With the requests of the others.
    pub(crate) story: Story,
    pub(crate) journal: Vec<Recorded>,
    /// The runs that it has led to: those it called, and its error workflow's.
    pub(crate) others: Vec<(Story, Vec<Recorded>)>,
    /// What a person should know about it: why it has not ended, a pin that did not fit.
    pub(crate) notes: Vec<String>,
}

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoRun {
    /// The request was answered and starts nothing.
    #[error("the trigger starts no run: {0}")]
    NotStarted(String),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl Stage {
    /// Sets up the sandbox. `cache` is where compiled plugins are kept from one command to the next.
    pub(crate) fn open(config: &Config, folders: &[PathBuf], cache: PathBuf) -> Result<Self> {
        let catalog = assemble::offline_catalog(folders)?;
        let (clock, idle) = (Arc::new(ManualClock::default()), Arc::new(Notify::new()));
        let in_flight = Arc::new(AtomicUsize::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Called when no task is ready; a guest that works on another thread is no reason to move the clock.
            .on_thread_park({
                let (idle, in_flight) = (Arc::clone(&idle), Arc::clone(&in_flight));
                move || {
                    if in_flight.load(Ordering::Acquire) == 0 {
                        idle.notify_one();
                    }
                }
            })
            .build()?;
        let inside = runtime.enter();
        let first_party: Vec<Digest> = built_in::PLUGINS.iter().map(|(_, bytes)| Digest::of(bytes)).collect();
        let sandbox = Arc::new(Sandbox::new(
            settings::sandbox(config, cache, &instance_key())?,
            flowcell_sandbox::Ports {
                catalog: Arc::clone(&catalog),
                grants: Arc::new(StaticGrants::new(config.grants.clone()).with_first_party(first_party)),
                credentials: Arc::new(flowcell_sandbox::UnknownCredentials),
                blobs: Arc::new(NoBlobs),
                services: Arc::new(flowcell_sandbox::NoServices),
                door: Door::new(settings::egress(config), Arc::clone(&clock) as Arc<dyn Clock>),
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                entropy: Arc::new(SameChance::default()),
            },
        )?);
        drop(inside);
        let custom_values = Arc::new(config.custom_values.clone().into());
        Ok(Self { runtime, catalog, grants: config.grants.clone(), custom_values, sandbox, clock, in_flight, idle })
    }

    pub(crate) fn catalog(&self) -> &dyn Catalog {
        &*self.catalog
    }
    pub(crate) fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Compiles what the workflows use, or finds it compiled.
    pub(crate) fn prepare<'r>(&self, workflows: impl IntoIterator<Item = &'r Ready>) -> Result<()> {
        let digests: Vec<Digest> =
            workflows.into_iter().flat_map(|ready| ready.pins.values()).map(|pin| pin.digest).collect();
        match self.runtime.block_on(self.sandbox.prepare(digests)).into_iter().next() {
            Some((digest, message)) => Err(anyhow!("plugin {digest} cannot be used: {message}")),
            None => Ok(()),
        }
    }

    /// Plays a run to its end, or to where nothing more happens by itself.
    pub(crate) fn play(&self, script: Script<'_>) -> Result<Played, NoRun> {
        self.clock.set(script.now);
        self.runtime.block_on(self.act(script))
    }

    async fn act(&self, script: Script<'_>) -> Result<Played, NoRun> {
        let store = Arc::new(MemoryStore::new());
        let stand_in = Arc::new(StandIn {
            plugins: Arc::clone(&self.sandbox) as _,
            workflow: script.workflow.workflow.id.clone(),
            pins: script.pins.clone(),
            answers: SharedAnswers::new(script.answers.clone()),
            in_flight: Arc::clone(&self.in_flight),
        });
        let trigger = self.trigger(&script, &stand_in).await?;
        filter::ask(&script.workflow.workflow, &trigger, (script.now, &self.custom_values))?;
        let stubs = bring::stubs(&script)?;
        let texts = Texts::of(script.others.iter().chain(&stubs).chain([script.workflow]));
        let key = instance_key();
        let engine = Engine::new(
            EngineConfig {
                custom_values: Arc::clone(&self.custom_values),
                ..settings::engine(&Config::default(), &key)
            },
            flowcell_engine::Ports {
                journal: Arc::clone(&store) as Arc<dyn Journal>,
                queue: Arc::clone(&store) as Arc<dyn RunQueue>,
                index: Arc::clone(&store) as Arc<dyn RunIndex>,
                definitions: Arc::new(texts),
                destinations: Arc::clone(&store) as _,
                contacts: Arc::clone(&store) as _,
                invoker: stand_in,
                catalog: Arc::clone(&self.catalog),
                clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
                entropy: Arc::new(SameChance::default()) as Arc<dyn Entropy>,
                calendar: assemble::calendar(),
            },
        );
        let control = engine.control();
        let shutdown = Shutdown::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(engine.run(shutdown.clone()));
        let run = self.begin(&control, script.workflow, trigger).await?;
        let mut prompter = bring::Prompter::new(run, &script, &store, control);
        let notes = self.watch(&mut prompter).await?;
        shutdown.request();
        tasks.shutdown().await;
        collect(&store, run, &stubs, notes).await
    }

    /// Keeps time: whenever everything waits, brings what the script has for now, or moves the clock on.
    async fn watch(&self, prompter: &mut bring::Prompter<'_>) -> Result<Vec<String>> {
        for _ in 0..MOVES_MAX {
            self.becomes_idle().await;
            if prompter.is_over().await? {
                return Ok(prompter.notes());
            }
            let due = self.while_moving(prompter.next(self.clock.now())).await?;
            match (due, self.clock.next()) {
                (bring::Next::Brought, _) => {}
                (bring::Next::At(at), Some(next)) => self.clock.move_to(at.min(next)),
                (bring::Next::At(at), None) => self.clock.move_to(at),
                (bring::Next::Nothing, Some(next)) => self.clock.move_to(next),
                (bring::Next::Nothing, None) => return prompter.notes_on_rest().await,
            }
        }
        bail!("the run has waited {MOVES_MAX} times and has not ended; does it wait in a loop without an end?")
    }

    async fn becomes_idle(&self) {
        // What was said before the last thing that happened counts no more.
        tokio::select! {
            biased;
            () = self.idle.notified() => {}
            () = std::future::ready(()) => {}
        }
        self.idle.notified().await;
    }

    /// Waits for something that may itself wait for the clock.
    async fn while_moving<T>(&self, doing: impl Future<Output = T>) -> T {
        tokio::pin!(doing);
        loop {
            tokio::select! {
                biased;
                done = &mut doing => return done,
                () = self.idle.notified() => {
                    if let Some(next) = self.clock.next() {
                        self.clock.move_to(next);
                    }
                }
            }
        }
    }

    async fn begin(&self, control: &RunControl, ready: &Ready, trigger: Value) -> Result<RunId, NoRun> {
        let delivered = self.while_moving(control.deliver(incoming(ready, trigger))).await;
        let delivered = delivered.map_err(|error| NoRun::NotStarted(error.to_string()))?;
        delivered.accepted.runs.first().copied().ok_or_else(|| anyhow!("the delivery started no run").into())
    }

    /// What expressions read as `trigger`: as given, or what the trigger's plugin makes of a request.
    async fn trigger(&self, script: &Script<'_>, plugins: &StandIn) -> Result<Value, NoRun> {
        let request = match &script.start {
            Cue::Trigger(trigger) => return Ok(trigger.clone()),
            Cue::Request(request) => request.clone(),
        };
        let ready = script.workflow;
        let TriggerKind::Plugin { uses, with } = &ready.workflow.trigger.kind else {
            let said = format!("its trigger is `{}`, which takes no requests", ready.workflow.trigger.key());
            return Err(NoRun::NotStarted(said));
        };
        let pin = ready.pins.get(uses).with_context(|| format!("there is no plugin for `{uses}`"))?;
        let call = WebhookCall {
            digest: pin.digest,
            trigger: pin.member.clone(),
            workspace: WorkspaceId::default_workspace(),
            workflow: ready.workflow.id.clone(),
            deadline: self.clock.now() + std::time::Duration::from_secs(30),
            config: with.clone(),
            request,
            connection: None,
        };
        match plugins.on_webhook(call).await.outcome {
            Ok(WebhookOutcome::Events(events)) => {
                let first = events.into_iter().next().map(|event| event.payload);
                first.ok_or_else(|| NoRun::NotStarted("it made no event of the request".to_owned()))
            }
            Ok(WebhookOutcome::Ignore { reason }) => {
                Err(NoRun::NotStarted(format!("it passes the request by: {reason}")))
            }
            Ok(WebhookOutcome::Reply { status, body, .. }) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                Err(NoRun::NotStarted(format!("it answers {status} at once: {body}")))
            }
            Err(error) => Err(NoRun::NotStarted(error.to_string())),
        }
    }
}

/// What starts a run of the workflow.
fn incoming(ready: &Ready, trigger: Value) -> Incoming {
    let workflow = &ready.workflow;
    let input = match &workflow.trigger.kind {
        TriggerKind::Plugin { .. } | TriggerKind::Error | TriggerKind::Contact(_) => Input::Trusted,
        TriggerKind::Schedule(_) | TriggerKind::Manual | TriggerKind::Event { .. } => Input::Checked,
    };
    Incoming {
        workspace: WorkspaceId::default_workspace(),
        workflow: workflow.id.clone(),
        version: Some(1),
        trigger: TRIGGER_ID.to_owned(),
        dedupe_key: None,
        dedupe: DedupeTerms::default(),
        payloads: vec![trigger],
        ids: Vec::new(),
        input,
    }
}

/// Reads what has happened.
async fn collect(store: &MemoryStore, run: RunId, stubs: &[Ready], notes: Vec<String>) -> Result<Played, NoRun> {
    let read = async |id: RunId| -> Result<(Story, Vec<Recorded>)> {
        let journal = store.load(id).await?;
        Ok((Story::of(id, &journal)?, journal))
    };
    let (mut story, journal) = read(run).await?;
    let listed = RunIndex::list(store, &WorkspaceId::default_workspace(), RunFilter::default(), None, RUNS_MAX).await;
    let mut others = Vec::new();
    for summary in listed.map_err(anyhow::Error::from)?.into_iter().rev().filter(|summary| summary.id != run) {
        if !stubs.iter().any(|stub| stub.workflow.id == summary.workflow) {
            others.push(read(summary.id).await?);
        }
    }
    for (other, _) in &others {
        story.add_requests_of(other);
    }
    Ok(Played { story, journal, others, notes })
}

/// More runs than any rehearsal is worth looking at.
const RUNS_MAX: usize = 10_000;

/// The key of no server: idempotency keys and links of a rehearsal open nothing anywhere.
fn instance_key() -> InstanceKey {
    InstanceKey::from_bytes([0; 32])
}

/// The run as it stands.
async fn load(store: &MemoryStore, run: RunId) -> Result<Run> {
    Ok(Run::fold_owned(run, store.load(run).await?)?)
}
