//! The synchronous reply: the sender waits for the run's `respond` step, up to the workflow's `reply.wait`, and gets that answer. After that it
//! is told where to look.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use flowcell_core::id::RunId;
use flowcell_core::ports::StoreError;
use flowcell_core::run::event::{Outcome as RunOutcome, ResponseBody};
use flowcell_core::workflow::trigger::Reply;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::app::App;
use crate::http::problem::Problem;
use crate::ingress::accept::Outcome;
use crate::ingress::reply;
use crate::ingress::waiting::{Call, Told};

/// When a sender that was not answered in time may look again, in seconds.
const LOOK_AGAIN_S: u64 = 1;

/// Waits for the answer of the first run. `call` is the place among the waiting, if there was one left.
pub(super) async fn wait(
    app: &App,
    (outcome, reply): (&Outcome, Reply),
    call: &mut Option<Call>,
    request_id: &str,
) -> Result<Response, Problem> {
    let Some(run) = outcome.runs().next() else { return Ok(outcome.answer()) };
    if outcome.delivered.first().is_some_and(|one| one.accepted.duplicate) {
        // The answer is that of the earlier delivery's run, which may have been given already.
        *call = app.waiting.begin(run);
        let entries = match app.ports.journal.load(run).await {
            // Retention has removed the run: all that is left to say is that the delivery came before.
            Err(StoreError::NotFound { .. }) => return Ok(outcome.answer()),
            entries => entries?,
        };
        if let Some(told) = Told::by(&entries) {
            return Ok(render(told, run, outcome, request_id));
        }
    }
    let Some(call) = call else { return Ok(later(outcome)) };
    let limit = Duration::from_millis(reply.wait_ms.min(app.ingress.reply_wait_max_ms));
    let told = tokio::select! {
        biased;
        told = call.told() => told,
        // A duplicate may have begun to wait while the answer was on its way to the disk, which nobody told it.
        () = app.ports.clock.sleep_until(app.ports.clock.now() + limit) => {
            Told::by(&app.ports.journal.load(run).await?).unwrap_or(Told::Stopping)
        }
    };
    Ok(render(told, run, outcome, request_id))
}

fn render(told: Told, run: RunId, outcome: &Outcome, request_id: &str) -> Response {
    match told {
        Told::Responded { status, headers, body } => {
            let (headers, body) = parts(headers, body);
            reply::render(status, headers, body, request_id)
        }
        Told::Ended(ended) => without_answer(&ended, run, outcome),
        Told::Stopping => later(outcome),
    }
}

/// The headers with the content type that the body has if they do not say, and the body's bytes.
fn parts(headers: BTreeMap<String, String>, body: Option<ResponseBody>) -> (Vec<(String, String)>, Vec<u8>) {
    let is_typed = headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
    let mut headers: Vec<_> = headers.into_iter().collect();
    let (content_type, body) = match body {
        None => return (headers, Vec::new()),
        Some(ResponseBody::Json(value)) => ("application/json", value.to_string().into_bytes()),
        Some(ResponseBody::Text(text)) => ("text/plain; charset=utf-8", text.into_bytes()),
    };
    if !is_typed {
        headers.push(("content-type".to_owned(), content_type.to_owned()));
    }
    (headers, body)
}

/// The run has ended, and no `respond` step was reached. Why it failed is its author's to know.
fn without_answer(ended: &RunOutcome, run: RunId, outcome: &Outcome) -> Response {
    let (status, word) = match ended {
        RunOutcome::Succeeded => (StatusCode::OK, "succeeded"),
        RunOutcome::Failed { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        RunOutcome::Cancelled { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "cancelled"),
    };
    let event = outcome.delivered.first().map(|one| one.accepted.event);
    let document = json!({ "event_id": event, "run_id": run, "status": word });
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, headers, document.to_string()).into_response()
}

/// The run goes on: 202 with the place to look.
fn later(outcome: &Outcome) -> Response {
    let mut document = outcome.document();
    document.insert("status".to_owned(), Value::from("running"));
    let mut response = outcome.answer_with(document);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(LOOK_AGAIN_S));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_brings_its_content_type_unless_one_is_named() {
        let typed = |headers: &[(&str, &str)], body| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let (headers, body) = parts(headers, body);
            (headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>(), body)
        };
        assert_eq!(typed(&[], Some(ResponseBody::Json(json!({"a": 1})))).0, ["content-type: application/json"]);
        assert_eq!(typed(&[], Some(ResponseBody::Text("hé".into()))).1, "hé".as_bytes());
        let xml = typed(&[("Content-Type", "text/xml")], Some(ResponseBody::Text("<a/>".into())));
        assert_eq!(xml.0, ["Content-Type: text/xml"]);
        assert_eq!(typed(&[], None), (Vec::new(), Vec::new()));
    }
}
