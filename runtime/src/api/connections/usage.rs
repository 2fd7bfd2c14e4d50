//! `GET /api/v2/connections/{name}/usage`: who would miss a connection.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::{ConnectionName, RunId};
use flowcell_core::ports::StoreError;
use flowcell_core::run::fold::Mark;
use http::StatusCode;
use serde_json::json;

use crate::api::json;
use crate::api::query::ApiPath;
use crate::app::App;
use crate::connections::WriteError;
use crate::connections::users::Users;
use crate::http::problem::Problem;

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
        "workflows": Users::new(&app.ports).of(&app.workspace, &name).await?,
        "plugins_allowed": stored.connection.bound.plugins,
        "plugins_seen": used.plugins,
        "origins": used.origins,
        "last_used_at": used.last_used_at,
        "waiting_run_ids": waiting(&app, &name).await?,
    });
    Ok(json(StatusCode::OK, &document))
}

/// The runs that wait for its owner.
async fn waiting(app: &App, name: &ConnectionName) -> Result<Vec<RunId>, StoreError> {
    let marked = app.ports.runs.marked(&app.workspace, &Mark::Reconnecting(name.clone())).await?;
    Ok(marked.into_iter().map(|summary| summary.id).collect())
}
