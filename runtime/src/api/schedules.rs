//! `/api/v2/schedules`: the published workflows that run by the clock, and what a schedule that is being written would come to.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::schedule::{Schedule, ScheduleError, Zone};
use flowcell_core::time::Timestamp;
use flowcell_engine::scheduler::ScheduleSource as _;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::ApiQuery;
use crate::app::App;
use crate::http::problem::{Fault, Kind, Problem};
use crate::schedules;

/// How many of its next times each schedule of a list shows.
const LISTED_TIMES: usize = 3;

/// How many next times a preview shows unless it is asked for another number.
const PREVIEWED_TIMES: usize = 10;

/// `GET /schedules`: each with how far it has come and its next times.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let mut listed = Vec::new();
    for trigger in app.scheduled.schedules().await? {
        let cursor = app.ports.schedules.get(&trigger.workspace, &trigger.workflow, &trigger.trigger).await?;
        // As the scheduler sees it: a cursor of another schedule says nothing about this one.
        let cursor = cursor.filter(|cursor| cursor.schedule == trigger.schedule.digest() && !cursor.is_ended);
        let now = app.ports.clock.now();
        let decided = cursor.as_ref().map_or(now, |cursor| cursor.decided);
        let mut document = schedules::preview(&trigger.schedule, decided.max(now), LISTED_TIMES);
        if let Some(fields) = document.as_object_mut() {
            fields.insert("workflow_id".to_owned(), json!(trigger.workflow));
            fields.insert("version".to_owned(), json!(trigger.version));
            fields.insert("trigger".to_owned(), json!(trigger.trigger));
            fields.insert("last_fired_at".to_owned(), json!(cursor.and_then(|cursor| cursor.fired)));
        }
        listed.push(document);
    }
    Ok(json(StatusCode::OK, &json!({ "schedules": listed })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewQuery {
    /// A cron pattern, `every 15m` or `at 2026-12-24T09:00`.
    schedule: String,
    #[serde(default)]
    timezone: Option<String>,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    count: Option<usize>,
}

/// `GET /schedules/preview?schedule=…&timezone=…&from=…&count=…`: what it means in words, and its next times.
pub(crate) async fn preview(
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<PreviewQuery>,
) -> Result<Response, Problem> {
    let previewed = read(&query, app.ports.clock.now());
    previewed.map(|document| json(StatusCode::OK, &document)).map_err(|error| wrong(&error))
}

fn read(query: &PreviewQuery, now: Timestamp) -> Result<Value, ScheduleError> {
    let zone = query.timezone.as_deref().map_or_else(|| Ok(Zone::utc()), str::parse)?;
    let schedule = Schedule::parse(&query.schedule, &zone)?;
    let from = query.from.as_deref().map_or(Ok(now), |from| zone.moment(from))?;
    Ok(schedules::preview(&schedule, from, query.count.unwrap_or(PREVIEWED_TIMES)))
}

/// `column` counts from 1, in characters of the part that is wrong.
fn wrong(error: &ScheduleError) -> Problem {
    let fault = Fault {
        column: Some(error.span.start as u64 + 1),
        pointer: error.part.key().map_or_else(String::new, |key| format!("/{key}")),
        message: error.message.clone(),
        help: error.help.clone(),
        ..Fault::default()
    };
    Problem::new(Kind::InvalidRequest, format!("The schedule does not read: {}.", error.message))
        .with_errors(vec![fault])
}
