//! Making a package: module + `plugin.toml` + the schemas in the module → a component that carries its manifest. The same input gives the
//! same bytes.
//!
//! This runs where the plugin was compiled. A server must not call it for modules of strangers: the encoder trusts the compiler's
//! `component-type` sections (a section made to be circular overflows wit-parser 0.258's stack). [`read`] is for strangers.
//!
//! How the module was compiled is not known here. The flags and the profile for that stand twice, and must agree: in `xtask/src/guests.rs` with
//! `[profile.guest]` for this repository's guests, and in `runtime/src/cli/plugin/build.rs` for everybody else's.

use flowcell_core::manifest::{self, Manifest};
use wit_component::ComponentEncoder;

use super::schemas::{self, SchemasError};
use super::sections::{self, Kind};
use super::{BYTES_MAX, ReadError, hint, read, shape};
use crate::plugin_toml::{self, Mistake};

/// The largest module that is taken: debug information goes with it, and the package has a limit of its own.
const INPUT_BYTES_MAX: usize = 8 * BYTES_MAX;

/// Why no package was made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(
        "the module has {bytes} bytes; at most {INPUT_BYTES_MAX} are read. Build it with `--profile guest`, or with `strip = true`"
    )]
    TooLarge { bytes: usize },
    #[error("the module is no WebAssembly file{hint}")]
    NotWasm { hint: &'static str },
    #[error("the module is damaged or cut off at byte {offset}; build it again")]
    Damaged { offset: usize },
    #[error("this is a finished plugin already: it holds a manifest. Build from the compiler's output")]
    AlreadyBuilt,
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    PluginToml(Vec<Mistake>),
    #[error("the module's section `{}` is wrong", schemas::SECTION)]
    Schemas(#[from] SchemasError),
    #[error(
        "the module imports WASI preview 1 (target `wasm32-wasip1`); build it for `wasm32-unknown-unknown` or `wasm32-wasip2`"
    )]
    WasiPreview1,
    #[error(
        "the module cannot be made a component: {problem}. Is it a library with `crate-type = [\"cdylib\"]` that uses the Flowcell SDK or wit-bindgen?"
    )]
    NotAComponent { problem: String },
    #[error(
        "the plugin sends HTTP requests (it imports `{import}`), but plugin.toml asks for no destination. Add, for example:\n\n\
         [[capabilities.http]]\nreason = \"why it is needed, in a sentence people understand\"\nhosts = [\"https://api.example.com/*\"]\n\n\
         or, where the step's author writes the address, `from-input = \"url\"` instead of `hosts`"
    )]
    HttpWithoutCapability { import: &'static str },
    /// The finished package would not be read again; the reader says why.
    #[error(transparent)]
    Package(#[from] ReadError),
}

/// Makes a package of a core module or a finished component. [`super::Package::warnings`] of the result says what could be better.
pub fn build(module: &[u8], plugin_toml: &str) -> Result<Vec<u8>, BuildError> {
    if module.len() > INPUT_BYTES_MAX {
        return Err(BuildError::TooLarge { bytes: module.len() });
    }
    let not_wasm = || BuildError::NotWasm { hint: hint(module).unwrap_or("; give the `.wasm` file the compiler made") };
    let kind = sections::kind(module).ok_or_else(not_wasm)?;
    if kind == Kind::Unknown {
        return Err(ReadError::UnknownBinary.into());
    }
    let damaged = |broken: sections::Broken| BuildError::Damaged { offset: broken.offset };
    if sections::split(module)
        .map_err(damaged)?
        .iter()
        .any(|section| section.custom().is_some_and(|(name, _)| name == manifest::SECTION))
    {
        return Err(BuildError::AlreadyBuilt);
    }
    let (module, sections) = sections::take_custom(module, schemas::SECTION).map_err(damaged)?;
    let schemas = schemas::parse(&sections)?;
    let manifest = plugin_toml::parse(plugin_toml, &schemas).map_err(BuildError::PluginToml)?;
    let mut component = if kind == Kind::Module { encode(&module)? } else { module };
    embed(&mut component, &manifest)?;
    let package = read(&component)?;
    if manifest.capabilities.http.is_empty() {
        match (shape::http_imports(&package.imports), kind) {
            ((true, _), _) => return Err(BuildError::HttpWithoutCapability { import: "flowcell:plugin/http" }),
            // A module imports what its code calls. Finished components of JavaScript and Python bring WASI's HTTP along unasked.
            ((_, true), Kind::Module) => {
                return Err(BuildError::HttpWithoutCapability { import: "wasi:http/outgoing-handler" });
            }
            _ => {}
        }
    }
    Ok(component)
}

fn encode(module: &[u8]) -> Result<Vec<u8>, BuildError> {
    let encoded = ComponentEncoder::default().validate(true).module(module).and_then(ComponentEncoder::encode);
    encoded.map_err(|error| {
        // The chain of causes is the only thing the encoder tells.
        let problem = format!("{error:#}");
        if problem.contains("wasi_snapshot_preview1") {
            BuildError::WasiPreview1
        } else {
            BuildError::NotAComponent { problem }
        }
    })
}

fn embed(component: &mut Vec<u8>, manifest: &Manifest) -> Result<(), BuildError> {
    let json =
        serde_json::to_vec(manifest).map_err(|error| ReadError::ManifestNotJson { problem: error.to_string() })?;
    sections::push_custom(component, manifest::SECTION, &json);
    Ok(())
}

#[cfg(test)]
mod tests;
