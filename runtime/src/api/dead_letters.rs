//! `/api/v2/dead-letters`: the deliveries that did not arrive, and sending them again: one, those of a time, or all that are missing.

mod find;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::{RunId, WorkflowId};
use flowcell_core::run::dead_letter::DeadLetter;
use flowcell_core::run::rerun::{RerunFrom, RerunKeys, RerunRequest, RerunVersion};
use flowcell_core::time::Timestamp;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::query::{ApiPath, ApiQuery};
use crate::api::runs::filter::cursor;
use crate::api::{destinations, json, reruns, runs};
use crate::app::App;
use crate::http::problem::{Kind, Problem};
use find::{Found, Looking, Resends, ResentAs};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListQuery {
    workflow: Option<WorkflowId>,
    /// Its id or its URL.
    destination: Option<String>,
    /// The code of the error that ended the run.
    error: Option<String>,
    /// Runs created from then on, and before.
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    /// Those that were sent again, too.
    resent: bool,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// A page when nothing is said, and the largest: the journal of each run is read for it.
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 200;

/// `GET /dead-letters?workflow=&destination=&error=&from=&to=&resent=&cursor=&limit=`: the newest first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        let detail = format!("`limit` is {limit}; it goes from 1 to {PAGE_MAX}.");
        return Err(Problem::new(Kind::InvalidRequest, detail));
    }
    let before = query.cursor.as_deref().map(|text| {
        runs::filter::run_of(text).ok_or_else(|| {
            Problem::new(Kind::InvalidRequest, "This is no cursor; take `next_cursor` of the page before as it is.")
        })
    });
    let looking = Looking {
        workflow: query.workflow,
        destination: query.destination.as_deref().map(destinations::id).transpose()?,
        error: query.error,
        from: query.from,
        to: query.to,
        with_resent: query.resent,
    };
    let Found { letters, next, .. } = find::dead_letters(&app, &looking, (before.transpose()?, limit)).await?;
    let listed: Vec<Value> = letters.iter().map(|(letter, resends)| document(letter, resends)).collect();
    Ok(json(StatusCode::OK, &json!({ "dead_letters": listed, "next_cursor": next.map(cursor) })))
}

/// `GET /dead-letters/{run}`.
pub(crate) async fn show(State(app): State<Arc<App>>, ApiPath(id): ApiPath<String>) -> Result<Response, Problem> {
    let run = runs::find(&app, &id).await?;
    let letter = app.control.dead_letter(run).await?.ok_or_else(|| no_dead_letter(run))?;
    let mut resends = Resends::of_workflow(Some(&letter.workflow));
    resends.reach(&app, run.created_at()).await?;
    Ok(json(StatusCode::OK, &document(&letter, &resends.of(run))))
}

/// How deliveries are sent again.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct How {
    version: RerunVersion,
    keys: RerunKeys,
    dry_run: bool,
}

/// `POST /dead-letters/{run}/resend {version?, keys?, dry_run?}`: 202 with the new run's id, or with `dry_run` 200 with what it would do.
/// What succeeded is taken over, and what is sent again has its idempotency key, unless `keys` is `new`.
pub(crate) async fn resend(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let How { version, keys, dry_run } = reruns::read(&app, request).await?;
    let run = runs::find(&app, &id).await?;
    app.control.dead_letter(run).await?.ok_or_else(|| no_dead_letter(run))?;
    let request = RerunRequest { from: RerunFrom::Failure, version, trigger: None, keys };
    if dry_run {
        let plan = app.control.plan_rerun(run, &request).await?;
        return Ok(json(StatusCode::OK, &json!({ "dry_run": true, "plan": plan })));
    }
    let (new, plan) = app.control.rerun(run, &request).await?;
    Ok(json(StatusCode::ACCEPTED, &json!({ "run_id": new, "plan": plan })))
}

/// Which deliveries are sent again: those that a range finds, or `runs`, as a dry run before has named them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Many {
    runs: Vec<RunId>,
    workflow: Option<WorkflowId>,
    destination: Option<String>,
    error: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    version: RerunVersion,
    keys: RerunKeys,
    dry_run: bool,
}

