//! `/hooks/{token}`: from a request to durable runs. The trigger's plugin decides what a request means; nothing is answered with
//! success before the journal has it.

pub(crate) mod accept;
mod answer;
pub(crate) mod dedupe;
mod gate;
pub(crate) mod late;
pub(crate) mod published;
pub(crate) mod recent;
pub(crate) mod reference;
pub(crate) mod reply;
pub(crate) mod resume;
pub(crate) mod routes;
pub(crate) mod tally;
pub(crate) mod verify;
pub(crate) mod waiting;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use flowcell_core::id::WorkflowId;
use flowcell_core::invoke::{CallRecord, Invocation, WebhookCall, WebhookOutcome, WebhookRequest};
use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderValue, Method, Request};
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;
use crate::http::problem::{Kind, Problem};
use crate::http::request_id::RequestId;
use crate::ingress::dedupe::Sent;
use crate::ingress::recent::mask::MASK;
use crate::ingress::recent::note::Note;
use crate::ingress::routes::Route;
use crate::token::TokenHash;

/// The methods a trigger may be called with.
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/hooks/{token}", axum::routing::any(answer))
        .route("/hooks/{token}/", axum::routing::any(answer))
        .route("/hooks/{token}/{*rest}", axum::routing::any(answer))
        .with_state(app)
}

