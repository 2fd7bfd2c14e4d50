//! Sets up the other side of the tests: libraries of those Flowcell talks to, from the registries of Python and npm, pinned by their lock files in
//! `tests/tools`. They stand in `target/tools` afterwards; nothing of them is part of Flowcell, and no test installs anything itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::shell;

/// The oldest Node.js that every package of `tests/tools/package.json` accepts.
const NODE_MAJOR_MIN: u32 = 20;

/// Where tests find them: `python/bin/python`, `bin/node` and `node/node_modules`.
fn folder() -> PathBuf {
    shell::root().join("target/tools")
}

fn lock(name: &str) -> PathBuf {
    shell::root().join("tests/tools").join(name)
}

/// Installs what is not there yet, or is pinned to something else now.
pub(crate) fn set_up() -> Result<()> {
    shell::step("Libraries that tests check against");
    fs::create_dir_all(folder().join("bin"))?;
    let python = python()?;
    let node = node(&python)?;
    packages(&node)?;
    println!("  {}", shell::short(&folder()));
    Ok(())
}

/// A virtual environment with `requirements.txt`. Returns its interpreter.
fn python() -> Result<PathBuf> {
    let environment = folder().join("python");
    let interpreter = environment.join("bin/python");
    let requirements = lock("requirements.txt");
    once(&environment, &[&requirements], || {
        let Some(python) = found("python3") else {
            bail!(
                "there is no `python3`: install Python 3.9 or newer with its venv module (Debian: `apt install python3 python3-venv`)"
            );
        };
        shell::run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&environment)).context(
            "Python cannot make virtual environments; install its venv module (Debian: `apt install python3-venv`)",
        )?;
        pip(&interpreter, &requirements)
    })?;
    Ok(interpreter)
}

/// The machine's Node.js when it is new enough and has npm, else one that comes as a Python package. Returns the folder of `node` and `npm`.
fn node(python: &Path) -> Result<PathBuf> {
    let link = folder().join("bin/node");
    let program = match found("node").filter(|node| major(node) >= Some(NODE_MAJOR_MIN)) {
        Some(node) if found("npm").is_some() => node,
        _ => {
            let environment = python.parent().and_then(Path::parent).context("an environment has a folder")?;
            let requirements = lock("node-requirements.txt");
            once(&environment.join("node"), &[&requirements], || pip(python, &requirements))?;
            environment.join("bin/node")
        }
    };
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    std::os::unix::fs::symlink(&program, &link)?;
    Ok(program.parent().context("a program stands in a folder")?.to_owned())
}

/// `node_modules`, exactly as `package-lock.json` has it; no package runs a script.
fn packages(node: &Path) -> Result<()> {
    let modules = folder().join("node");
    let locks = [lock("package.json"), lock("package-lock.json")];
    once(&modules, &[&locks[0], &locks[1]], || {
        fs::create_dir_all(&modules)?;
        for lock in &locks {
            fs::copy(lock, modules.join(lock.file_name().unwrap_or_default()))?;
        }
        let npm = if node.join("npm").exists() { node.join("npm") } else { PathBuf::from("npm") };
        // npm looks for `node` by name.
        let path = std::env::join_paths(std::iter::once(node.to_owned()).chain(search_path()))?;
        shell::run(
            Command::new(npm)
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
                .current_dir(&modules)
                .env("PATH", path),
        )
    })
}

fn pip(python: &Path, requirements: &Path) -> Result<()> {
    shell::run(
        Command::new(python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"])
            .arg(requirements),
    )
    .context("Python's package registry must be within reach once; what was installed is kept in target/tools")
}

/// Runs `install` unless it ran to its end for the same lock files before. What it leaves half done is done anew.
fn once(folder: &Path, locks: &[&Path], install: impl FnOnce() -> Result<()>) -> Result<()> {
    let wanted = locks
        .iter()
        .map(|lock| fs::read_to_string(lock).with_context(|| format!("{} cannot be read", shell::short(lock))))
        .collect::<Result<Vec<_>>>()?
        .concat();
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    install()?;
    fs::create_dir_all(folder)?;
    Ok(fs::write(stamp, wanted)?)
}

/// A program of the machine, by its name.
fn found(name: &str) -> Option<PathBuf> {
    search_path().into_iter().map(|folder| folder.join(name)).find(|program| program.is_file())
}

#[expect(clippy::disallowed_methods, reason = "a build tool finds programs as a shell does")]
fn search_path() -> Vec<PathBuf> {
    std::env::var("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// 20 of `v20.1.0`.
fn major(node: &Path) -> Option<u32> {
    let output = Command::new(node).arg("--version").stdin(Stdio::null()).output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}
