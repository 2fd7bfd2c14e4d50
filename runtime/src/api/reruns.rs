//! Repeating runs: `POST /api/v2/runs/{id}/rerun` for one, `POST /api/v2/reruns` for many. With `dry_run` both only say what would happen.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::{RunId, WorkflowId};
use flowcell_core::ports::{PageRequest, RunFilter};
use flowcell_core::run::fold::RunStatus;
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
pub(super) const RUNS_MAX: usize = 1_000;

/// How many runs a search gives at a time.
const PAGE: usize = 500;

/// Searches for one request at most: beyond that a filter is to be narrower.
const PAGES_MAX: usize = 200;

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
    fn search(&self) -> RunFilter {
        RunFilter {
            workflow: self.workflow.clone(),
            status: self.status,
            error: self.error.clone(),
            from: self.from,
            to: self.to,
            ..RunFilter::default()
        }
    }
}

/// `POST /reruns {filter | runs, from?, version?, keys?, dry_run?}`: 202 with what was started, or with `dry_run` 200 with what would be. A dry
/// run names the runs it has found: sent back as `runs`, exactly those are repeated. `stopped` when the store took nothing more: the runs behind the
/// last one in `refused` were not looked at.
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
    Ok(repeat(&app, (runs, more), &request, dry_run).await)
}

/// Repeats runs, or with `dry_run` only says what that would come to; `more`: there are others, for another request.
pub(super) async fn repeat(
    app: &App,
    (runs, more): (Vec<RunId>, bool),
    request: &RerunRequest,
    dry_run: bool,
) -> Response {
    let (mut taken, mut refused, mut stopped) = (Vec::new(), Vec::new(), false);
    for run in runs {
        let answer = if dry_run {
            app.control.plan_rerun(run, request).await.map(|plan| outline(&plan, None))
        } else {
            app.control.rerun(run, request).await.map(|(id, plan)| outline(&plan, Some(id)))
        };
        match answer {
            Ok(document) => taken.push(document),
            // Those before it have begun, so that it is one line of the answer, whatever it is.
            Err(error) => {
                let problem = Problem::from(error);
                refused.push(json!({ "run_id": run, "reason": problem.detail() }));
                stopped = problem.is_of_the_store();
            }
        }
        if stopped {
            break;
        }
    }
    let status = if dry_run { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut document =
        json!({ "dry_run": dry_run, "count": taken.len(), "runs": taken, "refused": refused, "more": more });
    if let (true, Some(fields)) = (stopped, document.as_object_mut()) {
        fields.insert("stopped".to_owned(), Value::Bool(true));
    }
    json(status, &document)
}

/// The runs that a filter finds, the oldest first, and whether there are more.
async fn find(app: &App, filter: &Filter) -> Result<(Vec<RunId>, bool), Problem> {
    let wanted = filter.search();
    let (mut found, mut before) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let page = app.ports.runs.search(&app.workspace, &wanted, PageRequest { before, limit: PAGE }).await?;
        before = page.next;
        found.extend(page.runs.iter().filter(|run| run.status.is_final()).map(|run| run.id));
        if before.is_none() || found.len() > RUNS_MAX {
            break;
        }
    }
    let more = before.is_some() || found.len() > RUNS_MAX;
    found.truncate(RUNS_MAX);
    // In the order in which they happened.
    found.reverse();
    Ok((found, more))
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

pub(super) async fn read<T: DeserializeOwned>(app: &App, request: Request<Body>) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    let body = app.bodies.read(&parts.headers, body).await?;
    let document = read_json(&parts.headers, &body)?.unwrap_or_else(|| json!({}));
    serde_json::from_value(document)
        .map_err(|error| Problem::new(Kind::InvalidRequest, format!("This rerun cannot be read: {error}.")))
}

#[cfg(test)]
mod tests {
    use flowcell_core::ports::{Append, Durability};
    use flowcell_core::run::event::{Outcome, Recorded, RunEvent};
    use flowcell_core::run::fold::Run;

    use super::*;
    use crate::testing::{Bench, sample_workflow};

    fn by_hand(id: &str, more: &str) -> String {
        let manual = sample_workflow("R").replace("uses: test/tools/inbound@1", "manual: true");
        format!("{more}{}", manual.replace("id: sample", &format!("id: {id}")))
    }

    async fn ended(bench: &Bench, workflow: &str) -> RunId {
        assert_eq!(bench.api("POST", "/workflows", &by_hand(workflow, "")).await.status, 201);
        let started = bench.api("POST", &format!("/workflows/{workflow}/runs"), "").await;
        let run = started.json["run_ids"][0].as_str().unwrap().parse().unwrap();
        let mut history = bench.app.ports.journal.load(run).await.unwrap();
        let finished = RunEvent::Finished { outcome: Outcome::Succeeded, output: Value::Null };
        let end = Recorded { seq: 1, at: history[0].at, event: finished };
        history.push(end.clone());
        let summary = Run::fold(run, &history).unwrap().summary();
        let append = Append { run, entries: vec![end], summary, durability: Durability::Synced };
        bench.app.ports.journal.append(append).await.unwrap();
        run
    }

    #[tokio::test]
    async fn a_run_that_cannot_be_repeated_is_one_line_of_the_answer() {
        let bench = Bench::new();
        let (first, second, third) = (ended(&bench, "a").await, ended(&bench, "b").await, ended(&bench, "c").await);
        let keyed = by_hand("b", "settings: { concurrency: { limit: 1, key: trigger.absent } }\n");
        let applied = bench.api("POST", "/workflows", &keyed).await;
        assert!(matches!(applied.status, 200 | 201), "{applied:?}");
        let order = json!({ "runs": [first, second, third], "from": "start", "version": "latest" });
        let done = bench.api("POST", "/reruns", &order.to_string()).await;
        assert_eq!((done.status, &done.json["count"]), (202, &json!(2)), "{done:?}");
        assert_eq!(done.json["refused"].as_array().map(Vec::len), Some(1), "{done:?}");
        assert_eq!(done.json["refused"][0]["run_id"], second.to_string());
        assert!(done.json["refused"][0]["reason"].as_str().unwrap().contains("trigger.absent"), "{done:?}");
        assert_eq!(done.json.get("stopped"), None, "the store goes on");
    }
}
