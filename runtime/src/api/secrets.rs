//! `/api/v2/secrets`: which key the secrets of connections are sealed with, and exchanging it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use crate::api::json;
use crate::app::App;
use crate::http::problem::{Kind, Problem};

/// `GET /secrets`: the key's fingerprint, which tells nothing about it.
pub(crate) async fn show(State(app): State<Arc<App>>) -> Response {
    let document = json!({
        "key": app.connections.key_id().to_string(),
        "source": app.keys.source(),
        "is_exchanging": app.keys.is_exchanging(),
    });
    json(StatusCode::OK, &document)
}

/// `POST /secrets/rotate-key`: every secret is wrapped with a new key, while everything goes on.
pub(crate) async fn rotate_key(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let (key, done) = app.keys.exchange(&app.connections, &app.workspace).await.map_err(|error| {
        tracing::error!(error = format!("{error:#}"), "the secrets key was not exchanged");
        Problem::new(Kind::KeyNotExchanged, format!("{error:#}. Every secret is readable as before."))
    })?;
    let document = json!({ "key": key.to_string(), "wrapped": done.wrapped, "unreadable": done.unreadable });
    Ok(json(StatusCode::OK, &document))
}
