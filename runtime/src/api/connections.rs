//! `/api/v2/connections`: adds, lists, shows and removes connections. No answer holds a secret that somebody gave.

mod change;
mod trial;
mod usage;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::capability::HttpRule;
use flowcell_core::connection::{Binding, Connection, Kind as ConnectionKind, State as Usable, StoredConnection};
use flowcell_core::id::ConnectionName;
use flowcell_core::manifest::ConnectionKind as Declaration;
use flowcell_core::plugin::PluginId;
use flowcell_core::secret::Secret;
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
use crate::connections::generate::{generate, public_key};
use crate::connections::users::{User, Users};
use crate::connections::{WriteError, wanted};
use crate::http::problem::{Fault, Kind, Problem};

pub(crate) use change::{allow, disallow, edit, rotate};
pub(crate) use trial::test;
pub(crate) use usage::usage;

/// A connection as somebody adds it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    name: ConnectionName,
    kind: String,
    #[serde(default)]
    settings: Option<Value>,
    /// Read one by one, so that a wrong one can be named.
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    anywhere: bool,
    #[serde(default)]
    plugins: Vec<PluginId>,
    #[serde(default)]
    note: String,
    /// Absent: Flowcell makes one, of the kinds that allow it.
    secret: Option<Box<RawValue>>,
}

/// What Flowcell has made: shown in this one answer, for the other side.
struct Shown {
    secret: Secret<String>,
    public_key: Option<String>,
}

/// `POST /connections`: 201 with the facts.
pub(crate) async fn add(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    let addition: Addition = read(&app, request).await?;
    let secret = addition.secret.map(taken);
    let (mut kind, secret) = declared(&app, kind_of(&addition.kind, addition.settings)?, secret)?;
    let named = rules(&addition.hosts)?;
    let hosts = match (&kind, &secret) {
        // The address says where it leads.
        (ConnectionKind::WebhookUrl, Some(json)) if named.is_empty() => {
            origin_of(&read_secret(&kind, json)?).into_iter().collect()
        }
        _ => hosts(&app, &kind, named),
    };
    let bound = Binding { hosts, anywhere: addition.anywhere, plugins: addition.plugins };
    wanted::check(&kind, &bound).map_err(invalid)?;
    check_note(&addition.note)?;
    let (secret, generated) = if let Some(json) = secret {
        (read_secret(&kind, &json)?, None)
    } else {
        let Some(made) = generate(&kind, &*app.ports.entropy) else {
            let message = format!("a connection of the kind {} has a `secret`, and none was sent", kind.name());
            return Err(invalid(wanted::InvalidFact { pointer: "/secret", message }));
        };
        (made.document, Some(Shown { secret: made.secret, public_key: made.public_key }))
    };
    if let ConnectionKind::StandardWebhooks { public_key: shown } = &mut kind {
        *shown = public_key(&secret);
    }
    let now = app.ports.clock.now();
    let connection = Connection {
        workspace: app.workspace.clone(),
        name: addition.name,
        kind,
        bound,
        note: addition.note,
        state: if matches!(addition.kind.as_str(), "oauth-code") { Usable::Pending } else { Usable::Ready },
        created_at: now,
        updated_at: now,
    };
    let stored = app.connections.add(connection, &secret).await?;
    let mut document = view(&app, &stored);
    if let Some(generated) = &generated {
        with(&mut document, "generated", shown_once(generated));
    }
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
    let connections: Vec<Value> = page.items.iter().map(|stored| view(&app, stored)).collect();
    Ok(json(StatusCode::OK, &json!({ "connections": connections, "next_cursor": page.next })))
}

/// `GET /connections/{name}`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    ApiPath(name): ApiPath<ConnectionName>,
) -> Result<Response, Problem> {
    let stored = app.connections.get(&app.workspace, &name).await?;
    let stored = stored.ok_or(WriteError::Unknown(name))?;
    Ok(json(StatusCode::OK, &view(&app, &stored)))
}

/// `DELETE /connections/{name}`: what is running with it fails at its next request.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    ApiPath(name): ApiPath<ConnectionName>,
) -> Result<Response, Problem> {
    let users = Users::new(&app.ports).of(&app.workspace, &name).await?;
    let kind = app.connections.get(&app.workspace, &name).await?.map(|stored| stored.connection.kind);
    if !app.connections.remove(&app.workspace, &name).await? {
        return Err(WriteError::Unknown(name).into());
    }
    let warnings: Vec<String> = users.iter().map(|user| without(user, kind.as_ref())).collect();
    for warning in &warnings {
        tracing::warn!(connection = %name, warning, "a connection was removed that is used");
    }
    Ok(json(StatusCode::OK, &json!({ "name": name, "removed": true, "warnings": warnings })))
}

