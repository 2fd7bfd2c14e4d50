//! `GET /api/v2/workflows/{id}/trigger`: what starts a workflow, what came to it, and why the latest deliveries started nothing.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::WorkflowId;
use flowcell_core::workflow::TriggerKind;
use http::StatusCode;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::ApiPath;
use crate::app::App;
use crate::http::problem::Problem;
use crate::ingress::published::Published;

pub(crate) async fn show(State(app): State<Arc<App>>, ApiPath(id): ApiPath<WorkflowId>) -> Result<Response, Problem> {
    let published = Published::find(&app, &id).await?;
    let trigger = &published.workflow.trigger;
    let url = match (&trigger.kind, app.ports.definitions.head(&app.workspace, &id).await?) {
        (TriggerKind::Plugin { .. }, Some(head)) => Value::from(app.hook_url(&id, head.hook_generation)),
        _ => Value::Null,
    };
    let mut document = json!({
        "workflow": id,
        "version": published.version,
        "kind": trigger.key(),
        "trigger": trigger,
        "url": url,
        "since": app.tallies.since(),
    });
    if let (Some(fields), Value::Object(tally)) = (document.as_object_mut(), published.tally.view()) {
        fields.extend(tally);
    }
    Ok(json(StatusCode::OK, &document))
}
