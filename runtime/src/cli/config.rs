//! `flowcell config default`.

use clap::Subcommand;

use crate::cli::Failure;
use crate::cli::output::Output;
use crate::config::DEFAULT_TEXT;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print every key with its default and what it is for
    Default,
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<(), Failure> {
    match command {
        // JSON has no comments: what stays are the keys that have a default.
        Command::Default if output.is_json() => {
            output.document(&toml::from_str::<toml::Value>(DEFAULT_TEXT).map_err(anyhow::Error::from)?);
        }
        Command::Default => output.line(DEFAULT_TEXT.trim_end()),
    }
    Ok(())
}
