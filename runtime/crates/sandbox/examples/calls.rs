//! Measures calls of one action or webhook trigger, each in a fresh instance:
//! `cargo run --release -p flowcell-sandbox --example calls [-- COMPONENT MEMBER INPUT]`.
//!
//! Without arguments it calls the fixture that behaves. An action may send to 127.0.0.1, where the benchmark's receiver listens; a trigger is
//! configured with INPUT and gets the 297 bytes of W1 (PERF.md). Prints, for one and for two at a time, calls per second, the time of one call, and
//! processor time per call of the whole process (the guest's own share and its fuel in brackets); first, what compiling and loading cost.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss
)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use flowcell_core::capability::{Origin, StepScope, UrlScope};
use flowcell_core::id::{Digest, RunId, WorkspaceId};
use flowcell_core::invoke::{ActionCall, WebhookCall, WebhookRequest};
use flowcell_core::manifest::{Manifest, SECTION};
use flowcell_core::plugin::Uses;
use flowcell_core::ports::{Catalog, CatalogError, Clock, Entropy, InstalledPlugin, Invoker as _, NoBlobs};
use flowcell_core::time::Timestamp;
use flowcell_sandbox::compile::{Compiler, child::child_main};
use flowcell_sandbox::egress::{Door, EgressConfig};
use flowcell_sandbox::{NoCredentials, NoServices, Ports, Sandbox, SandboxConfig, StaticGrants};
use serde_json::Value;

const CALLS: usize = 20_000;

