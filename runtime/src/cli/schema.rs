//! `flowcell schema`.

use clap::{Args, ValueEnum};

use crate::cli::output::Output;

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Of which files
    #[arg(default_value = "workflow")]
    of: Files,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Files {
    Workflow,
    Tests,
}

pub(crate) fn run(args: &Schema, output: &Output) {
    let schema = match args.of {
        Files::Workflow => flowcell_core::workflow::schema::WORKFLOW,
        Files::Tests => flowcell_core::testcase::SCHEMA,
    };
    output.line(schema.trim_end());
}
