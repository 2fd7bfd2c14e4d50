//! What is done to a connection that is there: another secret, other facts, and who may use it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::connection::{Connection, Kind as ConnectionKind, State as Usable, StoredConnection};
use flowcell_core::id::ConnectionName;
use flowcell_core::plugin::PluginId;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{check_note, declared_fits, invalid, read, read_secret, rules, shown_once, taken, view, with};
use crate::api::json;
use crate::api::query::ApiPath;
use crate::app::App;
use crate::connections::document::SecretDocument;
use crate::connections::generate::{Generated, generate, public_key};
use crate::connections::{Change, WriteError, rotation, wanted};
use crate::http::problem::{Kind, Problem};

/// Another secret, and with it, if its owner wants, other hosts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// Absent: Flowcell makes one, of the kinds that allow it.
    secret: Option<Box<RawValue>>,
    hosts: Option<Vec<String>>,
    overlap_ms: Option<u64>,
}

/// `POST /connections/{name}/rotate`: the new secret is used from now on; runs that waited for it go on.
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    ApiPath(name): ApiPath<ConnectionName>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let rotation: Rotation = read(&app, request).await?;
    let overlap = rotation.overlap_ms.map_or(rotation::OVERLAP, Duration::from_millis);
    if overlap > rotation::OVERLAP_MAX {
        let days = rotation::OVERLAP_MAX.as_secs() / 86_400;
        return Err(Problem::new(Kind::InvalidConnection, format!("`overlap_ms` is more than {days} days.")));
    }
    let hosts = rotation.hosts.as_deref().map(rules).transpose()?;
    let given = rotation.secret.map(taken);
    let now = app.ports.clock.now();
    let mut generated = None;
    let stored = app
        .connections
        .change::<Problem>(&app.workspace, &name, |before| {
            let mut connection = before.connection.clone();
            if let Some(hosts) = &hosts {
                connection.bound.hosts.clone_from(hosts);
                connection.bound.anywhere &= hosts.is_empty();
                wanted::check(&connection.kind, &connection.bound).map_err(invalid)?;
            }
            let new = if let Some(json) = &given {
                declared_fits(&app, &connection.kind, json)?;
                read_secret(&connection.kind, json)?
            } else {
                let made = generate(&connection.kind, &*app.ports.entropy).ok_or_else(|| needs_secret(before))?;
                generated = Some(made.shown());
                made.document
            };
            // Nothing of the secret before goes to other hosts: who may change a binding may not know it.
            let is_rebound =
                connection.bound.hosts != before.connection.bound.hosts && !before.connection.bound.anywhere;
            let secret = if is_rebound { new } else { replaced(&app, before, new, now + overlap) };
            if let ConnectionKind::StandardWebhooks { public_key: shown } = &mut connection.kind {
                *shown = public_key(&secret);
            }
            // Consent is given in a browser, not with a secret; and for the hosts that were named then.
            if !matches!(connection.kind, ConnectionKind::OauthCode { .. }) {
                connection.state = Usable::Ready;
            } else if is_rebound {
                connection.state = Usable::Pending;
            }
            Ok(Change { connection, usage: before.usage.clone(), secret: Some(secret) })
        })
        .await?;
    let released = match stored.connection.state {
        Usable::Ready => app.reconnected(&name, app.ports.clock.now()).await?,
        _ => Vec::new(),
    };
    let mut document = view(&app, &stored);
    with(&mut document, "run_ids", json!(released));
    if matches!(
        stored.connection.kind,
        ConnectionKind::StandardWebhooks { .. } | ConnectionKind::Hmac(_) | ConnectionKind::WebhookSecret
    ) {
        with(&mut document, "previous_valid_until", json!(now + overlap));
    }
    if let Some(generated) = generated {
        with(&mut document, "generated", shown_once(&generated));
    }
    Ok(json(StatusCode::OK, &document))
}

