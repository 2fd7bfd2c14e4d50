//! One call: a slot, a fresh store with limits, the guest's export, and an account of what it did. Nothing outlives the call.

mod classify;
mod convert;
mod directory;
mod guest;
mod keep;
pub(crate) mod limiter;
pub(crate) mod meter;
mod prepared;
mod trigger;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::capability::StepScope;
use flowcell_core::id::{ConnectionName, Digest, WorkflowId, WorkspaceId};
use flowcell_core::invoke::{
    ActionCall, CallRecord, Invocation, InvokeError, OptionsCall, PollCall, Polled, SubscribeCall, Subscription,
    UnsubscribeCall, WebhookCall, WebhookOutcome,
};
use flowcell_core::ports::Invoker;
use flowcell_core::record::Answers;
use flowcell_core::time::Timestamp;
use serde_json::Value;
use tokio::sync::Semaphore;

use self::guest::Call;
use self::prepared::Prepared;
use crate::engine::Pool;
use crate::host::SeedOf;
use crate::host::service::Reach;
use crate::load::Loaded;
use crate::{Sandbox, json, schema};

/// The calls that may run at once. The pool refuses what finds no slot, so callers wait here instead.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Semaphore,
    wait: Duration,
}

impl Slots {
    pub(crate) fn new(pool: &Pool) -> Self {
        Self { free: Semaphore::new(usize::try_from(pool.calls).unwrap_or(usize::MAX >> 4)), wait: pool.wait }
    }
}

/// What all kinds of call have in common.
struct Request<'a> {
    digest: Digest,
    workspace: &'a WorkspaceId,
    workflow: Option<&'a WorkflowId>,
    /// Of an action.
    step: Option<&'a ActionCall>,
    scope: StepScope,
    deadline: Timestamp,
    credentials: WantedCredentials<'a>,
    seed: SeedOf,
    mode: Mode<'a>,
    reach: Reach,
}

/// The connection a step or trigger names, or the default of its action.
struct WantedCredentials<'a> {
    named: Option<&'a ConnectionName>,
    /// The action or trigger.
    member: &'a str,
    idempotency_key: &'a str,
}

