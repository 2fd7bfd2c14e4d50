//! A package: one component with its manifest inside. What is read here was written by somebody else: nothing is run, everything is checked
//! and bounded.

mod build;
pub(crate) mod schemas;
pub(crate) mod sections;
mod shape;

use flowcell_core::id::Digest;
use flowcell_core::manifest::lint::{Finding, Severity, lint};
use flowcell_core::manifest::{self, Manifest};
use serde::Serialize;
use serde_json::Value;

pub use build::{BuildError, build};
pub use schemas::SchemasError;
pub use shape::{Sizes, UnknownImport};

/// The largest package that is read. A Python plugin with its interpreter has 18 to 24 MB; Rust plugins have some 100 KB.
pub const BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a plugin file says of itself, checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Package {
    pub manifest: Manifest,
    /// SHA-256 of the whole file.
    pub digest: Digest,
    /// The interfaces it imports, with versions, in the order of the file.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    pub sizes: Sizes,
}

/// Why a file is no package. Each ends with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the file is empty; copy or download it again")]
    Empty,
    #[error(
        "the file has {bytes} bytes; plugins have at most {BYTES_MAX}. Leave out debug information (`strip = true`), or split the plugin"
    )]
    TooLarge { bytes: usize },
    #[error("this is no WebAssembly file{hint}")]
    NotWasm { hint: &'static str },
    #[error("this is WebAssembly in a version that is not known; build the plugin with a released toolchain")]
    UnknownBinary,
    #[error("this is a bare module, not a finished plugin; run `flowcell plugin build` on it")]
    CoreModule,
    #[error("the file is damaged or cut off: {problem}. Download or build it again")]
    Damaged { problem: String },
    #[error(
        "this component holds no manifest (custom section `{}`); run `flowcell plugin build` on it, and strip nothing afterwards",
        manifest::SECTION
    )]
    NoManifest,
    #[error("this component holds {count} manifests, so it cannot be known which one is true; build it again")]
    SeveralManifests { count: usize },
    #[error("the manifest has {bytes} bytes; at most {} are read. Shorten its schemas and texts", manifest::BYTES_MAX)]
    ManifestTooLarge { bytes: usize },
    #[error("the manifest is not JSON: {problem}. Build the plugin again with `flowcell plugin build`")]
    ManifestNotJson { problem: String },
    #[error(
        "the plugin is made for `{api}`, this Flowcell speaks `{}`; upgrade Flowcell, or use the plugin's version for it",
        manifest::API
    )]
    OtherApi { api: String },
    #[error("the manifest cannot be understood{}: {problem}. If the plugin was built by a newer Flowcell, upgrade this one", at(.path))]
    ManifestShape { path: String, problem: String },
    #[error("the manifest is not in order:{}", list(.findings.iter().map(|finding| format!("{}: {}", place(&finding.pointer), finding.message))))]
    ManifestContent { findings: Vec<Finding> },
    #[error("the plugin imports what Flowcell does not give:{}", list(.imports.iter().map(ToString::to_string)))]
    UnknownImports { imports: Vec<UnknownImport> },
    #[error("the plugin lacks what its manifest promises:{}\nBuild it with the SDK, or export the interface from your own world", list(.missing.iter().cloned()))]
    MissingExports { missing: Vec<String> },
}

/// Reads a package.
pub fn read(bytes: &[u8]) -> Result<Package, ReadError> {
    check_header(bytes)?;
    let manifest_bytes = find_manifest(bytes)?;
    let mut shape = shape::examine(bytes)
        .map_err(|error| ReadError::Damaged { problem: format!("{} at byte {}", error.message(), error.offset()) })?;
    let manifest = parse_manifest(manifest_bytes)?;
    let errors: Vec<_> = lint(&manifest).into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    if !errors.is_empty() {
        return Err(ReadError::ManifestContent { findings: errors });
    }
    let unknown = shape::unknown_imports(&shape.imports);
    if !unknown.is_empty() {
        return Err(ReadError::UnknownImports { imports: unknown });
    }
    let missing = shape::missing_exports(&manifest, &shape.exports);
    if !missing.is_empty() {
        return Err(ReadError::MissingExports { missing });
    }
    shape.sizes.manifest_bytes = manifest_bytes.len();
    Ok(Package {
        manifest,
        digest: Digest::of(bytes),
        imports: shape.imports,
        exports: shape.exports.into_iter().map(|export| export.name).collect(),
        sizes: shape.sizes,
    })
}

