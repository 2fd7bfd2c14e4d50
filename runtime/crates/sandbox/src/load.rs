//! From a digest to something callable: look the plugin up, find or make its machine code, link it, compile its schemas. Once per digest; many calls
//! that want the same plugin wait for one load. The load is a task of its own, so that a caller who gives up does not undo it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flowcell_core::id::Digest;
use flowcell_core::invoke::InvokeError;
use flowcell_core::ports::{Catalog, InstalledPlugin};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::cache::{CodeCache, NoCode};
use crate::compile::{Compile, CompileError, CompileLimits, Compiler, Needs, Order};
use crate::host::{self, Exports, State};
use crate::limits::{Ceiling, Limits};
use crate::schema::Schemas;

/// A plugin that can be called.
pub(crate) struct Loaded {
    pub(crate) plugin: Arc<InstalledPlugin>,
    pub(crate) exports: Exports,
    pub(crate) schemas: Schemas,
    /// Manifest ∩ operator.
    pub(crate) limits: Limits,
    /// Whether its calls are told apart for services of the host; most plugins need none of that.
    pub(crate) asks_for_services: bool,
}

type Outcome = Result<Arc<Loaded>, InvokeError>;

pub(crate) struct Loader {
    pub(crate) engine: Engine,
    linker: Linker<State>,
    cache: CodeCache,
    compile: Compile,
    catalog: Arc<dyn Catalog>,
    limits: (Limits, Ceiling),
    entries: Mutex<HashMap<Digest, Entry>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

enum Entry {
    /// Also holds failures that would only repeat themselves: a hostile plugin is compiled once, not once per call.
    Settled(Outcome, Holds),
    Loading(watch::Receiver<Option<Outcome>>),
}

/// How long an outcome is the answer to every call.
#[derive(Clone, Copy)]
enum Holds {
    ForGood,
    Until(Instant),
    /// For those who wait for it now.
    Once,
}

impl Holds {
    fn still(self) -> bool {
        match self {
            Self::ForGood => true,
            Self::Until(end) => Instant::now() < end,
            Self::Once => false,
        }
    }
}

/// How long a compilation that was stopped is not tried again. 10 min: five times the longest one, so that a plugin that cannot be compiled takes
/// the only turn for a sixth of the time at most.
const STOPPED_FOR: Duration = Duration::from_mins(10);

/// Digests remembered; beyond, all but loads under way are forgotten and found in the code cache again. A server has some
/// hundred plugins, each of a few versions.
const ENTRIES_MAX: usize = 4_096;

impl Loader {
    pub(crate) fn new(
        engine: Engine,
        cache: CodeCache,
        compiler: Compiler,
        catalog: Arc<dyn Catalog>,
        limits: &(Limits, Ceiling),
    ) -> wasmtime::Result<Self> {
        Ok(Self {
            linker: host::linker(&engine)?,
            engine,
            cache,
            compile: Compile::new(compiler),
            catalog,
            limits: *limits,
            entries: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Returns the plugin, loading it if need be. Cancelling the call does not cancel the load.
    pub(crate) async fn load(self: &Arc<Self>, digest: Digest) -> Outcome {
        let mut loading = match self.entry(digest) {
            Entry::Settled(outcome, _) => return outcome,
            Entry::Loading(loading) => loading,
        };
        match loading.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(interrupted(digest))),
            Err(_) => Err(interrupted(digest)),
        }
    }

    pub(crate) async fn shut_down(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Finds the entry, or makes one and starts loading.
    fn entry(self: &Arc<Self>, digest: Digest) -> Entry {
        let mut entries = self.entries();
        match entries.get(&digest) {
            Some(Entry::Settled(outcome, holds)) if holds.still() => return Entry::Settled(outcome.clone(), *holds),
            Some(Entry::Loading(loading)) => return Entry::Loading(loading.clone()),
            Some(Entry::Settled(..)) | None => {}
        }
        if entries.len() >= ENTRIES_MAX {
            entries.retain(|_, entry| matches!(entry, Entry::Loading(_)));
        }
        let (announce, loading) = watch::channel(None);
        entries.insert(digest, Entry::Loading(loading.clone()));
        drop(entries);
        let loader = Arc::clone(self);
        self.tasks.spawn(async move {
            let guard = Forget { loader: &loader, digest };
            let (outcome, holds) = tokio::select! {
                outcome = loader.make(digest) => outcome,
                () = loader.stop.cancelled() => return,
            };
            if holds.still() {
                guard.settle(outcome.clone(), holds);
            }
            announce.send_replace(Some(outcome));
        });
        Entry::Loading(loading)
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads for real.
    async fn make(self: &Arc<Self>, digest: Digest) -> (Outcome, Holds) {
        let Some(plugin) = self.catalog.by_digest(&digest) else {
            let message =
                "it is not installed (any more); install it again, or publish the workflow anew with a version that is"
                    .into();
            return (Err(InvokeError::Unavailable { digest, message }), Holds::Once);
        };
        match self.callable(Arc::clone(&plugin)).await {
            Ok(loaded) => (Ok(Arc::new(loaded)), Holds::ForGood),
            Err(error) => {
                let (message, holds) = match error {
                    CompileError::Refused(message) => (message, Holds::ForGood),
                    CompileError::Stopped(message) => (message, Holds::Until(Instant::now() + STOPPED_FOR)),
                    CompileError::Failed(message) => (message, Holds::Once),
                };
                let message = format!("{} {}: {message}", plugin.manifest.id, plugin.manifest.version);
                tracing::warn!(%digest, message, "a plugin cannot be loaded");
                (Err(InvokeError::Unavailable { digest, message }), holds)
            }
        }
    }

    async fn callable(self: &Arc<Self>, plugin: Arc<InstalledPlugin>) -> Result<Loaded, CompileError> {
        let manifest = &plugin.manifest;
        let schemas = Schemas::compile(manifest).map_err(CompileError::Refused)?;
        let (defaults, ceiling) = &self.limits;
        let limits = defaults.effective(&manifest.limits, ceiling);
        let needs = Needs::of(manifest);
        let component = self.component(&plugin, needs, &limits).await?;
        let exports =
            self.linker.instantiate_pre(&component).and_then(|instance| Exports::of(&instance, needs)).map_err(
                |error| CompileError::Refused(format!("it does not fit the contract flowcell:plugin@1: {error:#}")),
            )?;
        let asks_for_services = !manifest.capabilities.services().is_empty();
        Ok(Loaded { plugin, exports, schemas, limits, asks_for_services })
    }

    /// The machine code: from the cache, or compiled now and put there.
    async fn component(
        self: &Arc<Self>,
        plugin: &InstalledPlugin,
        needs: Needs,
        limits: &Limits,
    ) -> Result<Component, CompileError> {
        let digest = plugin.digest;
        match self.blocking(move |loader| loader.cache.load(&loader.engine, &digest)).await? {
            Ok(component) => return Ok(component),
            Err(NoCode::Absent) => {}
            Err(error) => tracing::warn!(%digest, %error, "a cached compilation was discarded; compiling again"),
        }
        let order = |compile: &CompileLimits| Order {
            needs,
            memory_bytes_max: limits.memory_bytes as u64,
            table_elements_max: limits.table_elements as u64,
            cpu_seconds: compile.cpu.as_secs().max(1),
            address_space_bytes: compile.address_space_bytes,
        };
        let code = self.compile.run(&plugin.bytes, order).await?;
        self.blocking(move |loader| loader.cache.store(&loader.engine, &digest, &code)).await?.map_err(|error| {
            CompileError::Failed(format!("its machine code cannot be written to the cache: {error}"))
        })?;
        // The pool's limits per component are only checked here.
        self.blocking(move |loader| loader.cache.load(&loader.engine, &digest)).await?.map_err(|error| match error {
            NoCode::Unfit(_) => CompileError::Refused(error.to_string()),
            NoCode::Absent | NoCode::NotOurs(_) => {
                CompileError::Failed(format!("its machine code cannot be read back: {error}"))
            }
        })
    }

    /// Reads and writes files, and authenticates tens of megabytes, where no calls wait for it.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, CompileError> {
        let loader = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&loader))
            .await
            .map_err(|error| CompileError::Failed(format!("loading was interrupted: {error}")))
    }
}

/// Removes a digest that is no longer being loaded, however its task ended.
struct Forget<'a> {
    loader: &'a Loader,
    digest: Digest,
}

impl Forget<'_> {
    fn settle(&self, outcome: Outcome, holds: Holds) {
        self.loader.entries().insert(self.digest, Entry::Settled(outcome, holds));
    }
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        let mut entries = self.loader.entries();
        if matches!(entries.get(&self.digest), Some(Entry::Loading(_))) {
            entries.remove(&self.digest);
        }
    }
}

fn interrupted(digest: Digest) -> InvokeError {
    InvokeError::Unavailable { digest, message: "loading it was interrupted; see the server's log".into() }
}