async fn answer(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    if !METHODS.contains(&parts.method) {
        let detail = format!("Triggers do not answer to {}.", parts.method);
        return Err(Problem::new(Kind::MethodNotAllowed, detail)
            .with_header(ALLOW, HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE")));
    }
    let (token, rest) = split_path(parts.uri.path());
    let route = app.routes.find(&app, TokenHash::of(token).bytes()).await?.ok_or_else(unknown)?;
    let request_id = parts.extensions.get::<RequestId>().cloned();
    let named = (request_id.as_ref().map_or("", RequestId::as_str), app.ports.clock.now());
    // The room it takes is given back when its events are stored: until then the trigger's call or they hold the bytes.
    let (body, held) = match app.bodies.read_delivery(&parts.headers, body).await {
        Ok(received) => received.into_parts(),
        Err(problem) => {
            Note::of(&route, named, &parts, (rest, b"")).refused(&problem);
            return Err(problem);
        }
    };
    let mut note = Note::of(&route, named, &parts, (rest, &body));
    if let Some(former) = route.former {
        route.published.tally.late.by_former_url(former.generation, note.at());
    }
    let rest = rest.to_owned();
    let outcome = take(&app, &route, &mut note, Came { parts, rest, body, held }).await;
    if let Err(problem) = &outcome {
        note.refused(problem);
    }
    outcome
}

/// A request as it came.
struct Came {
    parts: Parts,
    /// The path behind the token.
    rest: String,
    body: Bytes,
    held: OwnedSemaphorePermit,
}

/// Verifies the request, lets the trigger's plugin say what it means, and does that.
async fn take(app: &App, route: &Route, note: &mut Note, came: Came) -> Result<Response, Problem> {
    let Came { parts, rest, body, held } = came;
    let query = parts.uri.query().unwrap_or_default();
    gate::pass(app, route, (&parts.headers, query, &body), note).await?;
    if let Some(challenge) = route.published.verifier.as_ref().and_then(|verifier| verifier.challenge(&body)) {
        note.came(recent::Outcome::Answered { status: 200 });
        let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        return Ok(reply::render(200, headers, challenge.into_bytes(), note.request_id()));
    }
    // What a sender proves itself with by showing it is between the two of them: neither plugin nor run is to know it.
    let shared = route.published.shared_secret_name();
    let headers = parts.headers.iter();
    let headers = headers
        .map(|(name, value)| {
            let is_secret = shared.is_some_and(|shared| shared.eq_ignore_ascii_case(name.as_str()));
            let value = if is_secret { MASK.into() } else { String::from_utf8_lossy(value.as_bytes()) };
            (name.as_str().to_owned(), value.into_owned())
        })
        .collect();
    let request = WebhookRequest {
        method: parts.method.as_str().to_owned(),
        path: rest,
        query: shared.map_or_else(|| query.to_owned(), |shared| without_value(query, shared)),
        headers,
        body: Vec::new(),
    };
    let verifier = route.published.verifier.as_ref();
    let signed = verifier.and_then(|verifier| verifier.delivery_key(&parts.headers, &body));
    let sent = Sent::new(parts.headers, &body, route.published.workflow.trigger.dedupe.as_ref()).signed(signed);
    let request = WebhookRequest { body: body.into(), ..request };
    match call(app, route, note.request_id(), request).await? {
        WebhookOutcome::Events(events) if route.is_draft => Ok(accept::tested(note, events.len())),
        WebhookOutcome::Events(events) => accept::accept(app, route, (&sent, note), (events, held)).await,
        WebhookOutcome::Ignore { reason } => Ok(accept::ignored(&route.published, note, &reason)),
        WebhookOutcome::Reply { status, headers, body } => {
            if status >= 400 {
                note.rejected(
                    status,
                    "trigger-rejected",
                    "the trigger's plugin answered the request itself".to_owned(),
                );
            } else {
                note.came(recent::Outcome::Answered { status });
            }
            Ok(reply::render(status, headers, body, note.request_id()))
        }
    }
}

/// How many of a plugin's last log lines stand beside its failure: the end is where the reason is.
const LOG_LINES_SHOWN: usize = 5;

pub(crate) async fn call(
    app: &App,
    route: &Route,
    request_id: &str,
    request: WebhookRequest,
) -> Result<WebhookOutcome, Problem> {
    let call = WebhookCall {
        digest: route.pin.digest,
        trigger: route.pin.member.clone(),
        workspace: route.hook.workspace.clone(),
        workflow: route.hook.workflow.clone(),
        deadline: app.ports.clock.now() + Duration::from_millis(app.ingress.trigger_timeout_ms),
        config: route.config.clone(),
        request,
        connection: route.published.workflow.trigger.connection.clone(),
    };
    let Invocation { outcome, record } = app.ports.invoker.on_webhook(call).await;
    let workflow = &route.hook.workflow;
    log_record(request_id, workflow, &record);
    outcome.map_err(|error| {
        let log = last_lines(&record);
        tracing::warn!(request = request_id, %workflow, code = error.code(), %error, log, "a trigger refused a request");
        Problem::of_trigger(&error)
    })
}

/// A trigger's call belongs to no run, so that what it did is in the server's log only.
fn log_record(request_id: &str, workflow: &WorkflowId, record: &CallRecord) {
    for exchange in &record.http {
        let (method, url) = (exchange.request.method.as_str(), exchange.request.url.as_str());
        let (status, ms) = (exchange.response.as_ref().map(|response| response.status), exchange.duration_ms);
        let error = exchange.error.as_ref().map(|error| error.message.as_str());
        tracing::debug!(request = request_id, %workflow, method, url, status, error, ms, "a trigger sent a request");
    }
    for line in &record.log {
        let (level, line) = (line.level, line.message.as_str());
        tracing::debug!(request = request_id, %workflow, ?level, line, "a trigger logged");
    }
    if record.log_lines_dropped > 0 {
        let dropped = record.log_lines_dropped;
        tracing::debug!(request = request_id, %workflow, dropped, "a trigger logged more than is kept");
    }
}

fn last_lines(record: &CallRecord) -> String {
    let skipped = record.log.len().saturating_sub(LOG_LINES_SHOWN);
    record.log.iter().skip(skipped).map(|line| line.message.as_str()).collect::<Vec<_>>().join("\n")
}

/// The token, and the path behind it (`/` when there is none).
fn split_path(path: &str) -> (&str, &str) {
    let below = path.strip_prefix("/hooks/").unwrap_or_default();
    match below.find('/') {
        Some(slash) => below.split_at(slash),
        None => (below, "/"),
    }
}

/// The same for every token that opens nothing: what never existed, what was rotated, what is not published.
fn unknown() -> Problem {
    Problem::new(
        Kind::UnknownHook,
        "No workflow has a trigger with this URL. `flowcell workflow show` prints the right one.",
    )
}

/// The query with the value of one parameter masked, however its name is written.
fn without_value(query: &str, name: &str) -> String {
    let masked = query.split('&').map(|parameter| {
        let is_it = url::form_urlencoded::parse(parameter.as_bytes()).any(|(found, _)| found == name);
        if is_it { format!("{name}={MASK}") } else { parameter.to_owned() }
    });
    masked.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests;
