//! The REST API, `/api/v2`: what the CLI and the web page use, and nothing else does more.

pub(crate) mod auth;
pub(crate) mod blobs;
pub(crate) mod cancel;
pub(crate) mod connections;
pub(crate) mod consent;
pub(crate) mod contacts;
pub(crate) mod dead_letters;
pub(crate) mod destinations;
pub(crate) mod events;
pub(crate) mod key_values;
pub(crate) mod notifications;
pub(crate) mod options;
pub(crate) mod plugins;
pub(crate) mod preview;
pub(crate) mod quarantine;
pub(crate) mod query;
pub(crate) mod redaction;
pub(crate) mod reruns;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod secrets;
pub(crate) mod server;
pub(crate) mod start;
pub(crate) mod tail;
pub(crate) mod triggers;
pub(crate) mod users;
pub(crate) mod workflows;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::app::App;
use crate::http::problem::Problem;
use crate::http::serve::{method_not_allowed, not_found};

/// Stands on every answer of the API, so that a client knows Flowcell from any other server that speaks JSON.
pub(crate) const MARK: (HeaderName, HeaderValue) =
    (HeaderName::from_static("flowcell-api"), HeaderValue::from_static("2"));

/// The routes under `/api/v2`; all of them ask for a token, unknown ones included.
pub(crate) fn router(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/api/v2/server", get(server::show))
        .route("/api/v2/workflows", get(workflows::list).post(workflows::apply))
        .route("/api/v2/workflows/preview", post(preview::preview))
        .route("/api/v2/workflows/{id}", get(workflows::show))
        .route("/api/v2/workflows/{id}/runs", post(start::start))
        .route("/api/v2/workflows/{id}/trigger", get(triggers::show))
        .route("/api/v2/workflows/{id}/trigger/rotate-url", post(triggers::rotate::rotate))
        .route("/api/v2/workflows/{id}/trigger/poll", get(triggers::polled::show).post(triggers::polled::now))
        .route("/api/v2/workflows/{id}/requests", get(triggers::requests::list))
        .route("/api/v2/workflows/{id}/requests/tail", get(triggers::tail::follow))
        .route("/api/v2/workflows/{id}/reference", get(triggers::reference::show).post(triggers::reference::save))
        .route("/api/v2/events", post(events::send))
        .route("/api/v2/runs", get(runs::list))
        .route("/api/v2/runs/{id}", get(runs::show))
        .route("/api/v2/runs/{id}/blobs/{digest}", get(blobs::show))
        .route("/api/v2/runs/{id}/events", get(tail::run))
        .route("/api/v2/events", get(tail::all))
        .route("/api/v2/runs/{id}/pin", put(runs::pin).delete(runs::unpin))
        .route("/api/v2/schedules", get(schedules::list))
        .route("/api/v2/schedules/preview", get(schedules::preview))
        .route("/api/v2/runs/{id}/cancel", post(cancel::cancel))
        .route("/api/v2/runs/{id}/rerun", post(reruns::one))
        .route("/api/v2/reruns", post(reruns::many))
        .route("/api/v2/runs/{id}/steps/{step}/decide", post(cancel::decide))
        .route("/api/v2/dead-letters", get(dead_letters::list))
        .route("/api/v2/dead-letters/recover", post(dead_letters::recover))
        .route("/api/v2/dead-letters/replay-missing", post(dead_letters::replay_missing))
        .route("/api/v2/dead-letters/{id}", get(dead_letters::show))
        .route("/api/v2/dead-letters/{id}/resend", post(dead_letters::resend))
        .route("/api/v2/destinations", get(destinations::list))
        .route("/api/v2/destinations/{id}", get(destinations::show))
        .route("/api/v2/destinations/{id}/enable", post(destinations::enable))
        .route("/api/v2/destinations/{id}/disable", post(destinations::disable))
        .route("/api/v2/quarantine", get(quarantine::list))
        .route("/api/v2/quarantine/{digest}/release", post(quarantine::release))
        .route("/api/v2/connections", get(connections::list).post(connections::add))
        .route(
            "/api/v2/connections/{name}",
            get(connections::show).patch(connections::edit).delete(connections::remove),
        )
        .route("/api/v2/connections/{name}/consent", post(consent::begin))
        .route("/api/v2/connections/{name}/rotate", post(connections::rotate))
        .route("/api/v2/connections/{name}/test", post(connections::test))
        .route("/api/v2/connections/{name}/usage", get(connections::usage))
        .route(
            "/api/v2/connections/{name}/plugins/{publisher}/{plugin}",
            put(connections::allow).delete(connections::disallow),
        )
        .route("/api/v2/contacts", get(contacts::list).post(contacts::upsert))
        .route("/api/v2/contacts/{id}", get(contacts::show).patch(contacts::change).delete(contacts::delete))
        .route("/api/v2/contacts/{id}/notes", get(contacts::notes::list).post(contacts::notes::add))
        .route("/api/v2/contacts/{id}/history", get(contacts::notes::history))
        .route("/api/v2/contact-fields", get(contacts::fields::list))
        .route("/api/v2/contact-fields/{name}", put(contacts::fields::define).delete(contacts::fields::remove))
        .route("/api/v2/key-values", get(key_values::list))
        .route("/api/v2/key-values/value", get(key_values::show).delete(key_values::remove))
        .route("/api/v2/users", get(users::list).post(users::add))
        .route("/api/v2/users/{id}", get(users::show).patch(users::edit).delete(users::remove))
        .route("/api/v2/notifications", get(notifications::list).delete(notifications::delete_all))
        .route("/api/v2/notifications/read", post(notifications::read_all))
        .route("/api/v2/notifications/{id}", axum::routing::delete(notifications::delete))
        .route("/api/v2/notifications/{id}/read", post(notifications::read))
        .route("/api/v2/notifications/{id}/unread", post(notifications::unread))
        .route("/api/v2/secrets", get(secrets::show))
        .route("/api/v2/secrets/rotate-key", post(secrets::rotate_key))
        .route("/api/v2/plugins", get(plugins::list))
        .route("/api/v2/plugins/{publisher}/{name}", get(plugins::show))
        .route("/api/v2/plugins/{publisher}/{name}/options", post(options::list))
        .route("/api/v2/{*rest}", axum::routing::any(not_found))
        .with_state(Arc::clone(&app));
    // What answers for unknown routes and methods stands inside the check as well: without a token nobody learns what there is.
    routes
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(app, auth::require_token))
        .layer(axum::middleware::map_response(mark))
}

async fn mark(mut response: Response) -> Response {
    let (name, value) = MARK;
    response.headers_mut().insert(name, value);
    response
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(bytes) => (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            Problem::internal().into_response()
        }
    }
}

#[cfg(test)]
mod tests;
