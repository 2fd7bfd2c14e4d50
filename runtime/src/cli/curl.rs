//! `flowcell curl import|export`: a cURL command as a workflow's step, and a step's requests as cURL commands.

mod arguments;
mod export;
mod step;
mod words;

use std::io::Read as _;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::output::Output;
use crate::cli::{Failure, Global};
use crate::config::Environment;

/// The length of a command line that Linux takes as one argument; API documentation stays far below.
const COMMAND_BYTES_MAX: u64 = 128 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Turn a cURL command into a step of a workflow; credentials become a connection
    Import(Import),
    /// Print the requests of a workflow's dry run as cURL commands; nothing is sent, and no credential is in them
    Export(export::Export),
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The command in quotes; without it, standard input is read
    command: Option<String>,
    /// The step's id
    #[arg(long, value_name = "ID", default_value = "request")]
    step: String,
}

pub(crate) fn run(
    command: &Command,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<(), Failure> {
    match command {
        Command::Import(import) => bring_in(import, output),
        Command::Export(export) => export::run(export, global, environment, output),
    }
}

fn bring_in(args: &Import, output: &Output) -> Result<(), Failure> {
    let id = args.step.parse().map_err(|error| Failure::Usage(format!("--step: {error}")))?;
    let text = match &args.command {
        Some(text) => text.clone(),
        None => read_command().context("the command cannot be read from standard input")?,
    };
    let words = words::split(&text).map_err(|why| anyhow::anyhow!("this is no command line: {why}"))?;
    let request = arguments::read(words).map_err(|why| anyhow::anyhow!("{why}"))?;
    let imported = step::of(request, &id).map_err(|why| anyhow::anyhow!("{why}"))?;
    if output.is_json() {
        output.document(&json!({ "step": imported.step, "connection": imported.connection, "notes": imported.notes }));
        return Ok(());
    }
    output.line(imported.yaml().trim_end());
    for note in &imported.notes {
        output.warning(note);
    }
    if let Some(connection) = &imported.connection {
        output.help(&format!(
            "the credential was left out; store it once, where no workflow and no log shows it:\n  {}",
            connection.command()
        ));
    }
    Ok(())
}

fn read_command() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().lock().take(COMMAND_BYTES_MAX + 1).read_to_string(&mut text)?;
    anyhow::ensure!(
        u64::try_from(text.len()).unwrap_or(u64::MAX) <= COMMAND_BYTES_MAX,
        "it has more than {COMMAND_BYTES_MAX} bytes"
    );
    Ok(text)
}

#[cfg(test)]
mod tests;
