//! The calls that no request and no step causes: polls, registrations, choices for a form.

use std::sync::Arc;

use flowcell_core::capability::StepScope;
use flowcell_core::id::Digest;
use flowcell_core::invoke::{
    Invocation, InvokeError, OptionsCall, PollCall, Polled, SubscribeCall, Subscription, TriggerCall, UnsubscribeCall,
};
use flowcell_core::manifest::options;
use serde_json::Value;

use super::guest::Call;
use super::{Mode, Prepared, Request, WantedCredentials, convert};
use crate::Sandbox;
use crate::host::SeedOf;
use crate::host::contract::plugin_types::{ActionError, Context};
use crate::host::service::Reach;
use crate::json;
use crate::load::Loaded;

impl Sandbox {
    pub(crate) async fn poll_in(&self, mode: Mode<'_>, call: &PollCall) -> Invocation<Polled> {
        self.call(self.trigger_request(mode, &call.trigger), async |prepared: Prepared<'_>| {
            let loaded = Arc::clone(&prepared.loaded);
            let trigger = &call.trigger;
            let (Some(member), Some(export)) = (loaded.schemas.triggers.get(&trigger.trigger), &loaded.exports.poller)
            else {
                return prepared.refuse(loaded.lacks("polling trigger", &trigger.trigger));
            };
            let config = match loaded.document(&trigger.config, &member.input) {
                Ok(config) => config,
                Err(error) => return prepared.refuse(error),
            };
            let context = trigger_context(trigger, &prepared);
            let guest = async |call_in: &mut Call| {
                let instance = export.instantiate_async(&mut call_in.store).await?;
                let poller = instance.flowcell_plugin_poller();
                let cursor = call.cursor.as_deref();
                poller.call_poll(&mut call_in.store, &trigger.trigger, &context, &config, cursor).await
            };
            let polled = |outcome, loaded: &Loaded| {
                convert::poll_outcome(outcome, &loaded.limits, |text| loaded.result(text, &member.output))
            };
            prepared.finish(guest, polled).await
        })
        .await
    }

    pub(crate) async fn subscribe_live(&self, call: &SubscribeCall) -> Invocation<Subscription> {
        self.call(self.trigger_request(Mode::Live, &call.trigger), async |prepared: Prepared<'_>| {
            let loaded = Arc::clone(&prepared.loaded);
            let trigger = &call.trigger;
            let (Some(member), Some(export)) =
                (loaded.schemas.triggers.get(&trigger.trigger), &loaded.exports.subscriber)
            else {
                return prepared.refuse(loaded.lacks("subscribing trigger", &trigger.trigger));
            };
            let config = match loaded.document(&trigger.config, &member.input) {
                Ok(config) => config,
                Err(error) => return prepared.refuse(error),
            };
            let context = trigger_context(trigger, &prepared);
            let registration = call.registration.as_ref().map(Value::to_string);
            let guest = async |call_in: &mut Call| {
                let instance = export.instantiate_async(&mut call_in.store).await?;
                let subscriber = instance.flowcell_plugin_subscriber();
                let (store, url) = (&mut call_in.store, &call.callback_url);
                subscriber
                    .call_subscribe(store, &trigger.trigger, &context, &config, url, registration.as_deref())
                    .await
            };
            prepared.finish(guest, |made, loaded: &Loaded| convert::subscription(&made, &loaded.limits)).await
        })
        .await
    }

    pub(crate) async fn unsubscribe_live(&self, call: &UnsubscribeCall) -> Invocation<()> {
        self.call(self.trigger_request(Mode::Live, &call.trigger), async |prepared: Prepared<'_>| {
            let loaded = Arc::clone(&prepared.loaded);
            let trigger = &call.trigger;
            let Some(export) = &loaded.exports.subscriber else {
                return prepared.refuse(loaded.lacks("subscribing trigger", &trigger.trigger));
            };
            // What was registered under another configuration must go as well, so it is not held against the schema.
            let config = trigger.config.to_string();
            let context = trigger_context(trigger, &prepared);
            let registration = call.registration.to_string();
            let guest = async |call_in: &mut Call| {
                let instance = export.instantiate_async(&mut call_in.store).await?;
                let subscriber = instance.flowcell_plugin_subscriber();
                let store = &mut call_in.store;
                subscriber.call_unsubscribe(store, &trigger.trigger, &context, &config, &registration).await
            };
            prepared.finish(guest, |(), _: &Loaded| Ok(())).await
        })
        .await
    }

    pub(crate) async fn options_live(&self, call: &OptionsCall) -> Invocation<Value> {
        let request = Request {
            digest: call.digest,
            workspace: &call.workspace,
            workflow: call.workflow.as_ref(),
            step: None,
            scope: self.authored(&call.digest, &call.input),
            deadline: call.deadline,
            credentials: WantedCredentials {
                named: call.connection.as_ref(),
                member: &call.member,
                idempotency_key: "",
            },
            seed: SeedOf::Drawn(Arc::clone(&self.ports.entropy)),
            mode: Mode::Live,
            reach: Reach::ReadOnly,
        };
        self.call(request, async |prepared: Prepared<'_>| {
            let loaded = Arc::clone(&prepared.loaded);
            let manifest = &loaded.plugin.manifest;
            let of_action = manifest.action(&call.member).map(|action| &action.input);
            let schema = of_action.or_else(|| manifest.trigger(&call.member).map(|trigger| &trigger.config));
            let (Some(schema), Some(export)) = (schema, &loaded.exports.options) else {
                return prepared.refuse(loaded.lacks("choices for", &call.member));
            };
            if options::depends_on(schema, &call.field).is_none() {
                return prepared.refuse(loaded.lacks("choices for the field", &call.field));
            }
            let limits = &loaded.limits;
            let input = call.input.to_string();
            if input.len() > limits.input_bytes || !json::fits_depth(&call.input, limits.json_depth) {
                let message = format!("it has {} bytes or too many levels", input.len());
                return prepared.refuse(InvokeError::InvalidInput { message, pointer: String::new() });
            }
            let place = (&call.workspace, call.workflow.as_ref());
            let context = convert::trigger_context(place, &call.member, prepared.told_deadline.as_millis());
            let guest = async |call_in: &mut Call| {
                let instance = export.instantiate_async(&mut call_in.store).await?;
                let (search, after) = (call.search.as_deref(), call.after.as_deref());
                let options = instance.flowcell_plugin_options();
                options.call_list(&mut call_in.store, &call.member, &context, &call.field, &input, search, after).await
            };
            prepared.finish(guest, |text: String, loaded: &Loaded| convert::choices(&text, &loaded.limits)).await
        })
        .await
    }

    /// What the author of these settings fixed: no run data is in them, so the addresses are theirs (`from-input`).
    fn authored(&self, digest: &Digest, document: &Value) -> StepScope {
        let plugin = self.ports.catalog.by_digest(digest);
        plugin.map_or_else(StepScope::default, |plugin| {
            StepScope::from_authored(&plugin.manifest.capabilities.http, document)
        })
    }

    fn trigger_request<'a>(&'a self, mode: Mode<'a>, call: &'a TriggerCall) -> Request<'a> {
        Request {
            digest: call.digest,
            workspace: &call.workspace,
            workflow: Some(&call.workflow),
            step: None,
            scope: self.authored(&call.digest, &call.config),
            deadline: call.deadline,
            credentials: WantedCredentials {
                named: call.connection.as_ref(),
                member: &call.trigger,
                idempotency_key: "",
            },
            seed: SeedOf::Drawn(Arc::clone(&self.ports.entropy)),
            mode,
            reach: Reach::NoEffects,
        }
    }
}

fn trigger_context(call: &TriggerCall, prepared: &Prepared<'_>) -> Context {
    let deadline_ms = prepared.told_deadline.as_millis();
    convert::trigger_context((&call.workspace, Some(&call.workflow)), &call.trigger, deadline_ms)
}

impl Prepared<'_> {
    /// Runs `guest`, and makes of what it returned what its caller gets.
    async fn finish<R, T>(
        self,
        guest: impl AsyncFnOnce(&mut Call) -> wasmtime::Result<Result<R, ActionError>>,
        convert: impl FnOnce(R, &Loaded) -> Result<T, InvokeError>,
    ) -> Invocation<T> {
        let (loaded, pass) = (Arc::clone(&self.loaded), Arc::clone(&self.outbound.pass));
        let (outcome, record) = self.run(guest).await;
        let outcome = outcome.and_then(|returned| match returned {
            Ok(returned) => convert(returned, &loaded),
            Err(error) => Err(InvokeError::Action(convert::action_error(error, &loaded.limits))),
        });
        // A guest that fails for want of credentials cannot say why, nor what follows from it.
        let outcome = outcome.map_err(|error| pass.take_credential_error().map_or(error, InvokeError::Connection));
        Invocation { outcome, record }
    }
}
