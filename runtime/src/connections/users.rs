//! Which published workflows use a connection: who would miss it, and whose runs wait when it cannot be used.

use std::sync::Arc;

use flowcell_core::id::{ConnectionName, WorkflowId, WorkspaceId};
use flowcell_core::ports::{Catalog, Definitions, StoreError};
use flowcell_core::workflow::parse::Authored;
use flowcell_core::workflow::{Action, Verify, Workflow};
use serde::Serialize;

use crate::app::Ports;

/// A published workflow, and its steps that use the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct User {
    pub(crate) id: WorkflowId,
    pub(crate) name: String,
    /// Those that name it; `trigger` among them, if that does.
    pub(crate) steps: Vec<String>,
    /// Those that name none, where it is their action's default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) default_steps: Vec<String>,
    /// Whether its trigger verifies requests with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) verifies: bool,
}

/// Finds them.
pub(crate) struct Users {
    definitions: Arc<dyn Definitions>,
    catalog: Arc<dyn Catalog>,
}

impl Users {
    pub(crate) fn new(ports: &Ports) -> Self {
        Self::among(Arc::clone(&ports.definitions), Arc::clone(&ports.catalog))
    }

    pub(crate) fn among(definitions: Arc<dyn Definitions>, catalog: Arc<dyn Catalog>) -> Self {
        Self { definitions, catalog }
    }

    /// The published workflows that use the connection.
    pub(crate) async fn of(&self, workspace: &WorkspaceId, name: &ConnectionName) -> Result<Vec<User>, StoreError> {
        let mut users = Vec::new();
        for head in self.definitions.list(workspace).await? {
            let Some(number) = head.published else { continue };
            let Some(version) = self.definitions.version(workspace, &head.id, number).await? else { continue };
            // What an older Flowcell took and this one cannot read runs no more.
            let Ok(Authored { workflow, .. }) = Authored::parse(&version.source) else { continue };
            let (mut steps, default_steps) = self.steps(&workflow, name);
            if workflow.trigger.connection.as_ref() == Some(name) {
                steps.insert(0, crate::app::TRIGGER_ID.to_owned());
            }
            let verifies =
                matches!(&workflow.trigger.verify, Some(Verify::By(scheme)) if scheme.secret() == Some(name));
            if verifies || !steps.is_empty() || !default_steps.is_empty() {
                users.push(User { id: head.id, name: head.name, steps, default_steps, verifies });
            }
        }
        Ok(users)
    }

    /// Those that name it, and those that get it because they name none.
    fn steps(&self, workflow: &Workflow, name: &ConnectionName) -> (Vec<String>, Vec<String>) {
        let is_default = |action: &Action| {
            action.connection.is_none()
                && self.catalog.resolve(&action.uses).is_ok_and(|plugin| {
                    let member = plugin.manifest.action(&action.uses.member);
                    member.and_then(|member| member.connection.as_ref()?.default.as_ref()) == Some(name)
                })
        };
        let (mut named, mut by_default) = (Vec::new(), Vec::new());
        for placed in workflow.all_steps() {
            let Some(action) = placed.step.action() else { continue };
            if action.connection.as_ref() == Some(name) {
                named.push(placed.step.id.to_string());
            } else if is_default(action) {
                by_default.push(placed.step.id.to_string());
            }
        }
        (named, by_default)
    }
}
