//! Runs a workflow for real in this process, without a server: its requests are sent, its waits are waited for. Nothing is kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use flowcell_core::id::Digest;
use flowcell_core::ports::{Catalog, Clock, Entropy, Invoker, Journal, RunIndex, RunQueue};
use flowcell_core::run::event::Detail;
use flowcell_core::run::fold::Run;
use flowcell_engine::{Engine, Shutdown};
use flowcell_sandbox::egress::Door;
use flowcell_sandbox::{Sandbox, StaticGrants};
use flowcell_store::memory::MemoryStore;
use serde_json::Value;

use super::definitions::Texts;
use super::{NoRun, Played, Ready, collect, incoming, load};
use crate::assemble::{self, settings};
use crate::built_in;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::entropy::{SystemEntropy, random_bytes};
use crate::token::InstanceKey;

/// How often it is looked whether the run has ended. A person does not notice it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Sends what the workflow sends.
pub(crate) fn send(
    config: &Config,
    cache: PathBuf,
    workflows: (&Ready, &[Ready]),
    trigger: Value,
) -> Result<Played, NoRun> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    runtime.block_on(act(config, cache, workflows, trigger))
}

async fn act(
    config: &Config,
    cache: PathBuf,
    (ready, others): (&Ready, &[Ready]),
    trigger: Value,
) -> Result<Played, NoRun> {
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let catalog: Arc<dyn Catalog> = assemble::offline_catalog(&config.plugins.folders)?;
    let key = InstanceKey::from_bytes(random_bytes(&*entropy));
    let first_party: Vec<Digest> = built_in::PLUGINS.iter().map(|(_, bytes)| Digest::of(bytes)).collect();
    let door = Door::new(settings::egress(config), Arc::clone(&clock));
    let store = Arc::new(MemoryStore::new());
    let ports = flowcell_sandbox::Ports {
        catalog: Arc::clone(&catalog),
        grants: Arc::new(StaticGrants::new(config.grants.clone()).with_first_party(first_party)),
        door: door.clone(),
        credentials: Arc::new(flowcell_sandbox::NoCredentials),
        blobs: Arc::clone(&store) as _,
        services: Arc::new(flowcell_sandbox::NoServices),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
    };
    let sandbox = Sandbox::new(settings::sandbox(config, cache, &key)?, ports).map_err(anyhow::Error::from)?;
    let sandbox = Arc::new(sandbox);
    let digests = others.iter().chain([ready]).flat_map(|ready| ready.pins.values()).map(|pin| pin.digest);
    if let Some((digest, message)) = sandbox.prepare(digests).await.into_iter().next() {
        return Err(anyhow!("plugin {digest} cannot be used: {message}").into());
    }
    let engine = Engine::new(
        settings::engine(config, &key),
        flowcell_engine::Ports {
            journal: Arc::clone(&store) as Arc<dyn Journal>,
            queue: Arc::clone(&store) as Arc<dyn RunQueue>,
            index: Arc::clone(&store) as Arc<dyn RunIndex>,
            definitions: Arc::new(Texts::of(others.iter().chain([ready]))),
            destinations: Arc::clone(&store) as _,
            contacts: Arc::clone(&store) as _,
            invoker: Arc::clone(&sandbox) as Arc<dyn Invoker>,
            catalog,
            clock,
            entropy,
            calendar: assemble::calendar(),
        },
    );
    let (control, shutdown) = (engine.control(), Shutdown::new());
    super::filter::ask(&ready.workflow, &trigger, (SystemClock.now(), &control.custom_values()))?;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(engine.run(shutdown.clone()));
    let delivered = control.deliver(incoming(ready, trigger)).await;
    let delivered = delivered.map_err(|error| NoRun::NotStarted(error.to_string()))?;
    let run = delivered.accepted.runs.first().copied().ok_or_else(|| anyhow!("the delivery started no run"))?;
    let mut notes = Vec::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let run = load(&store, run).await?;
        if run.outcome.is_some() {
            break;
        }
        if let Some(note) = stuck(&run) {
            notes.push(note);
            break;
        }
    }
    shutdown.request();
    while tasks.join_next().await.is_some() {}
    sandbox.shut_down().await;
    door.close().await;
    collect(&store, run, &[], notes).await
}

/// What the run waits for that nobody can bring here.
fn stuck(run: &Run) -> Option<String> {
    let waits: Vec<_> = run.open().collect();
    let is_outside = |detail: &Detail| matches!(detail, Detail::Waiting { until: None, .. });
    let all = waits.iter().all(|(_, state)| {
        matches!(state.phase, flowcell_core::run::fold::Phase::Parked { .. })
            || state.control.as_deref().is_some_and(|control| is_outside(&control.detail))
    });
    (all && !waits.is_empty()).then(|| {
        let steps: Vec<String> = waits.iter().map(|(step, _)| format!("`{step}`")).collect();
        format!("it stops here: nobody can bring what {} waits for without a server", steps.join(", "))
    })
}
