//! Between the contract's records and core's types. What a guest hands over is bounded here before anybody keeps it.

use flowcell_core::id::{WorkflowId, WorkspaceId};
use flowcell_core::invoke::{
    ActionCall, ActionError, InvokeError, Polled, Subscription, TriggerEvent, WebhookOutcome, WebhookRequest,
};
use serde_json::Value;

use crate::host::poller::exports::flowcell::plugin::poller;
use crate::host::subscriber::exports::flowcell::plugin::subscriber;
use crate::host::{contract, trigger::exports::flowcell::plugin::trigger};
use crate::json;
use crate::limits::Limits;

/// The code of an [`ActionError`]: kebab case, as short as the contract's examples allow.
const CODE_BYTES_MAX: usize = 64;
/// A message for people. 4 KiB, as for a log line.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// The details of an error: a pointer and a few facts.
const DETAILS_BYTES_MAX: usize = 16 * 1024;
/// A dedupe key: provider ids and hashes are below 100 bytes.
const DEDUPE_KEY_BYTES_MAX: usize = 512;
/// Header fields of a reply; hyper's own limit for responses it reads is 100.
const REPLY_HEADERS_MAX: usize = 100;
/// The body of a reply: challenges and short answers. As for every value that crosses.
const REPLY_BODY_BYTES_MAX: usize = 1024 * 1024;

/// The cursor of a poll. 256 KiB is the contract (`wit/1.0.0`): digests of some thousand rows.
const CURSOR_BYTES_MAX: usize = 256 * 1024;
/// A registration. 16 KiB is the contract (`wit/1.0.0`): an id and what came with it.
const REGISTRATION_BYTES_MAX: usize = 16 * 1024;
/// Choices of one page. 1,000 is the contract (`wit/1.0.0`).
const CHOICES_MAX: usize = 1_000;
/// A choice's label: a line of a list.
const LABEL_BYTES_MAX: usize = 1_024;
/// Where the next page begins: page tokens of large APIs have some hundred bytes.
const NEXT_BYTES_MAX: usize = 4 * 1024;

pub(super) fn action_context(call: &ActionCall, deadline_ms: u64) -> contract::plugin_types::Context {
    contract::plugin_types::Context {
        workspace: call.workspace.to_string(),
        workflow: call.workflow.to_string(),
        run: call.run.to_string(),
        step: call.step.to_string(),
        attempt: call.attempt,
        idempotency_key: call.idempotency_key.clone(),
        deadline_ms,
    }
}

/// `id` is the trigger's, or that of the member whose choices are asked for.
pub(super) fn trigger_context(
    (workspace, workflow): (&WorkspaceId, Option<&WorkflowId>),
    id: &str,
    deadline_ms: u64,
) -> contract::plugin_types::Context {
    contract::plugin_types::Context {
        workspace: workspace.to_string(),
        workflow: workflow.map(ToString::to_string).unwrap_or_default(),
        run: String::new(),
        step: id.to_owned(),
        attempt: 1,
        idempotency_key: String::new(),
        deadline_ms,
    }
}

pub(super) fn webhook_request(request: WebhookRequest) -> trigger::WebhookRequest {
    let WebhookRequest { method, path, query, headers, body } = request;
    trigger::WebhookRequest { method, path, query, headers, body }
}

pub(super) fn action_error(error: contract::plugin_types::ActionError, limits: &Limits) -> ActionError {
    let code = if is_kebab(&error.code) { error.code } else { "failed".to_owned() };
    let details = error.details.map(|text| {
        json::parse(&text, DETAILS_BYTES_MAX, limits.json_depth)
            .unwrap_or_else(|problem| serde_json::json!({ "unreadable": problem }))
    });
    ActionError {
        code,
        message: cut(error.message, MESSAGE_BYTES_MAX),
        retryable: error.retryable,
        retry_after_ms: error.retry_after_ms,
        details,
    }
}

