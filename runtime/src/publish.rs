//! Makes a workflow text a version of a workflow: check, pin its plugins, make sure that they can be called, store.

pub(crate) mod others;
mod sender;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use flowcell_core::id::{Digest, WorkflowId};
use flowcell_core::plugin::{Pin, Uses};
use flowcell_core::ports::{Hook, HookBinding, InstalledPlugin, PollState, StoreError, WorkflowHead, WorkflowVersion};
use flowcell_core::workflow::check::Surroundings;
use flowcell_core::workflow::problem::Problem as Fault;
use flowcell_core::workflow::{StepKind, Workflow, examine};

use crate::app::{App, TRIGGER_ID};
use crate::plugin_triggers::{Asked, What};
use crate::publish::others::Stored;
use crate::token::TokenHash;
use crate::upkeep;

/// What becomes of the new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// New runs take it from now on.
    Publish,
    /// It is kept; new runs go on with the published version, if there is one.
    Draft,
}

/// The version that the text is now.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    pub(crate) head: WorkflowHead,
    pub(crate) version: u32,
    /// Whether a version was written; the same text again changes nothing.
    pub(crate) created: bool,
    /// What may be wrong with it all the same.
    pub(crate) warnings: Vec<Fault>,
    /// Of a published version whose trigger is polled: where its next poll goes on.
    pub(crate) cursor: Option<CursorFate>,
}