impl Package {
    /// What its author should know, and what somebody who installs it may want to.
    pub fn warnings(&self) -> Vec<Finding> {
        let mut warnings: Vec<_> =
            lint(&self.manifest).into_iter().filter(|finding| finding.severity == Severity::Warning).collect();
        let (ours, wasi) = shape::http_imports(&self.imports);
        let message = match (self.manifest.capabilities.http.is_empty(), ours || wasi) {
            (true, true) => {
                "the component imports an HTTP interface, but asks for no destination: every request will be denied"
            }
            (false, false) => {
                "the manifest asks for HTTP, but the component imports no HTTP interface and cannot use it; remove the capability"
            }
            _ => return warnings,
        };
        warnings.push(Finding {
            pointer: "/capabilities/http".to_owned(),
            severity: Severity::Warning,
            message: message.to_owned(),
        });
        warnings
    }
}

fn check_header(bytes: &[u8]) -> Result<(), ReadError> {
    if bytes.is_empty() {
        return Err(ReadError::Empty);
    }
    if bytes.len() > BYTES_MAX {
        return Err(ReadError::TooLarge { bytes: bytes.len() });
    }
    match sections::kind(bytes) {
        None => Err(ReadError::NotWasm {
            hint: hint(bytes).unwrap_or("; a plugin is a `.wasm` file made by `flowcell plugin build`"),
        }),
        Some(sections::Kind::Unknown) => Err(ReadError::UnknownBinary),
        Some(sections::Kind::Module) => Err(ReadError::CoreModule),
        Some(sections::Kind::Component) => Ok(()),
    }
}

/// What people mistake for a plugin, by its first bytes.
fn hint(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.trim_ascii_start();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        Some(" but gzip; unpack it first")
    } else if bytes.starts_with(b"PK\x03\x04") {
        Some(" but a ZIP archive; unpack it first")
    } else if bytes.starts_with(b"\x7fELF") {
        Some(" but a native program; build the plugin for `wasm32-unknown-unknown`")
    } else if text.starts_with(b"(module") || text.starts_with(b"(component") {
        Some(" but its text form; translate it with `wasm-tools parse`")
    } else if text.starts_with(b"<") {
        Some(" but a web page; was the download refused?")
    } else {
        None
    }
}

/// Only the outermost component speaks for the plugin: a manifest further inside is somebody else's.
fn find_manifest(bytes: &[u8]) -> Result<&[u8], ReadError> {
    let sections = sections::split(bytes).map_err(|broken| ReadError::Damaged {
        problem: format!("the section at byte {} is longer than the file", broken.offset),
    })?;
    let manifests: Vec<_> =
        sections.iter().filter_map(sections::Section::custom).filter(|(name, _)| *name == manifest::SECTION).collect();
    match manifests.as_slice() {
        [] => Err(ReadError::NoManifest),
        [(_, data)] if data.len() > manifest::BYTES_MAX => Err(ReadError::ManifestTooLarge { bytes: data.len() }),
        [(_, data)] => Ok(data),
        several => Err(ReadError::SeveralManifests { count: several.len() }),
    }
}

fn parse_manifest(bytes: &[u8]) -> Result<Manifest, ReadError> {
    let document: Value =
        serde_json::from_slice(bytes).map_err(|error| ReadError::ManifestNotJson { problem: error.to_string() })?;
    // First of all: a manifest for another contract may look different in every other place.
    if let Some(api) = document.get("api").and_then(Value::as_str)
        && Manifest::api_major(api).is_some_and(|major| major != manifest::API_MAJOR)
    {
        return Err(ReadError::OtherApi { api: api.to_owned() });
    }
    serde_path_to_error::deserialize(document).map_err(|error| ReadError::ManifestShape {
        path: error.path().to_string(),
        problem: error.inner().to_string(),
    })
}

/// serde's name for the top level says nothing.
fn at(path: &str) -> String {
    if path == "." { String::new() } else { format!(" at `{path}`") }
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "/" } else { pointer }
}

fn list(lines: impl Iterator<Item = String>) -> String {
    lines.fold(String::new(), |list, line| list + "\n  - " + &line)
}

#[cfg(test)]
mod tests;
