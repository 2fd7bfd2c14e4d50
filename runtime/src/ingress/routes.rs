//! Where tokens lead, kept in memory: the hot path reads no store and parses no workflow.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use flowcell_core::id::WorkflowId;
use flowcell_core::manifest::TriggerKind as Kind;
use flowcell_core::plugin::Pin;
use flowcell_core::ports::{FormerHook, Hook, WorkflowHead};
use flowcell_core::workflow::TriggerKind;
use serde_json::Value;

use crate::app::{App, TRIGGER_ID};
use crate::http::problem::Problem;
use crate::ingress::published::Published;
use crate::token::TokenHash;

/// A workflow version as the ingress needs it: the published one, or the newest draft where none is.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) hook: Hook,
    pub(crate) published: Arc<Published>,
    /// The trigger's.
    pub(crate) pin: Pin,
    /// The trigger's `with`.
    pub(crate) config: Value,
    /// A draft takes requests to look at, and starts no run.
    pub(crate) is_draft: bool,
    /// The URL is one that was replaced.
    pub(crate) former: Option<FormerHook>,
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

    /// The route of the token with this SHA-256, unless it was replaced and counts no more.
    pub(crate) async fn find(&self, app: &App, token_hash: [u8; 32]) -> Result<Option<Arc<Route>>, Problem> {
        let found = self.known_or_loaded(app, token_hash).await?;
        Ok(found.filter(|route| route.former.is_none_or(|former| app.ports.clock.now() < former.valid_until)))
    }

    async fn known_or_loaded(&self, app: &App, token_hash: [u8; 32]) -> Result<Option<Arc<Route>>, Problem> {
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
    let is_of = |generation| TokenHash::of(&app.hook_token(&head.id, generation)).bytes() == token_hash;
    let former = match head.former_hooks.iter().find(|former| is_of(former.generation)) {
        Some(former) => Some(*former),
        None if is_of(head.hook_generation) => None,
        // It was replaced at once.
        None => return Ok(None),
    };
    Ok(of_head(app, hook, &head).await?.map(|route| Route { former, ..route }))
}

/// The route that the current URL of a workflow's trigger leads to; none where it has no plugin to take requests.
pub(crate) async fn of_workflow(app: &App, head: &WorkflowHead) -> Result<Option<Route>, Problem> {
    let (workspace, workflow) = (head.workspace.clone(), head.id.clone());
    of_head(app, Hook { workspace, workflow, trigger: TRIGGER_ID.to_owned() }, head).await
}

async fn of_head(app: &App, hook: Hook, head: &WorkflowHead) -> Result<Option<Route>, Problem> {
    let number = head.published.unwrap_or(head.latest);
    let Some(version) = app.ports.definitions.version(&hook.workspace, &hook.workflow, number).await? else {
        tracing::error!(workflow = %hook.workflow, version = number, "a version is missing from the store");
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
    // One that asks its provider takes no requests. A plugin that is gone is told to the sender by the call.
    let plugin = app.ports.catalog.by_digest(&pin.digest);
    if plugin.is_some_and(|plugin| plugin.manifest.trigger(&pin.member).is_some_and(|it| it.kind == Kind::Poll)) {
        return Ok(None);
    }
    Ok(Some(Route { hook, published, pin, config, is_draft: head.published.is_none(), former: None }))
}
