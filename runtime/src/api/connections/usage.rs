//! `GET /api/v2/connections/{name}/usage`: who would miss a connection.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::{ConnectionName, RunId, WorkflowId};
use flowcell_core::ports::StoreError;
use flowcell_core::run::fold::Mark;
use flowcell_core::workflow::Workflow;
use flowcell_core::workflow::parse::Authored;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::api::json;
use crate::api::query::ApiPath;
use crate::app::App;
use crate::connections::WriteError;
use crate::http::problem::Problem;

/// A published workflow, and its steps that use the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct User {
    pub(crate) id: WorkflowId,
    pub(crate) name: String,
    /// With the connection's name, or because it is their action's default.
    pub(crate) steps: Vec<String>,
}

/// `GET /connections/{name}/usage`.
pub(crate) async fn usage(
    State(app): State<Arc<App>>,
    ApiPath(name): ApiPath<ConnectionName>,
) -> Result<Response, Problem> {
    let stored = app.connections.get(&app.workspace, &name).await?;
    let stored = stored.ok_or_else(|| WriteError::Unknown(name.clone()))?;
    let used = app.connections.usage(&stored);
    let document = json!({
        "name": name,
        "workflows": users(&app, &name).await?,
        "plugins_allowed": stored.connection.bound.plugins,
        "plugins_seen": used.plugins,
        "origins": used.origins,
        "last_used_at": used.last_used_at,
        "waiting_run_ids": waiting(&app, &name).await?,
    });
    Ok(json(StatusCode::OK, &document))
}

/// The published workflows that use the connection.
pub(crate) async fn users(app: &App, name: &ConnectionName) -> Result<Vec<User>, StoreError> {
    let mut users = Vec::new();
    for head in app.ports.definitions.list(&app.workspace).await? {
        let Some(number) = head.published else { continue };
        let Some(version) = app.ports.definitions.version(&app.workspace, &head.id, number).await? else { continue };
        // What an older Flowcell took and this one cannot read runs no more.
        let Ok(Authored { workflow, .. }) = Authored::parse(&version.source) else { continue };
        let steps = steps(app, &workflow, name);
        if !steps.is_empty() {
            users.push(User { id: head.id, name: head.name, steps });
        }
    }
    Ok(users)
}

fn steps(app: &App, workflow: &Workflow, name: &ConnectionName) -> Vec<String> {
    let uses_it = |action: &flowcell_core::workflow::Action| match &action.connection {
        Some(named) => named == name,
        None => app.ports.catalog.resolve(&action.uses).is_ok_and(|plugin| {
            let member = plugin.manifest.action(&action.uses.member);
            member.and_then(|member| member.connection.as_ref()?.default.as_ref()) == Some(name)
        }),
    };
    let all = workflow.all_steps();
    all.filter(|placed| placed.step.action().is_some_and(uses_it)).map(|placed| placed.step.id.to_string()).collect()
}

/// The runs that wait for its owner.
async fn waiting(app: &App, name: &ConnectionName) -> Result<Vec<RunId>, StoreError> {
    let marked = app.ports.runs.marked(&app.workspace, &Mark::Reconnecting(name.clone())).await?;
    Ok(marked.into_iter().map(|summary| summary.id).collect())
}