/// What becomes of a trigger's cursor when its workflow is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CursorFate {
    /// It was never polled.
    Begins,
    /// It asks for the same as before, and goes on where it was.
    Kept,
    /// It asks for something else, and begins anew.
    Reset,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// The text is wrong in these places.
    #[error("the workflow has {} problem(s)", .0.len())]
    Invalid(Vec<Fault>),
    /// A plugin is there and cannot be used.
    #[error("plugin `{plugin}` (version {version}) cannot be used: {message}")]
    UnusablePlugin { plugin: String, version: String, message: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often a version is renumbered when others write versions of the same workflow at the same moment.
const CONFLICTS_MAX: usize = 16;

/// Applies a workflow text. The same text with the same plugins is the same version.
pub(crate) async fn apply(app: &App, source: &str, intent: Intent) -> Result<Applied, PublishError> {
    let others = Stored::named_in(app, source).await?;
    let reference = sender::reference(app, source).await?;
    let (catalog, grants) = (&*app.ports.catalog, app.grants.as_slice());
    let mut examined =
        examine(source, &Surroundings { catalog, grants, others: &others, reference: reference.as_ref() });
    let sender = sender::check(app, source, intent).await;
    examined.findings.problems.extend(sender);
    let warnings = examined.findings.problems.iter().filter(|problem| !problem.is_error()).cloned().collect();
    let workflow = examined.into_result().map_err(PublishError::Invalid)?;
    let plugins = resolve(app, &workflow)?;
    for plugin in unique(&plugins) {
        secure(app, plugin).await?;
    }
    let polled = app.ports.polls.get(&app.workspace, &workflow.id).await?;
    let bound = Bound { pins: pins(&plugins), calls: called(app, &workflow).await? };
    let mut conflicts = 0;
    loop {
        let stored = app.ports.definitions.head(&app.workspace, &workflow.id).await?;
        if let Some(head) = &stored
            && is_current(app, head, source, &bound, intent).await?
        {
            return Ok(Applied { version: head.latest, head: head.clone(), created: false, warnings, cursor: None });
        }
        match write(app, &workflow, source, &bound, intent, stored).await {
            Err(PublishError::Store(StoreError::Conflict { .. })) if conflicts < CONFLICTS_MAX => conflicts += 1,
            Ok(applied) => {
                let cursor = match intent {
                    Intent::Publish => {
                        app.plugin_triggers.of(&applied.head).await?.and_then(|asked| fate(polled.as_ref(), &asked))
                    }
                    Intent::Draft => None,
                };
                let applied = Applied { warnings, cursor, ..applied };
                app.routes.forget(&workflow.id);
                app.scheduled.tell();
                app.plugin_triggers.tell();
                upkeep::index(&*app.ports.runs, &app.workspace, &workflow.id, source);
                return Ok(applied);
            }
            Err(error) => return Err(error),
        }
    }
}

fn fate(stored: Option<&PollState>, asked: &Asked) -> Option<CursorFate> {
    let What::Poll { .. } = asked.what else { return None };
    Some(match stored {
        None => CursorFate::Begins,
        Some(state) if state.source == asked.source => CursorFate::Kept,
        Some(_) => CursorFate::Reset,
    })
}

/// Every `uses` of the workflow with the plugin it means today.
pub(crate) fn resolve(app: &App, workflow: &Workflow) -> Result<BTreeMap<Uses, Arc<InstalledPlugin>>, PublishError> {
    let uses = workflow.uses().map(|(_, uses)| uses);
    uses.map(|uses| match app.ports.catalog.resolve(uses) {
        Ok(plugin) => Ok((uses.clone(), plugin)),
        Err(error) => Err(PublishError::UnusablePlugin {
            plugin: uses.plugin.to_string(),
            version: format!("{}.x", uses.major),
            message: error.to_string(),
        }),
    })
    .collect()
}

/// What a version is bound to, so that what others publish later does not change its runs.
struct Bound {
    pins: BTreeMap<Uses, Pin>,
    /// The versions that its `call` steps start, where they do not say.
    calls: BTreeMap<WorkflowId, u32>,
}

/// What is published today of each workflow that is called without a version.
async fn called(app: &App, workflow: &Workflow) -> Result<BTreeMap<WorkflowId, u32>, StoreError> {
    let mut calls = BTreeMap::new();
    for placed in workflow.all_steps() {
        let StepKind::Call(call) = &placed.step.kind else { continue };
        if call.version.is_none()
            && let Some(head) = app.ports.definitions.head(&app.workspace, &call.workflow).await?
        {
            calls.extend(head.published.map(|version| (call.workflow.clone(), version)));
        }
    }
    Ok(calls)
}

fn unique(plugins: &BTreeMap<Uses, Arc<InstalledPlugin>>) -> impl Iterator<Item = &Arc<InstalledPlugin>> {
    plugins.values().map(|plugin| (plugin.digest, plugin)).collect::<BTreeMap<Digest, _>>().into_values()
}

/// Keeps the plugin's bytes for as long as runs may need them, and compiles it.
async fn secure(app: &App, plugin: &Arc<InstalledPlugin>) -> Result<(), PublishError> {
    let unusable = |message: String| PublishError::UnusablePlugin {
        plugin: plugin.manifest.id.to_string(),
        version: plugin.manifest.version.to_string(),
        message,
    };
    app.ports.preparer.prepare(plugin).await.map_err(unusable)?;
    let (catalog, digest) = (Arc::clone(&app.ports.catalog), plugin.digest);
    tokio::task::spawn_blocking(move || catalog.keep(&digest))
        .await
        .map_err(|_| unusable("storing it failed".to_owned()))?
        .map_err(|error| unusable(error.to_string()))
}

pub(crate) fn pins(plugins: &BTreeMap<Uses, Arc<InstalledPlugin>>) -> BTreeMap<Uses, Pin> {
    let pin = |(uses, plugin): (&Uses, &Arc<InstalledPlugin>)| {
        let pin = Pin {
            plugin: plugin.manifest.id.clone(),
            version: plugin.manifest.version.clone(),
            digest: plugin.digest,
            member: uses.member.clone(),
            idempotent: plugin.manifest.action(&uses.member).is_some_and(|action| action.idempotent),
        };
        (uses.clone(), pin)
    };
    plugins.iter().map(pin).collect()
}

/// Whether the newest version is what is asked for already.
async fn is_current(
    app: &App,
    head: &WorkflowHead,
    source: &str,
    bound: &Bound,
    intent: Intent,
) -> Result<bool, StoreError> {
    if intent == Intent::Publish && head.published != Some(head.latest) {
        return Ok(false);
    }
    let latest = app.ports.definitions.version(&app.workspace, &head.id, head.latest).await?;
    Ok(latest.is_some_and(|latest| latest.source == source && latest.pins == bound.pins && latest.calls == bound.calls))
}

async fn write(
    app: &App,
    workflow: &Workflow,
    source: &str,
    bound: &Bound,
    intent: Intent,
    stored: Option<WorkflowHead>,
) -> Result<Applied, PublishError> {
    let number = stored.as_ref().map_or(0, |head| head.latest) + 1;
    let now = app.ports.clock.now();
    let published = match intent {
        Intent::Publish => Some(number),
        Intent::Draft => stored.as_ref().and_then(|head| head.published),
    };
    // What a list shows is the published version; a draft beside it changes neither its name nor its time.
    let (name, updated_at) = match &stored {
        Some(head) if intent == Intent::Draft && published.is_some() => (head.name.clone(), head.updated_at),
        _ => (workflow.name.clone(), now),
    };
    let head = WorkflowHead {
        workspace: app.workspace.clone(),
        id: workflow.id.clone(),
        name,
        latest: number,
        published,
        hook_generation: stored.as_ref().map_or(1, |head| head.hook_generation),
        former_hooks: stored.map(|head| head.former_hooks).unwrap_or_default(),
        updated_at,
    };
    let version = WorkflowVersion {
        workspace: app.workspace.clone(),
        id: workflow.id.clone(),
        version: number,
        source: source.to_owned(),
        created_at: now,
        pins: bound.pins.clone(),
        calls: bound.calls.clone(),
    };
    let token = app.hook_token(&workflow.id, head.hook_generation);
    let hook = HookBinding {
        token_hash: TokenHash::of(&token).bytes(),
        hook: Hook { workspace: app.workspace.clone(), workflow: workflow.id.clone(), trigger: TRIGGER_ID.to_owned() },
    };
    app.ports.definitions.put(version, head.clone(), hook).await?;
    Ok(Applied { head, version: number, created: true, warnings: Vec::new(), cursor: None })
}
