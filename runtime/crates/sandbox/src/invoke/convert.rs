//! Between the contract's records and core's types. What a guest hands over is bounded here before anybody keeps it.

use flowcell_core::invoke::{
    ActionCall, ActionError, InvokeError, TriggerEvent, WebhookCall, WebhookOutcome, WebhookRequest,
};
use serde_json::Value;

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

pub(super) fn trigger_context(call: &WebhookCall, deadline_ms: u64) -> contract::plugin_types::Context {
    contract::plugin_types::Context {
        workspace: call.workspace.to_string(),
        workflow: call.workflow.to_string(),
        run: String::new(),
        step: call.trigger.clone(),
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
            if events.len() > limits.events {
                return invalid(format!(
                    "{} events for one request; at most {} are taken",
                    events.len(),
                    limits.events
                ));
            }
            if let Some(key) =
                events.iter().filter_map(|event| event.dedupe_key.as_ref()).find(|key| key.len() > DEDUPE_KEY_BYTES_MAX)
            {
                return invalid(format!(
                    "a dedupe key of {} bytes; at most {DEDUPE_KEY_BYTES_MAX} are taken, so hash it",
                    key.len()
                ));
            }
            let events = events
                .into_iter()
                .map(|event| Ok(TriggerEvent { payload: payload(&event.payload)?, dedupe_key: event.dedupe_key }))
                .collect::<Result<_, InvokeError>>()?;
            Ok(WebhookOutcome::Events(events))
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
