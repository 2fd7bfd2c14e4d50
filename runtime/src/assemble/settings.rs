//! From the configuration file's words to the configuration of each part.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use flowcell_core::retention::RetentionRules;
use flowcell_engine::polling::PollerConfig;
use flowcell_engine::{BreakerSettings, EngineConfig};
use flowcell_sandbox::compile::{CompileLimits, Compiler};
use flowcell_sandbox::egress::EgressConfig;
use flowcell_sandbox::engine::Pool;
use flowcell_sandbox::limits::{Ceiling, Limits};
use flowcell_sandbox::{SandboxConfig, SeedKey};
use flowcell_store::embedded::{Options, Watermarks};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, size};
use crate::token::InstanceKey;
use crate::upkeep::Wanted;

const MIB: usize = 1024 * 1024;

pub(super) fn drain(config: &Config) -> Duration {
    Duration::from_millis(config.drain_timeout_ms)
}

pub(crate) fn engine(config: &Config, key: &InstanceKey) -> EngineConfig {
    let ours = &config.engine;
    EngineConfig {
        concurrency: size(ours.runs_max),
        step_timeout: Duration::from_millis(ours.step_timeout_ms),
        step_timeout_max: Duration::from_millis(ours.step_timeout_max_ms),
        breaker: BreakerSettings {
            consecutive: u32::try_from(ours.breaker_failures).unwrap_or(u32::MAX),
            rest: Duration::from_millis(ours.breaker_rest_ms),
            rest_max: Duration::from_millis(ours.breaker_rest_max_ms),
        },
        drain: drain(config),
        workflows_max: size(ours.workflows_cached_max),
        custom_values: Arc::new(config.custom_values.clone().into()),
        redacted_names: Arc::from(config.redaction.names.clone()),
        ..EngineConfig::new(flowcell_engine::InstanceKey::new(&key.derive("idempotency")))
    }
}

pub(super) fn poller(config: &Config) -> PollerConfig {
    let ours = &config.triggers;
    PollerConfig {
        polls_max: size(ours.polls_max),
        timeout: Duration::from_millis(ours.poll_timeout_ms),
        backlog_max: ours.backlog_max,
    }
}

pub(crate) fn sandbox(config: &Config, cache: PathBuf, key: &InstanceKey) -> Result<SandboxConfig> {
    let ours = &config.sandbox;
    let compiler = Compiler::this_program()
        .context("the path of this program is unknown, so it cannot start itself to compile plugins")?;
    let compiler = Compiler {
        limits: CompileLimits {
            cpu: Duration::from_millis(ours.compile_cpu_ms),
            wall: Duration::from_millis(ours.compile_wall_ms),
            address_space_bytes: u64::from(ours.compile_memory_mib) * MIB as u64,
            ..CompileLimits::default()
        },
        ..compiler
    };
    Ok(SandboxConfig {
        limits: Limits {
            memory_bytes: mib(ours.memory_mib),
            cpu: Duration::from_millis(ours.cpu_ms),
            wall: Duration::from_millis(ours.wall_ms),
            http_requests: ours.http_requests,
            fuel: ours.fuel,
            events: size(config.ingress.events_max),
            ..Limits::default()
        },
        ceiling: Ceiling {
            memory_bytes: mib(ours.memory_ceiling_mib),
            cpu: Duration::from_millis(ours.cpu_ceiling_ms),
            wall: Duration::from_millis(ours.wall_ceiling_ms),
            http_requests: ours.http_requests_ceiling,
            fuel: ours.fuel_ceiling,
            ..Ceiling::default()
        },
        pool: Pool { calls: ours.calls_max, wait: Duration::from_millis(ours.call_wait_ms) },
        seed_key: Some(SeedKey::from_bytes(key.derive("guest randomness"))),
        ..SandboxConfig::new(cache, compiler)
    })
}

pub(crate) fn egress(config: &Config) -> EgressConfig {
    let ours = &config.egress;
    EgressConfig {
        ceiling: ours.ceiling.clone(),
        routes: ours.routes.clone(),
        allow_addresses: ours.allow.clone(),
        connect_timeout: Duration::from_millis(ours.connect_timeout_ms),
        first_byte_timeout: Duration::from_millis(ours.first_byte_timeout_ms),
        idle_body_timeout: Duration::from_millis(ours.body_idle_ms),
        exchange_timeout: Duration::from_millis(ours.exchange_timeout_ms),
        request_bytes_max: size(ours.request_bytes_max),
        response_bytes_max: size(ours.response_bytes_max),
        header_bytes_max: size(ours.header_bytes_max),
        recorded_whole_bytes_max: size(ours.recorded_whole_bytes_max),
        recorded_bytes_max: size(ours.recorded_bytes_max),
        idle_connections_max: size(ours.idle_connections_max),
        idle_connection_timeout: Duration::from_millis(ours.idle_connection_ms),
    }
}

