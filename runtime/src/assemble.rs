//! The one place where Flowcell is put together: which store, which sandbox, which catalog stand behind the ports of `core`.

mod running;
mod secrets;
pub(crate) mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use axum::Router;
use flowcell_core::contact::event::ChainLimits;
use flowcell_core::id::{Digest, WorkspaceId};
use flowcell_core::ports::{
    Blobs, Catalog, Clock, Definitions, Destinations, Entropy, InstalledPlugin, Journal, RunIndex, RunQueue, Schedules,
};
use flowcell_core::receipt::Receipts;
use flowcell_core::run::calendar::Calendar;
use flowcell_core::schedule::ZonedCalendar;
use flowcell_engine::contacts::{Dispatcher, DispatcherPorts};
use flowcell_engine::polling::{Poller, PollerPorts};
use flowcell_engine::scheduler::{Scheduler, SchedulerPorts};
use flowcell_engine::subscribing::{Subscriber, SubscriberPorts};
use flowcell_engine::{Engine, EngineConfig, EngineStopped, Shutdown};
use flowcell_registry::catalog::{LocalCatalog, Sources};
use flowcell_sandbox::egress::Door;
use flowcell_sandbox::{Sandbox, StaticGrants};
use flowcell_store::embedded::EmbeddedStore;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::app::{App, Phase, Ports, Preparer, Settings};
use crate::blobs::RelatedBlobs;
use crate::clock::SystemClock;
use crate::config::{Config, size};
use crate::connections::keys::Unreadable;
use crate::connections::oauth::{CallTokens, Tokens};
use crate::connections::users::Users;
use crate::data_dir::{DataDir, KeyNeeded, admin_token_file};
use crate::entropy::SystemEntropy;
use crate::http::serve::{Edge, serve, with_fallbacks};
use crate::ingress::waiting::{TellingJournal, Waiting};
use crate::services::Services;
use crate::services::contacts::ContactService;
use crate::services::inbox::Inboxes;
use crate::services::key_value::PluginValues;
use crate::services::mail::Mailer;
use crate::token::TokenHash;
use crate::upkeep::{self, Upkeep};
use crate::{api, built_in, ingress};

pub(crate) use running::Running;

