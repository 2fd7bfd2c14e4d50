//! What the operator decides about running. Every number here stands in the commented default configuration.

use std::sync::Arc;
use std::time::Duration;

use flowcell_core::id::{RunId, StepRef};
use flowcell_core::run::resume::ResumeLinks;
use serde_json::Value;

use crate::breaker::BreakerSettings;
use crate::key::InstanceKey;

#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Keeps idempotency keys unguessable; it must be the same after every restart.
    pub instance_key: InstanceKey,
    /// Runs that are driven at the same time.
    pub concurrency: usize,
    /// Attempts of one run that are under way at the same time.
    pub attempts_per_run: usize,
    /// How many calls in a row the sandbox must have ended (a crash, too much memory or processor time) before a plugin is called no more.
    pub quarantine_after: u32,
    /// When a receiver counts as failing, so that what is for it waits.
    pub breaker: BreakerSettings,
    /// How long an attempt may take when its step does not say.
    pub step_timeout: Duration,
    /// How long an attempt may take, whatever its step says.
    pub step_timeout_max: Duration,
    /// How long a shutdown waits for attempts in progress.
    pub drain: Duration,
    /// Compiled workflow versions kept in memory.
    pub workflows_max: usize,
    /// What expressions read as `custom_values`, an object.
    pub custom_values: Arc<Value>,
    /// What resume links begin with, without a slash at the end.
    pub public_url: Arc<str>,
    /// Names of fields that nobody is shown, in any workflow (see [`flowcell_core::redact`]).
    pub redacted_names: Arc<[String]>,
}

impl ResumeLinks for EngineConfig {
    /// `…/resume/{run}.{step}.{secret}`: the run, the place, and what proves that somebody was given the link.
    fn resume_link(&self, run: RunId, step: &StepRef) -> String {
        // Of what stands in the text of a place, only the brackets around iterations have to be coded in a URL (RFC 3986 §3.3).
        let place = step.to_string().replace('[', "%5B").replace(']', "%5D");
        format!("{}/resume/{run}.{place}.{}", self.public_url, self.instance_key.resume_token(run, step))
    }
}

impl EngineConfig {
    pub fn new(instance_key: InstanceKey) -> Self {
        Self {
            instance_key,
            // Throughput is flat from 16 to 64 on two cores (PERF.md, "known to matter" 5); the rest waits for slow receivers.
            concurrency: 64,
            // A quarter of the above: one run with a wide loop leaves room for others.
            attempts_per_run: 16,
            // One bad input must not take a plugin from everybody; five failures without a success between them are the plugin's.
            quarantine_after: 5,
            breaker: BreakerSettings::default(),
            // What people wait for an HTTP answer, and more than nearly every API needs.
            step_timeout: Duration::from_secs(30),
            // Slow report endpoints answer within minutes; a slot is not to be held longer.
            step_timeout_max: Duration::from_mins(10),
            // Below the 30 s after which container platforms kill.
            drain: Duration::from_secs(25),
            // A thousand published workflows (PERF.md "Grow") stay compiled, some 20 KiB each.
            workflows_max: 1_000,
            custom_values: Arc::new(Value::Object(serde_json::Map::new())),
            // Where a server listens that was told nothing else.
            public_url: Arc::from("http://127.0.0.1:8080"),
            redacted_names: Arc::from([]),
        }
    }
}
