//! `POST /api/v2/workflows/preview`: the exact requests of one step, without running it. What a connection adds is masked.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::WorkflowId;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::api::json;
use crate::api::start::read_json;
use crate::app::App;
use crate::http::problem::{Kind, Problem};
use crate::preview::{self, Asked};

/// The workflow by its text, or by the id of one that is stored.
#[derive(Debug, Default, Deserialize)]
struct Which {
    workflow: Option<String>,
    id: Option<WorkflowId>,
    /// Of a stored one; the published version, or the newest draft, when nothing is said.
    version: Option<u32>,
}

/// `{workflow | id, version?, step, trigger?, outputs?, items?, answers?}`.
pub(crate) async fn preview(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = app.bodies.read(&parts.headers, body).await?;
    let wrong =
        |error: serde_json::Error| Problem::new(Kind::InvalidRequest, format!("The body does not fit: {error}."));
    let mut document = read_json(&parts.headers, &bytes)?.unwrap_or(Value::Null);
    let mut which = Which::default();
    if let Some(fields) = document.as_object_mut() {
        let mut named = serde_json::Map::new();
        for key in ["workflow", "id", "version"] {
            named.extend(fields.remove(key).map(|value| (key.to_owned(), value)));
        }
        which = serde_json::from_value(Value::Object(named)).map_err(wrong)?;
    }
    let asked: Asked = serde_json::from_value(document).map_err(wrong)?;
    let source = source(&app, which).await?;
    Ok(json(StatusCode::OK, &preview::preview(&app, &source, asked).await?))
}

async fn source(app: &App, which: Which) -> Result<String, Problem> {
    let (text, id) = match (which.workflow, which.id) {
        (Some(text), None) => (Some(text), None),
        (None, Some(id)) => (None, Some(id)),
        _ => {
            let detail = "Say which workflow: its text as `workflow`, or the `id` of one that is stored.";
            return Err(Problem::new(Kind::InvalidRequest, detail));
        }
    };
    let Some(id) = id else { return Ok(text.unwrap_or_default()) };
    let missing = || {
        let detail =
            format!("There is no such version of `{id}`. `flowcell workflow list` prints the workflows there are.");
        Problem::new(Kind::NotFound, detail)
    };
    let head = app.ports.definitions.head(&app.workspace, &id).await?.ok_or_else(missing)?;
    let number = which.version.or(head.published).unwrap_or(head.latest);
    let version = app.ports.definitions.version(&app.workspace, &id, number).await?.ok_or_else(missing)?;
    Ok(version.source)
}
