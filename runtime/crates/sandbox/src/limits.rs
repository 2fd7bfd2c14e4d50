//! Every limit of one call, and where its number comes from. Deciding only: `invoke` and `host` enforce them.

use std::time::Duration;

use flowcell_core::manifest;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The limits of one call. [`Limits::default`] is what a plugin gets that asks for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All linear memories of the call together. 64 MiB: WASM.md §3.5 (Rust and QuickJS guests stay below; Python and
    /// StarlingMonkey guests ask for 128 MiB in their manifest).
    pub memory_bytes: usize,
    /// Processor time in the guest. One second is some 100,000 times what a small guest needs.
    pub cpu: Duration,
    /// WebAssembly instructions, as wasmtime counts them. Ten for each nanosecond of [`Limits::cpu`]'s default: a processor of 4 GHz that runs
    /// two a cycle stays below, so that ordinary code meets the processor's limit first, and only a limit that was asked for is met by fuel.
    pub fuel: u64,
    /// The whole call, waiting included. 30 s: longer than any API worth calling within a step takes to answer.
    pub wall: Duration,
    /// Linear memories of one call. Rust and Python guests have one, composed components a few.
    pub memories: usize,
    /// Tables of one call; each core module brings one or two.
    pub tables: usize,
    /// Elements of all tables together: CPython's function table has some 10,000.
    pub table_elements: usize,
    /// Core instances of one call. Python has the most of the usual guests, about 20.
    pub instances: usize,
    /// The JSON document that goes in. 1 MiB is the contract (`wit/1.0.0`).
    pub input_bytes: usize,
    /// The JSON document that comes out. 1 MiB is the contract (`wit/1.0.0`).
    pub output_bytes: usize,
    /// Levels of JSON. 64 is the contract (`wit/1.0.0`).
    pub json_depth: usize,
    /// Events of one webhook request; each starts a run. 100: `ingress.events_max` of the configuration, which sets it.
    pub events: usize,
    /// Log lines kept per call; more are counted. A run's page stays readable, and a call's record below 1 MiB.
    pub log_lines: usize,
    /// One log line. 4 KiB is the contract (`wit/1.0.0`).
    pub log_line_bytes: usize,
    /// All log lines of a call together.
    pub log_bytes: usize,
    /// What a guest may write to stderr; only a crash message quotes it (its last 2 KiB).
    pub stderr_bytes: usize,
    /// Outbound requests per call. Shopify and Zapier stop code steps in the same range.
    pub http_requests: u32,
    /// Calls of the host's services per call: a page of contacts, one by one. Each is answered from this machine, but mail.
    pub host_calls: u32,
    /// Bytes of all request bodies together.
    pub http_sent_bytes: u64,
    /// Bytes of all response bodies together; a single one is limited by the door.
    pub http_received_bytes: u64,
    /// What one host call may copy out of a guest. 8 MiB: PROMISES §2.
    pub hostcall_bytes: usize,
    /// Entries of the WASI resource table. 1,000: PROMISES §2.
    pub resources: usize,
    /// Component-model handles alive at once. 4,096: WASM.md §2.3.
    pub handles: usize,
    /// What one call to `wasi:random` may return. 64 KiB: PROMISES §2.
    pub random_bytes: u64,
    /// One `wasi:http` header collection in memory. 64 KiB: PROMISES §3.
    pub field_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 * MIB,
            cpu: Duration::from_secs(1),
            fuel: fuel_beyond(Duration::from_secs(1)),
            wall: Duration::from_secs(30),
            memories: 4,
            tables: 32,
            table_elements: 100_000,
            instances: 32,
            input_bytes: MIB,
            output_bytes: MIB,
            json_depth: 64,
            events: 100,
            log_lines: 500,
            log_line_bytes: 4 * KIB,
            log_bytes: 256 * KIB,
            stderr_bytes: 64 * KIB,
            http_requests: 20,
            host_calls: 100,
            http_sent_bytes: 16 * MIB as u64,
            http_received_bytes: 64 * MIB as u64,
            hostcall_bytes: 8 * MIB,
            resources: 1_000,
            handles: 4_096,
            random_bytes: 64 * KIB as u64,
            field_bytes: 64 * KIB,
        }
    }
}

