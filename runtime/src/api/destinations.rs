//! `/api/v2/destinations`: the receivers of deliveries, how it goes there, and whether anything is sent to them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::destination::{Destination, DestinationId, Health};
use flowcell_engine::{BreakerState, DestinationView};
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::{ApiPath, ApiQuery};
use crate::api::reruns;
use crate::app::App;
use crate::http::problem::{Kind, Problem};

/// Of what somebody says why it is disabled, so much is kept: a sentence or two.
const REASON_CHARS_MAX: usize = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListQuery {
    /// `ready`, `failing` or `disabled`.
    status: Option<String>,
}

/// `GET /destinations?status=`: by URL. There are at most 10,000.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Response, Problem> {
    let wanted = query.status.as_deref();
    if let Some(unknown) = wanted.filter(|status| !["ready", "failing", "disabled"].contains(status)) {
        let detail = format!("`status` is `{unknown}`; write ready, failing or disabled.");
        return Err(Problem::new(Kind::InvalidRequest, detail));
    }
    let all = app.control.destinations(&app.workspace).await?;
    let listed = all.iter().filter(|view| wanted.is_none_or(|wanted| wanted == status(view)));
    json_of(&json!({ "destinations": listed.map(document).collect::<Vec<_>>() }))
}

/// `GET /destinations/{id or URL}`: with the counts of the last hours.
pub(crate) async fn show(State(app): State<Arc<App>>, ApiPath(name): ApiPath<String>) -> Result<Response, Problem> {
    let found = app.control.destination(&app.workspace, id(&name)?).await?;
    json_of(&whole(&found.ok_or_else(|| unknown(&name))?))
}

/// `POST /destinations/{id or URL}/enable`: deliveries go there again. Those that failed meanwhile are dead letters.
pub(crate) async fn enable(State(app): State<Arc<App>>, ApiPath(name): ApiPath<String>) -> Result<Response, Problem> {
    let found = app.control.enable_destination(&app.workspace, id(&name)?).await?;
    json_of(&whole(&found.ok_or_else(|| unknown(&name))?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Disable {
    reason: Option<String>,
}

/// `POST /destinations/{id or URL}/disable {reason?}`: nothing is sent there any more. A URL to which nothing was sent so far is taken, too.
pub(crate) async fn disable(
    State(app): State<Arc<App>>,
    ApiPath(name): ApiPath<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let Disable { reason } = reruns::read(&app, request).await?;
    let known = app.control.destination(&app.workspace, id(&name)?).await?;
    let url = known.map(|view| view.record.url);
    let url = url.or_else(|| Destination::from_authored(&name).map(|destination| destination.url()));
    let url = url.ok_or_else(|| unknown(&name))?;
    let reason = reason.unwrap_or_else(|| "somebody disabled it".to_owned());
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
    let found = app.control.disable_destination(&app.workspace, &url, &reason).await?;
    json_of(&whole(&found.ok_or_else(|| unknown(&name))?))
}

/// What a path or a parameter names.
pub(super) fn id(name: &str) -> Result<DestinationId, Problem> {
    DestinationId::named(name).ok_or_else(|| {
        let detail = format!(
            "`{name}` is neither the id of a destination nor its URL; `flowcell destination list` prints both."
        );
        Problem::new(Kind::InvalidRequest, detail)
    })
}

fn unknown(name: &str) -> Problem {
    let detail = format!(
        "Nothing is known of `{name}`: no step has sent anything there. `flowcell destination list` prints what is known."
    );
    Problem::new(Kind::NotFound, detail)
}

fn status(view: &DestinationView) -> &'static str {
    if view.record.disabled.is_some() {
        "disabled"
    } else if view.record.health.consecutive_failures > 0 || view.breaker != BreakerState::Closed {
        "failing"
    } else {
        "ready"
    }
}

/// A destination in a list. The shape is public: fields are added, never changed.
fn document(view: &DestinationView) -> Value {
    let record = &view.record;
    let health = &record.health;
    let (succeeded, failed) = counts(health);
    json!({
        "id": record.id(),
        "url": record.url,
        "status": status(view),
        "disabled": record.disabled.as_ref().map(|disabled| json!({
            "since": disabled.since, "run_id": disabled.run, "reason": disabled.reason,
        })),
        "breaker": breaker(view.breaker),
        "succeeded": succeeded,
        "failed": failed,
        "consecutive_failures": health.consecutive_failures,
        "failing_since": health.failing_since,
        "last_status": health.last_status,
        "last_error": health.last_error,
        "last_success_at": health.last_success_at,
        "last_failure_at": health.last_failure_at,
    })
}

/// The same with its hours.
fn whole(view: &DestinationView) -> Value {
    let mut document = document(view);
    let hours = view
        .record
        .health
        .hours
        .iter()
        .map(|hour| json!({ "begins_at": hour.begins_at, "succeeded": hour.succeeded, "failed": hour.failed }));
    if let Some(fields) = document.as_object_mut() {
        fields.insert("hours".to_owned(), hours.collect());
    }
    document
}

/// Attempts of the last two days.
fn counts(health: &Health) -> (u64, u64) {
    health.hours.iter().fold((0, 0), |(succeeded, failed), hour| {
        (succeeded + u64::from(hour.succeeded), failed + u64::from(hour.failed))
    })
}

fn breaker(state: BreakerState) -> Value {
    match state {
        BreakerState::Closed => json!({ "state": "closed" }),
        BreakerState::Open { until } => json!({ "state": "open", "until": until }),
        BreakerState::HalfOpen => json!({ "state": "half-open" }),
        BreakerState::Recovering => json!({ "state": "recovering" }),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every handler here may fail before")]
fn json_of(document: &Value) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, document))
}

#[cfg(test)]
mod tests;
