//! `/api/v2/contacts`: finds, makes, changes and deletes contacts. `ETag` is a contact's version; `If-Match` names the one that is meant.

pub(crate) mod fields;
pub(crate) mod notes;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::contact::decide::{ContactWrite, Outcome, Refusal, Wish};
use flowcell_core::contact::field::{self, CUSTOM_PREFIX};
use flowcell_core::contact::filter::{ContactFilter, ContactPageRequest};
use flowcell_core::contact::port::Written;
use flowcell_core::contact::wanted::{InvalidField, Wanted};
use flowcell_core::contact::{Actor, Contact, Identity};
use flowcell_core::id::ContactId;
use http::header::{ETAG, HeaderMap, HeaderValue, IF_MATCH, LOCATION, USER_AGENT};
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::{ApiPath, ApiQuery};
use crate::api::start::read_json;
use crate::app::App;
use crate::entropy::id_bits;
use crate::http::problem::{Fault, Kind, Problem};

/// The query of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListQuery {
    email: Option<String>,
    phone: Option<String>,
    external_id: Option<String>,
    tag: Option<String>,
    /// `name=value`, such as `city=Lisbon` or `fields.plan=gold`.
    field: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    limit: Option<usize>,
}

/// A page when nothing is said, and the largest one: what the store gives at a time.
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 200;

impl ListQuery {
    fn read(self) -> Result<(ContactFilter, ContactPageRequest), Problem> {
        let wrong = |name: &str, message: String| {
            let fault =
                Fault { pointer: format!("/query/{name}"), message: format!("`{name}` {message}"), ..Fault::default() };
            let detail = format!("The parameter {}.", fault.message);
            Problem::new(Kind::InvalidRequest, detail).with_errors(vec![fault])
        };
        let email =
            self.email.map(|text| field::email(&text).map(Identity::Email).map_err(|message| wrong("email", message)));
        let phone =
            self.phone.map(|text| field::phone(&text).map(Identity::Phone).map_err(|message| wrong("phone", message)));
        let external = self.external_id.map(|text| {
            field::external_id(&text).map(Identity::ExternalId).map_err(|message| wrong("external_id", message))
        });
        let mut identities = [email, phone, external].into_iter().flatten();
        let identity = identities.next().transpose()?;
        if identities.next().is_some() {
            return Err(wrong("email", "stands beside `phone` or `external_id`; look for one of them".to_owned()));
        }
        let field = match self.field {
            None => None,
            Some(text) => match text.split_once('=') {
                Some((path, value)) if is_field(path) => Some((path.to_owned(), value.to_owned())),
                Some((path, _)) => {
                    let message = format!(
                        "names `{path}`, which no contact has; the workspace's own fields are written `fields.<name>`"
                    );
                    return Err(wrong("field", message));
                }
                None => return Err(wrong("field", "takes a name and a value, such as `fields.plan=gold`".to_owned())),
            },
        };
        let before = match self.cursor.map(|cursor| cursor.parse()) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => {
                return Err(wrong("cursor", "is none; take `next_cursor` of the page before as it is".to_owned()));
            }
        };
        let limit = self.limit.unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(wrong("limit", format!("is {limit}; it goes from 1 to {PAGE_MAX}")));
        }
        Ok((ContactFilter { identity, tag: self.tag, field }, ContactPageRequest { before, limit }))
    }
}

fn is_field(path: &str) -> bool {
    path.starts_with(CUSTOM_PREFIX) || field::standard(path).is_some() || field::IDENTITIES.contains(&path)
}

/// `GET /contacts?email=&phone=&external_id=&tag=&field=&cursor=&limit=`: the newest first. `is_cut` says that the search stopped at its bound,
/// and `next_cursor` goes on behind it.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Response, Problem> {
    let (filter, page) = query.read()?;
    let found = app.ports.contacts.search(&app.workspace, &filter, page).await?;
    let contacts: Vec<Value> = found.contacts.iter().map(Contact::document).collect();
    Ok(json(StatusCode::OK, &json!({ "contacts": contacts, "next_cursor": found.next, "is_cut": found.is_cut })))
}

/// `POST /contacts`: changes the contact that the document names by `id`, `external_id`, `email` or `phone`, or makes it (201).
pub(crate) async fn upsert(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    let (headers, document) = body(&app, request).await?;
    let (id, wanted) = wanted(&app, &headers, &document).await?;
    let written = write(&app, &headers, Wish::Upsert { id, wanted }).await?;
    Ok(answer(&written))
}

/// `GET /contacts/{id}`.
pub(crate) async fn show(State(app): State<Arc<App>>, ApiPath(id): ApiPath<ContactId>) -> Result<Response, Problem> {
    let contact = app.ports.contacts.get(&app.workspace, id).await?;
    let contact = contact.ok_or_else(|| refused(&Refusal::NotFound { id }))?;
    Ok(tagged(json(StatusCode::OK, &contact.document()), contact.version))
}

