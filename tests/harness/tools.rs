//! Public libraries of those Flowcell talks to, which tests check it against. `cargo xtask tools` sets them up; tests only run them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Node.js about to run `script` (the text of an ECMAScript module) with `arguments`; it may import what stands in `tests/tools/package.json`.
/// Its standard input, output and working directory are the caller's to set, except that the working directory finds the packages.
pub fn node(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(tool("bin/node"));
    command.args(["--input-type=module", "--eval", script, "--"]).args(arguments).current_dir(tool("node"));
    command.stdin(Stdio::null());
    command
}

/// Python about to run `script` with `arguments`; it may import what stands in `tests/tools/requirements.txt`.
pub fn python(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(tool("python/bin/python"));
    command.args(["-I", "-c", script]).args(arguments).stdin(Stdio::null());
    command
}

/// What a tool printed; panics with its own words when it failed.
pub fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "a test tool failed ({}):\n{said}", output.status);
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn tool(path: &str) -> PathBuf {
    let tool = crate::root().join("target/tools").join(path);
    assert!(tool.exists(), "{} is missing: run `cargo xtask tools` first", tool.display());
    tool
}
