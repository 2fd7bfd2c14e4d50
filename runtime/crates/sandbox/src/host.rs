//! What a guest can call, and the state behind it: one file per interface, one [`State`] per call. Every contract version is linked here;
//! all of them delegate to the same log and the same door.

mod document;
mod http;
mod key_value;
mod log;
mod mail;
pub(crate) mod service;
mod wasi;
mod wasi_http;

use std::sync::Arc;

use flowcell_core::exchange::LogLine;
use flowcell_core::host_call::HostCall;
use flowcell_core::id::RunId;
use flowcell_core::ports::Entropy;
use flowcell_core::record::Seed;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, InstancePre, Linker, ResourceTable};

use crate::ambient::SeedKey;
use crate::compile::Needs;
use crate::invoke::limiter::Limiter;
use crate::limits::Limits;

pub(crate) use self::http::Outbound;

/// Bindings of the world `action-plugin`.
pub(crate) mod action {
    wasmtime::component::bindgen!({
        path: "../../../wit/1.0.0",
        world: "flowcell:plugin/action-plugin",
        imports: { "flowcell:plugin/log.write": trappable, default: async | trappable },
        exports: { default: async },
    });
}

/// Bindings of another world; what it shares with `action-plugin` is the same code.
macro_rules! world {
    ($(#[$doc:meta])* $module:ident, $world:literal) => {
        $(#[$doc])*
        pub(crate) mod $module {
            wasmtime::component::bindgen!({
                path: "../../../wit/1.0.0",
                world: $world,
                imports: { default: async | trappable },
                exports: { default: async },
                with: {
                    "flowcell:plugin/plugin-types": super::action::flowcell::plugin::plugin_types,
                    "flowcell:plugin/log": super::action::flowcell::plugin::log,
                    "flowcell:plugin/http": super::action::flowcell::plugin::http,
                    "flowcell:plugin/key-value": super::action::flowcell::plugin::key_value,
                    "flowcell:plugin/mail": super::action::flowcell::plugin::mail,
                    "flowcell:plugin/inbox": super::action::flowcell::plugin::inbox,
                    "flowcell:plugin/contacts": super::action::flowcell::plugin::contacts,
                    "flowcell:plugin/connection": super::action::flowcell::plugin::connection,
                },
            });
        }
    };
}

world!(
    /// Bindings of the world `trigger-plugin`.
    trigger, "flowcell:plugin/trigger-plugin"
);
world!(
    /// Bindings of the world `poll-plugin`.
    poller, "flowcell:plugin/poll-plugin"
);
world!(
    /// Bindings of the world `subscriber-plugin`.
    subscriber, "flowcell:plugin/subscriber-plugin"
);
world!(
    /// Bindings of the world `options-plugin`.
    options, "flowcell:plugin/options-plugin"
);

pub(crate) use action::flowcell::plugin as contract;

/// Everything a store holds for one call.
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    /// Set by the epoch callback when it stops the guest: the processor time is used up.
    pub(crate) out_of_cpu: bool,
    pub(crate) log: log::Log,
    outbound: Outbound,
    table: ResourceTable,
    /// Made when the guest first uses WASI; guests built for `wasm32-unknown-unknown` never do.
    wasi: Option<Box<wasi::Wasi>>,
    wasi_http: wasmtime_wasi_http::WasiHttpCtx,
    seed: SeedOf,
    limits: Limits,
    /// What it asked for besides HTTP. Most calls ask for nothing, and have none.
    pub(crate) services: Option<Box<service::Services>>,
}

/// Where the seed of a call comes from. It is made when it is first asked for: most guests never do.
pub(crate) enum SeedOf {
    /// It is a replay's.
    Given(Seed),
    Attempt {
        key: SeedKey,
        run: RunId,
        step: String,
        attempt: u32,
        idempotency_key: String,
    },
    /// A call outside of any run.
    Drawn(Arc<dyn Entropy>),
}

impl SeedOf {
    /// The same however often it is asked.
    fn seed(&mut self) -> Seed {
        let seed = match self {
            Self::Given(seed) => return *seed,
            Self::Attempt { key, run, step, attempt, idempotency_key } => {
                key.derive(*run, step, *attempt, idempotency_key)
            }
            Self::Drawn(entropy) => {
                let mut bytes = [0; 32];
                entropy.fill(&mut bytes);
                Seed::from_bytes(bytes)
            }
        };
        *self = Self::Given(seed);
        seed
    }
}

impl State {
    pub(crate) fn new(limits: &Limits, outbound: Outbound, seed: SeedOf) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources);
        let mut wasi_http = wasmtime_wasi_http::WasiHttpCtx::new();
        wasi_http.set_field_size_limit(limits.field_bytes);
        Self {
            limiter: Limiter::new(limits),
            out_of_cpu: false,
            log: log::Log::new(limits),
            outbound,
            table,
            wasi: None,
            wasi_http,
            seed,
            limits: *limits,
            services: None,
        }
    }

    /// What the guest said last, on stderr or in its log: most languages explain a crash there.
    pub(crate) fn last_words(&self) -> Option<String> {
        let stderr = self.wasi.as_ref().map(|wasi| wasi.stderr_tail()).filter(|said| !said.is_empty());
        stderr.or_else(|| self.log.last_error().map(str::to_owned))
    }

    /// The seed, if the guest has used WASI, and so may have seen its clock or its randomness.
    pub(crate) fn seed_if_used(&mut self) -> Option<Seed> {
        self.wasi.is_some().then(|| self.seed.seed())
    }

    /// What was asked of the host, and how many more calls there were than are kept.
    pub(crate) fn take_host_calls(&mut self) -> (Vec<HostCall>, u64) {
        self.services.take().map(|services| services.into_calls()).unwrap_or_default()
    }

    pub(crate) fn into_log(self) -> (Vec<LogLine>, u64) {
        self.log.into_lines()
    }
}

/// Links everything there is. What a guest does not import costs it nothing.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    contract::plugin_types::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    contract::log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    contract::http::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    contract::key_value::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    contract::mail::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    contract::inbox::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    contract::contacts::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    contract::connection::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    // Its sleeps take real time only; ours move the guest's clock as well.
    linker.allow_shadowing(true);
    wasmtime_wasi::p2::bindings::clocks::monotonic_clock::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

impl contract::plugin_types::Host for State {}

/// The exports of one plugin, found and type-checked once per digest.
pub(crate) struct Exports {
    pub(crate) action: Option<action::ActionPluginPre<State>>,
    pub(crate) trigger: Option<trigger::TriggerPluginPre<State>>,
    pub(crate) poller: Option<poller::PollPluginPre<State>>,
    pub(crate) subscriber: Option<subscriber::SubscriberPluginPre<State>>,
    pub(crate) options: Option<options::OptionsPluginPre<State>>,
}

impl Exports {
    pub(crate) fn of(instance: &InstancePre<State>, needs: Needs) -> wasmtime::Result<Self> {
        Ok(Self {
            action: needs.action.then(|| action::ActionPluginPre::new(instance.clone())).transpose()?,
            trigger: needs.trigger.then(|| trigger::TriggerPluginPre::new(instance.clone())).transpose()?,
            poller: needs.poller.then(|| poller::PollPluginPre::new(instance.clone())).transpose()?,
            subscriber: needs.subscriber.then(|| subscriber::SubscriberPluginPre::new(instance.clone())).transpose()?,
            options: needs.options.then(|| options::OptionsPluginPre::new(instance.clone())).transpose()?,
        })
    }
}
