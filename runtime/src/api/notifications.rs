//! `/api/v2/notifications`: the inboxes of the people of the workspace. Each request names whose: `?user=ID`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::{NotificationId, UserId};
use flowcell_core::inbox::{Item, ItemQuery, Which};
use flowcell_core::time::Timestamp;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::{ApiPath, ApiQuery};
use crate::api::users;
use crate::app::App;
use crate::http::problem::{Kind, Problem};

/// The page when nothing is said: a screen or two. And the largest: some hundred KiB of JSON.
const LIMIT: usize = 50;
const LIMIT_MAX: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    user: UserId,
    #[serde(default)]
    unread: bool,
    /// `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<NotificationId>,
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfUser {
    user: UserId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpTo {
    user: UserId,
    /// The newest that somebody has seen; what came since stays as it is.
    #[serde(default)]
    up_to: Option<NotificationId>,
}

/// `GET /notifications?user=&unread=&cursor=&limit=`: newest first, with how many are unread in all.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let detail = format!("The parameter `limit` is {limit}; it goes from 1 to {LIMIT_MAX}.");
        return Err(Problem::new(Kind::InvalidRequest, detail));
    }
    users::stored(&app, &query.user).await?;
    let wanted = ItemQuery { before: query.cursor, limit: limit + 1, only_unread: query.unread };
    let mut items = app.ports.inbox.items(&app.workspace, &query.user, wanted).await?;
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(|item| item.notification.id);
    let unread = app.ports.inbox.unread(&app.workspace, &query.user).await?;
    let notifications: Vec<Value> = items.iter().map(view).collect();
    Ok(json(StatusCode::OK, &json!({ "notifications": notifications, "unread": unread, "next_cursor": next })))
}

/// `POST /notifications/read?user=&up_to=`: all of them, or all up to one.
pub(crate) async fn read_all(
    State(app): State<Arc<App>>,
    ApiQuery(UpTo { user, up_to }): ApiQuery<UpTo>,
) -> Result<Response, Problem> {
    let which = up_to.map_or(Which::All, Which::UpTo);
    mark(&app, &user, which, Some(app.ports.clock.now())).await
}

/// `POST /notifications/{id}/read?user=`.
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<NotificationId>,
    ApiQuery(OfUser { user }): ApiQuery<OfUser>,
) -> Result<Response, Problem> {
    is_there(&app, &user, id).await?;
    mark(&app, &user, Which::One(id), Some(app.ports.clock.now())).await
}

/// `POST /notifications/{id}/unread?user=`.
pub(crate) async fn unread(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<NotificationId>,
    ApiQuery(OfUser { user }): ApiQuery<OfUser>,
) -> Result<Response, Problem> {
    is_there(&app, &user, id).await?;
    mark(&app, &user, Which::One(id), None).await
}

/// `DELETE /notifications/{id}?user=`: out of this inbox; the others keep it.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<NotificationId>,
    ApiQuery(OfUser { user }): ApiQuery<OfUser>,
) -> Result<Response, Problem> {
    if app.ports.inbox.delete(&app.workspace, &user, Which::One(id)).await? == 0 {
        return Err(unknown(&user, id));
    }
    Ok(json(StatusCode::OK, &json!({ "id": id, "deleted": true })))
}

/// `DELETE /notifications?user=&up_to=`: empties the inbox.
pub(crate) async fn delete_all(
    State(app): State<Arc<App>>,
    ApiQuery(UpTo { user, up_to }): ApiQuery<UpTo>,
) -> Result<Response, Problem> {
    users::stored(&app, &user).await?;
    let which = up_to.map_or(Which::All, Which::UpTo);
    let deleted = app.ports.inbox.delete(&app.workspace, &user, which).await?;
    Ok(json(StatusCode::OK, &json!({ "deleted": deleted })))
}

async fn mark(app: &App, user: &UserId, which: Which, read_at: Option<Timestamp>) -> Result<Response, Problem> {
    users::stored(app, user).await?;
    let changed = app.ports.inbox.mark((&app.workspace, user), which, read_at).await?;
    let unread = app.ports.inbox.unread(&app.workspace, user).await?;
    Ok(json(StatusCode::OK, &json!({ "changed": changed, "unread": unread })))
}

async fn is_there(app: &App, user: &UserId, id: NotificationId) -> Result<(), Problem> {
    // The page that begins behind the id that follows this one.
    let after = NotificationId::from_bytes(u128::from_be_bytes(id.to_bytes()).saturating_add(1).to_be_bytes());
    let query = ItemQuery { before: Some(after), limit: 1, only_unread: false };
    let found = app.ports.inbox.items(&app.workspace, user, query).await?;
    if found.first().is_some_and(|item| item.notification.id == id) { Ok(()) } else { Err(unknown(user, id)) }
}

fn unknown(user: &UserId, id: NotificationId) -> Problem {
    let detail = format!(
        "There is no message `{id}` in the inbox of `{user}`; `flowcell inbox list {user}` prints those there are."
    );
    Problem::new(Kind::NotFound, detail)
}

/// A message as the API shows it. The shape is public: fields are added, never changed.
fn view(item: &Item) -> Value {
    let Item { notification, read_at, user: _ } = item;
    json!({
        "id": notification.id,
        "title": notification.title,
        "body": notification.body,
        "link": notification.link,
        "priority": notification.priority,
        "from": notification.from.as_ref().map(|from| json!({
            "workflow_id": from.workflow, "run_id": from.run, "step": from.step,
        })),
        "created_at": notification.created_at,
        "read_at": read_at,
    })
}

#[cfg(test)]
mod tests;
