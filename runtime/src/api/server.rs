//! `GET /api/v2/server`: which Flowcell answers; and the two health checks, which need no token.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde_json::json;

use crate::api::json;
use crate::app::{App, Phase};
use crate::http::problem::{Kind, Problem};

pub(crate) async fn show() -> Response {
    json(StatusCode::OK, &json!({ "name": "flowcell", "version": env!("CARGO_PKG_VERSION"), "api": "v2" }))
}

/// `/healthz` (the process answers) and `/readyz` (it wants new work).
pub(crate) fn health_router(app: Arc<App>) -> Router {
    Router::new().route("/healthz", get(healthy)).route("/readyz", get(ready)).with_state(app)
}

async fn healthy() -> Response {
    json(StatusCode::OK, &json!({ "status": "ok" }))
}

async fn ready(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    match app.readiness.phase() {
        Phase::Ready => Ok(json(StatusCode::OK, &json!({ "status": "ready" }))),
        Phase::Recovering => {
            Err(Problem::new(Kind::Starting, "Flowcell is starting; it will be ready soon.").retry_after_ms(None))
        }
        Phase::Draining => {
            Err(Problem::new(Kind::Draining, "Flowcell finishes what it has begun and takes no new work."))
        }
    }
}