/// Starts everything: opens the store, listens, drives runs.
#[expect(clippy::too_many_lines, reason = "a list of the parts, in the order in which they need each other")]
pub(crate) async fn start(config: &Config, data: &Path, unreadable: Unreadable) -> Result<Running> {
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let data = DataDir::open(data)?;
    let fatal = CancellationToken::new();
    // First of all: its lock keeps a second process out.
    let store = open_store(config, &data, fatal.clone()).await?;
    let stored = Definitions::list(&*store, &WorkspaceId::default_workspace()).await?;
    let needed = if stored.is_empty() { KeyNeeded::New } else { KeyNeeded::OfStoredWorkflows };
    let key = data.instance_key(needed, &*entropy)?;
    let admin = TokenHash::of(&data.admin_token(&*entropy)?);
    let first_party = data.first_party(built_in::PLUGINS.iter().map(|(_, bytes)| Digest::of(bytes)))?;
    let (connections, keys) = secrets::open((config, &data), &store, (&clock, &entropy), unreadable).await?;
    let catalog = open_catalog(config, &data).await?;
    let listener = listen(config)?;
    let base_url = base_url(config, &listener)?;

    let door = Door::new(settings::egress(config), Arc::clone(&clock));
    let users = Users::among(Arc::clone(&store) as _, Arc::clone(&catalog));
    let tokens = Arc::new(Tokens::new(Arc::clone(&connections), users, door.clone(), Arc::clone(&clock)));
    let waiting = Arc::new(Waiting::new(size(config.ingress.replies_waiting_max)));
    let journal: Arc<dyn Journal> = Arc::new(TellingJournal::new(Arc::clone(&store) as _, Arc::clone(&waiting)));
    let blobs: Arc<dyn Blobs> = Arc::new(RelatedBlobs::new(Arc::clone(&store) as _, Arc::clone(&journal)));
    let receipts = Arc::clone(&store) as Arc<dyn Receipts>;
    let values = PluginValues { store: Arc::clone(&store) as _, clock: Arc::clone(&clock) };
    let mailer = Mailer::new(Arc::clone(&connections), door.clone(), Arc::clone(&receipts), Arc::clone(&clock));
    let inboxes = Inboxes {
        people: Arc::clone(&store) as _,
        inbox: Arc::clone(&store) as _,
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
    };
    let services = Arc::new(Services {
        values,
        mailer: Arc::clone(&mailer),
        inboxes,
        contacts: ContactService::new(Arc::clone(&store) as _, Arc::clone(&clock), Arc::clone(&entropy)),
    });
    let sandbox = Arc::new(Sandbox::new(
        settings::sandbox(config, data.code_cache(), &key)?,
        flowcell_sandbox::Ports {
            catalog: Arc::clone(&catalog),
            grants: Arc::new(StaticGrants::new(config.grants.clone()).with_first_party(first_party)),
            credentials: Arc::new(CallTokens(Arc::clone(&tokens))),
            blobs: Arc::clone(&blobs),
            services: Arc::clone(&services) as _,
            door: door.clone(),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
        },
    )?);
    let ports = Ports {
        journal: Arc::clone(&journal),
        runs: Arc::clone(&store) as Arc<dyn RunIndex>,
        tail: Arc::clone(&store) as _,
        retention: Arc::clone(&store) as _,
        definitions: Arc::clone(&store) as Arc<dyn Definitions>,
        schedules: Arc::clone(&store) as Arc<dyn Schedules>,
        triggers: Arc::clone(&store) as _,
        blobs,
        contacts: Arc::clone(&store) as _,
        people: Arc::clone(&store) as _,
        inbox: Arc::clone(&store) as _,
        receipts,
        values: Arc::clone(&store) as _,
        polls: Arc::clone(&store) as _,
        subscriptions: Arc::clone(&store) as _,
        invoker: Arc::clone(&sandbox) as _,
        rehearsal: Arc::clone(&sandbox) as _,
        catalog: Arc::clone(&catalog),
        preparer: Arc::new(SandboxPreparer(Arc::clone(&sandbox))),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
    };
    let engine_config = EngineConfig {
        public_url: Arc::from(base_url.as_str().trim_end_matches('/')),
        ..settings::engine(config, &key)
    };
    let engine = Engine::new(engine_config, engine_ports(&ports, &store));
    services.contacts.connect(engine.control());
    let edge_settings = Settings {
        limits: config.http.limits(),
        ingress: config.ingress.clone(),
        triggers: config.triggers.clone(),
        grants: config.grants.clone(),
        base_url,
        control: engine.control(),
        connections,
        tokens,
        keys,
        door: door.clone(),
        mailer,
        waiting,
    };
    let url = edge_settings.base_url.as_str().trim_end_matches('/').to_owned();
    let app = Arc::new(App::new(ports, key, admin, edge_settings));

    let tasks = TaskTracker::new();
    let stop_http = CancellationToken::new();
    let edge = Edge::new(routes(&app), config.http.limits().fitted_to_process(), clock, entropy);
    let http = tasks.spawn(serve(listener, Arc::new(edge), stop_http.clone(), settings::drain(config)));
    prepare_pinned(&app, &sandbox).await?;
    let shutdown = Shutdown::new();
    keep_up(&app, config, &tasks);
    let engine = tasks.spawn(engine.run(shutdown.clone()));
    let scheduler = tasks.spawn(scheduler(&app).run(shutdown.clone()));
    let dispatcher = tasks.spawn(dispatcher(&app).run(shutdown.clone()));
    let triggers = tasks.spawn(triggers(&app, config, shutdown.clone()));
    app.readiness.set(Phase::Ready);

    Ok(Running {
        url,
        data: data.path().to_owned(),
        token_file: admin_token_file(data.path()),
        plugins: catalog.list().iter().map(|plugin| describe(plugin)).collect(),
        plugin_problems: catalog
            .problems()
            .into_iter()
            .map(|problem| format!("{}: {}", problem.origin, problem.message))
            .collect(),
        app,
        store,
        sandbox,
        door,
        shutdown,
        stop_http,
        fatal,
        http,
        engine,
        scheduler,
        dispatcher,
        triggers,
    })
}

