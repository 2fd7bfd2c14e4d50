//! `POST /api/v2/workflows/{id}/runs`: starts a run by hand or from a program, with an input that the workflow's `input` describes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::WorkflowId;
use flowcell_core::workflow::TriggerKind;
use flowcell_engine::{Incoming, Input};
use http::Request;
use http::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

use crate::api::query::ApiPath;
use crate::app::App;
use crate::http::document;
use crate::http::problem::{Kind, Problem};
use crate::ingress::accept::Outcome;
use crate::ingress::dedupe::{Key, Sent};
use crate::ingress::published::Published;
use crate::ingress::tally::Rejected;

/// What the keys of runs that were started over the API are told apart by from those of the trigger's URL.
pub(super) const SOURCE: &str = "api";

/// `POST /workflows/{id}/runs`, the input as a JSON body: 202 with the run's id once it is stored. No body is an empty object.
pub(crate) async fn start(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<WorkflowId>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = app.bodies.read(&parts.headers, body).await?;
    let input = read_json(&parts.headers, &body)?.unwrap_or_else(|| json!({}));
    let published = Published::find(&app, &id).await?;
    check_startable(&published)?;
    let rule = published.workflow.trigger.dedupe.as_ref();
    let sent = Sent::new(parts.headers, &body, rule);
    let key = sent.idempotency_key().or_else(|| sent.of_request(rule)).or_else(|| sent.of_event(rule, &input, None));
    let incoming = incoming(&published, (SOURCE, key), input);
    match Outcome::start(&app, &published, incoming).await {
        Ok(outcome) => Ok(outcome.answer_with(outcome.explained())),
        Err(problem) => {
            let (at, status) = (app.ports.clock.now(), problem.status().as_u16());
            published.tally.rejected(Rejected {
                at,
                status,
                code: problem.slug(),
                message: problem.detail().to_owned(),
            });
            Err(problem)
        }
    }
}

pub(super) fn incoming(published: &Published, (source, key): (&str, Option<Key>), payload: Value) -> Incoming {
    let (dedupe_key, dedupe) = key.map_or_else(Default::default, |key| (Some(key.text), key.terms));
    Incoming {
        workspace: published.workspace.clone(),
        workflow: published.workflow.id.clone(),
        version: Some(published.version),
        trigger: format!("{}/{source}", published.workflow.id),
        dedupe_key,
        dedupe,
        payloads: vec![payload],
        ids: Vec::new(),
        input: Input::Checked,
    }
}

/// A workflow is started by hand if that is its trigger, if a schedule is, or if its `input` says what it takes then.
fn check_startable(published: &Published) -> Result<(), Problem> {
    let workflow = &published.workflow;
    match &workflow.trigger.kind {
        TriggerKind::Manual | TriggerKind::Schedule(_) => Ok(()),
        _ if workflow.input.is_some() => Ok(()),
        other => {
            let by = match other {
                TriggerKind::Plugin { uses, .. } => format!("its trigger (`{uses}`)"),
                TriggerKind::Event { name } => format!("the event `{name}` (`POST /api/v2/events`)"),
                TriggerKind::Contact(_) => "changes of contacts (`flowcell contact`, `/api/v2/contacts`)".to_owned(),
                TriggerKind::Error => "failures of other workflows".to_owned(),
                TriggerKind::Manual | TriggerKind::Schedule(_) => return Ok(()),
            };
            let detail = format!(
                "Workflow `{}` is started by {by}. Give it an `input` that says what it takes when it is started by hand.",
                workflow.id
            );
            Err(Problem::new(Kind::NotStartable, detail))
        }
    }
}

/// The JSON document of a body; nothing when there is none.
pub(crate) fn read_json(headers: &HeaderMap, body: &[u8]) -> Result<Option<Value>, Problem> {
    if body.is_empty() {
        return Ok(None);
    }
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    let essence = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence != "application/json" && !essence.ends_with("+json") {
        let detail = format!("This takes `application/json`, not `{essence}`.");
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    document::parse(body).map(Some)
}

#[cfg(test)]
mod tests;
