//! Bringing a run into being: its first entry, with everything it is bound to.

use std::sync::Arc;

use flowcell_core::expression::Scope;
use flowcell_core::id::{EventId, RunId, WorkflowId, WorkspaceId};
use flowcell_core::ports::{DedupeTerms, Delivery, NewRun, StoreError};
use flowcell_core::run::event::{Origin, Recorded, RunEvent};
use flowcell_core::run::fold::{ImpossibleJournal, Run};
use flowcell_core::time::Timestamp;
use serde_json::Value;

use crate::engine::Core;
use crate::patience::Patience;
use crate::workflows::{Prepared, WorkflowError};

/// Why a run cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("the store refused")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Workflow(WorkflowError),
    #[error("there is no workflow `{0}`")]
    NoWorkflow(WorkflowId),
    #[error("workflow `{0}` is not published; publish it first")]
    NotPublished(WorkflowId),
    #[error("the input does not fit workflow `{workflow}`: {message}")]
    InvalidInput { workflow: WorkflowId, pointer: String, message: String },
    #[error("the key `{setting}` of workflow `{workflow}` cannot be built: {message}")]
    Key { workflow: WorkflowId, setting: &'static str, message: String },
    #[error("the filter of workflow `{workflow}` cannot be asked about this: {message}")]
    Filter { workflow: WorkflowId, message: String },
    #[error(transparent)]
    Journal(#[from] ImpossibleJournal),
}

impl CreateError {
    /// Stable and machine-readable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(_) => "store",
            Self::Workflow(_) => "workflow-unavailable",
            Self::NoWorkflow(_) => "workflow-not-found",
            Self::NotPublished(_) => "workflow-not-published",
            Self::InvalidInput { .. } => "invalid-input",
            Self::Key { .. } => "expression",
            Self::Filter { .. } => "filter-failed",
            Self::Journal(_) => "internal",
        }
    }
}

impl From<WorkflowError> for CreateError {
    fn from(error: WorkflowError) -> Self {
        match error {
            WorkflowError::Store(error) => Self::Store(error),
            error => Self::Workflow(error),
        }
    }
}

/// A run to be.
#[derive(Debug, Clone)]
pub(crate) struct Creation {
    pub(crate) id: RunId,
    pub(crate) event: EventId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) workflow: WorkflowId,
    pub(crate) version: u32,
    pub(crate) trigger: Arc<Value>,
    pub(crate) origin: Origin,
}

/// The version of a workflow that new runs take.
pub(crate) async fn published(core: &Core, workspace: &WorkspaceId, id: &WorkflowId) -> Result<u32, CreateError> {
    let mut patience = Patience::new(&*core.ports.clock);
    let head = loop {
        match core.ports.definitions.head(workspace, id).await {
            Err(error) if Patience::covers(&error) => patience.pause("reading a workflow", &error).await,
            result => break result?,
        }
    };
    let head = head.ok_or_else(|| CreateError::NoWorkflow(id.clone()))?;
    head.published.ok_or_else(|| CreateError::NotPublished(id.clone()))
}

/// Checks a typed input, as the workflow's `input` describes it.
pub(crate) fn check_input(prepared: &Prepared, trigger: &Value) -> Result<(), CreateError> {
    let Some(Err(error)) = prepared.input.as_ref().map(|input| input.validate(trigger)) else { return Ok(()) };
    let (pointer, message) = (error.instance_path().to_string(), error.to_string());
    let place = if pointer.is_empty() { String::new() } else { format!(" (at `{pointer}`)") };
    Err(CreateError::InvalidInput {
        workflow: prepared.compiled.workflow.id.clone(),
        message: format!("{message}{place}"),
        pointer,
    })
}

/// The first entry and summary of a run, with the slot and subject that the workflow's settings give it.
pub(crate) fn first_entry(
    core: &Core,
    prepared: &Prepared,
    creation: Creation,
    at: Timestamp,
) -> Result<(NewRun, Run), CreateError> {
    let Creation { id, event, workspace, workflow, version, trigger, origin } = creation;
    let pins = prepared.pins.clone();
    let created = |origin: Origin, trigger: Arc<Value>| RunEvent::Created {
        workspace: workspace.clone(),
        workflow: workflow.clone(),
        version,
        event,
        pins: pins.clone(),
        trigger,
        origin,
    };
    let settings = &prepared.compiled.workflow.settings;
    let mut event = created(origin, trigger);
    if settings.concurrency.is_some() || settings.reentry.is_some() {
        // Without its keys every run would be about the same thing.
        let compiled = &prepared.compiled;
        let is_keyed = settings.concurrency.as_ref().is_some_and(|one| one.key.is_some());
        let lacks_key = is_keyed && compiled.concurrency_key.is_none()
            || settings.reentry.is_some() && compiled.reentry_key.is_none();
        if let Some(message) = prepared.broken.clone().filter(|_| lacks_key) {
            return Err(CreateError::Key { workflow: workflow.clone(), setting: "settings", message });
        }
        // The keys are expressions over the run that is to be.
        let draft = Run::fold_owned(id, vec![Recorded { seq: 0, at, event: event.clone() }])?;
        let scope = Scope::of(&draft, &compiled.workflow).with_custom_values(&core.config.custom_values);
        let key = |program: &Option<flowcell_core::expression::Program>, setting| match program {
            None => Ok(String::new()),
            Some(program) => program.render(&scope).map(|key| text_of(&key)).map_err(|error| CreateError::Key {
                workflow: workflow.clone(),
                setting,
                message: error.message,
            }),
        };
        let slot = key(&compiled.concurrency_key, "settings.concurrency.key")?;
        let subject = key(&compiled.reentry_key, "settings.reentry.key")?;
        if let RunEvent::Created { origin, .. } = &mut event {
            origin.slot = settings.concurrency.is_some().then(|| format!("{workflow}/{slot}"));
            origin.subject = settings.reentry.is_some().then(|| format!("{workflow}/{subject}"));
        }
    }
    let created = Recorded { seq: 0, at, event };
    let run = Run::fold_owned(id, vec![created.clone()])?;
    Ok((NewRun { id, summary: run.summary(), created }, run))
}

/// Creates a run whose ids are derived, once: a second time does nothing.
pub(crate) async fn once(core: &Core, creation: Creation, source: &str) -> Result<(), CreateError> {
    let prepared =
        core.workflows.version(&core.ports, &creation.workspace, (&creation.workflow, creation.version)).await?;
    if creation.origin.failure_of.is_none() {
        check_input(&prepared, &creation.trigger)?;
    }
    let (id, event, workspace) = (creation.id, creation.event, creation.workspace.clone());
    let now = core.ports.clock.now();
    let (run, _) = first_entry(core, &prepared, creation, now)?;
    let delivery = Delivery {
        event,
        workspace,
        trigger: source.to_owned(),
        received_at: now,
        dedupe_key: None,
        dedupe: DedupeTerms::default(),
        runs: vec![run],
    };
    let mut patience = Patience::new(&*core.ports.clock);
    loop {
        match core.ports.journal.accept(delivery.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if Patience::covers(&error) => patience.pause("starting a run", &error).await,
            Err(error @ StoreError::Refused { .. }) => {
                let is_there = crate::outside::load(&core.ports, id).await.is_ok();
                return if is_there { Ok(()) } else { Err(error.into()) };
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn text_of(key: &Value) -> String {
    key.as_str().map_or_else(|| key.to_string(), str::to_owned)
}
