//! `/api/v2/workflows/{id}/trigger/poll`: how a trigger's polls go, and asking it now; and what stands at the provider of one that registers its URL.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::WorkflowId;
use flowcell_core::ports::{Hold, PollState, SubscriptionState, WorkflowHead};
use flowcell_core::workflow::duration;
use flowcell_engine::polling::PollOutcome;
use http::StatusCode;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::ApiPath;
use crate::app::App;
use crate::http::problem::{Kind, Problem};
use crate::plugin_triggers::What;

/// How much longer than the poll itself somebody waits for its outcome: it may have to wait for others, and its runs for the disk.
const LEEWAY: Duration = Duration::from_secs(10);

/// `GET …/trigger/poll`
pub(crate) async fn show(State(app): State<Arc<App>>, ApiPath(id): ApiPath<WorkflowId>) -> Result<Response, Problem> {
    let head = super::head(&app, &id).await?;
    let document = poll(&app, &head).await?.ok_or_else(|| not_polled(&id))?;
    Ok(json(StatusCode::OK, &document))
}

/// `POST …/trigger/poll`: asks now, and says what came of it; 202 while that is not known.
pub(crate) async fn now(State(app): State<Arc<App>>, ApiPath(id): ApiPath<WorkflowId>) -> Result<Response, Problem> {
    let head = super::head(&app, &id).await?;
    let clock = &app.ports.clock;
    let patience = Duration::from_millis(app.triggers.poll_timeout_ms) + LEEWAY;
    let outcome = tokio::select! {
        outcome = app.polling.poll_now(&app.workspace, &id) => Some(outcome.map_err(|_| not_polled(&id))?),
        () = clock.sleep_until(clock.now() + patience) => None,
        () = app.closing.cancelled() => None,
    };
    let mut document = poll(&app, &head).await?.ok_or_else(|| not_polled(&id))?;
    let status = if outcome.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    if let Some(fields) = document.as_object_mut() {
        fields.insert("outcome".to_owned(), outcome.as_ref().map_or(Value::Null, outcome_view));
    }
    Ok(json(status, &document))
}

fn not_polled(id: &WorkflowId) -> Problem {
    let detail = format!(
        "The trigger of workflow `{id}` is not polled: nothing is published, or something else starts it. `flowcell trigger show {id}` says what."
    );
    Problem::new(Kind::NotFound, detail)
}

/// How the polls of a published workflow go; nothing when it has none.
pub(super) async fn poll(app: &App, head: &WorkflowHead) -> Result<Option<Value>, Problem> {
    let Some(asked) = app.plugin_triggers.of(head).await? else { return Ok(None) };
    let What::Poll { every } = asked.what else { return Ok(None) };
    // Before the poller has taken it up, there is no state, or one of what was polled before.
    let state = app.ports.polls.get(&app.workspace, &head.id).await?.filter(|state| state.source == asked.source);
    let every = duration::format(u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
    let mut document =
        json!({ "workflow": head.id, "version": head.published, "every": every, "has_begun": state.is_some() });
    if let (Some(fields), Some(state)) = (document.as_object_mut(), state) {
        fields.extend(state_view(&state));
    }
    Ok(Some(document))
}

fn state_view(state: &PollState) -> serde_json::Map<String, Value> {
    let view = json!({
        "next_at": state.next_at,
        "last_at": state.last_at,
        "last_success_at": state.last_success_at,
        "has_more": state.more,
        "cursor_bytes": state.cursor.as_ref().map(String::len),
        "failures": state.failures,
        "error": state.error,
        "hold": state.hold.as_ref().map(hold_view),
        "counts": state.counts,
    });
    match view {
        Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    }
}

/// Why a plugin is not called, and what to do.
fn hold_view(hold: &Hold) -> Value {
    let message = match hold {
        Hold::Reconnecting { connection, .. } => format!(
            "connection `{connection}` needs its owner: give it a new secret with `flowcell connection rotate {connection}`, or consent again with `flowcell connection connect {connection}`. It goes on by itself then; if rights were given at the provider instead, within the hour"
        ),
        Hold::Quarantined { digest } => format!(
            "the plugin is quarantined, because the sandbox had to end its calls again and again. Put a repaired plugin there, or release this one with `flowcell plugin release {digest}`"
        ),
        Hold::Backlog { runs } => {
            format!("{runs} runs of this workflow have yet to be executed; it asks for more when they are fewer")
        }
    };
    let mut view = json!(hold);
    if let Some(fields) = view.as_object_mut() {
        fields.insert("message".to_owned(), message.into());
    }
    view
}

fn outcome_view(outcome: &PollOutcome) -> Value {
    match outcome {
        PollOutcome::Answered { started, duplicate, skipped, filtered, more } => json!({
            "is": "answered", "started": started, "duplicate": duplicate, "skipped": skipped, "filtered": filtered.len(), "has_more": more,
        }),
        PollOutcome::Failed(failure) => json!({ "is": "failed", "error": failure }),
        PollOutcome::Held(hold) => json!({ "is": "held", "hold": hold_view(hold) }),
        PollOutcome::Superseded => json!({ "is": "superseded" }),
    }
}

/// What stands at the provider of a trigger that registers its URL, or what is left there; nothing when nothing is.
pub(super) async fn subscription(app: &App, head: &WorkflowHead) -> Result<Option<Value>, Problem> {
    let asked = app.plugin_triggers.of(head).await?.filter(|asked| asked.what == What::Subscription);
    let state = app.ports.subscriptions.get(&app.workspace, &head.id).await?;
    if asked.is_none() && state.as_ref().is_none_or(SubscriptionState::is_idle) {
        return Ok(None);
    }
    let state = state.unwrap_or_else(|| SubscriptionState::new(app.workspace.clone(), head.id.clone()));
    let is_wanted = |registered: &flowcell_core::ports::Registered| {
        let wanted = &registered.wanted;
        asked.as_ref().is_some_and(|asked| asked.source == wanted.source)
            && wanted.url_generation == head.hook_generation
    };
    let is = match (&state.current, &asked) {
        (Some(current), _) if is_wanted(current) && state.error.is_none() => "registered",
        (_, Some(_)) if state.error.is_some() => "failing",
        (_, Some(_)) => "pending",
        (_, None) => "ending",
    };
    Ok(Some(json!({
        "is": is,
        "registered_at": state.current.as_ref().map(|current| current.at),
        "expires_at": state.current.as_ref().and_then(|current| current.expires_at),
        "registration": state.current.as_ref().map(|current| &current.registration),
        "to_be_removed": state.retiring.iter().map(|old| &old.registration).collect::<Vec<_>>(),
        "next_at": state.next_at,
        "failures": state.failures,
        "error": state.error,
        "hold": state.hold.as_ref().map(hold_view),
    })))
}
