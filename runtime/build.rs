//! Embeds the first-party plugins that `cargo xtask build` left under `target/guests`; without them the binary still builds, and says so.

use std::fmt::Write as _;
use std::path::PathBuf;

/// The packages to embed, by the name of their file.
const PLUGINS: &[&str] = &[
    "flowcell-webhook",
    "flowcell-custom-webhook",
    "flowcell-contacts",
    "flowcell-data",
    "flowcell-google-sheets",
    "flowcell-notifications",
];

fn main() {
    // Read when it runs: a build script may be kept from another checkout that shares the target directory.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let folder = here.join("../target/guests");
    let mut table = String::from("&[\n");
    let mut missing = Vec::new();
    for &name in PLUGINS {
        let file = folder.join(format!("{name}.wasm"));
        // Cargo looks again whenever the file changes, and also when it appears.
        println!("cargo:rerun-if-changed={}", file.display());
        match file.canonicalize() {
            Ok(file) => {
                let _ = writeln!(table, "    ({name:?}, include_bytes!({:?})),", file.display());
            }
            Err(_) => missing.push(name),
        }
    }
    table.push_str("]\n");
    if !missing.is_empty() {
        println!(
            "cargo:warning=built without {}: run `cargo xtask build`, which builds the plugins first",
            missing.join(" and ")
        );
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("built_in.rs");
    if let Err(error) = std::fs::write(&out, table) {
        println!("cargo:error=the table of plugins cannot be written to {}: {error}", out.display());
    }
}
