//! `/resume/{token}`: ends a `wait: { resume: true }` from outside, once. A GET only shows a form, because mail scanners and link previews
//! fetch what they find; the POST resumes. The token is a secret like a password: it is in no log and no message.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use flowcell_core::id::{RunId, StepRef};
use flowcell_core::run::event::Detail;
use flowcell_core::run::fold::{Phase, Run};
use flowcell_engine::ControlError;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;

use crate::api::json as json_answer;
use crate::app::App;
use crate::http::document;
use crate::http::page::{escape, message, page};
use crate::http::problem::{Kind, Problem};

/// How many fields a form may have; people fill in a few.
const FIELDS_MAX: usize = 100;

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new().route("/resume/{token}", get(show).post(resume)).with_state(app)
}

/// How long an answer is held that comes before its question: a link can be sent before the wait begins, and programs answer at once. Half of the
/// 30 s that clients commonly wait.
const HELD_MAX: Duration = Duration::from_secs(15);

/// `GET`: the form, with the parameters of the link as its fields.
async fn show(State(app): State<Arc<App>>, Path(token): Path<String>, RawQuery(query): RawQuery) -> Response {
    match waiting(&app, &token).await {
        Ok(true) => page(StatusCode::OK, &form(&fields(query.unwrap_or_default().as_bytes()))),
        Ok(false) => gone(),
        Err(problem) => page(problem.status(), &message("This did not work", problem.detail())),
    }
}

/// `POST`: resumes with the form's fields or the JSON document as the payload.
async fn resume(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = app.bodies.read_delivery(&parts.headers, body).await?;
    let payload = payload(&parts.headers, &body)?;
    let is_browser = wants_page(&parts.headers);
    let outcome = match split(&token) {
        Some((run, step, secret)) => resume_when_asked(&app, (run, &step, secret), &payload).await,
        None => Err(ControlError::NotOpen),
    };
    match outcome {
        Ok(()) if is_browser => {
            Ok(page(StatusCode::OK, &message("Done", "Thank you. The workflow goes on; you can close this page.")))
        }
        Ok(()) => Ok(json_answer(StatusCode::OK, &json!({ "resumed": true }))),
        Err(ControlError::NotOpen | ControlError::Ended(_)) if is_browser => Ok(gone()),
        Err(error @ ControlError::NotYet) if is_browser => {
            let problem = Problem::from(error);
            Ok(page(problem.status(), &message("Not yet", problem.detail())))
        }
        Err(ControlError::Ended(_)) => Err(ControlError::NotOpen.into()),
        Err(error) => Err(error.into()),
    }
}

/// Resumes, waiting a little for the wait to begin if it has not yet.
async fn resume_when_asked(
    app: &App,
    (run, step, secret): (RunId, &StepRef, &str),
    payload: &Value,
) -> Result<(), ControlError> {
    let held_until = app.ports.clock.now() + HELD_MAX;
    loop {
        let grown = app.ports.tail.grown(); // before looking: what comes in between is then seen
        match app.control.resume(run, step, secret, payload.clone()).await {
            Err(ControlError::NotYet) if app.ports.clock.now() < held_until => {}
            outcome => return outcome,
        }
        tokio::select! {
            () = grown => {}
            () = app.ports.clock.sleep_until(held_until) => {}
            () = app.closing.cancelled() => return Err(ControlError::NotYet),
        }
    }
}

/// Whether the link is right and its wait goes on, or has still to begin.
async fn waiting(app: &App, token: &str) -> Result<bool, Problem> {
    let Some((run, step, secret)) = split(token) else { return Ok(false) };
    let right = app.control.resume_token(run, &step);
    if !bool::from(right.as_bytes().ct_eq(secret.as_bytes())) {
        return Ok(false);
    }
    let run = Run::fold_owned(run, app.ports.journal.load(run).await?).map_err(|error| {
        tracing::error!(%error, "a journal cannot be read");
        Problem::internal()
    })?;
    Ok(is_waiting(&run, &step) || run.outcome.is_none() && !run.steps.contains_key(&step))
}

/// Whether a resume link of this place would open something.
pub(crate) fn is_waiting(run: &Run, step: &StepRef) -> bool {
    let state = run.steps.get(step).filter(|state| run.outcome.is_none() && state.phase == Phase::Entered);
    state.and_then(|state| state.control.as_deref()).is_some_and(|control| {
        let is_open = control.arrival.is_none() && !control.has_timed_out;
        is_open && matches!(control.detail, Detail::Waiting { resume: true, .. })
    })
}

fn split(token: &str) -> Option<(RunId, StepRef, &str)> {
    let (run, rest) = token.split_once('.')?;
    // The place of a step in nested loops has points too (`ask[3.1]`).
    let (step, secret) = rest.rsplit_once('.')?;
    Some((run.parse().ok()?, step.parse().ok()?, secret))
}

fn payload(headers: &HeaderMap, body: &[u8]) -> Result<Value, Problem> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => Ok(Value::Object(fields(body))),
        "application/json" => document::parse(body),
        other => Err(Problem::new(
            Kind::UnsupportedMediaType,
            format!("This takes `application/json` or a form (`application/x-www-form-urlencoded`), not `{other}`."),
        )),
    }
}

fn fields(encoded: &[u8]) -> Map<String, Value> {
    url::form_urlencoded::parse(encoded)
        .take(FIELDS_MAX)
        .map(|(name, value)| (name.into_owned(), value.into()))
        .collect()
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

fn form(fields: &Map<String, Value>) -> String {
    let shown = |(name, value): (&String, &Value)| {
        let value = value.as_str().unwrap_or_default();
        let (name, value) = (escape(name), escape(value));
        format!("<li>{name}: {value}</li><input type=\"hidden\" name=\"{name}\" value=\"{value}\">")
    };
    let fields: String = fields.iter().map(shown).collect();
    let list = if fields.is_empty() { fields } else { format!("<ul>{fields}</ul>") };
    format!(
        "<h1>A workflow waits for your answer</h1><form method=\"post\">{list}\
         <p><button type=\"submit\">Confirm</button></p></form><p>Nothing happens before you confirm. This works once.</p>"
    )
}

/// The same for a wrong link, a used one and one that came too late: who has no right link learns nothing.
fn gone() -> Response {
    let text = "It was used already, it came too late, or it is not complete.";
    page(StatusCode::GONE, &message("This link opens nothing any more", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_the_run_the_place_and_the_secret() {
        let run = "run_01JD0000000000000000000000";
        for step in ["ask", "ask[3]", "ask[3.1]"] {
            let (found, place, secret) = split(&format!("{run}.{step}.rs_ab"))
                .map(|(a, b, c)| (a.to_string(), b.to_string(), c.to_owned()))
                .unwrap();
            assert_eq!((found.as_str(), place.as_str(), secret.as_str()), (run, step, "rs_ab"));
        }
        for odd in ["", "x", "run_x.ask.rs_a", &format!("{run}.rs_a"), &format!("{run}..rs_a"), &format!("{run}.ask")] {
            assert!(split(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn what_the_link_brings_cannot_leave_its_field() {
        let shown = form(&fields(b"a%22%3E%3Cscript%3E=%27%3Cb%3E"));
        assert!(shown.contains("name=\"a&quot;&gt;&lt;script&gt;\" value=\"&#39;&lt;b&gt;\""), "{shown}");
        assert!(!shown.contains("<script"), "{shown}");
    }
}