impl Many {
    /// What to look for; `None` when the runs are named.
    fn looking(&self) -> Result<Option<Looking>, Problem> {
        let is_named = !self.runs.is_empty();
        let has_range = self.from.is_some();
        if is_named == has_range || self.runs.len() > reruns::RUNS_MAX {
            let detail = format!(
                "Say from when on (`from`, and what else narrows it: `to`, `workflow`, `destination`, `error`), or name up to {} `runs`.",
                reruns::RUNS_MAX
            );
            return Err(Problem::new(Kind::InvalidRequest, detail));
        }
        if is_named {
            return Ok(None);
        }
        Ok(Some(Looking {
            workflow: self.workflow.clone(),
            destination: self.destination.as_deref().map(destinations::id).transpose()?,
            error: self.error.clone(),
            from: self.from,
            to: self.to,
            with_resent: false,
        }))
    }
}

/// `POST /dead-letters/recover {from, to?, workflow?, destination?, error? | runs, version?, keys?, dry_run?}`: sends the dead letters of a time
/// again that were not sent again before. Answers as `POST /reruns`.
pub(crate) async fn recover(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    let many: Many = reruns::read(&app, request).await?;
    let runs = match many.looking()? {
        None => (many.runs, false),
        Some(looking) => {
            let found = find::dead_letters(&app, &looking, (None, reruns::RUNS_MAX)).await?;
            in_order(found.letters.into_iter().map(|(letter, _)| letter.run).collect(), found.next.is_some())
        }
    };
    let request = RerunRequest { from: RerunFrom::Failure, version: many.version, trigger: None, keys: many.keys };
    Ok(reruns::repeat(&app, runs, &request, many.dry_run).await)
}

/// `POST /dead-letters/replay-missing {from, to?, workflow?, destination? | runs, version?, keys?, dry_run?}`: of the runs of a time, whatever became
/// of them, repeats those with a delivery that never succeeded, and in them only what did not succeed. Answers as `POST /reruns`.
pub(crate) async fn replay_missing(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    let many: Many = reruns::read(&app, request).await?;
    if many.error.is_some() {
        let detail = "`error` does not narrow what is missing; leave it out, or use `recover`.";
        return Err(Problem::new(Kind::InvalidRequest, detail));
    }
    let runs = match many.looking()? {
        None => (many.runs, false),
        Some(looking) => {
            let (missing, more) = find::missing(&app, &looking, reruns::RUNS_MAX).await?;
            in_order(missing, more)
        }
    };
    let request = RerunRequest { from: RerunFrom::Undelivered, version: many.version, trigger: None, keys: many.keys };
    Ok(reruns::repeat(&app, runs, &request, many.dry_run).await)
}

/// In the order in which they happened.
fn in_order(mut runs: Vec<RunId>, more: bool) -> (Vec<RunId>, bool) {
    runs.sort_unstable();
    (runs, more)
}

/// A dead letter. The shape is public: fields are added, never changed.
fn document(letter: &DeadLetter, resends: &ResentAs) -> Value {
    json!({
        "run_id": letter.run,
        "workflow": { "id": letter.workflow, "version": letter.version },
        "created_at": letter.created_at,
        "failed_at": letter.failed_at,
        "step": letter.step,
        "attempts": letter.attempts,
        "error": letter.error,
        "last_status": letter.last_status,
        "destination": letter.destination.as_ref().map(|destination| json!({ "id": destination.id(), "url": destination.url() })),
        "resent_as": resends.iter().map(|(run, status)| json!({ "run_id": run, "status": status })).collect::<Vec<_>>(),
    })
}

fn no_dead_letter(run: RunId) -> Problem {
    let detail = format!(
        "{run} is no dead letter: it did not fail with an action. `flowcell run show {run}` says what became of it."
    );
    Problem::new(Kind::NotFound, detail)
}
