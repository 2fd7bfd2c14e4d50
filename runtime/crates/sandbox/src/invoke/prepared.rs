//! Getting ready for a call and running it: the plugin, a slot, what its requests go with, a fresh store; and afterwards its account.

use std::sync::Arc;

use flowcell_core::blob;
use flowcell_core::capability::Rights;
use flowcell_core::connection::{Asking, Authorizer, CredentialError};
use flowcell_core::exchange::{LogLevel, LogLine};
use flowcell_core::host_call::Caller;
use flowcell_core::id::WorkspaceId;
use flowcell_core::invoke::{CallRecord, Invocation, InvokeError};
use flowcell_core::record::Ambient;
use flowcell_core::time::Timestamp;
use tokio::sync::SemaphorePermit;

use super::guest::Call;
use super::{Mode, Request, WantedCredentials, classify};
use crate::Sandbox;
use crate::ambient::GuestClock;
use crate::egress::{Budget, CallBlobs, CallPass, Pinned, Source};
use crate::host::files::CallFiles;
use crate::host::service::{Reach, Services, Source as ServiceSource};
use crate::host::{Outbound, SeedOf, State};
use crate::load::Loaded;

/// What a call's requests go with.
enum Added {
    Nothing,
    By(Arc<dyn Authorizer>),
    /// The action has a default connection, and this is why it adds nothing.
    Lacking(CredentialError),
}

/// A plugin, a slot and a deadline: ready to run.
pub(super) struct Prepared<'a> {
    sandbox: &'a Sandbox,
    pub(super) loaded: Arc<Loaded>,
    pub(super) outbound: Outbound,
    /// Why its action's default connection adds nothing.
    lacks: Option<CredentialError>,
    began: Timestamp,
    ends_at: Timestamp,
    /// What the guest is told of it: in a replay, what it was told then.
    pub(super) told_deadline: Timestamp,
    seed: SeedOf,
    /// Where the plugin asks for services of the host, or nothing is to happen.
    services: Option<Box<Services>>,
    /// Where the plugin asks for a directory.
    files: Option<Box<CallFiles>>,
    _slot: SemaphorePermit<'a>,
}

impl Sandbox {
    /// Loads the plugin, waits for a slot, then lets `body` run it. All of it counts against the deadline.
    pub(super) async fn call<T>(
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
    pub(super) async fn run<T>(
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

    pub(super) fn refuse<T>(&self, error: InvokeError) -> Invocation<T> {
        let duration_ms = Sandbox::millis(self.sandbox.ports.clock.now().since(self.began));
        Invocation { outcome: Err(error), record: CallRecord { duration_ms, ..CallRecord::default() } }
    }
}