/// `PATCH /contacts/{id}`: what the document names, and nothing else; `null` removes.
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<ContactId>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (headers, document) = body(&app, request).await?;
    let (named, wanted) = wanted(&app, &headers, &document).await?;
    if named.is_some_and(|named| named != id) {
        let invalid = InvalidField {
            pointer: "/id".to_owned(),
            message: "names another contact than the path".to_owned(),
            help: None,
        };
        return Err(invalid_contact(vec![invalid]));
    }
    let written = write(&app, &headers, Wish::Change { id, wanted }).await?;
    Ok(answer(&written))
}

/// `DELETE /contacts/{id}`: with its notes and its history.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<ContactId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let if_version = if_match(&headers)?;
    write(&app, &headers, Wish::Delete { id, if_version }).await?;
    Ok(json(StatusCode::OK, &json!({ "id": id, "deleted": true })))
}

/// Does what is asked, in the name of whoever sent the request.
async fn write(app: &App, headers: &HeaderMap, wish: Wish) -> Result<Written, Problem> {
    let write = ContactWrite {
        workspace: app.workspace.clone(),
        wish,
        by: actor(headers),
        at: app.ports.clock.now(),
        random: id_bits(&*app.ports.entropy),
        chain: Vec::new(),
        key: None,
    };
    app.ports.contacts.write(write).await?.map_err(|refusal| refused(&refusal))
}

/// The command line says so itself; what it says changes nothing but the history.
fn actor(headers: &HeaderMap) -> Actor {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    if agent.is_some_and(|agent| agent.starts_with("flowcell/")) { Actor::Cli } else { Actor::Api }
}

async fn body(app: &App, request: Request<Body>) -> Result<(HeaderMap, Value), Problem> {
    let (parts, body) = request.into_parts();
    let body = app.bodies.read(&parts.headers, body).await?;
    let document = read_json(&parts.headers, &body)?.unwrap_or_else(|| json!({}));
    Ok((parts.headers, document))
}

async fn wanted(app: &App, headers: &HeaderMap, document: &Value) -> Result<(Option<ContactId>, Wanted), Problem> {
    let definitions = app.ports.contacts.definitions(&app.workspace).await?;
    let (id, mut wanted) = Wanted::read(document, &definitions).map_err(invalid_contact)?;
    wanted.if_version = if_match(headers)?.or(wanted.if_version);
    Ok((id, wanted))
}

/// The version that `If-Match` names; nothing without one, and for `*`.
fn if_match(headers: &HeaderMap) -> Result<Option<u32>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    version.map(Some).ok_or_else(|| {
        let detail = format!("`If-Match` is `{text}`; it takes the `ETag` of the contact, such as \"3\".");
        Problem::new(Kind::InvalidRequest, detail)
    })
}

fn answer(written: &Written) -> Response {
    let Some(contact) = &written.contact else {
        return json(StatusCode::OK, &json!({ "id": written.id, "outcome": written.outcome }));
    };
    let status = if written.outcome == Outcome::Created { StatusCode::CREATED } else { StatusCode::OK };
    let document = json!({ "contact": contact.document(), "outcome": written.outcome, "changed": written.changed });
    let mut response = tagged(json(status, &document), contact.version);
    if status == StatusCode::CREATED
        && let Ok(location) = HeaderValue::from_str(&format!("/api/v2/contacts/{}", contact.id))
    {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn tagged(mut response: Response, version: u32) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn refused(refusal: &Refusal) -> Problem {
    let kind = match refusal {
        Refusal::NotFound { .. } => Kind::NotFound,
        Refusal::TwoContacts { .. } | Refusal::Taken { .. } => Kind::ContactConflict,
        Refusal::VersionMoved { .. } => Kind::VersionMoved,
        Refusal::NoIdentity | Refusal::TooLarge { .. } => Kind::InvalidContact,
    };
    let at = |identity: &Identity, owner: ContactId| Fault {
        pointer: format!("/{}", identity.field()),
        message: format!("{identity} belongs to {owner}"),
        ..Fault::default()
    };
    let errors = match refusal {
        Refusal::TwoContacts { first_by, first, second_by, second } => {
            vec![at(first_by, *first), at(second_by, *second)]
        }
        Refusal::Taken { identity, owner } => vec![at(identity, *owner)],
        _ => Vec::new(),
    };
    let help = match refusal {
        Refusal::NotFound { .. } => " `flowcell contact list` prints those there are.",
        _ => "",
    };
    let text = refusal.to_string();
    let text = text.strip_prefix("there is").map_or_else(|| text.clone(), |rest| format!("There is{rest}"));
    Problem::new(kind, format!("{text}.{help}")).with_errors(errors)
}

fn invalid_contact(invalid: Vec<InvalidField>) -> Problem {
    let faults: Vec<Fault> = invalid
        .into_iter()
        .map(|InvalidField { pointer, message, help }| Fault { pointer, message, help, ..Fault::default() })
        .collect();
    let first = faults.first().map(|fault| fault.message.clone()).unwrap_or_default();
    Problem::new(Kind::InvalidContact, format!("The contact cannot be as it is asked: {first}.")).with_errors(faults)
}
