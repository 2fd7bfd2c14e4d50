//! The engine and what it stands on.

use std::fmt;
use std::sync::Arc;

use flowcell_core::ports::{Catalog, Clock, Definitions, Entropy, Invoker, Journal, RunQueue};

use crate::config::EngineConfig;
use crate::workflows::Workflows;

/// What the engine needs of the outside.
#[derive(Clone)]
pub struct Ports {
    pub journal: Arc<dyn Journal>,
    pub queue: Arc<dyn RunQueue>,
    pub definitions: Arc<dyn Definitions>,
    pub invoker: Arc<dyn Invoker>,
    pub catalog: Arc<dyn Catalog>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ports")
    }
}

/// Executes the runs of one store. Build it with [`Engine::new`], let it work with [`Engine::run`].
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) ports: Ports,
    pub(crate) workflows: Workflows,
}

impl Engine {
    pub fn new(config: EngineConfig, ports: Ports) -> Self {
        Self { workflows: Workflows::new(config.workflows_max), config, ports }
    }
}
