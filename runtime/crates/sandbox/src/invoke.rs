//! One call: a slot, a fresh store with limits, the guest's export, and an account of what it did. Nothing outlives the call.

mod classify;
mod convert;
mod directory;
mod guest;
mod keep;
pub(crate) mod limiter;
pub(crate) mod meter;
mod trigger;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::blob;
use flowcell_core::capability::{Rights, StepScope};
use flowcell_core::connection::{Asking, Authorizer, CredentialError};
use flowcell_core::exchange::{LogLevel, LogLine};
use flowcell_core::host_call::Caller;
use flowcell_core::id::{ConnectionName, Digest, WorkflowId, WorkspaceId};
use flowcell_core::invoke::{
    ActionCall, CallRecord, Invocation, InvokeError, OptionsCall, PollCall, Polled, SubscribeCall, Subscription,
    UnsubscribeCall, WebhookCall, WebhookOutcome,
};
use flowcell_core::ports::Invoker;
use flowcell_core::record::{Ambient, Answers};
use flowcell_core::time::Timestamp;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::ambient::GuestClock;
use crate::egress::{Budget, CallBlobs, CallPass, Pinned, Source};
use crate::engine::Pool;
use crate::host::files::CallFiles;
use crate::host::service::{Reach, Services, Source as ServiceSource};
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

/// What a call's requests go with.
enum Added {
    Nothing,
    By(Arc<dyn Authorizer>),
    /// The action has a default connection, and this is why it adds nothing.
    Lacking(CredentialError),
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

/// A plugin, a slot and a deadline: ready to run.
struct Prepared<'a> {
    sandbox: &'a Sandbox,
    loaded: Arc<Loaded>,
    outbound: Outbound,
    /// Why its action's default connection adds nothing.
    lacks: Option<CredentialError>,
    began: Timestamp,
    ends_at: Timestamp,
    /// What the guest is told of it: in a replay, what it was told then.
    told_deadline: Timestamp,
    seed: SeedOf,
    /// Where the plugin asks for services of the host, or nothing is to happen.
    services: Option<Box<Services>>,
    /// Where the plugin asks for a directory.
    files: Option<Box<CallFiles>>,
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
        (wanted, mode): (&WantedCredentials<'_>, Mode<'_>),
    ) -> Result<Added, InvokeError> {
        let manifest = &loaded.plugin.manifest;
        let default = manifest.slot(wanted.member).and_then(|slot| slot.default.as_ref());
        let Some(name) = wanted.named.or(default) else { return Ok(Added::Nothing) };
        let asking = Asking { workspace, name, plugin: &manifest.id };
        let authorizer = match mode {
            Mode::Live => self.ports.credentials.authorizer(asking).await,
            Mode::Dry(_) | Mode::Replay(_) => self.ports.credentials.shown(asking).await,
        };
        match authorizer {
            Ok(authorizer) => Ok(Added::By(authorizer)),
            Err(error @ (CredentialError::Unknown { .. } | CredentialError::NotForPlugin { .. }))
                if wanted.named.is_none() =>
            {
                Ok(Added::Lacking(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn prepared(&self, request: Request<'_>, began: Timestamp) -> Result<Prepared<'_>, InvokeError> {
        let clock = &self.ports.clock;
        let loaded = self.loader.load(request.digest).await?;
        // A replay sends nothing, and the connection of then may be gone.
        let added = match request.mode {
            Mode::Replay(_) => Added::Nothing,
            Mode::Live | Mode::Dry(_) => {
                self.authorizer(request.workspace, &loaded, (&request.credentials, request.mode)).await?
            }
        };
        let (authorizer, lacks) = match added {
            Added::By(authorizer) => (Some(authorizer), None),
            Added::Lacking(error) => (None, Some(error)),
            Added::Nothing => (None, None),
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
        let services = (loaded.asks_for_services || !matches!(request.mode, Mode::Live))
            .then(|| self.services(&request, (&loaded, &rights, authorizer.as_deref()), ends_at));
        let files = self.files(&request, &loaded, &rights);
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
        if request.reach == Reach::ReadOnly {
            pass = pass.read_only();
        }
        if let Some(authorizer) = authorizer {
            pass = pass.with_authorizer(authorizer, request.credentials.idempotency_key);
        }
        if let Some(call) = request.step {
            let (store, named) = (Arc::clone(&self.ports.blobs), blob::named_in(&call.input));
            pass = pass.with_blobs(CallBlobs { store, workspace: call.workspace.clone(), run: call.run, named });
        }
        let outbound = Outbound { door: self.ports.door.clone(), pass: Arc::new(pass) };
        Ok(Prepared {
            sandbox: self,
            loaded,
            outbound,
            lacks,
            began,
            ends_at,
            told_deadline,
            seed,
            services,
            files,
            _slot: slot,
        })
    }

    /// What a call may ask of the host, and who asks.
    fn services(
        &self,
        request: &Request<'_>,
        (loaded, rights, authorizer): (&Loaded, &Arc<Rights>, Option<&dyn Authorizer>),
        deadline: Timestamp,
    ) -> Box<Services> {
        let step = request.step;
        let caller = Caller {
            workspace: request.workspace.clone(),
            workflow: request.workflow.cloned(),
            run: step.map(|call| call.run),
            step: step.map(|call| call.step.clone()),
            attempt: step.map_or(1, |call| call.attempt),
            idempotency_key: request.credentials.idempotency_key.to_owned(),
            nth: 0,
            plugin: loaded.plugin.manifest.id.clone(),
            digest: request.digest,
            connection: authorizer.map(|authorizer| authorizer.connection().clone()),
            deadline,
            rights: Arc::clone(rights),
        };
        let source = match request.mode {
            Mode::Live => ServiceSource::Live(Arc::clone(&self.ports.services)),
            Mode::Dry(_) => Services::dry(&self.ports.services),
            Mode::Replay(record) => ServiceSource::Recorded(record.host.clone()),
        };
        Box::new(Services::new(Some(caller), source, request.reach))
    }
}

impl Prepared<'_> {
    /// Runs `guest` in a fresh store until it ends or its time is up.
    async fn run<T>(
        self,
        guest: impl AsyncFnOnce(&mut Call) -> wasmtime::Result<T>,
    ) -> (Result<T, InvokeError>, CallRecord) {
        let Self { sandbox, loaded, outbound, lacks, began, ends_at, told_deadline, seed, services, files, _slot } =
            self;
        let ports = &sandbox.ports;
        let started = ports.clock.now();
        let mut state = State::new(&loaded.limits, outbound.clone(), seed);
        state.services = services;
        state.files = files;
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
        let (host, host_calls_dropped) = state.take_host_calls();
        let (mut log, log_lines_dropped) = state.into_log();
        if let Some(error) = lacks {
            let message = format!("the requests of this step go without signature or credentials: {error}");
            log.insert(0, LogLine { level: LogLevel::Warn, message });
        }
        let record = CallRecord {
            duration_ms: Sandbox::millis(ports.clock.now().since(began)),
            cpu_ms: meter.used().as_secs_f64() * 1000.0,
            memory_bytes,
            fuel,
            http: outbound.pass.take_exchanges().0,
            host,
            host_calls_dropped,
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
