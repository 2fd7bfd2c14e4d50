//! Builds the guests: plugins and test fixtures, from Rust to components with their manifests.
//!
//! They stand in `target/guests/<package>.wasm` afterwards: the host's build embeds the plugins from there, tests read the fixtures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::shell;

const TARGET: &str = "wasm32-unknown-unknown";

/// Package and folder of every guest in the workspace.
const GUESTS: &[(&str, &str)] = &[
    ("flowcell-webhook", "plugins/webhook"),
    ("flowcell-custom-webhook", "plugins/custom-webhook"),
    ("flowcell-contacts", "plugins/contacts"),
    ("flowcell-google-sheets", "plugins/google-sheets"),
    ("flowcell-notifications", "plugins/notifications"),
    ("flowcell-data", "plugins/data"),
    ("hello-plugin", "examples/hello-plugin"),
    ("fixture-feed", "tests/fixtures/feed"),
    ("fixture-hostile", "tests/fixtures/hostile"),
    ("fixture-services", "tests/fixtures/services"),
    ("fixture-thief", "tests/fixtures/thief"),
    ("fixture-wasi-http", "tests/fixtures/wasi-http"),
];

/// Where finished components stand.
pub(crate) fn folder() -> PathBuf {
    shell::root().join("target/guests")
}

/// Runs the examples of every plugin's README, and writes what they cost into it.
pub(crate) fn write_readmes() -> Result<()> {
    build()?;
    let binary = shell::build_flowcell(shell::Profile::Release)?;
    shell::step("Running the examples of the plugins");
    let folders = GUESTS.iter().map(|(_, folder)| *folder).filter(|folder| folder.starts_with("plugins/"));
    let mut command = Command::new(binary);
    command.current_dir(shell::root()).args(["plugin", "examples", "--write"]).args(folders);
    shell::run(command.arg("--data").arg(shell::target().join("readmes")))
}

/// Builds every guest; those that did not change keep their file as it is, so that nothing is rebuilt on their account.
pub(crate) fn build() -> Result<()> {
    shell::step("Building the plugins");
    let started = shell::now();
    let mut cargo = compiler()?;
    cargo.args(["build", "--locked", "--profile", "guest", "--target", TARGET]);
    for (package, _) in GUESTS {
        cargo.args(["--package", package]);
    }
    shell::run(&mut cargo)?;
    fs::create_dir_all(folder()).context("target/guests cannot be created")?;
    for (package, source) in GUESTS {
        let component = package_one(package, &shell::root().join(source))?;
        let path = folder().join(format!("{package}.wasm"));
        if fs::read(&path).ok().as_deref() != Some(&component) {
            fs::write(&path, &component).with_context(|| format!("{} cannot be written", shell::short(&path)))?;
        }
        println!("  {:<36} {:>4} KiB", shell::short(&path), component.len() / 1024);
    }
    println!("  {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// The core module that Cargo left, made a component with its manifest inside.
fn package_one(package: &str, source: &Path) -> Result<Vec<u8>> {
    let module = shell::target().join(TARGET).join("guest").join(format!("{}.wasm", package.replace('-', "_")));
    let module = fs::read(&module).with_context(|| format!("{} is missing", shell::short(&module)))?;
    let manifest = source.join("plugin.toml");
    let manifest = fs::read_to_string(&manifest).with_context(|| format!("{} is missing", shell::short(&manifest)))?;
    flowcell_registry::package::build(&module, &manifest).with_context(|| format!("{package} cannot be packaged"))
}

/// A Cargo that can build for WebAssembly: ours with the target installed, or a distribution's that builds the standard library itself.
fn compiler() -> Result<Command> {
    let mut cargo = shell::cargo();
    // A small stack: the arena beside it is what keeps a call from growing its memory (see plugin-sdk/README.md).
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Clink-arg=-zstack-size=65536");
    if target_installed()? {
        return Ok(cargo);
    }
    println!("The target {TARGET} is not installed; trying `rustup target add {TARGET}` for up to 20 seconds.");
    if rustup_adds_target() && target_installed()? {
        return Ok(cargo);
    }
    if distribution_compiler()? {
        println!(
            "Using the distribution's compiler, which builds the standard library for {TARGET} once (about a minute)."
        );
        let sysroot = shell::output(Command::new("rustc").args(["--print", "sysroot"]))?;
        let mut cargo = Command::new("/usr/bin/cargo");
        cargo
            .current_dir(shell::root())
            .env_remove("CARGO")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", shell::target())
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Clink-arg=-zstack-size=65536")
            .env(
                "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER",
                format!("{sysroot}/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld"),
            )
            .arg("-Zbuild-std=std,panic_abort");
        return Ok(cargo);
    }
    bail!(
        "no compiler here can build for {TARGET}.\n\
         Install the target:      rustup target add {TARGET}\n\
         or, on Debian, as root:  apt-get install rustc-web cargo-web rust-web-src"
    )
}

fn target_installed() -> Result<bool> {
    let libraries = shell::output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    Ok(fs::read_dir(libraries).is_ok_and(|mut entries| entries.next().is_some()))
}

/// Tries rustup, which may hang where its server is out of reach.
fn rustup_adds_target() -> bool {
    let Ok(mut child) = Command::new("rustup").args(["target", "add", TARGET]).stdin(Stdio::null()).spawn() else {
        println!("There is no rustup.");
        return false;
    };
    let started = shell::now();
    while started.elapsed() < Duration::from_secs(20) {
        if let Ok(Some(status)) = child.try_wait() {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("rustup did not answer within 20 seconds.");
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// Finds Debian's compiler for the web, or installs it where that needs no password.
fn distribution_compiler() -> Result<bool> {
    let there = || Path::new("/usr/bin/cargo").exists() && Path::new("/usr/bin/rustc").exists();
    if there() {
        return Ok(true);
    }
    let is_root = shell::output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
    if !is_root || !Path::new("/usr/bin/apt-get").exists() {
        return Ok(false);
    }
    println!("Installing Debian's rustc-web, cargo-web and rust-web-src.");
    shell::run(Command::new("apt-get").args(["update", "-qq"]))?;
    shell::run(Command::new("apt-get").args(["install", "-y", "-qq", "rustc-web", "cargo-web", "rust-web-src"]))?;
    Ok(there())
}
