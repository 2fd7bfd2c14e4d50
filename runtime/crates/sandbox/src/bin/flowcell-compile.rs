//! The compile child by itself. The tests and examples of this crate start it; `flowcell` starts itself instead.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowcell_sandbox::compile::child::child_main(std::env::args_os().skip(1))
}
