//! The main job again when the store has grown: many finished runs, many waiting ones, many workflows.

use std::path::Path;

use anyhow::Result;

use super::bed::{Bed, settle, sink_count};
use super::load::Load;
use super::sample::{Counted, measure, row};
use crate::shell;

/// What the store is filled with (PERF: 10⁶ finished runs, 10⁵ waiting timers, 1,000 workflows, 100 plugins).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    pub(crate) plugins: u32,
    pub(crate) runs: u64,
    pub(crate) timers: u64,
    pub(crate) workflows: u64,
}

const WAITS: &str = "id: waits\nname: Waits for a month\ntrigger: { uses: flowcell/webhook/inbound@1 }\nsteps:\n  - id: pause\n    wait: { for: 30d }\n";

/// Seconds of load between two looks at how much is there.
const FILL_SECONDS: u32 = 5;

pub(super) fn run(bed: &mut Bed, w1: &str, script: &Path, growth: Growth) -> Result<()> {
    shell::step("Grow: W1 at 64 connections as the store grows");
    let hook = bed.apply(w1)?;
    say(bed, "an empty store", &hook, script)?;
    if growth.plugins > 0 {
        bed.restart_with_plugins(growth.plugins)?;
        say(bed, &format!("+ {} plugins", growth.plugins), &hook, script)?;
    }
    if growth.workflows > 0 {
        for number in 0..growth.workflows {
            bed.apply(&w1.replacen("id: w1", &format!("id: w1-{number}"), 1))?;
        }
        say(bed, &format!("+ {} workflows", growth.workflows), &hook, script)?;
    }
    if growth.timers > 0 {
        let waits = bed.apply(WAITS)?;
        let mut there = 0;
        while there < growth.timers {
            there += Load { url: &waits, connections: 64, seconds: FILL_SECONDS, script }.run()?.answers;
        }
        say(bed, &format!("+ {there} waiting runs"), &hook, script)?;
    }
    if growth.runs > 0 {
        let before = sink_count()?;
        let mut there = 0;
        while there < growth.runs {
            Load { url: &hook, connections: 64, seconds: FILL_SECONDS, script }.run()?;
            there = settle()? - before;
        }
        say(bed, &format!("+ {there} finished runs"), &hook, script)?;
    }
    let started = shell::now();
    bed.restart()?;
    println!("  killed; serving again after {:.1} s", started.elapsed().as_secs_f64());
    say(bed, "after the restart", &hook, script)
}

fn say(bed: &Bed, what: &str, hook: &str, script: &Path) -> Result<()> {
    let mut samples = Vec::new();
    for _ in 0..3 {
        let load = Load { url: hook, connections: 64, seconds: 3, script };
        samples.push(measure(&bed.server, &load, Counted::AtReceiver(1))?);
    }
    println!("  {what:<28} {} | {:.1} MiB", row(&samples), bed.server.memory_mib()?);
    Ok(())
}
