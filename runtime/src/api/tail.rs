//! Following runs as they happen: `GET /runs/{id}/events` and `GET /events`, as server-sent events (WHATWG HTML §9.2).
//!
//! Everything sent is durable: a stream reads the journal when the store says that it has grown. A client holds nobody up and nothing in
//! memory: one that reads too slowly is told with `cut` that it missed something, and where to go on.

mod feed;
mod message;
mod streamed;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::WorkflowId;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;

use crate::api::query::{ApiPath, ApiQuery};
use crate::api::runs;
use crate::app::App;
use crate::http::KeepsOpen;
use crate::http::problem::{Kind, Problem};
use feed::{Feed, Scope};
pub(crate) use streamed::Pieces;

/// Clients that may follow at the same time; each costs a connection and some reads of the journal.
pub(crate) const FOLLOWERS_MAX: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunQuery {
    /// `false`: what is there, and no more.
    #[serde(default = "yes")]
    follow: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllQuery {
    workflow: Option<WorkflowId>,
}

/// `GET /runs/{id}/events?follow=true|false`: every entry from the first on, or from the one after `Last-Event-ID`; ends with the run.
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<String>,
    ApiQuery(query): ApiQuery<RunQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = runs::find(&app, &id).await?;
    let next_seq = match last_event_id(&headers)? {
        Some(text) => text.parse::<u32>().map_err(|_| not_an_id(text))?.saturating_add(1),
        None => 0,
    };
    let feed = Feed::begin(app, Scope::Run { run, next_seq, follow: query.follow })?;
    Ok(answer(feed))
}

/// `GET /events?workflow=`: every entry of every run that becomes durable from now on, or after `Last-Event-ID`.
pub(crate) async fn all(
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<AllQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let position = match last_event_id(&headers)? {
        Some(text) => text.parse().map_err(|_| not_an_id(text))?,
        None => app.ports.tail.end(),
    };
    let feed = Feed::begin(app, Scope::All { workflow: query.workflow, position })?;
    Ok(answer(feed))
}

pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| not_an_id("…"))
}

pub(crate) fn not_an_id(text: &str) -> Problem {
    let text: String = text.chars().take(64).collect();
    let detail = format!("`Last-Event-ID` is `{text}`, which is no id of this stream; send one back as it came.");
    Problem::new(Kind::InvalidRequest, detail)
}

/// What someone gets who wants to follow when there is no place left.
pub(crate) fn no_place() -> Problem {
    let detail = format!("{FOLLOWERS_MAX} clients follow already; try again when one has left.");
    Problem::new(Kind::Busy, detail).retry_after_ms(Some(10_000))
}

pub(crate) fn answer<F: Pieces>(feed: F) -> Response {
    let mut response = Response::new(streamed::body(feed));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect answers would hold the lines back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.extensions_mut().insert(KeepsOpen);
    response
}

#[cfg(test)]
mod tests;
