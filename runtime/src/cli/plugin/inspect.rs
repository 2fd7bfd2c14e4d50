//! `flowcell plugin inspect FILE.wasm`: reads the file, runs nothing.

use std::path::PathBuf;

use clap::Args;

use crate::cli::output::Output;
use crate::cli::{Failure, input};

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The plugin
    file: PathBuf,
}

pub(crate) fn run(args: &Inspect, output: &Output) -> Result<(), Failure> {
    let bytes = input::read_file(&args.file, flowcell_registry::package::BYTES_MAX)?;
    let package = flowcell_registry::package::read(&bytes)
        .map_err(|error| anyhow::anyhow!("{}: {error}", args.file.display()))?;
    if output.is_json() {
        output.document(&package);
    } else {
        output.line(flowcell_registry::inspect::describe(&package).trim_end());
    }
    Ok(())
}