/// What goes on beside the runs until the server closes.
fn keep_up(app: &Arc<App>, config: &Config, tasks: &TaskTracker) {
    let upkeep = Upkeep {
        workspace: app.workspace.clone(),
        retention: Arc::clone(&app.ports.retention),
        definitions: Arc::clone(&app.ports.definitions),
        clock: Arc::clone(&app.ports.clock),
        wanted: settings::retention(config),
    };
    tasks.spawn(upkeep.run(app.closing.clone()));
    tasks.spawn(ingress::late::keep(Arc::clone(app), app.closing.clone()));
    tasks.spawn(upkeep::write_destinations(Arc::clone(app), app.closing.clone()));
    tasks.spawn(upkeep::sweep_values(Arc::clone(app), app.closing.clone()));
    tasks.spawn(upkeep::forget_receipts(Arc::clone(app), app.closing.clone()));
    tasks.spawn(upkeep::release_reconnected(Arc::clone(app), app.closing.clone()));
    tasks.spawn(crate::contacts::forget_keys(Arc::clone(app), app.closing.clone()));
    let (connections, closing) = (Arc::clone(&app.connections), app.closing.clone());
    tasks.spawn(async move { connections.keep_usage(closing).await });
}

fn engine_ports(ports: &Ports, store: &Arc<EmbeddedStore>) -> flowcell_engine::Ports {
    flowcell_engine::Ports {
        journal: Arc::clone(&ports.journal),
        queue: Arc::clone(store) as Arc<dyn RunQueue>,
        destinations: Arc::clone(store) as Arc<dyn Destinations>,
        contacts: Arc::clone(&ports.contacts),
        index: Arc::clone(&ports.runs),
        definitions: Arc::clone(&ports.definitions),
        invoker: Arc::clone(&ports.invoker),
        catalog: Arc::clone(&ports.catalog),
        clock: Arc::clone(&ports.clock),
        entropy: Arc::clone(&ports.entropy),
        calendar: calendar(),
    }
}

fn scheduler(app: &App) -> Scheduler {
    Scheduler::new(SchedulerPorts {
        control: app.control.clone(),
        schedules: Arc::clone(&app.ports.schedules),
        source: Arc::clone(&app.scheduled) as _,
        clock: Arc::clone(&app.ports.clock),
    })
}

fn dispatcher(app: &App) -> Dispatcher {
    Dispatcher::new(DispatcherPorts {
        control: app.control.clone(),
        contacts: Arc::clone(&app.ports.contacts),
        source: Arc::clone(&app.listeners) as _,
        clock: Arc::clone(&app.ports.clock),
        limits: ChainLimits::default(),
    })
}

/// Asks plugins what is new, and keeps the URLs of triggers registered.
fn triggers(
    app: &Arc<App>,
    config: &Config,
    shutdown: Shutdown,
) -> impl Future<Output = Result<(), EngineStopped>> + use<> {
    let ports = PollerPorts {
        control: app.control.clone(),
        polls: Arc::clone(&app.ports.polls),
        source: Arc::clone(&app.plugin_triggers) as _,
        workspace: app.workspace.clone(),
    };
    let poller = Poller::new(settings::poller(config), ports, &app.polling);
    let subscriber = Subscriber::new(SubscriberPorts {
        control: app.control.clone(),
        subscriptions: Arc::clone(&app.ports.subscriptions),
        source: Arc::clone(&app.plugin_triggers) as _,
        workspace: app.workspace.clone(),
        timeout: Duration::from_millis(config.triggers.subscribe_timeout_ms),
    });
    async move { tokio::try_join!(poller.run(shutdown.clone()), subscriber.run(shutdown)).map(drop) }
}

/// Every route there is.
pub(crate) fn routes(app: &Arc<App>) -> Router {
    with_fallbacks(
        Router::new()
            .merge(api::router(Arc::clone(app)))
            .merge(ingress::router(Arc::clone(app)))
            .merge(ingress::resume::router(Arc::clone(app)))
            .merge(api::consent::router(Arc::clone(app)))
            .merge(api::server::health_router(Arc::clone(app)))
            .route("/", axum::routing::get(greet)),
    )
}

