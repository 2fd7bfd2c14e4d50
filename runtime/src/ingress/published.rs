//! Published workflow versions as those need them who start runs: read and compiled once per version.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use flowcell_core::condition::{CompiledCondition, Explanation};
use flowcell_core::expression::Scope;
use flowcell_core::id::{EventId, RunId, WorkflowId, WorkspaceId};
use flowcell_core::ports::WorkflowVersion;
use flowcell_core::redact::{RedactionRules, Redactor};
use flowcell_core::run::event::{Origin, Recorded, RunEvent};
use flowcell_core::run::fold::Run;
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::parse::Authored;
use flowcell_core::workflow::{Scheme, Verify, Workflow};
use serde_json::Value;

use crate::app::App;
use crate::http::problem::{Kind, Problem};
use crate::ingress::tally::Tally;
use crate::ingress::verify::Verifier;

#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) workspace: WorkspaceId,
    pub(crate) workflow: Workflow,
    pub(crate) version: u32,
    filter: Option<CompiledCondition>,
    /// How its trigger's senders prove who they are; absent where the URL's secrecy has to do.
    pub(crate) verifier: Option<Verifier>,
    custom_values: Arc<Value>,
    redaction: Arc<RedactionRules>,
    pub(crate) tally: Arc<Tally>,
}

/// What the trigger's filter says of a payload, which comes back.
pub(crate) enum Asked {
    Passes(Value),
    Filtered(Explanation),
}

/// The versions that were read. An entry of an older version is replaced when the newer one is asked for.
#[derive(Debug)]
pub(crate) struct Cache {
    read: RwLock<HashMap<WorkflowId, Arc<Published>>>,
    max: usize,
}

impl Cache {
    pub(crate) fn new(max: usize) -> Self {
        Self { read: RwLock::default(), max }
    }

    fn get(&self, id: &WorkflowId, version: u32) -> Option<Arc<Published>> {
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        read.get(id).filter(|found| found.version == version).cloned()
    }

    fn keep(&self, published: &Arc<Published>) {
        let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
        if read.len() >= self.max {
            read.clear(); // rare, and cheaper than bookkeeping on every request
        }
        read.insert(published.workflow.id.clone(), Arc::clone(published));
    }
}

impl Published {
    /// The version of a workflow that new runs take.
    pub(crate) async fn find(app: &App, id: &WorkflowId) -> Result<Arc<Self>, Problem> {
        let head = app.ports.definitions.head(&app.workspace, id).await?.ok_or_else(|| {
            Problem::new(
                Kind::NotFound,
                format!("There is no workflow `{id}`. `flowcell workflow list` prints those there are."),
            )
        })?;
        let version = head.published.ok_or_else(|| {
            let detail = format!("Workflow `{id}` has drafts only. Apply it without `--draft`, then start it.");
            Problem::new(Kind::NotStartable, detail)
        })?;
        Self::at(app, id, version).await
    }

    /// This version, which is published.
    pub(crate) async fn at(app: &App, id: &WorkflowId, version: u32) -> Result<Arc<Self>, Problem> {
        if let Some(found) = app.published.get(id, version) {
            return Ok(found);
        }
        let Some(stored) = app.ports.definitions.version(&app.workspace, id, version).await? else {
            tracing::error!(workflow = %id, version, "the published version is missing from the store");
            return Err(Problem::internal());
        };
        let published = Arc::new(Self::read(app, &stored)?);
        app.published.keep(&published);
        Ok(published)
    }

    pub(crate) fn read(app: &App, version: &WorkflowVersion) -> Result<Self, Problem> {
        let unreadable = |problems: String| {
            tracing::error!(workflow = %version.id, version = version.version, problems, "a stored workflow cannot be read");
            Problem::internal()
        };
        let workflow =
            Authored::parse(&version.source).map_err(|problems| unreadable(format!("{problems:?}")))?.workflow;
        let filter = workflow.trigger.filter.as_ref().map(|filter| CompiledCondition::compile(filter, &[])).transpose();
        let verifier = workflow.trigger.verify.as_ref().and_then(Verify::scheme).map(Verifier::new).transpose();
        Ok(Self {
            workspace: version.workspace.clone(),
            version: version.version,
            filter: filter.map_err(|errors| unreadable(format!("{errors:?}")))?,
            verifier: verifier.map_err(&unreadable)?,
            tally: app.tallies.of(&version.id),
            custom_values: app.control.custom_values(),
            redaction: Arc::new(app.control.redaction_rules([&workflow.settings])),
            workflow,
        })
    }

    /// The name under which a sender proves itself, where the trigger chooses it.
    pub(crate) fn proof_name(&self) -> Option<&str> {
        match self.verifier.as_ref()?.scheme() {
            Scheme::Hmac { header, .. } => Some(header),
            Scheme::ApiKey { header, query, .. } => header.as_deref().or(query.as_deref()),
            _ => None,
        }
    }

    /// The header or query parameter that holds the secret itself, where senders show it instead of signing with it.
    pub(crate) fn shared_secret_name(&self) -> Option<&str> {
        match self.verifier.as_ref()?.scheme() {
            Scheme::Bearer { .. } | Scheme::Basic { .. } => Some("authorization"),
            Scheme::ApiKey { header, query, .. } => header.as_deref().or(query.as_deref()),
            _ => None,
        }
    }

    /// Asks the trigger's filter about a payload, as a run would see it that began with it.
    pub(crate) fn ask(&self, at: Timestamp, event: EventId, payload: Value) -> Result<Asked, Problem> {
        let Some(filter) = &self.filter else { return Ok(Asked::Passes(payload)) };
        let created = RunEvent::Created {
            workspace: self.workspace.clone(),
            workflow: self.workflow.id.clone(),
            version: self.version,
            event,
            pins: std::collections::BTreeMap::new(),
            trigger: payload.into(),
            origin: Origin::default(),
        };
        // It is never stored; the filter only looks at it.
        let draft = Run::fold_owned(RunId::from_parts(at, 0), vec![Recorded { seq: 0, at, event: created }]);
        let draft = draft.map_err(|error| {
            tracing::error!(%error, "a new run does not fold");
            Problem::internal()
        })?;
        match filter.evaluate(&Scope::of(&draft, &self.workflow).with_custom_values(&self.custom_values)) {
            Ok(verdict) if verdict.holds => Ok(Asked::Passes(Arc::unwrap_or_clone(draft.trigger))),
            Ok(mut verdict) => {
                // It is shown, and the payload is gone then.
                let mut redactor = Redactor::new(Arc::clone(&self.redaction));
                redactor.learn_trigger(&draft.trigger);
                redactor.redact_explanation(&mut verdict.because);
                Ok(Asked::Filtered(verdict.because))
            }
            Err(error) => Err(Problem::new(
                Kind::FilterFailed,
                format!(
                    "The filter of the workflow's trigger cannot be asked about this: {} (at `trigger/filter{}`). Nothing was stored.",
                    error.message, error.pointer
                ),
            )),
        }
    }
}
