//! `GET /workflows/{id}/requests`: the latest requests to a trigger, the newest first.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::WorkflowId;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::shown;
use crate::api::json;
use crate::api::query::{ApiPath, ApiQuery};
use crate::app::App;
use crate::http::problem::{Kind, Problem};
use crate::ingress::recent::Sort;

/// Requests of one answer, when nothing is said and at most: with their bodies some MiB.
const DEFAULT: usize = 20;
const MAX: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    outcome: Option<Sort>,
    limit: Option<usize>,
}

/// `?outcome=rejected&limit=20`
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<WorkflowId>,
    ApiQuery(query): ApiQuery<Query>,
) -> Result<Response, Problem> {
    let head = super::head(&app, &id).await?;
    let limit = query.limit.unwrap_or(DEFAULT);
    if !(1..=MAX).contains(&limit) {
        let detail = format!("The parameter `limit` is {limit}; it goes from 1 to {MAX}.");
        return Err(Problem::new(Kind::InvalidRequest, detail));
    }
    let rules = shown::rules(&app, &head).await?;
    let kept = app.tallies.of(&id).recent.list(query.outcome, limit);
    let requests: Vec<Value> = kept.iter().map(|kept| shown::request(kept, &rules)).collect();
    Ok(json(
        StatusCode::OK,
        &json!({
            "workflow": id,
            "since": app.tallies.since(),
            "kept_max": app.ingress.requests_kept_max,
            "requests": requests,
        }),
    ))
}