pub(super) fn webhook_outcome(
    outcome: trigger::WebhookOutcome,
    limits: &Limits,
    payload: impl Fn(&str) -> Result<Value, InvokeError>,
) -> Result<WebhookOutcome, InvokeError> {
    let invalid = |message: String| Err(InvokeError::InvalidOutput { message });
    match outcome {
        trigger::WebhookOutcome::Events(events) => {
            trigger_events(events, ("request", limits.events), payload).map(WebhookOutcome::Events)
        }
        trigger::WebhookOutcome::Ignore(reason) => {
            Ok(WebhookOutcome::Ignore { reason: cut(reason, MESSAGE_BYTES_MAX) })
        }
        trigger::WebhookOutcome::Reply(reply) => {
            if !(200..=599).contains(&reply.status) {
                return invalid(format!("a reply with status {}; 200 to 599 can be sent", reply.status));
            }
            if reply.headers.len() > REPLY_HEADERS_MAX {
                return invalid(format!(
                    "a reply with {} headers; at most {REPLY_HEADERS_MAX} are sent",
                    reply.headers.len()
                ));
            }
            if reply.body.len() > REPLY_BODY_BYTES_MAX {
                return invalid(format!(
                    "a reply with {} bytes; at most {REPLY_BODY_BYTES_MAX} are sent",
                    reply.body.len()
                ));
            }
            Ok(WebhookOutcome::Reply { status: reply.status, headers: reply.headers, body: reply.body })
        }
    }
}

/// The events of one request or poll, at most so many.
fn trigger_events(
    events: Vec<contract::plugin_types::Event>,
    (what, events_max): (&str, usize),
    payload: impl Fn(&str) -> Result<Value, InvokeError>,
) -> Result<Vec<TriggerEvent>, InvokeError> {
    let invalid = |message: String| Err(InvokeError::InvalidOutput { message });
    if events.len() > events_max {
        return invalid(format!("{} events for one {what}; at most {events_max} are taken", events.len()));
    }
    if let Some(key) =
        events.iter().filter_map(|event| event.dedupe_key.as_ref()).find(|key| key.len() > DEDUPE_KEY_BYTES_MAX)
    {
        return invalid(format!(
            "a dedupe key of {} bytes; at most {DEDUPE_KEY_BYTES_MAX} are taken, so hash it",
            key.len()
        ));
    }
    events
        .into_iter()
        .map(|event| Ok(TriggerEvent { payload: payload(&event.payload)?, dedupe_key: event.dedupe_key }))
        .collect()
}

pub(super) fn poll_outcome(
    outcome: poller::PollOutcome,
    limits: &Limits,
    payload: impl Fn(&str) -> Result<Value, InvokeError>,
) -> Result<Polled, InvokeError> {
    if let Some(cursor) = outcome.cursor.as_ref().filter(|cursor| cursor.len() > CURSOR_BYTES_MAX) {
        let message = format!("a cursor of {} bytes; at most {CURSOR_BYTES_MAX} are kept", cursor.len());
        return Err(InvokeError::InvalidOutput { message });
    }
    let events = trigger_events(outcome.events, ("poll", limits.events), payload)?;
    Ok(Polled { events, cursor: outcome.cursor, more: outcome.more })
}

pub(super) fn subscription(made: &subscriber::Subscription, limits: &Limits) -> Result<Subscription, InvokeError> {
    let registration = json::parse(&made.registration, REGISTRATION_BYTES_MAX, limits.json_depth)
        .map_err(|problem| InvokeError::InvalidOutput { message: format!("its registration: {problem}") })?;
    Ok(Subscription { registration, renew_before_ms: made.renew_before_ms })
}

/// `{"options": [{"value", "label", "description"?}], "next"?}`.
pub(super) fn choices(text: &str, limits: &Limits) -> Result<Value, InvokeError> {
    let invalid = |message: String| InvokeError::InvalidOutput { message };
    let answer = json::parse(text, limits.output_bytes, limits.json_depth).map_err(invalid)?;
    let next_fits = |next: &Value| next.is_null() || next.as_str().is_some_and(|next| next.len() <= NEXT_BYTES_MAX);
    let label_fits = |label: Option<&Value>| {
        label.and_then(Value::as_str).is_some_and(|label| !label.is_empty() && label.len() <= LABEL_BYTES_MAX)
    };
    let options = answer.get("options").and_then(Value::as_array);
    let Some(options) = options.filter(|_| answer.get("next").is_none_or(next_fits)) else {
        return Err(invalid(format!(
            "choices are `{{\"options\": […], \"next\"?: …}}`, where `next` has at most {NEXT_BYTES_MAX} bytes"
        )));
    };
    if options.len() > CHOICES_MAX {
        return Err(invalid(format!(
            "{} choices; at most {CHOICES_MAX} are taken at once, so give them in pages",
            options.len()
        )));
    }
    match options.iter().position(|choice| choice.get("value").is_none() || !label_fits(choice.get("label"))) {
        Some(index) => Err(invalid(format!(
            "choice {index} is none: it has a `value` and a `label` of 1 to {LABEL_BYTES_MAX} bytes"
        ))),
        None => Ok(answer),
    }
}

fn is_kebab(code: &str) -> bool {
    (1..=CODE_BYTES_MAX).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.shrink_to_fit();
    }
    text
}
