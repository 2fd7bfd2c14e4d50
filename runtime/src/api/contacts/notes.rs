//! `/api/v2/contacts/{id}/notes` and `/history`: what people and workflows wrote about a contact, and who changed what.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::contact::decide::{Refusal, Wish};
use flowcell_core::id::{ContactId, NoteId};
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body, invalid_contact, refused, write};
use crate::api::json;
use crate::api::query::{ApiPath, ApiQuery};
use crate::app::App;
use crate::http::problem::Problem;
use flowcell_core::contact::wanted::InvalidField;

/// A page of notes, which may be long, and of changes.
const NOTES_MAX: usize = 50;
const CHANGES_MAX: usize = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NotesQuery {
    cursor: Option<NoteId>,
}

/// `GET /contacts/{id}/notes?cursor=`: the newest first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<ContactId>,
    ApiQuery(query): ApiQuery<NotesQuery>,
) -> Result<Response, Problem> {
    is_there(&app, id).await?;
    let mut notes = app.ports.contacts.notes(&app.workspace, id, (query.cursor, NOTES_MAX + 1)).await?;
    let has_more = notes.len() > NOTES_MAX;
    notes.truncate(NOTES_MAX);
    let next = notes.last().map(|note| note.id).filter(|_| has_more);
    Ok(json(StatusCode::OK, &json!({ "notes": notes, "next_cursor": next })))
}

/// `POST /contacts/{id}/notes`: `{"text": …}`; 201 with the note's id.
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<ContactId>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (headers, document) = body(&app, request).await?;
    let text = document.get("text").and_then(Value::as_str).ok_or_else(|| {
        let message = "a note has a `text`".to_owned();
        invalid_contact(vec![InvalidField { pointer: "/text".to_owned(), message, help: None }])
    })?;
    let written = write(&app, &headers, Wish::Note { id, text: text.to_owned() }).await?;
    Ok(json(StatusCode::CREATED, &json!({ "note": { "id": written.note }, "contact": id })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HistoryQuery {
    cursor: Option<u32>,
}

/// `GET /contacts/{id}/history?cursor=`: the newest first; of a contact that was deleted, that and nothing else.
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<ContactId>,
    ApiQuery(query): ApiQuery<HistoryQuery>,
) -> Result<Response, Problem> {
    let mut changes = app.ports.contacts.history(&app.workspace, id, (query.cursor, CHANGES_MAX + 1)).await?;
    if changes.is_empty() {
        is_there(&app, id).await?;
    }
    let has_more = changes.len() > CHANGES_MAX;
    changes.truncate(CHANGES_MAX);
    let next = changes.last().map(|change| change.version).filter(|_| has_more);
    Ok(json(StatusCode::OK, &json!({ "changes": changes, "next_cursor": next })))
}

async fn is_there(app: &App, id: ContactId) -> Result<(), Problem> {
    let contact = app.ports.contacts.get(&app.workspace, id).await?;
    contact.map(drop).ok_or_else(|| refused(&Refusal::NotFound { id }))
}