/// The document with the new secret. One that cannot be opened any more leaves nothing to overlap with.
fn replaced(
    app: &App,
    before: &StoredConnection,
    new: SecretDocument,
    until: flowcell_core::time::Timestamp,
) -> SecretDocument {
    match app.connections.open(before) {
        Ok(old) => rotation::rotated(old, new, app.ports.clock.now(), until),
        Err(_) => new,
    }
}

fn needs_secret(before: &StoredConnection) -> Problem {
    let kind = before.connection.kind.name();
    Problem::new(
        Kind::InvalidConnection,
        format!("The secret of a connection of the kind {kind} comes from the other side: send it as `secret`."),
    )
}

impl Generated {
    /// What is shown of it, once.
    fn shown(&self) -> super::Shown {
        super::Shown { secret: self.secret.clone(), public_key: self.public_key.clone() }
    }
}

/// Facts that may change without the secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    note: Option<String>,
    hosts: Option<Vec<String>>,
}

/// `PATCH /connections/{name}`: the note; and hosts can be taken away. A new one needs the secret again, or whoever may change a binding could
/// send the secret home.
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    ApiPath(name): ApiPath<ConnectionName>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let edit: Edit = read(&app, request).await?;
    if let Some(note) = &edit.note {
        check_note(note)?;
    }
    let hosts = edit.hosts.as_deref().map(rules).transpose()?;
    change(&app, &name, |connection| {
        if let Some(note) = &edit.note {
            connection.note.clone_from(note);
        }
        if let Some(hosts) = &hosts {
            if !wanted::only_takes_away(hosts, &connection.bound) {
                let detail = format!(
                    "Another host gets the secret only from who has it: give it again, with `flowcell connection rotate {name} --host …`."
                );
                return Err(Problem::new(Kind::InvalidConnection, detail));
            }
            connection.bound.hosts.clone_from(hosts);
            connection.bound.anywhere &= hosts.is_empty();
        }
        check(connection)
    })
    .await
}

/// `PUT /connections/{name}/plugins/{publisher}/{plugin}`: steps of this plugin may name it.
pub(crate) async fn allow(
    State(app): State<Arc<App>>,
    ApiPath(path): ApiPath<(ConnectionName, String, String)>,
) -> Result<Response, Problem> {
    let (name, plugin) = split(path)?;
    change(&app, &name, |connection| {
        wanted::allow(&mut connection.bound.plugins, plugin.clone());
        check(connection)
    })
    .await
}

/// `DELETE /connections/{name}/plugins/{publisher}/{plugin}`.
pub(crate) async fn disallow(
    State(app): State<Arc<App>>,
    ApiPath(path): ApiPath<(ConnectionName, String, String)>,
) -> Result<Response, Problem> {
    let (name, plugin) = split(path)?;
    change(&app, &name, |connection| {
        connection.bound.plugins.retain(|allowed| *allowed != plugin);
        // Without any plugin it is of no use, and still there: its owner may allow another.
        Ok(())
    })
    .await
}

/// Changes what is known of a connection; its secret stays.
async fn change(
    app: &App,
    name: &ConnectionName,
    edit: impl Fn(&mut Connection) -> Result<(), Problem> + Send,
) -> Result<Response, Problem> {
    let changed = app.connections.change::<Problem>(&app.workspace, name, |before| {
        let mut connection = before.connection.clone();
        edit(&mut connection)?;
        Ok(Change { connection, usage: before.usage.clone(), secret: None })
    });
    let stored = changed.await?;
    Ok(json(StatusCode::OK, &view(app, &stored)))
}

fn check(connection: &Connection) -> Result<(), Problem> {
    wanted::check(&connection.kind, &connection.bound).map_err(invalid)
}

fn split((name, publisher, plugin): (ConnectionName, String, String)) -> Result<(ConnectionName, PluginId), Problem> {
    let plugin = format!("{publisher}/{plugin}");
    let plugin = plugin
        .parse()
        .map_err(|error| Problem::new(Kind::InvalidRequest, format!("The path does not fit: {error}.")))?;
    Ok((name, plugin))
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
