//! `/api/v2/connections`: adds, lists, shows and removes connections. No answer holds a secret that somebody gave.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::capability::HttpRule;
use flowcell_core::connection::{Binding, Connection, State as Usable, StoredConnection};
use flowcell_core::id::ConnectionName;
use flowcell_core::plugin::PluginId;
use http::header::{HeaderValue, LOCATION};
use http::{Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use zeroize::{Zeroize as _, Zeroizing};

use crate::api::json;
use crate::api::query::{ApiPath, ApiQuery, PageQuery};
use crate::app::App;
use crate::connections::document::SecretDocument;
use crate::connections::{WriteError, wanted};
use crate::http::problem::{Fault, Kind, Problem};

/// A connection as somebody adds it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    name: ConnectionName,
    kind: String,
    #[serde(default)]
    settings: Option<Value>,
    #[serde(default)]
    hosts: Vec<HttpRule>,
    #[serde(default)]
    plugins: Vec<PluginId>,
    #[serde(default)]
    note: String,
    secret: Option<Box<RawValue>>,
}

/// `POST /connections`: 201 with the facts.
pub(crate) async fn add(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    let addition: Addition = read(&app, request).await?;
    let secret = addition.secret.map(taken);
    let kind = kind_of(&addition.kind, addition.settings)?;
    let bound = Binding { hosts: addition.hosts, plugins: addition.plugins };
    wanted::check(&kind, &bound).map_err(invalid)?;
    check_note(&addition.note)?;
    let Some(secret) = secret else {
        return Err(Problem::new(Kind::InvalidConnection, "The connection has no `secret`."));
    };
    let secret = read_secret(&kind, &secret)?;
    let now = app.ports.clock.now();
    let connection = Connection {
        workspace: app.workspace.clone(),
        name: addition.name,
        kind,
        bound,
        note: addition.note,
        state: Usable::Ready,
        created_at: now,
        updated_at: now,
    };
    let stored = app.connections.add(connection, &secret).await?;
    let mut document = view(&stored);
    with(&mut document, "warnings", json!(wanted::warnings(&stored.connection.kind, &stored.connection.bound)));
    let mut response = json(StatusCode::CREATED, &document);
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v2/connections/{}", stored.connection.name)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// `GET /connections?cursor=&limit=`: by name.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<PageQuery>,
) -> Result<Response, Problem> {
    let all = app.connections.list(&app.workspace).await?;
    let page = query.cut(all, |stored| stored.connection.name.to_string())?;
    let connections: Vec<Value> = page.items.iter().map(view).collect();
    Ok(json(StatusCode::OK, &json!({ "connections": connections, "next_cursor": page.next })))
}

/// `GET /connections/{name}`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    ApiPath(name): ApiPath<ConnectionName>,
) -> Result<Response, Problem> {
    let stored = app.connections.get(&app.workspace, &name).await?;
    let stored = stored.ok_or(WriteError::Unknown(name))?;
    Ok(json(StatusCode::OK, &view(&stored)))
}

/// `DELETE /connections/{name}`: what is running with it fails at its next request.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    ApiPath(name): ApiPath<ConnectionName>,
) -> Result<Response, Problem> {
    if !app.connections.remove(&app.workspace, &name).await? {
        return Err(WriteError::Unknown(name).into());
    }
    Ok(json(StatusCode::OK, &json!({ "name": name, "removed": true })))
}

/// What everybody may know of a connection.
fn view(stored: &StoredConnection) -> Value {
    let Connection { name, kind, bound, note, state, created_at, updated_at, workspace: _ } = &stored.connection;
    let mut document = json!({
        "name": name,
        "hosts": bound.hosts,
        "plugins": bound.plugins,
        "note": note,
        "state": state,
        "created_at": created_at,
        "updated_at": updated_at,
        "usage": stored.usage,
    });
    if let Value::Object(facts) = json!(kind) {
        for (key, value) in facts {
            with(&mut document, &key, value);
        }
    }
    document
}

fn with(document: &mut Value, key: &str, value: Value) {
    if let Some(fields) = document.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

/// Reads a request that may hold a secret, and wipes it.
async fn read<T: DeserializeOwned>(app: &App, request: Request<Body>) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    let (body, _held) = app.bodies.read(&parts.headers, body).await?.into_parts();
    // Where it stands is said, and never what: it may be the secret.
    let parsed = serde_json::from_slice(&body).map_err(|error| {
        let unknown = error.to_string();
        let what = unknown.split(" at line ").next().filter(|text| text.starts_with("unknown field"));
        let what = what.unwrap_or("a field is missing, or has a value that it cannot have");
        let detail = format!("The body does not fit (line {}, column {}): {what}.", error.line(), error.column());
        Problem::new(Kind::InvalidRequest, detail)
    });
    if let Ok(mut bytes) = body.try_into_mut() {
        bytes.zeroize();
    }
    parsed
}

fn taken(raw: Box<RawValue>) -> Zeroizing<String> {
    Zeroizing::new(String::from(Box::<str>::from(raw)))
}

fn read_secret(kind: &flowcell_core::connection::Kind, json: &str) -> Result<SecretDocument, Problem> {
    SecretDocument::read(kind, json.as_bytes()).map_err(|error| {
        let fault = Fault { pointer: "/secret".to_owned(), message: error.to_string(), ..Fault::default() };
        Problem::new(Kind::InvalidConnection, format!("The secret cannot be used: {error}.")).with_errors(vec![fault])
    })
}

/// The kinds there are, with their settings.
fn kind_of(name: &str, settings: Option<Value>) -> Result<flowcell_core::connection::Kind, Problem> {
    let settings = settings.filter(|settings| !settings.is_null());
    let described = match settings {
        Some(settings) => json!({ "kind": name, "settings": settings }),
        None if name == "standard-webhooks" => json!({ "kind": name, "settings": {} }),
        None => json!({ "kind": name }),
    };
    serde_json::from_value(described).map_err(|error| {
        let pointer = if error.to_string().starts_with("unknown variant") { "/kind" } else { "/settings" };
        let fault = Fault { pointer: pointer.to_owned(), message: error.to_string(), ..Fault::default() };
        Problem::new(Kind::InvalidConnection, format!("The kind `{name}` cannot be like this: {error}."))
            .with_errors(vec![fault])
    })
}

fn check_note(note: &str) -> Result<(), Problem> {
    if note.chars().count() <= wanted::NOTE_MAX {
        return Ok(());
    }
    Err(Problem::new(Kind::InvalidConnection, format!("The note has more than {} characters.", wanted::NOTE_MAX)))
}

fn invalid(fact: wanted::InvalidFact) -> Problem {
    let detail = format!("The connection cannot be used as it is: {}.", fact.message);
    let fault = Fault { pointer: fact.pointer.to_owned(), message: fact.message, ..Fault::default() };
    Problem::new(Kind::InvalidConnection, detail).with_errors(vec![fault])
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Unknown(name) => Self::new(
                Kind::NotFound,
                format!("There is no connection `{name}`. `flowcell connection list` prints those there are."),
            ),
            WriteError::Exists(name) => Self::new(
                Kind::Conflict,
                format!(
                    "There is a connection `{name}` already. Give it another secret with `flowcell connection rotate {name}`, or remove it first."
                ),
            ),
            WriteError::Sealed(error) => Self::new(Kind::SecretSealed, format!("{error}.")),
            WriteError::Store(error) => error.into(),
        }
    }
}
