//! One call: a slot, a fresh store with limits, the guest's export, and an account of what it did. Nothing outlives the call.

mod classify;
mod convert;
mod guest;
pub(crate) mod limiter;
pub(crate) mod meter;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::capability::StepScope;
use flowcell_core::connection::{Asking, Authorizer, CredentialError};
use flowcell_core::id::{ConnectionName, Digest, WorkspaceId};
use flowcell_core::invoke::{ActionCall, CallRecord, Invocation, InvokeError, WebhookCall, WebhookOutcome};
use flowcell_core::ports::Invoker;
use flowcell_core::record::{Ambient, Answers};
use flowcell_core::time::Timestamp;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::ambient::GuestClock;
use crate::egress::{Budget, CallPass, Pinned, Source};
use crate::engine::Pool;
use crate::host::{Outbound, SeedOf, State};
use crate::invoke::guest::Call;
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

/// What the two kinds of call have in common.
struct Request<'a> {
    digest: Digest,
    workspace: &'a WorkspaceId,
    scope: StepScope,
    deadline: Timestamp,
    credentials: Option<WantedCredentials<'a>>,
    seed: SeedOf,
    mode: Mode<'a>,
}

/// The connection a step names, or the default of its action.
struct WantedCredentials<'a> {
    named: Option<&'a ConnectionName>,
    action: &'a str,
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
}

