//! What a trigger's filter says of a payload before there is a run, for starts that do not come over HTTP.

use flowcell_core::condition::Explanation;
use flowcell_core::expression::Scope;
use flowcell_core::id::{EventId, RunId, WorkflowId, WorkspaceId};
use flowcell_core::run::event::{Origin, Recorded, RunEvent};
use flowcell_core::run::fold::Run;
use serde_json::Value;

use super::create::CreateError;
use super::{ControlError, RunControl};

impl RunControl {
    /// Why the filter of this version keeps the payload out; nothing when it lets it pass.
    pub(crate) async fn kept_out(
        &self,
        workspace: &WorkspaceId,
        (workflow, version): (&WorkflowId, u32),
        (event, payload): (EventId, &Value),
    ) -> Result<Option<Explanation>, ControlError> {
        let core = &*self.0;
        let prepared = core.workflows.version(&core.ports, workspace, (workflow, version)).await?;
        let compiled = &prepared.compiled;
        if compiled.workflow.trigger.filter.is_none() {
            return Ok(None);
        }
        let failed = |message: String| CreateError::Filter { workflow: workflow.clone(), message };
        let filter = compiled.filter.as_ref();
        let filter = filter.ok_or_else(|| failed(prepared.broken.clone().unwrap_or_default()))?;
        let at = core.ports.clock.now();
        let created = RunEvent::Created {
            workspace: workspace.clone(),
            workflow: workflow.clone(),
            version,
            event,
            pins: std::collections::BTreeMap::new(),
            trigger: std::sync::Arc::new(payload.clone()),
            origin: Origin::of_trigger(&compiled.workflow.trigger.kind, payload),
        };
        // It is never stored; the filter only looks at it.
        let draft = Run::fold_owned(RunId::from_parts(at, 0), vec![Recorded { seq: 0, at, event: created }]);
        let draft = draft.map_err(CreateError::from)?;
        let scope = Scope::of(&draft, &compiled.workflow).with_custom_values(&core.config.custom_values);
        let verdict = filter.evaluate(&scope).map_err(|error| failed(error.message))?;
        Ok((!verdict.holds).then_some(verdict.because))
    }
}
