//! `/api/v2/quarantine`: the plugins that are not called any more because the sandbox had to end their calls again and again, and letting one out.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::Digest;
use http::StatusCode;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::ApiPath;
use crate::app::App;
use crate::http::problem::{Kind, Problem};

/// `GET /quarantine`.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Response {
    let plugins = app.control.quarantined().into_iter().map(|digest| {
        let known = app.ports.catalog.by_digest(&digest);
        let (id, version) = known.map(|plugin| (plugin.manifest.id.clone(), plugin.manifest.version.clone())).unzip();
        json!({ "digest": digest, "id": id, "version": version })
    });
    json(StatusCode::OK, &json!({ "plugins": plugins.collect::<Vec<Value>>() }))
}

/// `POST /quarantine/{digest}/release`: the plugin is called again, and the runs that were parked for it go on. They are listed.
pub(crate) async fn release(
    State(app): State<Arc<App>>,
    ApiPath(digest): ApiPath<Digest>,
) -> Result<Response, Problem> {
    let is_held = app.control.quarantined().contains(&digest);
    // After a restart nothing is held any more, and runs may still be parked.
    let runs = app.control.release(&app.workspace, &digest).await?;
    if !is_held && runs.is_empty() {
        let detail = format!("No plugin `{digest}` is in quarantine, and no run is parked for it.");
        return Err(Problem::new(Kind::NotFound, detail));
    }
    Ok(json(StatusCode::ACCEPTED, &json!({ "digest": digest, "run_ids": runs })))
}
