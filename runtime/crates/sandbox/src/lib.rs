//! Runs plugins: every call in a fresh WebAssembly instance with limits, every request of a plugin through one door.
//!
//! Read in this order: [`limits`], [`invoke`] (one call), [`load`] (from a digest to something callable), [`compile`] and [`cache`] (from bytes to machine
//! code), [`host`] (what a guest can call), [`egress`] (the door). Nothing here decides what follows from a failure (`core::invoke` does) or keeps state of runs.

mod ambient;
mod cache;
pub mod compile;
mod credentials;
pub mod egress;
pub mod engine;
mod grants;
mod host;
mod invoke;
mod json;
pub mod limits;
mod load;
mod rehearse;
mod schema;
mod services;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flowcell_core::connection::Credentials;
use flowcell_core::host_call::HostServices;
use flowcell_core::id::Digest;
use flowcell_core::ports::{Blobs, Catalog, Clock, Entropy};

pub use crate::ambient::SeedKey;
pub use crate::cache::CacheError;
use crate::compile::Compiler;
pub use crate::credentials::{NoCredentials, UnknownCredentials};
use crate::egress::Door;
use crate::engine::{Allocation, Pool};
pub use crate::grants::{Grants, StaticGrants};
use crate::invoke::Slots;
use crate::limits::{Ceiling, Limits};
use crate::load::Loader;
pub use crate::rehearse::DryRun;
pub use crate::services::NoServices;

/// How plugins are run. Everything but the two paths has a default.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Compiled code and the key that authenticates it. Created at the first start; must belong to the service alone.
    pub cache_directory: PathBuf,
    pub compiler: Compiler,
    /// What a plugin gets that asks for nothing.
    pub limits: Limits,
    /// What it gets at most.
    pub ceiling: Ceiling,
    pub pool: Pool,
    /// What guests' randomness derives from. Without one it is drawn at each start: what a guest drew is recorded all the same, but an attempt that is
    /// made again after a restart draws something else.
    pub seed_key: Option<SeedKey>,
}

impl SandboxConfig {
    pub fn new(cache_directory: impl Into<PathBuf>, compiler: Compiler) -> Self {
        Self {
            cache_directory: cache_directory.into(),
            compiler,
            limits: Limits::default(),
            ceiling: Ceiling::default(),
            pool: Pool::default(),
            seed_key: None,
        }
    }
}

/// What the sandbox uses of the rest of the system.
#[derive(Clone)]
pub struct Ports {
    pub catalog: Arc<dyn Catalog>,
    /// The one way out.
    pub door: Door,
    pub grants: Arc<dyn Grants>,
    /// Gives calls of steps that name a connection what they authenticate with.
    pub credentials: Arc<dyn Credentials>,
    /// What runs keep of the bodies that their steps fetched.
    pub blobs: Arc<dyn Blobs>,
    /// Answers what calls ask of the host besides requests.
    pub services: Arc<dyn HostServices>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("the WebAssembly engine cannot be set up: {message}")]
    Engine { message: String },
}

/// Runs plugins. Cheap to share behind an `Arc`; implements [`flowcell_core::ports::Invoker`].
pub struct Sandbox {
    loader: Arc<Loader>,
    slots: Slots,
    allocation: Allocation,
    limits: Limits,
    seed_key: SeedKey,
    ports: Ports,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("allocation", &self.allocation)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Sets up the engine, its pool and the code cache. Compiles nothing yet: see [`Sandbox::prepare`].
    pub fn new(config: SandboxConfig, ports: Ports) -> Result<Self, SandboxError> {
        let failed = |error: &dyn std::fmt::Display| SandboxError::Engine { message: error.to_string() };
        let SandboxConfig { cache_directory, compiler, limits, ceiling, pool, seed_key } = config;
        let cache = cache::CodeCache::open(&cache_directory)?;
        let (engine, allocation) =
            engine::for_calls(&pool, &ceiling, &limits).map_err(|error| failed(&format_args!("{error:#}")))?;
        engine::start_ticking(&engine).map_err(|error| failed(&error))?;
        let catalog = Arc::clone(&ports.catalog);
        let loader = Loader::new(engine, cache, compiler, catalog, &(limits, ceiling))
            .map_err(|error| failed(&format_args!("{error:#}")))?;
        let seed_key = seed_key.unwrap_or_else(|| {
            let mut key = [0; 32];
            ports.entropy.fill(&mut key);
            SeedKey::from_bytes(key)
        });
        Ok(Self { loader: Arc::new(loader), slots: Slots::new(&pool), allocation, limits, seed_key, ports })
    }

    /// Whether instances come from the pool.
    pub fn allocation(&self) -> Allocation {
        self.allocation
    }

    /// Compiles (or finds compiled) and links these plugins, so that their first call is as fast as any. Returns those that failed, with the reason.
    pub async fn prepare(&self, digests: impl IntoIterator<Item = Digest>) -> Vec<(Digest, String)> {
        let mut failed = Vec::new();
        for digest in digests {
            if let Err(error) = self.loader.load(digest).await {
                failed.push((digest, error.to_string()));
            }
        }
        failed
    }

    /// Stops compiling and waits until the compile process is gone. Calls under way are the caller's to await.
    pub async fn shut_down(&self) {
        self.loader.shut_down().await;
    }

    fn millis(duration: Duration) -> u64 {
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
    }
}