/// What the operator gives at most, whatever a manifest asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// 512 MiB: a Python guest with a large library. Also the size of a slot in the pool.
    pub memory_bytes: usize,
    /// One minute: a guest that parses megabytes in an interpreted language.
    pub cpu: Duration,
    /// As for [`Limits::fuel`]: beyond what a processor runs in a minute.
    pub fuel: u64,
    /// Ten minutes: the longest sensible answer of a slow API. A step's own timeout is usually shorter.
    pub wall: Duration,
    pub http_requests: u32,
    pub host_calls: u32,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self {
            memory_bytes: 512 * MIB,
            cpu: Duration::from_mins(1),
            fuel: fuel_beyond(Duration::from_mins(1)),
            wall: Duration::from_mins(10),
            http_requests: 1_000,
            host_calls: 1_000,
        }
    }
}

/// More instructions than a processor runs in `time`.
fn fuel_beyond(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().saturating_mul(10)).unwrap_or(u64::MAX)
}

impl Limits {
    /// What the manifest asks for (or the default where it is silent), cut to the operator's ceiling.
    #[must_use]
    pub fn effective(self, asked: &manifest::Limits, ceiling: &Ceiling) -> Self {
        let millis = |asked: Option<u32>, default: Duration| {
            asked.map_or(default, |millis| Duration::from_millis(u64::from(millis)))
        };
        let memory_bytes = asked
            .memory_mib
            .map_or(self.memory_bytes, |mib| usize::try_from(mib).unwrap_or(usize::MAX).saturating_mul(MIB));
        let cpu = millis(asked.cpu_ms, self.cpu).min(ceiling.cpu);
        // Who asks for more processor time and says nothing of fuel is not to meet a limit they never heard of.
        let scaled = u128::from(self.fuel) * cpu.max(self.cpu).as_nanos() / self.cpu.as_nanos().max(1);
        let fuel = asked.fuel.unwrap_or_else(|| u64::try_from(scaled).unwrap_or(u64::MAX));
        Self {
            memory_bytes: memory_bytes.min(ceiling.memory_bytes),
            cpu,
            fuel: fuel.min(ceiling.fuel),
            wall: millis(asked.wall_ms, self.wall).min(ceiling.wall),
            http_requests: asked.http_requests.unwrap_or(self.http_requests).min(ceiling.http_requests),
            host_calls: asked.host_calls.unwrap_or(self.host_calls).min(ceiling.host_calls),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_may_ask_for_less_and_for_more_but_never_above_the_ceiling() {
        let ceiling = Ceiling { memory_bytes: 128 * MIB, cpu: Duration::from_secs(2), ..Ceiling::default() };
        let effective = |asked| Limits::default().effective(&asked, &ceiling);
        let silent = effective(manifest::Limits::default());
        assert_eq!(silent, Limits::default());

        let modest = effective(manifest::Limits { memory_mib: Some(1), cpu_ms: Some(5), ..Default::default() });
        assert_eq!((modest.memory_bytes, modest.cpu), (MIB, Duration::from_millis(5)));

        let greedy = effective(manifest::Limits {
            memory_mib: Some(u32::MAX),
            cpu_ms: Some(u32::MAX),
            wall_ms: Some(u32::MAX),
            http_requests: Some(u32::MAX),
            host_calls: Some(u32::MAX),
            fuel: Some(u64::MAX),
        });
        assert_eq!((greedy.memory_bytes, greedy.cpu), (ceiling.memory_bytes, ceiling.cpu));
        assert_eq!(
            (greedy.wall, greedy.http_requests, greedy.host_calls),
            (ceiling.wall, ceiling.http_requests, ceiling.host_calls)
        );
        assert_eq!((modest.fuel, greedy.fuel), (Limits::default().fuel, ceiling.fuel));
    }

    #[test]
    fn more_processor_time_brings_the_fuel_for_it() {
        let effective = |asked| Limits::default().effective(&asked, &Ceiling::default()).fuel;
        let cpu_ms = Some(5_000);
        assert_eq!(effective(manifest::Limits { cpu_ms, ..Default::default() }), 50_000_000_000);
        assert_eq!(effective(manifest::Limits { cpu_ms, fuel: Some(7), ..Default::default() }), 7);
    }
}
