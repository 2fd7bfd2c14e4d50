//! `/api/v2/users`: the people of the workspace, as notifications know them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::{RoleName, UserId};
use flowcell_core::people::{self, Person, QuietHours, StoredPerson};
use flowcell_core::ports::StoreError;
use flowcell_core::time::Timestamp;
use http::{Request, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::{ApiPath, ApiQuery, PageQuery};
use crate::api::start::read_json;
use crate::app::App;
use crate::http::problem::{Fault, Kind, Problem};
use crate::services::mail::parse_address;

/// The ways in which somebody can be told something.
const CHANNELS: [&str; 5] = ["in-app", "email", "sms", "whatsapp", "slack"];

/// A user as somebody adds one. What is no field of it is found among the facts.
#[derive(Deserialize)]
struct Addition {
    id: UserId,
    #[serde(flatten)]
    facts: Change,
}

/// What changes; `null` takes a fact away.
#[derive(Default, Deserialize)]
#[serde(default)]
#[expect(clippy::option_option, reason = "it may leave it alone or take it away")]
struct Change {
    name: Option<String>,
    #[serde(deserialize_with = "given")]
    email: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    phone: Option<Option<String>>,
    roles: Option<Vec<RoleName>>,
    #[serde(deserialize_with = "given")]
    quiet_hours: Option<Option<QuietHours>>,
    channels: Option<Vec<String>>,
    #[serde(flatten)]
    unknown: serde_json::Map<String, Value>,
}

/// Tells `null` from nothing.
#[expect(clippy::option_option, reason = "it may leave it alone or take it away")]
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// `GET /users?cursor=&limit=`: by id.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<PageQuery>,
) -> Result<Response, Problem> {
    let all = app.ports.people.list(&app.workspace).await?;
    let page = query.cut(all, |stored| stored.person.id.to_string())?;
    let users: Vec<Value> = page.items.iter().map(|stored| view(&stored.person)).collect();
    Ok(json(StatusCode::OK, &json!({ "users": users, "next_cursor": page.next })))
}

/// `GET /users/{id}`.
pub(crate) async fn show(State(app): State<Arc<App>>, ApiPath(id): ApiPath<UserId>) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, &view(&stored(&app, &id).await?.person)))
}

/// `POST /users`: 201.
pub(crate) async fn add(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    let Addition { id, facts } = read(&app, request).await?;
    let now = app.ports.clock.now();
    let person = Person {
        workspace: app.workspace.clone(),
        name: id.to_string(),
        id,
        email: None,
        phone: None,
        roles: Vec::new(),
        quiet_hours: None,
        channels: Vec::new(),
        created_at: now,
        updated_at: now,
    };
    let person = facts.apply(person, now)?;
    if app.ports.people.list(&app.workspace).await?.len() >= people::PEOPLE_MAX {
        let detail = format!("A workspace has at most {} users. Remove those who have left.", people::PEOPLE_MAX);
        return Err(Problem::new(Kind::Conflict, detail));
    }
    match app.ports.people.put(StoredPerson { person: person.clone(), revision: 1 }).await {
        Ok(()) => Ok(json(StatusCode::CREATED, &view(&person))),
        Err(StoreError::Conflict { .. }) => {
            let id = person.id;
            Err(Problem::new(Kind::Conflict, format!("There is a user `{id}` already; change it with PATCH.")))
        }
        Err(error) => Err(error.into()),
    }
}

/// `PATCH /users/{id}`: what is named changes, the rest stays.
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<UserId>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let change: Change = read(&app, request).await?;
    let before = stored(&app, &id).await?;
    let person = change.apply(before.person, app.ports.clock.now())?;
    let after = StoredPerson { person, revision: before.revision.saturating_add(1) };
    app.ports.people.put(after.clone()).await?;
    Ok(json(StatusCode::OK, &view(&after.person)))
}

