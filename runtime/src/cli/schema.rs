//! `flowcell schema`.

use crate::cli::output::Output;

pub(crate) fn run(output: &Output) {
    output.line(flowcell_core::workflow::schema::WORKFLOW.trim_end());
}
