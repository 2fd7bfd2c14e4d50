//! Where tokens lead, kept in memory: the hot path reads no store and parses no workflow.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use flowcell_core::id::WorkflowId;
use flowcell_core::plugin::Pin;
use flowcell_core::ports::Hook;
use flowcell_core::workflow::TriggerKind;
use serde_json::Value;

use crate::app::App;
use crate::http::problem::Problem;
use crate::ingress::published::Published;

/// A published workflow version as the ingress needs it.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) hook: Hook,
    pub(crate) published: Arc<Published>,
    /// The trigger's.
    pub(crate) pin: Pin,
    /// The trigger's `with`.
    pub(crate) config: Value,
}

/// The cache. Unknown tokens are not remembered: anybody can invent them.
#[derive(Debug)]
pub(crate) struct Routes {
    known: RwLock<Known>,
    max: usize,
}

#[derive(Debug, Default)]
struct Known {
    routes: HashMap<[u8; 32], Arc<Route>>,
    /// Counts the changes: what was loaded before a change is not kept after it.
    generation: u64,
}

impl Routes {
    pub(crate) fn new(max: usize) -> Self {
        Self { known: RwLock::default(), max }
    }

    /// The route of the token with this SHA-256, if its workflow is published.
    pub(crate) async fn find(&self, app: &App, token_hash: [u8; 32]) -> Result<Option<Arc<Route>>, Problem> {
        let generation = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(route) = known.routes.get(&token_hash) {
                return Ok(Some(Arc::clone(route)));
            }
            known.generation
        };
        let Some(route) = load(app, token_hash).await? else { return Ok(None) };
        let route = Arc::new(route);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.generation == generation {
            if known.routes.len() >= self.max {
                known.routes.clear(); // rare, and cheaper than bookkeeping on every request
            }
            known.routes.insert(token_hash, Arc::clone(&route));
        }
        Ok(Some(route))
    }

    /// Forgets a workflow that was changed.
    pub(crate) fn forget(&self, workflow: &WorkflowId) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.generation += 1;
        known.routes.retain(|_, route| route.hook.workflow != *workflow);
    }
}

async fn load(app: &App, token_hash: [u8; 32]) -> Result<Option<Route>, Problem> {
    let definitions = &app.ports.definitions;
    let Some(hook) = definitions.hook(token_hash).await? else { return Ok(None) };
    let Some(head) = definitions.head(&hook.workspace, &hook.workflow).await? else { return Ok(None) };
    let Some(number) = head.published else { return Ok(None) };
    let Some(version) = definitions.version(&hook.workspace, &hook.workflow, number).await? else {
        tracing::error!(workflow = %hook.workflow, version = number, "the published version is missing from the store");
        return Err(Problem::internal());
    };
    let published = Arc::new(Published::read(app, &version)?);
    // Deliveries to other kinds of triggers do not come through a plugin.
    let TriggerKind::Plugin { uses, with } = &published.workflow.trigger.kind else { return Ok(None) };
    let config = with.clone();
    let Some(pin) = version.pins.get(uses).cloned() else {
        tracing::error!(workflow = %hook.workflow, version = number, "a stored workflow has no pin for its trigger");
        return Err(Problem::internal());
    };
    Ok(Some(Route { hook, published, pin, config }))
}