/// What becomes of a workflow that used a connection.
fn without(user: &User, kind: Option<&ConnectionKind>) -> String {
    let User { id, steps, default_steps, verifies, .. } = user;
    let mut said = Vec::new();
    if !steps.is_empty() {
        said.push(format!("its steps {} fail from now on", steps.join(", ")));
    }
    if !default_steps.is_empty() {
        let how = if kind.is_some_and(ConnectionKind::only_signs) { "unsigned" } else { "without credentials" };
        said.push(format!("its steps {} go on {how}, since they name no connection", default_steps.join(", ")));
    }
    if *verifies {
        said.push("its trigger takes no request any more, since none can be verified".to_owned());
    }
    format!("workflow `{id}`: {}", said.join("; "))
}

/// What everybody may know of a connection.
fn view(app: &App, stored: &StoredConnection) -> Value {
    let Connection { name, kind, bound, note, state, created_at, updated_at, workspace: _ } = &stored.connection;
    let mut document = json!({
        "name": name,
        "hosts": bound.hosts,
        "anywhere": bound.anywhere,
        "plugins": bound.plugins,
        "note": note,
        "state": state,
        "created_at": created_at,
        "updated_at": updated_at,
        "usage": app.connections.usage(stored),
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

fn read_secret(kind: &ConnectionKind, json: &str) -> Result<SecretDocument, Problem> {
    SecretDocument::read(kind, json.as_bytes()).map_err(|error| {
        let fault = Fault { pointer: "/secret".to_owned(), message: error.to_string(), ..Fault::default() };
        Problem::new(Kind::InvalidConnection, format!("The secret cannot be used: {error}.")).with_errors(vec![fault])
    })
}

/// A secret that Flowcell made, for the one answer that shows it.
fn shown_once(shown: &Shown) -> Value {
    let mut document = json!({ "secret": shown.secret.expose() });
    if let Some(public_key) = &shown.public_key {
        with(&mut document, "public_key", json!(public_key));
    }
    document
}

/// A kind that a plugin declares, completed by its manifest: what is secret is told from what is not, whoever sent it where.
fn declared(
    app: &App,
    kind: ConnectionKind,
    secret: Option<Zeroizing<String>>,
) -> Result<(ConnectionKind, Option<Zeroizing<String>>), Problem> {
    let ConnectionKind::Plugin { plugin, id, fields, .. } = kind else { return Ok((kind, secret)) };
    let manifest = app.ports.catalog.list().into_iter().find(|installed| installed.manifest.id == plugin);
    let declaration = manifest.as_ref().and_then(|installed| installed.manifest.connection(&id));
    let Some(declaration) = declaration else {
        return Err(refused("/settings/id", &format!("plugin `{plugin}` is not there, or declares no kind `{id}`")));
    };
    if let Some(misplaced) = fields.keys().find(|field| declaration.is_secret(field)) {
        return Err(refused("/settings/fields", &format!("`{misplaced}` is secret: send it in `secret`")));
    }
    fields_fit(declaration, &fields, secret.as_deref().map(String::as_str))?;
    let inject = declaration.inject.clone();
    Ok((ConnectionKind::Plugin { plugin, id, fields, inject }, secret))
}

fn refused(pointer: &str, message: &str) -> Problem {
    let fault = Fault { pointer: pointer.to_owned(), message: message.to_owned(), ..Fault::default() };
    Problem::new(Kind::InvalidConnection, format!("The connection cannot be used as it is: {message}."))
        .with_errors(vec![fault])
}

/// Checks the fields of a declared kind, public and secret ones, against the manifest's schema.
fn fields_fit(
    declaration: &Declaration,
    fields: &serde_json::Map<String, Value>,
    secret: Option<&str>,
) -> Result<(), Problem> {
    let sent: serde_json::Map<String, Value> =
        secret.as_ref().and_then(|json| serde_json::from_str(json).ok()).ok_or_else(|| {
            refused("/secret", "the secret is an object with the fields that the plugin's manifest marks as secret")
        })?;
    if let Some(misplaced) = sent.keys().find(|field| !declaration.is_secret(field)) {
        return Err(refused(
            "/secret",
            &format!("`{misplaced}` is not marked as secret by the manifest: send it in `settings.fields`"),
        ));
    }
    let all: serde_json::Map<String, Value> = fields.clone().into_iter().chain(sent).collect();
    let validator = flowcell_core::manifest::schema::compile(&declaration.fields)
        .map_err(|error| refused("/settings/id", &format!("the manifest's fields cannot be used: {error}")))?;
    let all = Value::Object(all);
    if let Some(error) = validator.iter_errors(&all).next() {
        // The place alone: what stands there may be the secret.
        let place = error.instance_path().to_string();
        return Err(refused("/settings/fields", &format!("the fields do not fit the manifest's schema, at `{place}`")));
    }
    Ok(())
}

/// The same of another secret for a stored one, by the manifest that the plugin has now. Where the plugin is gone, nothing is known of its fields.
fn declared_fits(app: &App, kind: &ConnectionKind, secret: &str) -> Result<(), Problem> {
    let ConnectionKind::Plugin { plugin, id, fields, .. } = kind else { return Ok(()) };
    let installed = app.ports.catalog.list().into_iter().find(|installed| installed.manifest.id == *plugin);
    match installed.as_ref().and_then(|installed| installed.manifest.connection(id)) {
        Some(declaration) => fields_fit(declaration, fields, Some(secret)),
        None => Ok(()),
    }
}

/// The rules of a binding. They are no secret: what is wrong is said with its reason.
fn rules(hosts: &[String]) -> Result<Vec<HttpRule>, Problem> {
    let read = |(at, text): (usize, &String)| {
        text.parse::<HttpRule>().map_err(|error| {
            let message = format!("`{text}` is no rule: {error}");
            let fault = Fault { pointer: format!("/hosts/{at}"), message: message.clone(), ..Fault::default() };
            Problem::new(Kind::InvalidConnection, format!("The hosts cannot be used: {message}."))
                .with_errors(vec![fault])
        })
    };
    hosts.iter().enumerate().map(read).collect()
}

/// The hosts that were named, or those of the declaration.
fn hosts(app: &App, kind: &ConnectionKind, named: Vec<HttpRule>) -> Vec<HttpRule> {
    let ConnectionKind::Plugin { plugin, id, .. } = kind else { return named };
    if !named.is_empty() {
        return named;
    }
    let installed = app.ports.catalog.list().into_iter().find(|installed| installed.manifest.id == *plugin);
    installed.and_then(|installed| Some(installed.manifest.connection(id)?.hosts.clone())).unwrap_or_default()
}

/// `POST https://hooks.example.com`.
fn origin_of(secret: &SecretDocument) -> Option<HttpRule> {
    let SecretDocument::WebhookUrl { url } = secret else { return None };
    let origin = url::Url::parse(url.expose()).ok()?.origin().ascii_serialization();
    HttpRule::parse(&format!("POST {origin}")).ok()
}

/// The kinds there are, as they are named here.
const KINDS: [&str; 11] = {
    let mut kinds = ["plugin"; 11];
    let mut at = 0;
    while at < ConnectionKind::NAMES.len() {
        #[expect(clippy::indexing_slicing, reason = "one longer than the other, and checked by the compiler")]
        {
            kinds[at] = ConnectionKind::NAMES[at];
        }
        at += 1;
    }
    kinds
};

/// The kinds there are, with their settings.
fn kind_of(name: &str, settings: Option<Value>) -> Result<ConnectionKind, Problem> {
    let settings = settings.filter(|settings| !settings.is_null());
    let described = match settings {
        Some(settings) => json!({ "kind": name, "settings": settings }),
        None if name == "standard-webhooks" => json!({ "kind": name, "settings": {} }),
        None => json!({ "kind": name }),
    };
    serde_json::from_value(described).map_err(|error| {
        // What stood there is not repeated: it may be a secret that somebody put into the wrong place.
        let said = error.to_string();
        let is_plain = ["missing field", "unknown field"].iter().any(|start| said.starts_with(start));
        let (pointer, message) = if said.starts_with("unknown variant") && !KINDS.contains(&name) {
            ("/kind", format!("there is no such kind; there are {}", KINDS.join(", ")))
        } else if is_plain {
            // The names of fields; one that is not ours may be anything, and the known ones say enough.
            let known = said.split_once(", expected").map_or(String::new(), |(_, known)| format!(": expected{known}"));
            let what =
                if said.starts_with("missing") { said.clone() } else { format!("a field that there is not{known}") };
            ("/settings", what)
        } else {
            ("/settings", "a value that it cannot have, or of another type".to_owned())
        };
        let fault = Fault { pointer: pointer.to_owned(), message: message.clone(), ..Fault::default() };
        Problem::new(Kind::InvalidConnection, format!("The kind or its settings cannot be like this: {message}."))
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

#[cfg(test)]
mod tests;
