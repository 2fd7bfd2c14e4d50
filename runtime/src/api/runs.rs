//! `/api/v2/runs`: list by workflow and status, show one with all its attempts.

pub(crate) mod view;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::{RunId, StepRef, WorkflowId};
use flowcell_core::ports::RunFilter;
use flowcell_core::run::fold::{Run, RunStatus};
use flowcell_core::workflow::parse::Authored;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::{ApiPath, ApiQuery};
use crate::app::App;
use crate::http::problem::{Kind, Problem};
use crate::ingress::resume::is_waiting;

/// A page when nothing is said, and the largest one: a few hundred kilobytes of JSON at most.
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    workflow: Option<WorkflowId>,
    status: Option<RunStatus>,
    /// `next_cursor` of the page before.
    cursor: Option<RunId>,
    limit: Option<usize>,
}

/// `GET /runs?workflow=&status=&cursor=&limit=`: newest first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::new(Kind::InvalidRequest, format!("`limit` is {limit}; it goes from 1 to {PAGE_MAX}.")));
    }
    let filter = RunFilter { workflow: query.workflow, status: query.status };
    // One more than asked for tells whether there is another page.
    let mut runs = app.ports.runs.list(&app.workspace, filter, query.cursor, limit + 1).await?;
    let more = runs.len() > limit;
    runs.truncate(limit);
    let next = if more { runs.last().map(|run| run.id) } else { None };
    let runs: Vec<Value> = runs.iter().map(view::summary).collect();
    Ok(json(StatusCode::OK, &json!({ "runs": runs, "next_cursor": next })))
}

/// `GET /runs/{id}`.
pub(crate) async fn show(State(app): State<Arc<App>>, ApiPath(id): ApiPath<String>) -> Result<Response, Problem> {
    let id: RunId = id.parse().map_err(|_| {
        let detail = format!("`{id}` is no run id; `flowcell run list` prints them.");
        Problem::new(Kind::InvalidRequest, detail)
    })?;
    if app.ports.runs.get(&app.workspace, id).await?.is_none() {
        return Err(Problem::new(
            Kind::NotFound,
            format!("There is no run `{id}`. `flowcell run list` prints the newest ones."),
        ));
    }
    let events = app.ports.journal.load(id).await?;
    let run = Run::fold(id, &events).map_err(|error| {
        tracing::error!(%error, "a journal cannot be read");
        Problem::internal()
    })?;
    let version = app.ports.definitions.version(&app.workspace, &run.workflow, run.version).await?;
    // Without its definition a run still shows what its journal has.
    let workflow = version.and_then(|version| Authored::parse(&version.source).ok()).map(|authored| authored.workflow);
    let mut document = view::run(&run, workflow.as_ref());
    if run.status() == RunStatus::Queued
        && let Some(position) = app.control.queue_position(id).await?
        && let Some(fields) = document.as_object_mut()
    {
        fields.insert("queue_position".to_owned(), json!(position));
    }
    add_resume_links(&app, &run, &mut document);
    Ok(json(StatusCode::OK, &document))
}

/// Adds to each step that waits for one the link that resumes it.
fn add_resume_links(app: &App, run: &Run, document: &mut Value) {
    let steps = document.get_mut("steps").and_then(Value::as_array_mut);
    for fields in steps.into_iter().flatten().filter_map(Value::as_object_mut) {
        let place = fields.get("id").and_then(Value::as_str).and_then(|id| id.parse::<StepRef>().ok());
        if let Some(place) = place.filter(|place| is_waiting(run, place)) {
            fields.insert("resume_url".to_owned(), Value::from(app.resume_url(run.id, &place)));
        }
    }
}
