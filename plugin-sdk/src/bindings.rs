//! The contract `flowcell:plugin@1.0.0` (`wit/1.0.0`) and what lies between it and the types authors see. For components only.
//!
//! Both interfaces are always exported; a plugin answers `unknown-action` or `unknown-trigger` for what it did not register.
//! Imports are another matter: a host function that no code calls is not imported, so a component's imports say what it uses.

#![allow(
    unsafe_code,
    missing_debug_implementations,
    unreachable_pub,
    clippy::pedantic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "most of this module is generated"
)]

wit_bindgen::generate!({
    world: "plugin",
    path: "../wit/1.0.0",
    pub_export_macro: true,
    default_bindings_module: "flowcell_sdk::bindings",
});

use crate::http::{ErrorCode, Request, Response, SendError};
use crate::log::Level;
use crate::trigger::{Outcome, WebhookRequest};
use crate::{ActionError, Context, Plugin};
use exports::flowcell::plugin::{action, trigger};
use flowcell::plugin::plugin_types;

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => flowcell::plugin::log::Level::Debug,
        Level::Info => flowcell::plugin::log::Level::Info,
        Level::Warn => flowcell::plugin::log::Level::Warn,
        Level::Error => flowcell::plugin::log::Level::Error,
    };
    flowcell::plugin::log::write(level, message);
}

pub(crate) fn send(request: Request) -> Result<Response, SendError> {
    use flowcell::plugin::http;
    let request = http::Request {
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: request.body,
        timeout_ms: request.timeout_ms,
    };
    match http::send(&request) {
        Ok(response) => Ok(Response {
            status: response.status,
            headers: response.headers,
            body: response.body,
            duration_ms: response.duration_ms,
        }),
        Err(error) => {
            let code = match error.code {
                http::ErrorCode::Denied => ErrorCode::Denied,
                http::ErrorCode::AddressDenied => ErrorCode::AddressDenied,
                http::ErrorCode::InvalidRequest => ErrorCode::InvalidRequest,
                http::ErrorCode::Dns => ErrorCode::Dns,
                http::ErrorCode::Connect => ErrorCode::Connect,
                http::ErrorCode::Tls => ErrorCode::Tls,
                http::ErrorCode::Timeout => ErrorCode::Timeout,
                http::ErrorCode::TooLarge => ErrorCode::TooLarge,
                http::ErrorCode::Budget => ErrorCode::Budget,
                http::ErrorCode::Protocol => ErrorCode::Protocol,
            };
            Err(SendError { code, message: error.message, retryable: error.retryable })
        }
    }
}

impl<P: Plugin> action::Guest for P {
    fn invoke(action: String, ctx: plugin_types::Context, input: String) -> Result<String, plugin_types::ActionError> {
        report_panics();
        P::invoke(&action, &ctx.into(), &input).map_err(Into::into)
    }
}

impl<P: Plugin> trigger::Guest for P {
    fn on_webhook(
        id: String,
        ctx: plugin_types::Context,
        config: String,
        request: trigger::WebhookRequest,
    ) -> Result<trigger::WebhookOutcome, plugin_types::ActionError> {
        report_panics();
        let request = WebhookRequest {
            method: request.method,
            path: request.path,
            query: request.query,
            headers: request.headers,
            body: request.body,
        };
        Ok(match P::on_webhook(&id, &ctx.into(), &config, request)? {
            Outcome::Events(events) => trigger::WebhookOutcome::Events(
                events
                    .into_iter()
                    .map(|event| trigger::Event { payload: event.payload, dedupe_key: event.dedupe_key })
                    .collect(),
            ),
            Outcome::Ignore(reason) => trigger::WebhookOutcome::Ignore(reason),
            Outcome::Reply(reply) => trigger::WebhookOutcome::Reply(trigger::WebhookResponse {
                status: reply.status,
                headers: reply.headers,
                body: reply.body,
            }),
        })
    }
}

/// A panic becomes a line in the run's log before it becomes a trap: the trap itself says nothing about what went wrong.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
}

impl From<plugin_types::Context> for Context {
    fn from(ctx: plugin_types::Context) -> Self {
        Self {
            workspace: ctx.workspace,
            workflow: ctx.workflow,
            run: ctx.run,
            step: ctx.step,
            attempt: ctx.attempt,
            idempotency_key: ctx.idempotency_key,
            deadline_ms: ctx.deadline_ms,
        }
    }
}

impl From<ActionError> for plugin_types::ActionError {
    fn from(error: ActionError) -> Self {
        Self {
            details: error.details_json(),
            code: error.code.into_owned(),
            message: error.message,
            retryable: error.retryable,
            retry_after_ms: error.retry_after_ms,
        }
    }
}