impl Sandbox {
    pub(crate) async fn invoke_in(&self, mode: Mode<'_>, call: &ActionCall) -> Invocation<Value> {
        let request = Request {
            digest: call.digest,
            workspace: &call.workspace,
            scope: call.scope.clone(),
            deadline: call.deadline,
            credentials: Some(WantedCredentials {
                named: call.connection.as_ref(),
                action: &call.action,
                idempotency_key: &call.idempotency_key,
            }),
            seed: SeedOf::Attempt {
                key: self.seed_key,
                run: call.run,
                step: call.step.to_string(),
                attempt: call.attempt,
                idempotency_key: call.idempotency_key.clone(),
            },
            mode,
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
            scope: StepScope::default(),
            deadline: call.deadline,
            credentials: None,
            seed: SeedOf::Drawn(Arc::clone(&self.ports.entropy)),
            mode,
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
                    let context = convert::trigger_context(call, deadline_ms);
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

/// A plugin, a slot and a deadline: ready to run.
struct Prepared<'a> {
    sandbox: &'a Sandbox,
    loaded: Arc<Loaded>,
    outbound: Outbound,
    began: Timestamp,
    ends_at: Timestamp,
    /// What the guest is told of it: in a replay, what it was told then.
    told_deadline: Timestamp,
    seed: SeedOf,
    _slot: SemaphorePermit<'a>,
}

impl Sandbox {
    /// Loads the plugin, waits for a slot, then lets `body` run it. All of it counts against the deadline.
    async fn call<T>(
        &self,
        request: Request<'_>,
        body: impl AsyncFnOnce(Prepared<'_>) -> Invocation<T>,
    ) -> Invocation<T> {
        let clock = &self.ports.clock;
        let (began, deadline) = (clock.now(), request.deadline);
        let prepared = tokio::select! {
            biased;
            prepared = self.prepared(request, began) => prepared,
            () = clock.sleep_until(deadline) => {
                Err(InvokeError::DeadlineExceeded { limit_ms: Self::millis(deadline.since(began)) })
            }
        };
        match prepared {
            Ok(prepared) => body(prepared).await,
            Err(error) => {
                let record =
                    CallRecord { duration_ms: Self::millis(clock.now().since(began)), ..CallRecord::default() };
                Invocation { outcome: Err(error), record }
            }
        }
    }

    /// What the step's connection adds; nothing when it names none, and the action has no default or that is not there for this plugin.
    async fn authorizer(
        &self,
        workspace: &WorkspaceId,
        loaded: &Loaded,
        wanted: &WantedCredentials<'_>,
    ) -> Result<Option<Arc<dyn Authorizer>>, InvokeError> {
        let manifest = &loaded.plugin.manifest;
        let slot = manifest.action(wanted.action).and_then(|action| action.connection.as_ref());
        let default = slot.and_then(|slot| slot.default.as_ref());
        let Some(name) = wanted.named.or(default) else { return Ok(None) };
        match self.ports.credentials.authorizer(Asking { workspace, name, plugin: &manifest.id }).await {
            Ok(authorizer) => Ok(Some(authorizer)),
            Err(CredentialError::Unknown { .. } | CredentialError::NotForPlugin { .. }) if wanted.named.is_none() => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn prepared(&self, request: Request<'_>, began: Timestamp) -> Result<Prepared<'_>, InvokeError> {
        let clock = &self.ports.clock;
        let loaded = self.loader.load(request.digest).await?;
        // A replay sends nothing, and the connection of then may be gone.
        let credentials = match &request.credentials {
            Some(wanted) if !matches!(request.mode, Mode::Replay(_)) => {
                let authorizer = self.authorizer(request.workspace, &loaded, wanted).await?;
                authorizer.map(|authorizer| (authorizer, wanted.idempotency_key))
            }
            _ => None,
        };
        let asked_for_slot = clock.now();
        let slot = tokio::select! {
            biased;
            slot = self.slots.free.acquire() => slot.ok(),
            () = clock.sleep_until(asked_for_slot + self.slots.wait) => None,
        };
        let now = clock.now();
        let Some(slot) = slot else {
            return Err(InvokeError::Busy { waited_ms: Self::millis(now.since(asked_for_slot)) });
        };
        // Compiling and waiting are not the plugin's doing: its own time starts here.
        let ends_at = request.deadline.min(now + loaded.limits.wall);
        let rights = self.ports.grants.rights(request.workspace, &loaded.plugin);
        let budget = Budget {
            requests: loaded.limits.http_requests,
            bytes_out: loaded.limits.http_sent_bytes,
            bytes_in: loaded.limits.http_received_bytes,
        };
        let (source, ambient) = match request.mode {
            Mode::Live => (Source::Network, None),
            Mode::Dry(answers) => (Source::Pinned(Pinned::new(answers)), None),
            Mode::Replay(record) => (Source::Recorded(record.http.clone()), record.ambient),
        };
        let (began_at, told_deadline, seed) = match ambient {
            Some(ambient) => (ambient.began_at, ambient.deadline, SeedOf::Given(ambient.seed)),
            None => (now, ends_at, request.seed),
        };
        let mut pass =
            CallPass::new(rights, request.scope, ends_at, budget).with_ambient(GuestClock::new(began_at), source);
        if let Some((authorizer, idempotency_key)) = credentials {
            pass = pass.with_authorizer(authorizer, idempotency_key);
        }
        let outbound = Outbound { door: self.ports.door.clone(), pass: Arc::new(pass) };
        Ok(Prepared { sandbox: self, loaded, outbound, began, ends_at, told_deadline, seed, _slot: slot })
    }
}

impl Prepared<'_> {
    /// Runs `guest` in a fresh store until it ends or its time is up.
    async fn run<T>(
        self,
        guest: impl AsyncFnOnce(&mut Call) -> wasmtime::Result<T>,
    ) -> (Result<T, InvokeError>, CallRecord) {
        let Self { sandbox, loaded, outbound, began, ends_at, told_deadline, seed, _slot } = self;
        let ports = &sandbox.ports;
        let started = ports.clock.now();
        let state = State::new(&loaded.limits, outbound.clone(), seed);
        let mut call = Call::new(&sandbox.loader.engine, &loaded.limits, state);
        let meter = Arc::clone(&call.meter);
        let ended = tokio::select! {
            biased;
            ended = meter.measure(guest(&mut call)) => Some(ended),
            () = ports.clock.sleep_until(ends_at) => None,
        };
        let fuel = loaded.limits.fuel.saturating_sub(call.store.get_fuel().unwrap_or_default());
        // After a trap or a dropped future an instance is never entered again: the store goes now.
        let mut state = call.store.into_data();
        let outcome = match ended {
            Some(Ok(returned)) => Ok(returned),
            Some(Err(error)) => Err(classify::classify(&error, &state, &loaded.limits, meter.used())),
            None => Err(InvokeError::DeadlineExceeded { limit_ms: Sandbox::millis(ends_at.since(started)) }),
        };
        let memory_bytes = state.limiter.memory_bytes_peak() as u64;
        let began_at = outbound.pass.clock().began_at();
        let ambient = state.seed_if_used().map(|seed| Ambient { began_at, deadline: told_deadline, seed });
        let (log, log_lines_dropped) = state.into_log();
        let record = CallRecord {
            duration_ms: Sandbox::millis(ports.clock.now().since(began)),
            cpu_ms: meter.used().as_secs_f64() * 1000.0,
            memory_bytes,
            fuel,
            http: outbound.pass.take_exchanges().0,
            log,
            log_lines_dropped,
            ambient,
        };
        (outcome, record)
    }

    fn refuse<T>(&self, error: InvokeError) -> Invocation<T> {
        let duration_ms = Sandbox::millis(self.sandbox.ports.clock.now().since(self.began));
        Invocation { outcome: Err(error), record: CallRecord { duration_ms, ..CallRecord::default() } }
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
