//! The engine and what it stands on.

use std::fmt;
use std::sync::Arc;

use flowcell_core::contact::port::Contacts;
use flowcell_core::ports::{Catalog, Clock, Definitions, Destinations, Entropy, Invoker, Journal, RunIndex, RunQueue};
use flowcell_core::run::calendar::Calendar;
use flowcell_core::time::Timestamp;

use crate::config::EngineConfig;
use crate::control::RunControl;
use crate::destinations::KnownDestinations;
use crate::drive::Slots;
use crate::hub::Hub;
use crate::quarantine::Quarantine;
use crate::workflows::Workflows;

/// What the engine needs of the outside.
#[derive(Clone)]
pub struct Ports {
    pub journal: Arc<dyn Journal>,
    pub queue: Arc<dyn RunQueue>,
    pub index: Arc<dyn RunIndex>,
    pub definitions: Arc<dyn Definitions>,
    pub destinations: Arc<dyn Destinations>,
    /// Read for what expressions see as `contact`.
    pub contacts: Arc<dyn Contacts>,
    pub invoker: Arc<dyn Invoker>,
    pub catalog: Arc<dyn Catalog>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub calendar: Arc<dyn Calendar>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ports")
    }
}

/// Executes the runs of one store. Build it with [`Engine::new`], let it work with [`Engine::run`]; what others want of its runs goes
/// through [`Engine::control`].
#[derive(Debug)]
pub struct Engine(pub(crate) Arc<Core>);

/// What the worker, its drives and [`RunControl`] share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: EngineConfig,
    pub(crate) ports: Ports,
    pub(crate) workflows: Workflows,
    pub(crate) hub: Hub,
    pub(crate) quarantine: Quarantine,
    pub(crate) destinations: Arc<KnownDestinations>,
    pub(crate) slots: Slots,
    /// Held while a delivery looks for unfinished runs about its subject and starts its own.
    pub(crate) reentry: tokio::sync::Mutex<()>,
    /// Runs that are older may have been begun by another process.
    pub(crate) started_at: Timestamp,
}

impl Engine {
    pub fn new(config: EngineConfig, ports: Ports) -> Self {
        Self(Arc::new(Core {
            workflows: Workflows::new(config.workflows_max, Arc::clone(&config.redacted_names)),
            hub: Hub::default(),
            quarantine: Quarantine::new(config.quarantine_after),
            destinations: Arc::new(KnownDestinations::new(config.breaker)),
            slots: Slots::default(),
            reentry: tokio::sync::Mutex::default(),
            started_at: ports.clock.now(),
            config,
            ports,
        }))
    }

    /// For those who start, resume, cancel and repeat runs while the engine works.
    pub fn control(&self) -> RunControl {
        RunControl(Arc::clone(&self.0))
    }
}
