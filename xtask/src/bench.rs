//! Measures Flowcell against a native proxy, in one run: machines differ and drift, ratios do not.
//!
//! Flowcell does its work durable (answered after the sync) and sandboxed (a fresh instance per call); the proxy keeps nothing.

mod bed;
mod grow;
mod load;
mod process;
mod sample;

use std::fs;

use anyhow::{Context, Result};

use crate::shell;
use bed::Bed;
pub(crate) use grow::Growth;
use load::{Load, median};
use sample::{Counted, measure, row};

const CONNECTIONS: [u32; 3] = [1, 16, 64];

/// How thoroughly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) seconds: u32,
    pub(crate) repeat: u32,
}

/// A kind of work; its workflow is `tests/bench/<name>.yaml`.
struct Work {
    name: &'static str,
    about: &'static str,
    counted: Counted,
}

/// PERF "The work".
const WORKS: [Work; 5] = [
    Work { name: "w1", about: "a webhook, four fields mapped, one POST", counted: Counted::AtReceiver(1) },
    Work {
        name: "w1-signed",
        about: "the same as an outbound webhook, signed (Standard Webhooks, HMAC and Ed25519)",
        counted: Counted::AtReceiver(1),
    },
    Work { name: "w1s", about: "the same, and the caller gets the run's answer", counted: Counted::ByAnswers },
    Work { name: "w2", about: "a webhook, set, respond; no outbound call", counted: Counted::ByAnswers },
    // Two calls, one for each of ten items, and the notification.
    Work {
        name: "w5",
        about: "a condition, two calls, a loop of ten, a notification",
        counted: Counted::AtReceiver(13),
    },
];

pub(crate) fn run(effort: Effort, growth: Option<Growth>) -> Result<()> {
    load::require_wrk()?;
    let mut bed = Bed::make()?;
    let script = shell::root().join("tests/bench/post.lua");
    println!("\n  idle: {:.1} MiB (proportional set size)", bed.server.memory_mib()?);
    if let Some(growth) = growth {
        return grow::run(&mut bed, &text_of("w1")?, &script, growth);
    }
    for work in WORKS {
        let hook = bed.apply(&text_of(work.name)?)?;
        let proxy_url = bed::proxy_url();
        shell::step(&format!("{}: {}", work.name.to_uppercase(), work.about));
        let load = |url, connections, seconds| Load { url, connections, seconds, script: &script };
        measure(&bed.proxy, &load(&proxy_url, 16, 1), Counted::ByAnswers)?; // warm-up
        measure(&bed.server, &load(&hook, 16, 2), work.counted)?;
        println!(
            "  c   |  proxy /s   p50 ms   p99 ms  CPU µs |  flowcell   p50 ms   p99 ms  CPU µs |  ratio (medians of {})",
            effort.repeat
        );
        for connections in CONNECTIONS {
            let (mut native, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..effort.repeat {
                let one = measure(&bed.proxy, &load(&proxy_url, connections, effort.seconds), Counted::ByAnswers)?;
                let other = measure(&bed.server, &load(&hook, connections, effort.seconds), work.counted)?;
                ratios.push(other.per_second / one.per_second);
                native.push(one);
                ours.push(other);
            }
            println!("  {connections:<3} | {} | {} |  {:.3}", row(&native), row(&ours), median(ratios.iter().copied()));
        }
    }
    println!("\n  memory after the load: {:.1} MiB", bed.server.memory_mib()?);
    Ok(())
}

fn text_of(work: &str) -> Result<String> {
    let file = shell::root().join("tests/bench").join(work).with_extension("yaml");
    fs::read_to_string(&file).with_context(|| format!("{} cannot be read", shell::short(&file)))
}
