//! `flowcell plugin examples DIR…`: runs the examples in a plugin's README and holds them against what stands there. Nothing leaves: requests are
//! answered by the example. With `--write`, the table of what calls cost is written anew.

mod example;
mod readme;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use flowcell_core::plugin::Uses;
use flowcell_core::run::fold::Run;
use flowcell_core::testcase::Mismatch;
use serde_json::json;

use self::example::Example;
use self::readme::{Cost, Measured};
use crate::cli::output::{Output, Style, bytes, printable};
use crate::cli::rehearse::{open_stage, plural};
use crate::cli::{Failure, Global, input};
use crate::config::Environment;
use crate::rehearsal::{NoRun, Played, Script, Stage};

/// How often an example is run for the table; of the processor time the median counts.
const RUNS_MEASURED: usize = 21;

#[derive(Debug, Args)]
pub(crate) struct Examples {
    /// Plugins' folders, each with a README.md
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Measure, and write the table of what calls cost anew
    #[arg(long)]
    write: bool,
    /// A folder with more plugins than the built-in ones
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
}

/// An example and what came of it.
struct Ran {
    example: Example,
    mismatches: Vec<Mismatch>,
    notes: Vec<String>,
    cost: Cost,
}

pub(crate) fn run(args: &Examples, global: &Global, environment: &Environment, output: &Output) -> Result<(), Failure> {
    let stage = open_stage(None, &args.plugins, (global, environment))?;
    let (mut count, mut failed, mut documents) = (0, 0, Vec::new());
    for folder in &args.folders {
        let file = folder.join("README.md");
        let text = read(&file)?;
        let ran = run_all(&text, &file, &stage, if args.write { RUNS_MEASURED } else { 1 })?;
        let measured = measured(&stage, &ran)?;
        let stale = if args.write {
            let written = readme::with_table(&text, &measured);
            let written = written.map_err(|error| anyhow!("{}: {error}", file.display()))?;
            if written != text {
                input::replace_file(&file, &written)?;
            }
            None
        } else {
            readme::stale(&text, &measured)
        };
        count += ran.len();
        failed += ran.iter().filter(|ran| !ran.mismatches.is_empty()).count() + usize::from(stale.is_some());
        if output.is_json() {
            documents.push(document(&file, &ran, stale.as_deref()));
        } else {
            print(&file, &ran, stale.as_deref(), output);
        }
    }
    if output.is_json() {
        output.document(&json!({ "examples": count, "failed": failed, "files": documents }));
    } else {
        output.line("");
        let style = if failed > 0 { Style::Bad } else { Style::Good };
        output.line(output.paint(style, format!("{}, {failed} problems", plural(count, "example"))));
    }
    if failed > 0 { Err(Failure::Reported) } else { Ok(()) }
}

fn read(file: &Path) -> Result<String> {
    let bytes = input::read_file(file, readme::BYTES_MAX)?;
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))
}

fn run_all(text: &str, file: &Path, stage: &Stage, times: usize) -> Result<Vec<Ran>, Failure> {
    let mut ran = Vec::new();
    for block in readme::examples(text) {
        let wrong = |message: String| anyhow!("{}:{}: {message}", file.display(), block.line);
        let example = Example::read(&block, stage).map_err(wrong)?;
        stage.prepare([&example.workflow])?;
        let mut costs = Vec::new();
        let mut first = None;
        for _ in 0..times {
            let script = Script {
                workflow: &example.workflow,
                others: &[],
                start: example.start.clone(),
                now: example.case.now,
                pins: example.case.pins.clone(),
                answers: example.case.answers.clone(),
            };
            let played = stage.play(script);
            costs.push(played.as_ref().map(|played| cost(&example, played)).unwrap_or_default());
            first.get_or_insert(played);
        }
        let (mismatches, notes) = match first {
            Some(Ok(played)) => (example.case.expect.check(&played.story), played.notes),
            Some(Err(NoRun::NotStarted(said))) => {
                (example.case.expect.without_run(&said).into_iter().collect(), Vec::new())
            }
            Some(Err(NoRun::Other(error))) => return Err(wrong(format!("{error:#}")).into()),
            None => (Vec::new(), Vec::new()),
        };
        ran.push(Ran { cost: Cost::median(costs), example, mismatches, notes });
    }
    Ok(ran)
}

/// What the example's call took; of a trigger nothing is known.
fn cost(example: &Example, played: &Played) -> Cost {
    let run = Run::fold(played.story.run, &played.journal).ok();
    let step = run.as_ref().and_then(|run| run.steps.first()).filter(|_| example.is_action());
    let call = step.and_then(|(_, state)| state.attempts.first()).and_then(|attempt| attempt.call.as_ref());
    call.map(|call| Cost { cpu_ms: call.cpu_ms, fuel: call.fuel, memory_bytes: call.memory_bytes }).unwrap_or_default()
}

/// The sizes of the plugins and the costs of their calls, for the table.
fn measured(stage: &Stage, ran: &[Ran]) -> Result<Measured> {
    let mut uses: Vec<&Uses> = ran.iter().map(|ran| &ran.example.uses).collect();
    uses.sort();
    uses.dedup_by(|a, b| a.plugin == b.plugin);
    let Some(first) = uses.first() else { return Ok(Measured::default()) };
    let plugin = stage.catalog().resolve(first)?;
    let calls = ran.iter().filter(|ran| ran.example.is_action());
    Ok(Measured {
        bytes: u64::try_from(plugin.bytes.len()).unwrap_or(u64::MAX),
        calls: calls.map(|ran| (ran.example.title.clone(), ran.cost)).collect(),
    })
}

fn print(file: &Path, ran: &[Ran], stale: Option<&str>, output: &Output) {
    output.line(output.paint(Style::Strong, file.display()));
    for ran in ran {
        let (mark, style) = if ran.mismatches.is_empty() { ("✓", Style::Good) } else { ("✗", Style::Bad) };
        let cost = format!("{} instructions, {}", ran.cost.fuel, bytes(ran.cost.memory_bytes));
        let cost = if ran.example.is_action() { output.paint(Style::Faint, cost) } else { String::new() };
        output.line(format!("  {} {}  {cost}", output.paint(style, mark), printable(&ran.example.title)));
        for mismatch in &ran.mismatches {
            output.line(format!("      {}", output.paint(Style::Strong, printable(&mismatch.what))));
            output.line(format!("        expected  {}", printable(&mismatch.expected)));
            output.line(format!("        came      {}", printable(&mismatch.came)));
        }
        if !ran.mismatches.is_empty() {
            for note in &ran.notes {
                output.line(format!("      {}", printable(note)));
            }
            output.line(output.paint(Style::Faint, format!("      {}:{}", file.display(), ran.example.line)));
        }
    }
    if let Some(stale) = stale {
        output.line(format!("  {} {stale}", output.paint(Style::Bad, "✗")));
        output.help(&format!("flowcell plugin examples {} --write", file.parent().unwrap_or(file).display()));
    }
}

fn document(file: &Path, ran: &[Ran], stale: Option<&str>) -> serde_json::Value {
    let examples = ran.iter().map(|ran| {
        json!({
            "title": ran.example.title, "uses": ran.example.uses, "line": ran.example.line, "problems": ran.mismatches,
            "cost": { "cpu_ms": ran.cost.cpu_ms, "fuel": ran.cost.fuel, "memory_bytes": ran.cost.memory_bytes },
        })
    });
    json!({ "file": file, "table": stale, "examples": examples.collect::<Vec<_>>() })
}