pub(super) fn retention(config: &Config) -> Wanted {
    let ours = &config.retention;
    Wanted {
        rules: RetentionRules { days: ours.days, runs: ours.runs, keep_failed_days: ours.keep_failed_days },
        bytes_max: ours.bytes_max_mib.map(|mib| mib.saturating_mul(MIB as u64)),
        every: Duration::from_millis(ours.every_ms),
    }
}

/// `fatal` is cancelled when a write failed for good.
pub(super) fn store(config: &Config, fatal: CancellationToken) -> Options {
    Options {
        queued_writes_max: size(config.store.queued_writes_max),
        cache_bytes: config.store.cache_mib.saturating_mul(MIB as u64),
        watermarks: Some(Watermarks {
            soft_bytes: config.store.free_soft_mib.saturating_mul(MIB as u64),
            hard_bytes: config.store.free_hard_mib.saturating_mul(MIB as u64),
            ballast_bytes: config.store.ballast_mib.saturating_mul(MIB as u64),
        }),
        on_fatal: Arc::new(move |reason| {
            tracing::error!(reason, "the store has failed; nothing more is acknowledged");
            fatal.cancel();
        }),
        ..Options::default()
    }
}

fn mib(count: u32) -> usize {
    size(u64::from(count)).saturating_mul(MIB)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowcell_core::capability::{
        DeniedBy, Grant, HttpCapability, HttpRule, RequestTarget, Rights, StepScope, decide,
    };
    use flowcell_core::plugin::PluginId;

    #[test]
    fn the_configured_ceiling_denies_a_host_that_was_granted() {
        let asked = vec![HttpCapability {
            reason: String::new(),
            from_input: None,
            hosts: vec![HttpRule::parse("https://*.example.com").unwrap()],
        }];
        let plugin: PluginId = "acme/crm".parse().unwrap();
        let rights = Rights::new(plugin.clone(), asked.clone(), &[Grant::as_asked(plugin, &asked)]);
        let decided = |configuration: &str, url: &str| {
            let config = Config::parse(configuration, "test").unwrap();
            let url = url.parse().unwrap();
            let request = RequestTarget::new("GET", &url).unwrap();
            decide(&request, &rights, &StepScope::default(), &egress(&config).ceiling).map_err(|denial| denial.rule)
        };
        let (denying, listing) = (
            "[egress.ceiling]\ndeny_hosts = [\"admin.example.com\"]",
            "[egress.ceiling]\nallow = [\"https://api.example.com/v1/*\"]",
        );
        assert_eq!(decided("", "https://admin.example.com/"), Ok(()));
        assert_eq!(decided(denying, "https://admin.example.com/"), Err(DeniedBy::Ceiling));
        assert_eq!(decided(denying, "https://api.example.com/"), Ok(()));
        assert_eq!(decided(listing, "https://api.example.com/v1/a"), Ok(()));
        assert_eq!(decided(listing, "https://api.example.com/v2/a"), Err(DeniedBy::Ceiling));
    }

    /// The defaults stand in two places: in each part, for its tests, and in the printed configuration. This holds them together.
    #[test]
    fn the_default_configuration_gives_every_part_its_own_defaults() {
        let config = Config::default();
        let key = InstanceKey::from_bytes([1; 32]);
        let (sandbox, plain) = (
            sandbox(&config, PathBuf::new(), &key).unwrap(),
            SandboxConfig::new(PathBuf::new(), Compiler::this_program().unwrap()),
        );
        assert_eq!((sandbox.limits, sandbox.ceiling, sandbox.pool), (plain.limits, plain.ceiling, plain.pool));
        assert_eq!(sandbox.compiler, plain.compiler);
        assert_eq!(format!("{:?}", egress(&config)), format!("{:?}", EgressConfig::default()));
        let plain = EngineConfig::new(flowcell_engine::InstanceKey::new(&[0; 32]));
        assert_eq!(format!("{:?}", engine(&config, &key)), format!("{plain:?}"));
        assert_eq!(format!("{:?}", store(&config, CancellationToken::new())), format!("{:?}", Options::default()));
    }
}
