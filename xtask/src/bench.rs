//! Measures the main job (W1) against the native proxy, in one run: machines differ and drift, ratios do not.
//!
//! Flowcell does W1 durable (answered after the sync) and sandboxed (a fresh instance per call); the proxy keeps nothing.

mod load;
mod process;

use std::fs;

use anyhow::{Context, Result};

use crate::{guests, shell};
use load::{Load, median};
use process::Process;

const SINK_PORT: u16 = 9100;
const PROXY_PORT: u16 = 9102;
const FLOWCELL_PORT: u16 = 9103;
const CONNECTIONS: [u32; 3] = [1, 16, 64];

/// One measurement of one server.
#[derive(Debug, Clone, Copy)]
struct Sample {
    runs_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us_per_run: f64,
}

pub(crate) fn run(seconds: u32, repeat: u32) -> Result<()> {
    load::require_wrk()?;
    guests::build()?;
    let flowcell = shell::build_flowcell(shell::Profile::Release)?;
    shell::run(shell::cargo().args(["build", "--locked", "--release", "--package", "flowcell-tests", "--bins"]))?;
    let peers = shell::target().join("release");

    let folder = shell::target().join("bench");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let _sink = Process::start(&peers.join("sink"), &[&SINK_PORT.to_string()], SINK_PORT)?;
    let sink_url = format!("http://127.0.0.1:{SINK_PORT}/hook");
    let proxy = Process::start(&peers.join("native-proxy"), &[&PROXY_PORT.to_string(), &sink_url], PROXY_PORT)?;
    let data = folder.join("data");
    let data = data.to_str().context("the checkout's path is not UTF-8")?;
    let listen = format!("127.0.0.1:{FLOWCELL_PORT}");
    let server = Process::start(
        &flowcell,
        &["serve", "--data", data, "--listen", &listen, "--egress-allow", "127.0.0.1/32"],
        FLOWCELL_PORT,
    )?;

    let workflow = shell::root().join("tests/bench/w1.yaml");
    let mut apply = std::process::Command::new(&flowcell);
    apply.args(["workflow", "apply"]).arg(workflow).args([
        "--json",
        "--data",
        data,
        "--server",
        &format!("http://{listen}"),
    ]);
    let applied: serde_json::Value = serde_json::from_str(&shell::output(&mut apply)?)?;
    let hook = applied.pointer("/triggers/0/url").and_then(|url| url.as_str()).context("no trigger URL")?.to_owned();
    let proxy_url = format!("http://127.0.0.1:{PROXY_PORT}/");

    shell::step("W1");
    println!("  idle: {:.1} MiB (proportional set size)", server.memory_mib()?);
    let script = shell::root().join("tests/bench/post.lua");
    for (process, url) in [(&proxy, &proxy_url), (&server, &hook)] {
        measure(process, &Load { url, connections: 16, seconds: 2, script: &script })?; // warm-up
    }
    println!(
        "  c   |  native proxy /s   p50 ms   p99 ms  CPU µs |  flowcell runs/s  ack p50 ms   p99 ms  CPU µs |  ratio (medians of {repeat})"
    );
    for connections in CONNECTIONS {
        let (mut native, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..repeat {
            let one = measure(&proxy, &Load { url: &proxy_url, connections, seconds, script: &script })?;
            let other = measure(&server, &Load { url: &hook, connections, seconds, script: &script })?;
            ratios.push(other.runs_per_s / one.runs_per_s);
            native.push(one);
            ours.push(other);
        }
        println!("  {connections:<3} | {} | {} |  {:.3}", row(&native), row(&ours), median(ratios.iter().copied()));
    }
    println!("  memory after the load: {:.1} MiB", server.memory_mib()?);
    Ok(())
}

/// Loads one server, counts what reached the sink meanwhile, and waits until all of it has.
fn measure(process: &Process, load: &Load<'_>) -> Result<Sample> {
    let cpu_before = process.cpu_seconds()?;
    let count_before = sink_count()?;
    let report = load.run()?;
    let reached = sink_count()? - count_before;
    let total = settle()? - count_before;
    let cpu = process.cpu_seconds()? - cpu_before;
    Ok(Sample {
        runs_per_s: number(reached) / f64::from(load.seconds),
        p50_ms: report.p50_ms,
        p99_ms: report.p99_ms,
        cpu_us_per_run: cpu * 1e6 / number(total.max(1)),
    })
}

/// Waits until nothing more arrives at the sink.
fn settle() -> Result<u64> {
    let mut last = sink_count()?;
    loop {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = sink_count()?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
}

fn sink_count() -> Result<u64> {
    let text = ureq::get(format!("http://127.0.0.1:{SINK_PORT}/count")).call()?.body_mut().read_to_string()?;
    text.parse().context("the sink's count is no number")
}

/// A count as a floating-point number; counts stay far below what it holds exactly.
fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn row(samples: &[Sample]) -> String {
    let of = |pick: fn(&Sample) -> f64| median(samples.iter().map(pick));
    format!(
        "{:>16.0} {:>8.2} {:>8.2} {:>7.0}",
        of(|s| s.runs_per_s),
        of(|s| s.p50_ms),
        of(|s| s.p99_ms),
        of(|s| s.cpu_us_per_run)
    )
}