/// W1's delivery.
const BODY: &str = r#"{"id":"evt_01JD2Q8Z6X4M9T7V5B3N1K0H2G","type":"order.paid","created":"2026-11-23T08:00:00Z","data":{"order":"10482","customer":{"email":"ada@example.com","name":"Ada Lovelace","company":"Analytical Engines Ltd"},"amount":4200,"currency":"EUR","items":3},"livemode":false,"attempt":1,"source":"shop"}"#;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next_if(|arg| arg == "__compile").is_some() {
        return child_main(args);
    }
    let args: Vec<String> = args.map(|arg| arg.into_string().unwrap()).collect();
    let arg = |index: usize, default: &str| args.get(index).cloned().unwrap_or_else(|| default.to_owned());
    let component = arg(0, concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/guests/fixture-hostile.wasm"));
    let input = serde_json::from_str(&arg(2, r#"{"say": "hello"}"#)).expect("INPUT is JSON");
    let bytes =
        std::fs::read(&component).unwrap_or_else(|error| panic!("{component}: {error}; run `cargo xtask build` first"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(One(Arc::new(installed(bytes))), arg(1, "behave"), input));
    ExitCode::SUCCESS
}

async fn measure(plugin: One, action: String, input: Value) {
    let directory = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let ports = Ports {
        catalog: Arc::new(plugin.clone()),
        door: Door::new(
            EgressConfig { allow_addresses: vec!["127.0.0.0/8".parse().unwrap()], ..EgressConfig::default() },
            Arc::clone(&clock),
        ),
        grants: Arc::new(StaticGrants::default()),
        credentials: Arc::new(NoCredentials),
        blobs: Arc::new(NoBlobs),
        services: Arc::new(NoServices),
        clock,
        entropy: Arc::new(Random),
    };
    let config = || SandboxConfig::new(directory.path(), Compiler::this_program().unwrap());
    let digest = plugin.0.digest;
    for what in ["compile and load", "load from the cache"] {
        let sandbox = Sandbox::new(config(), ports.clone()).unwrap();
        let started = Instant::now();
        assert_eq!(sandbox.prepare([digest]).await, Vec::new());
        println!("{what:<20} {:>8.2} ms", started.elapsed().as_secs_f64() * 1e3);
    }
    let sandbox = Arc::new(Sandbox::new(config(), ports).unwrap());
    sandbox.prepare([digest]).await;
    println!("instances            {:?}", sandbox.allocation());
    let calling = if plugin.0.manifest.action(&action).is_some() {
        Calling::Action(call(digest, &action, &input))
    } else {
        Calling::Trigger(delivery(digest, &action, &input))
    };
    for at_once in [1, 2] {
        let (started, cpu) = (Instant::now(), process_cpu());
        let callers: Vec<_> = (0..at_once)
            .map(|_| tokio::spawn(repeat(Arc::clone(&sandbox), calling.clone(), CALLS / at_once)))
            .collect();
        let (mut times, mut guest, mut fuel) = (Vec::new(), 0.0, 0);
        for caller in callers {
            let (theirs, cpu_ms, burnt) = caller.await.unwrap();
            times.extend(theirs);
            guest += cpu_ms;
            fuel += burnt;
        }
        let (elapsed, cpu) = (started.elapsed(), process_cpu().saturating_sub(cpu));
        times.sort();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "{at_once} at once: {:>8.0} calls/s, p50 {:.1} µs, p99 {:.1} µs, processor {:.1} µs per call ({:.1} instance and guest, {} fuel)",
            times.len() as f64 / elapsed.as_secs_f64(),
            micros(times[times.len() / 2]),
            micros(times[times.len() * 99 / 100]),
            micros(cpu) / times.len() as f64,
            guest * 1e3 / times.len() as f64,
            fuel / times.len() as u64,
        );
    }
}

#[derive(Clone)]
enum Calling {
    Action(ActionCall),
    Trigger(WebhookCall),
}

async fn repeat(sandbox: Arc<Sandbox>, calling: Calling, calls: usize) -> (Vec<Duration>, f64, u64) {
    let (mut times, mut cpu_ms, mut fuel) = (Vec::with_capacity(calls), 0.0, 0);
    for _ in 0..calls {
        let calling = calling.clone();
        let started = Instant::now();
        let record = match calling {
            Calling::Action(call) => {
                let answer = sandbox.invoke(call).await;
                answer.outcome.expect("the call succeeds");
                answer.record
            }
            Calling::Trigger(call) => {
                let answer = sandbox.on_webhook(call).await;
                answer.outcome.expect("the call succeeds");
                answer.record
            }
        };
        times.push(started.elapsed());
        cpu_ms += record.cpu_ms;
        fuel += record.fuel;
    }
    (times, cpu_ms, fuel)
}

fn delivery(digest: Digest, trigger: &str, config: &Value) -> WebhookCall {
    let headers = [("content-type", "application/json"), ("user-agent", "wrk"), ("host", "127.0.0.1:8080")];
    WebhookCall {
        digest,
        trigger: trigger.into(),
        workspace: WorkspaceId::default_workspace(),
        workflow: "measure".parse().unwrap(),
        deadline: RealClock.now() + Duration::from_hours(1),
        config: config.clone(),
        connection: None,
        request: WebhookRequest {
            method: "POST".into(),
            path: "/".into(),
            query: String::new(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: BODY.as_bytes().to_vec(),
        },
    }
}

fn call(digest: Digest, action: &str, input: &Value) -> ActionCall {
    ActionCall {
        digest,
        action: action.into(),
        workspace: WorkspaceId::default_workspace(),
        workflow: "measure".parse().unwrap(),
        run: RunId::from_parts(RealClock.now(), 1),
        step: "call".parse().unwrap(),
        attempt: 1,
        idempotency_key: "key".into(),
        deadline: RealClock.now() + Duration::from_hours(1),
        input: input.clone(),
        connection: None,
        scope: StepScope {
            urls: input["url"]
                .as_str()
                .and_then(|url| Origin::of(&url.parse().ok()?))
                .map(|origin| ("url".to_owned(), UrlScope::Fixed { origin }))
                .into_iter()
                .collect(),
        },
    }
}

fn installed(bytes: Vec<u8>) -> InstalledPlugin {
    let sections = wasmparser::Parser::new(0).parse_all(&bytes);
    let manifest = sections.filter_map(Result::ok).find_map(|payload| match payload {
        wasmparser::Payload::CustomSection(section) if section.name() == SECTION => {
            serde_json::from_slice::<Manifest>(section.data()).ok()
        }
        _ => None,
    });
    let manifest = manifest.expect("a plugin with a manifest");
    InstalledPlugin { manifest, digest: Digest::of(&bytes), bytes: bytes.into(), origin: "built in".into() }
}

fn process_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::from_secs_f64(now.tv_sec as f64 + now.tv_nsec as f64 / 1e9)
}

#[derive(Clone)]
struct One(Arc<InstalledPlugin>);

impl Catalog for One {
    fn resolve(&self, _: &Uses) -> Result<Arc<InstalledPlugin>, CatalogError> {
        Ok(Arc::clone(&self.0))
    }
    fn by_digest(&self, digest: &Digest) -> Option<Arc<InstalledPlugin>> {
        (self.0.digest == *digest).then(|| Arc::clone(&self.0))
    }
    fn list(&self) -> Vec<Arc<InstalledPlugin>> {
        vec![Arc::clone(&self.0)]
    }
}

struct RealClock;

#[async_trait::async_trait]
impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }
    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep(at.since(self.now())).await;
    }
}

struct Random;

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system has randomness");
    }
}
