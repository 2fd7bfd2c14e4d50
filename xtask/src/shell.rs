//! Running other programs, and saying so.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo's target directory, wherever it was put.
pub(crate) fn target() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "a build tool honours Cargo's own variable")]
    match std::env::var("CARGO_TARGET_DIR") {
        Ok(dir) => root().join(dir),
        Err(_) => root().join("target"),
    }
}

/// The path as a person in the checkout would type it.
pub(crate) fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// A heading for what comes next.
pub(crate) fn step(title: &str) {
    println!("\n\x1b[1m── {title}\x1b[0m");
}

/// The toolchain's Cargo, in the root of the checkout.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root());
    command
}

/// Runs a command to its end; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    println!("$ {shown}");
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("`{shown}` could not be started"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status}); its own words stand above");
    }
    Ok(())
}

/// Runs a command and gives back what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("`{shown}` could not be started"))?;
    if !output.status.success() {
        bail!("`{shown}` failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Builds the `flowcell` binary, with the plugins that stand in `target/guests` embedded.
pub(crate) fn build_flowcell(profile: Profile) -> Result<PathBuf> {
    step("Building the host");
    let started = now();
    let mut command = cargo();
    command.args(["build", "--locked", "--package", "flowcell"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    run(&mut command)?;
    println!("  {:.0} s", started.elapsed().as_secs_f64());
    let folder = if profile == Profile::Release { "release" } else { "debug" };
    Ok(target().join(folder).join("flowcell"))
}

#[expect(clippy::disallowed_methods, reason = "a build tool has no simulated time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program).chain(command.get_args()).map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
