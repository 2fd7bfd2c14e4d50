//! The sections of the configuration with their defaults. Where each number comes from stands in `default.toml`, beside its key.

use std::path::PathBuf;
use std::time::Duration;

use flowcell_core::capability::Ceiling;
use flowcell_sandbox::egress::Routes;
use ipnet::IpNet;
use serde::Deserialize;

use crate::http::limits::Limits;

/// A section whose keys are numbers above zero; `extra` fields are lists and tables.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $type:ty = $default:expr),+ $(,)? } $(extra { $($field:ident: $list:ty),+ })?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name {
            $(pub(crate) $key: $type,)+
            $($(pub(crate) $field: $list,)+)?
        }
        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ $($($field: <$list>::default(),)+)? }
            }
        }
        impl $name {
            /// Every number of the section by its key.
            pub(super) fn positive(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($key), u64::from(self.$key))),+]
            }
        }
    };
}

section! {
    /// What clients of the server may send.
    Http {
        connections_max: u64 = 4_096,
        connections_per_client_max: u64 = 1_024,
        requests_max: u64 = 4_096,
        requests_per_client_max: u64 = 1_024,
        header_timeout_ms: u64 = 10_000,
        header_bytes_max: u64 = 64 * 1024,
        headers_max: u64 = 100,
        target_bytes_max: u64 = 8 * 1024,
        body_bytes_max: u64 = 10 * 1024 * 1024,
        body_timeout_ms: u64 = 60_000,
        body_idle_ms: u64 = 10_000,
        body_grace_ms: u64 = 5_000,
        body_bytes_per_s_min: u64 = 240,
        bodies_in_flight_bytes_max: u64 = 256 * 1024 * 1024,
        connection_idle_ms: u64 = 60_000,
        h2_streams_max: u64 = 128,
        h2_abandoned_max: u64 = 100,
    }
}

section! {
    /// Calls to the URLs of triggers.
    Ingress {
        trigger_timeout_ms: u64 = 5_000,
        events_max: u64 = 100,
        routes_cached_max: u64 = 10_000,
        replies_waiting_max: u64 = 1_000,
        reply_wait_max_ms: u64 = 30_000,
        requests_kept_max: u64 = 50,
        requests_kept_bytes_max: u64 = 64 * 1024 * 1024,
    }
}

section! {
    /// Triggers whose plugins are asked, and what else is asked of plugins for people.
    Triggers {
        polls_max: u64 = 8,
        poll_timeout_ms: u64 = 60_000,
        backlog_max: u64 = 1_000,
        subscribe_timeout_ms: u64 = 30_000,
        options_timeout_ms: u64 = 15_000,
        options_max: u64 = 8,
        options_kept_ms: u64 = 60_000,
    }
}

section! {
    /// How runs are executed.
    Engine {
        runs_max: u64 = 64,
        step_timeout_ms: u64 = 30_000,
        step_timeout_max_ms: u64 = 600_000,
        workflows_cached_max: u64 = 1_000,
        breaker_failures: u64 = 10,
        breaker_rest_ms: u64 = 15_000,
        breaker_rest_max_ms: u64 = 300_000,
    }
}

section! {
    /// What one call of a plugin may use.
    Sandbox {
        calls_max: u32 = 128,
        call_wait_ms: u64 = 10_000,
        memory_mib: u32 = 64,
        cpu_ms: u64 = 1_000,
        wall_ms: u64 = 30_000,
        http_requests: u32 = 20,
        fuel: u64 = 10_000_000_000,
        memory_ceiling_mib: u32 = 512,
        cpu_ceiling_ms: u64 = 60_000,
        wall_ceiling_ms: u64 = 600_000,
        http_requests_ceiling: u32 = 1_000,
        fuel_ceiling: u64 = 600_000_000_000,
        compile_cpu_ms: u64 = 30_000,
        compile_wall_ms: u64 = 120_000,
        compile_memory_mib: u32 = 2_048,
    }
}

section! {
    /// What leaves the sandbox.
    Egress {
        connect_timeout_ms: u64 = 10_000,
        first_byte_timeout_ms: u64 = 60_000,
        body_idle_ms: u64 = 30_000,
        exchange_timeout_ms: u64 = 120_000,
        request_bytes_max: u64 = 8 * 1024 * 1024,
        response_bytes_max: u64 = 8 * 1024 * 1024,
        header_bytes_max: u64 = 64 * 1024,
        recorded_whole_bytes_max: u64 = 64 * 1024,
        recorded_bytes_max: u64 = 4 * 1024,
        idle_connections_max: u64 = 128,
        idle_connection_ms: u64 = 30_000,
    }
    extra { allow: Vec<IpNet>, ceiling: Ceiling, routes: Routes }
}

section! {
    /// Where runs and workflows are kept.
    Store {
        queued_writes_max: u64 = 4_096,
        cache_mib: u64 = 64,
        free_soft_mib: u64 = 256,
        free_hard_mib: u64 = 64,
        ballast_mib: u64 = 32,
    }
}

/// Which runs are kept, and for how long; what is absent does not limit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retention {
    pub(crate) days: Option<u32>,
    pub(crate) runs: Option<u32>,
    pub(crate) keep_failed_days: Option<u32>,
    pub(crate) bytes_max_mib: Option<u64>,
    pub(crate) every_ms: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: None, runs: None, keep_failed_days: None, bytes_max_mib: None, every_ms: 600_000 }
    }
}

/// The key that the secrets of connections are sealed with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_field_names, reason = "other secrets may come; these keys are about the key")]
pub(crate) struct Secrets {
    pub(crate) key_from: KeyFrom,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) key_command: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyFrom {
    #[default]
    File,
    Environment,
    Command,
}

/// What nobody is shown of any run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Redaction {
    pub(crate) names: Vec<String>,
}

/// Plugins beside those that are built in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Plugins {
    pub(crate) folders: Vec<PathBuf>,
}

impl Http {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            connections_max: size(self.connections_max),
            connections_per_client_max: size(self.connections_per_client_max),
            requests_max: size(self.requests_max),
            requests_per_client_max: size(self.requests_per_client_max),
            header_timeout: Duration::from_millis(self.header_timeout_ms),
            header_bytes_max: size(self.header_bytes_max),
            headers_max: size(self.headers_max),
            target_bytes_max: size(self.target_bytes_max),
            body_bytes_max: size(self.body_bytes_max),
            body_timeout: Duration::from_millis(self.body_timeout_ms),
            body_idle: Duration::from_millis(self.body_idle_ms),
            body_grace: Duration::from_millis(self.body_grace_ms),
            body_bytes_per_s_min: self.body_bytes_per_s_min,
            bodies_in_flight_bytes_max: size(self.bodies_in_flight_bytes_max),
            connection_idle: Duration::from_millis(self.connection_idle_ms),
            h2_streams_max: size(self.h2_streams_max),
            h2_abandoned_max: size(self.h2_abandoned_max),
        }
    }
}

/// A number of the configuration as a size in memory.
pub(crate) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
