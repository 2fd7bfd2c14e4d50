//! What is done to a run that goes on: `POST /api/v2/runs/{id}/cancel`, and `POST /api/v2/runs/{id}/steps/{step}/decide` for a parked step.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::{RunId, StepRef};
use flowcell_core::run::event::Decision;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::ApiPath;
use crate::api::start::read_json;
use crate::app::App;
use crate::http::problem::{Kind, Problem};

/// The longest reason that is kept: a sentence or two.
const REASON_CHARACTERS_MAX: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancelling {
    reason: Option<String>,
}

/// `POST /runs/{id}/cancel {reason?}`: 202; attempts in progress are cut short, and nothing of the run begins any more.
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    ApiPath(run): ApiPath<RunId>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let Cancelling { reason } = read(&app, request, "{\"reason\": \"…\"}").await?;
    let reason = reason.unwrap_or_else(|| "somebody asked for it".to_owned());
    if reason.chars().count() > REASON_CHARACTERS_MAX {
        let detail = format!("`reason` has more than {REASON_CHARACTERS_MAX} characters.");
        return Err(Problem::new(Kind::InvalidRequest, detail));
    }
    known(&app, run).await?;
    app.control.cancel(run, &reason).await?;
    Ok(json(StatusCode::ACCEPTED, &json!({ "run_id": run, "cancel_requested": true, "reason": reason })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deciding {
    /// Whether the effect took place.
    happened: Option<bool>,
    /// With `happened: true`: what later steps read as its output.
    output: Option<Value>,
    repeat: Option<bool>,
}

/// `POST /runs/{id}/steps/{step}/decide` with `{"happened": true, "output": …}`, `{"happened": false}` or `{"repeat": true}`.
pub(crate) async fn decide(
    State(app): State<Arc<App>>,
    ApiPath((run, step)): ApiPath<(RunId, StepRef)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    const SHAPE: &str = "{\"happened\": true, \"output\": …}, {\"happened\": false} or {\"repeat\": true}";
    let asked = read::<Deciding>(&app, request, SHAPE).await?;
    let decision = match asked {
        Deciding { happened: Some(true), output, repeat: None } => {
            Decision::Succeeded { output: output.unwrap_or(Value::Null) }
        }
        Deciding { happened: Some(false), output: None, repeat: None } => Decision::Failed,
        Deciding { happened: None, output: None, repeat: Some(true) } => Decision::Repeat,
        _ => return Err(Problem::new(Kind::InvalidRequest, format!("The body has to be one of {SHAPE}."))),
    };
    known(&app, run).await?;
    app.control.decide(run, &step, decision.clone()).await?;
    Ok(json(StatusCode::ACCEPTED, &json!({ "run_id": run, "step": step, "decision": decision })))
}

/// Another workspace's run is none.
async fn known(app: &App, run: RunId) -> Result<(), Problem> {
    match app.ports.runs.get(&app.workspace, run).await? {
        Some(_) => Ok(()),
        None => Err(flowcell_engine::ControlError::NoRun(run).into()),
    }
}

async fn read<T: DeserializeOwned>(app: &App, request: Request<Body>, shape: &str) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    let body = app.bodies.read(&parts.headers, body).await?;
    let document = read_json(&parts.headers, &body)?.unwrap_or_else(|| json!({}));
    serde_json::from_value(document)
        .map_err(|error| Problem::new(Kind::InvalidRequest, format!("The body has to be {shape}: {error}.")))
}
