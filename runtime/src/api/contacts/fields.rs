//! `/api/v2/contact-fields`: the fields of contacts that the workspace defines beside those every contact can have.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::contact::field::{DEFINITIONS_MAX, FieldDefinition, Kind as FieldKind, STANDARD};
use flowcell_core::contact::wanted::InvalidField;
use flowcell_core::id::FieldName;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::{body, invalid_contact};
use crate::api::json;
use crate::api::query::ApiPath;
use crate::app::App;
use crate::http::problem::{Kind, Problem};

/// `GET /contact-fields`.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let fields = app.ports.contacts.definitions(&app.workspace).await?;
    let standard: Vec<Value> = STANDARD.iter().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
    Ok(json(StatusCode::OK, &json!({ "fields": fields, "standard": standard })))
}

/// `PUT /contact-fields/{name}`: `{"kind": …, "label"?, "options"?}`. Values that contacts have stay as they are, whatever the kind becomes.
pub(crate) async fn define(
    State(app): State<Arc<App>>,
    ApiPath(name): ApiPath<FieldName>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (_, mut document) = body(&app, request).await?;
    if let Some(members) = document.as_object_mut() {
        members.insert("name".to_owned(), json!(name));
    }
    let wrong = |pointer: &str, message: String| {
        invalid_contact(vec![InvalidField { pointer: pointer.to_owned(), message, help: None }])
    };
    let definition: FieldDefinition = serde_json::from_value(document).map_err(|error| {
        let kinds = FieldKind::NAMES.join(", ");
        wrong("", format!("a field has a `kind` ({kinds}), and may have a `label` and `options`: {error}"))
    })?;
    definition.check().map_err(|message| wrong("", message))?;
    let known = app.ports.contacts.definitions(&app.workspace).await?;
    let is_new = !known.iter().any(|field| field.name == definition.name);
    if is_new && known.len() >= DEFINITIONS_MAX {
        return Err(wrong("", format!("a workspace defines at most {DEFINITIONS_MAX} fields; remove one first")));
    }
    app.ports.contacts.define(&app.workspace, definition.clone()).await?;
    Ok(json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &definition))
}

/// `DELETE /contact-fields/{name}`: it can be set no more. Values that contacts have of it stay until they change.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    ApiPath(name): ApiPath<FieldName>,
) -> Result<Response, Problem> {
    if !app.ports.contacts.undefine(&app.workspace, &name).await? {
        let detail = format!("There is no field `{name}`. `flowcell contact field list` prints those there are.");
        return Err(Problem::new(Kind::NotFound, detail));
    }
    Ok(json(StatusCode::OK, &json!({ "name": name, "removed": true })))
}
