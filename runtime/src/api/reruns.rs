//! Repeating runs: `POST /api/v2/runs/{id}/rerun` for one, `POST /api/v2/reruns` for many. With `dry_run` both only say what would happen.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::{RunId, WorkflowId};
use flowcell_core::ports::RunFilter;
use flowcell_core::run::fold::{RunStatus, RunSummary};
use flowcell_core::run::rerun::{Effect, Fate, RerunFrom, RerunKeys, RerunPlan, RerunRequest, RerunVersion};
use flowcell_core::time::Timestamp;
use flowcell_engine::ControlError;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::ApiPath;
use crate::api::start::read_json;
use crate::app::App;
use crate::http::problem::{Kind, Problem};

/// Runs that one request repeats at most: each is a write that is waited for, and a thousand of them take some seconds.
const RUNS_MAX: usize = 1_000;

/// Runs that are looked at for one request at most: beyond that a filter is to be narrower.
const LOOKED_AT_MAX: usize = 100_000;

/// How many are read at a time.
const PAGE: usize = 500;

/// Fields of [`RerunRequest`], beside which others stand in the same object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct One {
    from: RerunFrom,
    version: RerunVersion,
    trigger: Option<Value>,
    keys: RerunKeys,
    dry_run: bool,
}

/// `POST /runs/{id}/rerun {from?, version?, trigger?, keys?, dry_run?}`: 202 with the new run's id, or with `dry_run` 200; both say what is
/// skipped, what is repeated, and what of that has happened already.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    ApiPath(run): ApiPath<RunId>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let One { from, version, trigger, keys, dry_run } = read(&app, request).await?;
    let request = RerunRequest { from, version, trigger, keys };
    if app.ports.runs.get(&app.workspace, run).await?.is_none() {
        return Err(ControlError::NoRun(run).into());
    }
    if dry_run {
        let plan = app.control.plan_rerun(run, &request).await?;
        return Ok(json(StatusCode::OK, &json!({ "dry_run": true, "plan": plan })));
    }
    let (id, plan) = app.control.rerun(run, &request).await?;
    Ok(json(StatusCode::ACCEPTED, &json!({ "run_id": id, "plan": plan })))
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Many {
    /// These; or those that the filter finds.
    runs: Vec<RunId>,
    filter: Option<Filter>,
    from: RerunFrom,
    version: RerunVersion,
    keys: RerunKeys,
    dry_run: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Filter {
    workflow: Option<WorkflowId>,
    status: Option<RunStatus>,
    /// The code of the error that ended it.
    error: Option<String>,
    /// Created from then on.
    from: Option<Timestamp>,
    /// Created before.
    to: Option<Timestamp>,
}

impl Filter {
    fn takes(&self, run: &RunSummary) -> bool {
        run.status.is_final()
            && self.error.as_ref().is_none_or(|code| run.error_code.as_ref() == Some(code))
            && self.from.is_none_or(|from| run.created_at >= from)
            && self.to.is_none_or(|to| run.created_at < to)
    }
}

/// `POST /reruns {filter | runs, from?, version?, keys?, dry_run?}`: 202 with what was started, or with `dry_run` 200 with what would be. A dry
/// run names the runs it has found: sent back as `runs`, exactly those are repeated.
pub(crate) async fn many(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    let Many { runs, filter, from, version, keys, dry_run } = read(&app, request).await?;
    let (runs, more) = match (runs.is_empty(), filter) {
        (false, None) if runs.len() > RUNS_MAX => {
            let detail = format!("`runs` has {} runs; at most {RUNS_MAX} are repeated at a time.", runs.len());
            return Err(Problem::new(Kind::InvalidRequest, detail));
        }
        (false, None) => (runs, false),
        (true, Some(filter)) => find(&app, &filter).await?,
        _ => {
            let detail = "Say which runs: `filter` (workflow, status, error, from, to) or `runs` (their ids).";
            return Err(Problem::new(Kind::InvalidRequest, detail));
        }
    };
    let request = RerunRequest { from, version, trigger: None, keys };
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for run in runs {
        let answer = if dry_run {
            app.control.plan_rerun(run, &request).await.map(|plan| outline(&plan, None))
        } else {
            app.control.rerun(run, &request).await.map(|(id, plan)| outline(&plan, Some(id)))
        };
        match answer {
            Ok(document) => taken.push(document),
            Err(error @ (ControlError::Rerun(_) | ControlError::NoRun(_))) => {
                refused.push(json!({ "run_id": run, "reason": error.to_string() }));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let status = if dry_run { StatusCode::OK } else { StatusCode::ACCEPTED };
    let document = json!({ "dry_run": dry_run, "count": taken.len(), "runs": taken, "refused": refused, "more": more });
    Ok(json(status, &document))
}

/// The runs that a filter finds, the oldest first, and whether there are more.
async fn find(app: &App, filter: &Filter) -> Result<(Vec<RunId>, bool), Problem> {
    let wanted = RunFilter { workflow: filter.workflow.clone(), status: filter.status };
    let (mut found, mut before, mut looked_at) = (Vec::new(), None, 0);
    loop {
        let page = app.ports.runs.list(&app.workspace, wanted.clone(), before, PAGE).await?;
        looked_at += page.len();
        before = page.last().map(|last| last.id);
        found.extend(page.iter().filter(|run| filter.takes(run)).map(|run| run.id));
        let is_last =
            page.len() < PAGE || filter.from.is_some_and(|from| page.last().is_some_and(|run| run.created_at < from));
        if is_last || found.len() > RUNS_MAX || looked_at >= LOOKED_AT_MAX {
            let more = !is_last || found.len() > RUNS_MAX;
            found.truncate(RUNS_MAX);
            // In the order in which they happened.
            found.reverse();
            return Ok((found, more));
        }
    }
}

/// A plan in a line of a list.
fn outline(plan: &RerunPlan, started: Option<RunId>) -> Value {
    let count = |fate: Fate, effects: &[Effect]| {
        plan.steps.iter().filter(|step| step.fate == fate && effects.contains(&step.effect)).count()
    };
    json!({
        "run_id": plan.of,
        "started": started,
        "version": plan.version,
        "skipped": count(Fate::Skipped, &[Effect::Happened, Effect::Uncertain, Effect::None]),
        "repeated": count(Fate::Repeated, &[Effect::Happened, Effect::Uncertain, Effect::None]),
        "repeated_though_happened": count(Fate::Repeated, &[Effect::Happened, Effect::Uncertain]),
        "warnings": plan.warnings,
    })
}

async fn read<T: DeserializeOwned>(app: &App, request: Request<Body>) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    let body = app.bodies.read(&parts.headers, body).await?;
    let document = read_json(&parts.headers, &body)?.unwrap_or_else(|| json!({}));
    serde_json::from_value(document)
        .map_err(|error| Problem::new(Kind::InvalidRequest, format!("This rerun cannot be read: {error}.")))
}
