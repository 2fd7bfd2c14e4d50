//! The contract `flowcell:plugin@1.0.0` (`wit/1.0.0`) and what lies between it and the types authors see. For components only.
//!
//! Every interface is always exported; a plugin answers `unknown-action`, `unknown-trigger` or `unknown-options` for what it did not register.
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

pub(crate) mod imports;

use crate::log::Level;
use crate::options::OptionsQuery;
use crate::subscription::Subscribe;
use crate::trigger::{Event, Outcome, WebhookRequest};
use crate::{ActionError, Context, Plugin};
use exports::flowcell::plugin::{action, options, poller, subscriber, trigger};
use flowcell::plugin::plugin_types;

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
            Outcome::Events(events) => trigger::WebhookOutcome::Events(events.into_iter().map(Into::into).collect()),
            Outcome::Ignore(reason) => trigger::WebhookOutcome::Ignore(reason),
            Outcome::Reply(reply) => trigger::WebhookOutcome::Reply(trigger::WebhookResponse {
                status: reply.status,
                headers: reply.headers,
                body: reply.body,
            }),
        })
    }
}

impl<P: Plugin> poller::Guest for P {
    fn poll(
        id: String,
        ctx: plugin_types::Context,
        config: String,
        cursor: Option<String>,
    ) -> Result<poller::PollOutcome, plugin_types::ActionError> {
        report_panics();
        let polled = P::poll(&id, &ctx.into(), &config, cursor)?;
        Ok(poller::PollOutcome {
            events: polled.events.into_iter().map(Into::into).collect(),
            cursor: polled.cursor,
            more: polled.more,
        })
    }
}

impl<P: Plugin> subscriber::Guest for P {
    fn subscribe(
        id: String,
        ctx: plugin_types::Context,
        config: String,
        callback_url: String,
        registration: Option<String>,
    ) -> Result<subscriber::Subscription, plugin_types::ActionError> {
        report_panics();
        let subscription = P::subscribe(&id, &ctx.into(), &config, Subscribe { callback_url, registration })?;
        let renew_before_ms =
            subscription.renew_before.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        Ok(subscriber::Subscription { registration: subscription.registration, renew_before_ms })
    }

    fn unsubscribe(
        id: String,
        ctx: plugin_types::Context,
        config: String,
        registration: String,
    ) -> Result<(), plugin_types::ActionError> {
        report_panics();
        P::unsubscribe(&id, &ctx.into(), &config, &registration).map_err(Into::into)
    }
}

impl<P: Plugin> options::Guest for P {
    fn list(
        member: String,
        ctx: plugin_types::Context,
        field: String,
        input: String,
        search: Option<String>,
        after: Option<String>,
    ) -> Result<String, plugin_types::ActionError> {
        report_panics();
        P::options(&member, &ctx.into(), (&field, &input), OptionsQuery { search, after }).map_err(Into::into)
    }
}

impl From<Event<String>> for plugin_types::Event {
    fn from(event: Event<String>) -> Self {
        Self { payload: event.payload, dedupe_key: event.dedupe_key }
    }
}

/// A panic becomes a line in the run's log before it becomes a trap: the trap itself says nothing about what went wrong.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| imports::log(Level::Error, &panic.to_string())));
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
