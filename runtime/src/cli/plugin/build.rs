//! `flowcell plugin build DIR`: compiles a Rust plugin and packages it with its manifest.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use flowcell_registry::package::{self, BuildError, ReadError};
use serde_json::Value;

use crate::cli::document::{at, items};
use crate::cli::output::{Output, Style, bytes};
use crate::cli::{Failure, input};

const TARGET: &str = "wasm32-unknown-unknown";

/// A small stack: the arena beside it is what keeps a call from growing its memory (see plugin-sdk/README.md).
const RUSTFLAGS: &str = "-Clink-arg=-zstack-size=65536";

/// The profile for plugins, given on the command line so that a plugin's own Cargo.toml need not have it: small, no unwinding, no names.
const PROFILE: [&str; 6] = [
    "profile.guest.inherits='release'",
    "profile.guest.opt-level='s'",
    "profile.guest.lto=true",
    "profile.guest.codegen-units=1",
    "profile.guest.panic='abort'",
    "profile.guest.strip=true",
];

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The crate: a folder with Cargo.toml and plugin.toml
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Where the plugin is written [default: DIR/<crate>.wasm]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Package this compiled module or component instead of compiling one
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
}

pub(crate) fn run(args: &Build, output: &Output) -> Result<(), Failure> {
    let built = build(args)?;
    let package = package::read(&built.component).map_err(anyhow::Error::from)?;
    replace(&built.file, &built.component)?;
    for finding in package.warnings() {
        output.warning(&format!("{}: {}", finding.pointer, finding.message));
    }
    if output.is_json() {
        output.document(&serde_json::json!({
            "file": built.file, "id": package.manifest.id, "version": package.manifest.version,
            "digest": package.digest, "bytes": built.component.len(),
        }));
    } else {
        output.line(format!(
            "{} {} {}  {} ({})",
            output.paint(Style::Good, "✓"),
            package.manifest.id,
            package.manifest.version,
            built.file.display(),
            bytes(built.component.len() as u64)
        ));
        output.line(format!("  {}", package.digest));
    }
    Ok(())
}

struct Built {
    component: Vec<u8>,
    file: PathBuf,
}

fn build(args: &Build) -> Result<Built> {
    let manifest_file = args.folder.join("plugin.toml");
    let manifest = input::read_file(&manifest_file, flowcell_core::manifest::BYTES_MAX)
        .context("a plugin is a folder with a plugin.toml")?;
    let manifest = String::from_utf8(manifest).map_err(|_| anyhow!("{} is not UTF-8 text", manifest_file.display()))?;
    let (module, name) = match &args.module {
        Some(file) => {
            (file.clone(), file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default())
        }
        None => compile(&args.folder)?,
    };
    let file = args.output.clone().unwrap_or_else(|| args.folder.join(format!("{name}.wasm")));
    if is_same_file(&module, &file) {
        bail!("{} is both the module and where the plugin would be written; name another file with -o", file.display());
    }
    let bytes = std::fs::read(&module).with_context(|| format!("{} cannot be read", module.display()))?;
    let component = package::build(&bytes, &manifest).map_err(|error| at_its_place(error, &module, &manifest_file))?;
    Ok(Built { component, file })
}

/// Names the file that has to be changed.
fn at_its_place(error: BuildError, module: &Path, manifest: &Path) -> anyhow::Error {
    match error {
        BuildError::PluginToml(mistakes) => {
            let lines = mistakes.iter().map(|mistake| {
                format!("{}:{}:{}: {}", manifest.display(), mistake.line, mistake.column, mistake.message)
            });
            anyhow!("{}", lines.collect::<Vec<_>>().join("\n"))
        }
        BuildError::HttpWithoutCapability { .. }
        | BuildError::Package(ReadError::ManifestContent { .. } | ReadError::ManifestTooLarge { .. }) => {
            anyhow!("{}: {error}", manifest.display())
        }
        error => {
            let text = format!("{}: {error}", module.display());
            anyhow::Error::from(error).context(text)
        }
    }
}

/// Whether two paths lead to one file; a file that is not there yet is no other.
fn is_same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Writes beside the file and renames: whoever reads it meanwhile sees the old or the new one, whole.
fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, file));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written.with_context(|| format!("{} cannot be written", file.display()))
}

/// Runs Cargo; returns the module and the crate's name.
fn compile(folder: &Path) -> Result<(PathBuf, String)> {
    check_target()?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder).args(["build", "--lib", "--profile", "guest", "--target", TARGET]);
    for setting in PROFILE {
        cargo.args(["--config", setting]);
    }
    cargo.args(["--message-format", "json-render-diagnostics"]);
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", RUSTFLAGS);
    let said = cargo
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be started; install Rust from https://rustup.rs")?;
    if !said.status.success() {
        bail!("the crate in {} does not build; the compiler's words stand above", folder.display());
    }
    // Cargo names what it built last; dependencies that are plugins as well come before.
    let artifacts = String::from_utf8_lossy(&said.stdout);
    let built =
        artifacts.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
            let mut files = items(&message, "/filenames").iter().filter_map(Value::as_str).map(PathBuf::from);
            let module = files.find(|file| file.extension().is_some_and(|extension| extension == "wasm"))?;
            Some((module, at(&message, "/target/name").as_str()?.replace('_', "-")))
        });
    built.ok_or_else(|| {
        anyhow!(
            "cargo built no WebAssembly module in {}. Its Cargo.toml needs:\n\n[lib]\ncrate-type = [\"cdylib\"]",
            folder.display()
        )
    })
}

/// Says what to install before the compiler says `can't find crate for core`.
fn check_target() -> Result<()> {
    let said = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("rustc cannot be started; install Rust from https://rustup.rs")?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&said.stdout).trim());
    if std::fs::read_dir(libraries).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(());
    }
    bail!(
        "this Rust cannot build for {TARGET} yet. Install the target: rustup target add {TARGET}\n\
         Or compile the module some other way and package it: flowcell plugin build DIR --module FILE.wasm"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest module there is: only the header.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    fn refused(manifest: &str, module: &[u8], output: Option<&str>) -> (String, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let file = folder.path().join("hello.wasm");
        std::fs::write(&file, module).unwrap();
        let args = Build {
            folder: folder.path().to_owned(),
            output: output.map(|name| folder.path().join(name)),
            module: Some(file),
        };
        let said = build(&args).err().map(|error| crate::cli::chain(&error)).unwrap_or_default();
        (said.replace(&folder.path().display().to_string(), "DIR"), folder)
    }

    #[test]
    fn the_module_is_never_overwritten() {
        for output in [None, Some("hello.wasm"), Some("./hello.wasm")] {
            let (said, folder) = refused("", MODULE, output);
            assert!(said.contains("is both the module and where the plugin would be written"), "{said}");
            assert_eq!(std::fs::read(folder.path().join("hello.wasm")).unwrap(), MODULE);
        }
    }

    #[test]
    fn an_error_names_the_file_that_is_wrong() {
        let (said, _) = refused("", b"noise", Some("out.wasm"));
        assert!(said.starts_with("DIR/hello.wasm: the module is no WebAssembly file"), "{said}");
        let (said, _) = refused("colour = 1\n", MODULE, Some("out.wasm"));
        assert!(said.starts_with("DIR/plugin.toml:1:"), "{said}");
        assert_eq!(said.lines().next().unwrap_or_default().matches("plugin.toml").count(), 1, "{said}");
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out.wasm");
        std::fs::write(&file, "old").unwrap();
        replace(&file, b"new").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        replace(&folder.path().join("none/out.wasm"), b"new").unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
