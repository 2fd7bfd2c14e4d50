//! `/workflows/{id}/reference`: the requests that the mapping is made against, with the schema that fits them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::WorkflowId;
use flowcell_core::ports::Reference;
use flowcell_core::redact::RedactionRules;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::shown;
use crate::api::json;
use crate::api::query::ApiPath;
use crate::app::App;
use crate::http::problem::{Kind, Problem};
use crate::ingress::{reference, routes};

/// Which requests: by their ids, or the latest ones.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    requests: Vec<String>,
    latest: Option<usize>,
}

/// `GET`: 404 while none is saved.
pub(crate) async fn show(State(app): State<Arc<App>>, ApiPath(id): ApiPath<WorkflowId>) -> Result<Response, Problem> {
    let head = super::head(&app, &id).await?;
    let stored = app.ports.triggers.reference(&app.workspace, &id).await?.ok_or_else(|| {
        let detail = format!("`{id}` has no mapping reference. Save one with `flowcell trigger save-reference {id}`.");
        Problem::new(Kind::NotFound, detail)
    })?;
    Ok(json(StatusCode::OK, &view(&stored, &shown::rules(&app, &head).await?)))
}

/// `POST {"requests": ["req_…"]}` or `{"latest": 3}`: in the place of the one before.
pub(crate) async fn save(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<WorkflowId>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = app.bodies.read(&parts.headers, body).await?;
    let wanted: Wanted = if bytes.is_empty() {
        Wanted::default()
    } else {
        let invalid = |error| Problem::new(Kind::InvalidRequest, format!("The body does not fit: {error}."));
        serde_json::from_slice(&bytes).map_err(invalid)?
    };
    let head = super::head(&app, &id).await?;
    let route = routes::of_workflow(&app, &head).await?.ok_or_else(|| {
        let detail = format!("No requests come to `{id}`: its trigger is no webhook.");
        Problem::new(Kind::InvalidRequest, detail)
    })?;
    let requests = choose(&app, &id, &wanted)?;
    let saved = reference::save(&app, &route, &requests).await?;
    Ok(json(StatusCode::OK, &view(&saved, &shown::rules(&app, &head).await?)))
}

fn choose(app: &App, id: &WorkflowId, wanted: &Wanted) -> Result<Vec<Arc<crate::ingress::recent::Kept>>, Problem> {
    let recent = &app.tallies.of(id).recent;
    let max = reference::REQUESTS_MAX;
    if wanted.requests.len() > max || wanted.latest.is_some_and(|latest| !(1..=max).contains(&latest)) {
        return Err(Problem::new(Kind::InvalidRequest, format!("A reference is made of 1 to {max} requests.")));
    }
    if wanted.requests.is_empty() {
        let mut latest = recent.list(None, usize::MAX);
        latest.retain(|kept| reference::usable(kept));
        latest.truncate(wanted.latest.unwrap_or(1));
        if latest.is_empty() {
            let detail = format!(
                "No request that could be the reference has come to `{id}` since the server started. Send one, then save it."
            );
            return Err(Problem::new(Kind::NotFound, detail));
        }
        return Ok(latest);
    }
    let found = wanted.requests.iter().map(|request| {
        recent.find(request).ok_or_else(|| {
            let detail = format!("There is no request `{request}` any more, or never was; `flowcell trigger requests {id}` prints those that are kept.");
            Problem::new(Kind::NotFound, detail)
        })
    });
    found.collect()
}

fn view(reference: &Reference, rules: &Arc<RedactionRules>) -> Value {
    let samples: Vec<Value> = reference.samples.iter().map(|sample| shown::sample(sample, rules)).collect();
    json!({
        "workflow": reference.workflow,
        "saved_at": reference.saved_at,
        "requests": reference.requests,
        "schema": reference.schema,
        "sample": samples.first(),
        "samples": samples,
    })
}
