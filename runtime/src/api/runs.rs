//! `/api/v2/runs`: search, show one with all its attempts, keep one for good.

pub(crate) mod filter;
pub(crate) mod view;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::{RunId, StepRef};
use flowcell_core::ports::{PageRequest, Pinning, RunFilter, RunPage};
use flowcell_core::run::event::RunEvent;
use flowcell_core::run::fold::{ImpossibleJournal, Run, RunStatus};
use flowcell_core::workflow::parse::Authored;
use http::StatusCode;
use serde_json::{Value, json};

use crate::api::query::{ApiPath, ApiQuery};
use crate::api::{json, redaction};
use crate::app::App;
use crate::http::problem::{Kind, Problem};
use crate::ingress::resume::is_waiting;
use filter::ListQuery;

/// `GET /runs?workflow=&status=&step=&error=&contact=&from=&to=&field=&cursor=&limit=`: newest first. `is_cut` says that the search stopped at its
/// bound, and `next_cursor` goes on behind it.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Response, Problem> {
    let (filter, page) = query.read()?;
    let page = search(&app, &filter, page).await?;
    let runs: Vec<Value> = page.runs.iter().map(view::summary).collect();
    let next = page.next.map(filter::cursor);
    Ok(json(StatusCode::OK, &json!({ "runs": runs, "next_cursor": next, "is_cut": page.is_cut })))
}

/// Searches the runs as they are shown: what is found only by something hidden is left out, and the page filled up with what follows.
async fn search(app: &App, filter: &RunFilter, page: PageRequest) -> Result<RunPage, Problem> {
    let limit = page.limit;
    let mut found = app.ports.runs.search(&app.workspace, filter, page).await?;
    let Some(field) = &filter.field else { return Ok(found) };
    let mut shown = Vec::new();
    loop {
        for run in std::mem::take(&mut found.runs) {
            if redaction::is_found_by(app, &run, field).await? {
                shown.push(run);
            }
        }
        if shown.len() >= limit || found.is_cut || found.next.is_none() {
            return Ok(RunPage { runs: shown, ..found });
        }
        let rest = PageRequest { before: found.next, limit: limit - shown.len() };
        found = app.ports.runs.search(&app.workspace, filter, rest).await?;
    }
}

/// `GET /runs/{id}`.
pub(crate) async fn show(State(app): State<Arc<App>>, ApiPath(id): ApiPath<String>) -> Result<Response, Problem> {
    let id = find(&app, &id).await?;
    let events = app.ports.journal.load(id).await?;
    let impossible = |error: ImpossibleJournal| {
        tracing::error!(%error, "a journal cannot be read");
        Problem::internal()
    };
    let Some(RunEvent::Created { workflow, version, .. }) = events.first().map(|first| first.event.clone()) else {
        return Err(impossible(ImpossibleJournal {
            run: id,
            seq: 0,
            problem: "the first entry does not create the run",
        }));
    };
    let rules = redaction::rules(&app, &workflow, version).await?;
    let run = Run::fold_owned(id, redaction::redacted(rules, events)).map_err(impossible)?;
    let version = app.ports.definitions.version(&app.workspace, &run.workflow, run.version).await?;
    // Without its definition a run still shows what its journal has.
    let workflow = version.and_then(|version| Authored::parse(&version.source).ok()).map(|authored| authored.workflow);
    let custom_values = app.control.custom_values();
    let mut document = view::run(&run, (workflow.as_ref(), &custom_values));
    if let Some(fields) = document.as_object_mut() {
        fields.insert("pinned".to_owned(), json!(app.ports.retention.is_pinned(&app.workspace, id).await?));
        if run.status() == RunStatus::Queued
            && let Some(position) = app.control.queue_position(id).await?
        {
            fields.insert("queue_position".to_owned(), json!(position));
        }
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

/// `PUT /runs/{id}/pin`: retention keeps the run.
pub(crate) async fn pin(state: State<Arc<App>>, id: ApiPath<String>) -> Result<Response, Problem> {
    set_pinned(state, id, Pinning::Pinned).await
}

/// `DELETE /runs/{id}/pin`: retention may remove the run again.
pub(crate) async fn unpin(state: State<Arc<App>>, id: ApiPath<String>) -> Result<Response, Problem> {
    set_pinned(state, id, Pinning::Free).await
}

async fn set_pinned(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<String>,
    pinning: Pinning,
) -> Result<Response, Problem> {
    let id = find(&app, &id).await?;
    app.ports.retention.pin(&app.workspace, id, pinning).await?;
    Ok(json(StatusCode::OK, &json!({ "id": id, "pinned": pinning == Pinning::Pinned })))
}

/// The id of a run that is there.
pub(crate) async fn find(app: &App, id: &str) -> Result<RunId, Problem> {
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
    Ok(id)
}