/// What the host does about what a guest asks for.
#[derive(Clone, Copy)]
pub(crate) enum Mode<'a> {
    Live,
    /// Nothing leaves; these answer.
    Dry(&'a Answers),
    /// Nothing leaves; what was recorded answers.
    Replay(&'a CallRecord),
}

#[async_trait]
impl Invoker for Sandbox {
    async fn invoke(&self, call: ActionCall) -> Invocation<Value> {
        self.invoke_in(Mode::Live, &call).await
    }

    async fn on_webhook(&self, call: WebhookCall) -> Invocation<WebhookOutcome> {
        self.on_webhook_in(Mode::Live, call).await
    }

    async fn poll(&self, call: PollCall) -> Invocation<Polled> {
        self.poll_in(Mode::Live, &call).await
    }

    async fn subscribe(&self, call: SubscribeCall) -> Invocation<Subscription> {
        self.subscribe_live(&call).await
    }

    async fn unsubscribe(&self, call: UnsubscribeCall) -> Invocation<()> {
        self.unsubscribe_live(&call).await
    }

    async fn options(&self, call: OptionsCall) -> Invocation<Value> {
        self.options_live(&call).await
    }
}

impl Sandbox {
    pub(crate) async fn invoke_in(&self, mode: Mode<'_>, call: &ActionCall) -> Invocation<Value> {
        let request = Request {
            digest: call.digest,
            workspace: &call.workspace,
            workflow: Some(&call.workflow),
            step: Some(call),
            scope: call.scope.clone(),
            deadline: call.deadline,
            credentials: WantedCredentials {
                named: call.connection.as_ref(),
                member: &call.action,
                idempotency_key: &call.idempotency_key,
            },
            seed: SeedOf::Attempt {
                key: self.seed_key,
                run: call.run,
                step: call.step.to_string(),
                attempt: call.attempt,
                idempotency_key: call.idempotency_key.clone(),
            },
            mode,
            reach: Reach::Everything,
        };
        self.call(request, async |prepared: Prepared<'_>| {
            let loaded = Arc::clone(&prepared.loaded);
            let (Some(member), Some(export)) = (loaded.schemas.actions.get(&call.action), &loaded.exports.action)
            else {
                return prepared.refuse(loaded.lacks("action", &call.action));
            };
            let input = match loaded.document(&call.input, &member.input) {
                Ok(input) => input,
                Err(error) => return prepared.refuse(error),
            };
            let deadline_ms = prepared.told_deadline.as_millis();
            let pass = Arc::clone(&prepared.outbound.pass);
            let (outcome, record) = prepared
                .run(async |call_in: &mut Call| {
                    let instance = export.instantiate_async(&mut call_in.store).await?;
                    let context = convert::action_context(call, deadline_ms);
                    instance
                        .flowcell_plugin_action()
                        .call_invoke(&mut call_in.store, &call.action, &context, &input)
                        .await
                })
                .await;
            let outcome = outcome.and_then(|returned| match returned {
                Ok(text) => loaded.result(&text, &member.output),
                Err(error) => Err(InvokeError::Action(convert::action_error(error, &loaded.limits))),
            });
            let outcome = match outcome {
                Ok(output) => self.keep_blobs(mode, call, &pass, &output).await.map(|()| output),
                Err(error) => Err(error),
            };
            // A guest that fails for want of credentials cannot say why, nor what follows from it.
            let outcome = outcome.map_err(|error| pass.take_credential_error().map_or(error, InvokeError::Connection));
            Invocation { outcome, record }
        })
        .await
    }

    pub(crate) async fn on_webhook_in(&self, mode: Mode<'_>, mut call: WebhookCall) -> Invocation<WebhookOutcome> {
        let sent = convert::webhook_request(std::mem::take(&mut call.request));
        let call = &call;
        let request = Request {
            digest: call.digest,
            workspace: &call.workspace,
            workflow: Some(&call.workflow),
            step: None,
            scope: StepScope::default(),
            deadline: call.deadline,
            credentials: WantedCredentials {
                named: call.connection.as_ref(),
                member: &call.trigger,
                idempotency_key: "",
            },
            seed: SeedOf::Drawn(Arc::clone(&self.ports.entropy)),
            mode,
            reach: Reach::NoEffects,
        };
        self.call(request, async |prepared: Prepared<'_>| {
            let loaded = Arc::clone(&prepared.loaded);
            let (Some(member), Some(export)) = (loaded.schemas.triggers.get(&call.trigger), &loaded.exports.trigger)
            else {
                return prepared.refuse(loaded.lacks("trigger", &call.trigger));
            };
            let config = match loaded.document(&call.config, &member.input) {
                Ok(config) => config,
                Err(error) => return prepared.refuse(error),
            };
            let deadline_ms = prepared.told_deadline.as_millis();
            let (outcome, record) = prepared
                .run(async |call_in: &mut Call| {
                    let instance = export.instantiate_async(&mut call_in.store).await?;
                    let context =
                        convert::trigger_context((&call.workspace, Some(&call.workflow)), &call.trigger, deadline_ms);
                    instance
                        .flowcell_plugin_trigger()
                        .call_on_webhook(&mut call_in.store, &call.trigger, &context, &config, &sent)
                        .await
                })
                .await;
            let outcome = outcome.and_then(|returned| match returned {
                Ok(outcome) => {
                    convert::webhook_outcome(outcome, &loaded.limits, |text| loaded.result(text, &member.output))
                }
                Err(error) => Err(InvokeError::Action(convert::action_error(error, &loaded.limits))),
            });
            Invocation { outcome, record }
        })
        .await
    }
}

impl Loaded {
    /// The text of a document that goes in, if it fits.
    fn document(&self, document: &Value, schema: &jsonschema::Validator) -> Result<String, InvokeError> {
        let limits = &self.limits;
        let invalid = |message, pointer| InvokeError::InvalidInput { message, pointer };
        if !json::fits_depth(document, limits.json_depth) {
            return Err(invalid(format!("it is nested more than {} levels deep", limits.json_depth), String::new()));
        }
        schema::check(schema, document).map_err(|misfit| invalid(misfit.message, misfit.pointer))?;
        let text = serde_json::to_string(document).map_err(|error| invalid(error.to_string(), String::new()))?;
        if text.len() > limits.input_bytes {
            let message =
                format!("it has {} bytes; at most {} may be passed to a plugin", text.len(), limits.input_bytes);
            return Err(invalid(message, String::new()));
        }
        Ok(text)
    }

    /// The document a guest returned, if it is one.
    fn result(&self, text: &str, schema: &jsonschema::Validator) -> Result<Value, InvokeError> {
        let invalid = |message| InvokeError::InvalidOutput { message };
        let value = json::parse(text, self.limits.output_bytes, self.limits.json_depth).map_err(invalid)?;
        schema::check(schema, &value).map_err(|misfit| {
            invalid(format!("at `{}`: {} (its manifest promises otherwise)", misfit.pointer, misfit.message))
        })?;
        Ok(value)
    }

    fn lacks(&self, kind: &str, member: &str) -> InvokeError {
        let (id, version) = (&self.plugin.manifest.id, &self.plugin.manifest.version);
        InvokeError::Unavailable {
            digest: self.plugin.digest,
            message: format!("{id} {version} has no {kind} `{member}`"),
        }
    }
}