/// For whoever opens the server's address to see what it is.
async fn greet() -> &'static str {
    concat!(
        "Flowcell ",
        env!("CARGO_PKG_VERSION"),
        " runs here. The API is under /api/v2; `flowcell workflow list` talks to it.\n"
    )
}

/// In which hours steps may start.
pub(crate) fn calendar() -> Arc<dyn Calendar> {
    Arc::new(ZonedCalendar)
}

/// The plugins that `flowcell check` knows: those of this binary and of folders; nothing is written.
pub(crate) fn offline_catalog(folders: &[PathBuf]) -> Result<Arc<dyn Catalog>> {
    let sources = Sources { built_in: built_in::PLUGINS, folders, archive: None };
    Ok(Arc::new(LocalCatalog::open(sources)?))
}

async fn open_store(config: &Config, data: &DataDir, fatal: CancellationToken) -> Result<Arc<EmbeddedStore>> {
    let options = settings::store(config, fatal);
    let (folder, shown) = (data.store(), data.path().display().to_string());
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&folder, &options)).await?;
    Ok(Arc::new(opened.with_context(|| format!("the data directory {shown} cannot be used"))?))
}

async fn open_catalog(config: &Config, data: &DataDir) -> Result<Arc<dyn Catalog>> {
    let (folders, archive) = (config.plugins.folders.clone(), data.plugins());
    let opened = tokio::task::spawn_blocking(move || {
        LocalCatalog::open(Sources { built_in: built_in::PLUGINS, folders: &folders, archive: Some(&archive) })
    });
    Ok(Arc::new(opened.await??))
}

fn listen(config: &Config) -> Result<TcpListener> {
    crate::http::serve::listen(config.listen).with_context(|| {
        format!("{} cannot be listened on; another program may have it: choose another with --listen", config.listen)
    })
}

/// What trigger URLs begin with: the configured address, or the one that is listened on.
fn base_url(config: &Config, listener: &TcpListener) -> Result<Url> {
    if let Some(url) = &config.public_url {
        return Ok(url.clone());
    }
    let mut address = listener.local_addr().context("the listener has no address")?;
    if address.ip().is_unspecified() {
        // "Everywhere" is no place to send to; on this machine the loopback address always leads there.
        address.set_ip(match address.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(format!("http://{address}").parse()?)
}

/// Compiles, or maps from the cache, what published workflows pin, before the server calls itself ready: their first calls are then as
/// fast as any. A plugin that fails does not keep the others from running; its runs say why.
async fn prepare_pinned(app: &App, sandbox: &Sandbox) -> Result<()> {
    let definitions = &app.ports.definitions;
    let mut digests = std::collections::BTreeSet::<Digest>::new();
    for head in definitions.list(&app.workspace).await? {
        let Some(number) = head.published else { continue };
        let version = definitions.version(&app.workspace, &head.id, number).await?;
        if let Some(version) = &version {
            upkeep::index(&*app.ports.runs, &app.workspace, &head.id, &version.source);
        }
        digests.extend(version.into_iter().flat_map(|version| version.pins.into_values()).map(|pin| pin.digest));
    }
    for (digest, message) in sandbox.prepare(digests).await {
        tracing::error!(%digest, message, "a plugin that a published workflow needs cannot be used");
    }
    Ok(())
}

fn describe(plugin: &InstalledPlugin) -> String {
    format!("{} {} ({})", plugin.manifest.id, plugin.manifest.version, plugin.origin)
}

/// The sandbox as the publisher sees it.
struct SandboxPreparer(Arc<Sandbox>);

#[async_trait]
impl Preparer for SandboxPreparer {
    async fn prepare(&self, plugin: &InstalledPlugin) -> Result<(), String> {
        let failed = self.0.prepare([plugin.digest]).await;
        failed.into_iter().next().map_or(Ok(()), |(_, message)| Err(message))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[tokio::test]
    async fn the_root_says_what_runs_here() {
        let answer = Bench::new().send("GET", "/", &[], "").await;
        assert_eq!(
            (answer.status, &answer.headers["content-type"]),
            (200, &"text/plain; charset=utf-8".parse().unwrap())
        );
        assert!(answer.json.as_str().is_some_and(|text| text.contains("/api/v2")), "{answer:?}");
    }
}
