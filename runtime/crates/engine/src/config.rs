//! What the operator decides about running. Every number here stands in the commented default configuration.

use std::time::Duration;

use crate::key::InstanceKey;

#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Keeps idempotency keys unguessable; it must be the same after every restart.
    pub instance_key: InstanceKey,
    /// Runs that are driven at the same time.
    pub concurrency: usize,
    /// How long an attempt may take when its step does not say.
    pub step_timeout: Duration,
    /// How long an attempt may take, whatever its step says.
    pub step_timeout_max: Duration,
    /// How long a shutdown waits for attempts in progress.
    pub drain: Duration,
    /// Compiled workflow versions kept in memory.
    pub workflows_max: usize,
}

impl EngineConfig {
    pub fn new(instance_key: InstanceKey) -> Self {
        Self {
            instance_key,
            // Throughput is flat from 16 to 64 on two cores (PERF.md, "known to matter" 5); the rest waits for slow receivers.
            concurrency: 64,
            // What people wait for an HTTP answer, and more than nearly every API needs.
            step_timeout: Duration::from_secs(30),
            // Slow report endpoints answer within minutes; a slot is not to be held longer.
            step_timeout_max: Duration::from_mins(10),
            // Below the 30 s after which container platforms kill.
            drain: Duration::from_secs(25),
            // A thousand published workflows (PERF.md "Grow") stay compiled, some 20 KiB each.
            workflows_max: 1_000,
        }
    }
}