/// `DELETE /users/{id}`: with the inbox.
pub(crate) async fn remove(State(app): State<Arc<App>>, ApiPath(id): ApiPath<UserId>) -> Result<Response, Problem> {
    if !app.ports.people.remove(&app.workspace, &id).await? {
        return Err(unknown(&id));
    }
    Ok(json(StatusCode::OK, &json!({ "id": id, "removed": true })))
}

async fn read<T: DeserializeOwned>(app: &App, request: Request<Body>) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    let body = app.bodies.read(&parts.headers, body).await?;
    let document = read_json(&parts.headers, &body)?.unwrap_or_else(|| json!({}));
    serde_json::from_value(document)
        .map_err(|error| Problem::new(Kind::InvalidRequest, format!("The user cannot be read: {error}.")))
}

pub(super) async fn stored(app: &App, id: &UserId) -> Result<StoredPerson, Problem> {
    app.ports.people.get(&app.workspace, id).await?.ok_or_else(|| unknown(id))
}

fn unknown(id: &UserId) -> Problem {
    Problem::new(Kind::NotFound, format!("There is no user `{id}`; `flowcell user list` prints those there are."))
}

/// A user as the API shows one. The shape is public: fields are added, never changed.
fn view(person: &Person) -> Value {
    json!({
        "id": person.id,
        "name": person.name,
        "email": person.email,
        "phone": person.phone,
        "roles": person.roles,
        "quiet_hours": person.quiet_hours,
        "channels": person.channels,
        "created_at": person.created_at,
        "updated_at": person.updated_at,
    })
}

impl Change {
    /// The person with these changes, or what is wrong with them, all at once.
    fn apply(self, mut person: Person, now: Timestamp) -> Result<Person, Problem> {
        let mut faults = Vec::new();
        let mut fault = |pointer: &str, message: String| {
            faults.push(Fault { pointer: pointer.to_owned(), message, ..Fault::default() });
        };
        for name in self.unknown.keys().filter(|name| *name != "id") {
            fault(
                &format!("/{name}"),
                "a user has no such field: name, email, phone, roles, quiet_hours, channels".to_owned(),
            );
        }
        if let Some(name) = self.name {
            let name = name.trim().to_owned();
            if name.is_empty() || name.chars().count() > people::NAME_CHARS_MAX || name.chars().any(char::is_control) {
                fault("/name", format!("a name has 1 to {} characters, and no line breaks", people::NAME_CHARS_MAX));
            }
            person.name = name;
        }
        if let Some(email) = self.email {
            if let Some(error) = email.as_deref().and_then(|email| parse_address(email).err()) {
                fault("/email", error.message);
            }
            person.email = email;
        }
        if let Some(phone) = self.phone {
            match phone.as_deref().map(people::e164).transpose() {
                Ok(phone) => person.phone = phone,
                Err(message) => fault("/phone", message),
            }
        }
        if let Some(roles) = self.roles {
            if roles.len() > people::ROLES_MAX {
                fault("/roles", format!("a user has at most {} roles", people::ROLES_MAX));
            }
            person.roles = roles;
        }
        if let Some(quiet_hours) = self.quiet_hours {
            if let Some(error) = quiet_hours.as_ref().and_then(|hours| hours.check().err()) {
                fault("/quiet_hours", error.to_string());
            }
            person.quiet_hours = quiet_hours;
        }
        if let Some(channels) = self.channels {
            if let Some(unknown) = channels.iter().find(|channel| !CHANNELS.contains(&channel.as_str())) {
                fault("/channels", format!("`{unknown}` is no channel: {}", CHANNELS.join(", ")));
            }
            if channels.len() > people::CHANNELS_MAX {
                fault("/channels", format!("an order has at most {} channels", people::CHANNELS_MAX));
            }
            person.channels = channels;
        }
        person.updated_at = now;
        if faults.is_empty() {
            return Ok(person);
        }
        let said: Vec<String> = faults.iter().map(|fault| format!("`{}`: {}", fault.pointer, fault.message)).collect();
        let detail = format!("The user cannot be stored: {}.", said.join("; "));
        Err(Problem::new(Kind::InvalidRequest, detail).with_errors(faults))
    }
}

#[cfg(test)]
mod tests;
