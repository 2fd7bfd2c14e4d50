//! From a trigger's events to runs in the journal, and the answer that is given once they are there.

use axum::response::{IntoResponse, Response};
use flowcell_core::id::{EventId, RunId};
use flowcell_core::invoke::TriggerEvent;
use flowcell_core::ports::{Accepted, Delivery, NewRun};
use flowcell_core::run::event::{Origin, Recorded, RunEvent};
use flowcell_core::run::fold::Run;
use flowcell_core::time::Timestamp;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::app::App;
use crate::config::size;
use crate::entropy::id_bits;
use crate::http::problem::{Kind, Problem};
use crate::ingress::routes::Route;

/// Stores the events and their runs, then answers 202.
pub(crate) async fn accept(app: &App, route: &Route, events: Vec<TriggerEvent>) -> Result<Response, Problem> {
    if events.is_empty() {
        return Ok(ignored("the trigger found no event in the request"));
    }
    if events.len() > size(app.ingress.events_max) {
        return Err(Problem::new(
            Kind::TooLarge,
            format!(
                "The request brings {} events; {} are accepted at once (`ingress.events_max` in the configuration).",
                events.len(),
                app.ingress.events_max
            ),
        ));
    }
    let mut accepted = Vec::new();
    for delivery in deliveries(app, route, events)? {
        accepted.push(app.ports.journal.accept(delivery).await?);
    }
    Ok(answer(&accepted))
}

/// One delivery for each event with a key of its own, then one for all the others.
///
/// The others come last because nothing recognises them when the sender repeats a request that failed half way: by then everything
/// before them is known by its key, and they are written together or not at all.
fn deliveries(app: &App, route: &Route, events: Vec<TriggerEvent>) -> Result<Vec<Delivery>, Problem> {
    let now = app.ports.clock.now();
    let mut deliveries = Vec::new();
    let mut keyless = Vec::new();
    for event in events {
        match event.dedupe_key {
            Some(key) => deliveries.push(delivery(app, route, now, Some(key), vec![event.payload])?),
            None => keyless.push(event.payload),
        }
    }
    if !keyless.is_empty() {
        deliveries.push(delivery(app, route, now, None, keyless)?);
    }
    Ok(deliveries)
}

fn delivery(
    app: &App,
    route: &Route,
    now: Timestamp,
    dedupe_key: Option<String>,
    payloads: Vec<Value>,
) -> Result<Delivery, Problem> {
    let event = EventId::from_parts(now, id_bits(&*app.ports.entropy));
    let runs = payloads.into_iter().map(|payload| new_run(app, route, now, event, payload));
    Ok(Delivery {
        event,
        workspace: route.hook.workspace.clone(),
        // Keys of one workflow's trigger say nothing about another's.
        trigger: format!("{}/{}", route.hook.workflow, route.hook.trigger),
        received_at: now,
        dedupe_key,
        runs: runs.collect::<Result<_, _>>()?,
    })
}

fn new_run(app: &App, route: &Route, now: Timestamp, event: EventId, payload: Value) -> Result<NewRun, Problem> {
    let id = RunId::from_parts(now, id_bits(&*app.ports.entropy));
    let created = Recorded {
        seq: 0,
        at: now,
        event: RunEvent::Created {
            workspace: route.hook.workspace.clone(),
            workflow: route.hook.workflow.clone(),
            version: route.version,
            event,
            pins: route.pins.clone(),
            trigger: payload,
            origin: Origin::default(),
        },
    };
    let summary = Run::fold(id, std::slice::from_ref(&created)).map_err(|error| {
        tracing::error!(%error, "a new run does not fold");
        Problem::internal()
    })?;
    Ok(NewRun { id, summary: summary.summary(), created })
}

fn answer(accepted: &[Accepted]) -> Response {
    let runs: Vec<RunId> = accepted.iter().flat_map(|one| one.runs.iter().copied()).collect();
    let mut document = json!({ "event_id": accepted.first().map(|one| one.event), "run_ids": runs });
    if accepted.iter().all(|one| one.duplicate)
        && let Some(fields) = document.as_object_mut()
    {
        fields.insert("duplicate".to_owned(), Value::Bool(true));
    }
    let mut response = json_202(&document);
    if let Some(location) = runs.first().and_then(|run| HeaderValue::from_str(&format!("/api/v2/runs/{run}")).ok()) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The trigger saw the request and wants nothing done.
pub(crate) fn ignored(reason: &str) -> Response {
    json_202(&json!({ "ignored": reason }))
}

fn json_202(document: &Value) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (StatusCode::ACCEPTED, headers, document.to_string()).into_response()
}
