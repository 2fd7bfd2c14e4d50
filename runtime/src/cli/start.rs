//! `flowcell workflow start`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style};
use crate::cli::{Failure, input, run};
use crate::client::Client;

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The workflow's id
    id: String,
    /// The input, JSON; `-` reads standard input [default: an empty object]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Wait until the run has ended or somebody has to decide; exit code 1 when it did not succeed
    #[arg(long)]
    wait: bool,
    /// How long to wait at most, in seconds
    #[arg(long, default_value_t = 60, requires = "wait", value_name = "SECONDS")]
    timeout: u64,
}

pub(crate) async fn run(args: &Start, client: &Client, output: &Output) -> Result<(), Failure> {
    let input = args.input.as_deref().map(input::read_json).transpose()?;
    let path = format!("workflows/{}/runs", path_segment(&args.id));
    let started = client.post_json(&path, input.as_ref()).await?;
    let runs: Vec<String> = items(&started, "/run_ids").iter().map(|run| text_of(run, "")).collect();
    if let (true, Some(run)) = (args.wait, runs.first()) {
        return run::show_when_ended(run.clone(), args.timeout, client, output).await;
    }
    if output.is_json() {
        output.document(&started);
        return Ok(());
    }
    if at(&started, "/filtered") == true {
        output.line("No run was started: the trigger's filter does not hold for this input.");
        output.line(format!("`flowcell trigger show {}` tells why.", args.id));
    }
    for run in &runs {
        output.line(format!("{} started {run}", output.paint(Style::Good, "✓")));
    }
    for run in items(&started, "/skipped_for") {
        output.line(format!("No run was started: {} is about the same and goes on.", text_of(run, "")));
    }
    for run in items(&started, "/replaced") {
        output.line(format!("  it replaces {}", text_of(run, "")));
    }
    Ok(())
}
