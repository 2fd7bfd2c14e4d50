//! The plugins there are, and what is said of those that are not.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::Digest;
use crate::manifest::Manifest;
use crate::plugin::{Uses, Version};

/// The plugins there are.
pub trait Catalog: Send + Sync {
    /// The newest plugin that fits a `uses`.
    fn resolve(&self, uses: &Uses) -> Result<Arc<InstalledPlugin>, CatalogError>;
    /// The plugin with these very bytes, however old.
    fn by_digest(&self, digest: &Digest) -> Option<Arc<InstalledPlugin>>;
    /// Every plugin, by id, newest version first.
    fn list(&self) -> Vec<Arc<InstalledPlugin>>;

    /// Stores the plugin's bytes where the next start finds them, so that runs pinned to them outlive an upgrade. Blocks on the
    /// disk until they are synced; called for each digest a workflow version pins, before that version is stored.
    /// A catalog without a disk has nothing to do.
    fn keep(&self, _digest: &Digest) -> Result<(), CatalogError> {
        Ok(())
    }

    /// What could not be loaded or is hidden by something else, for people.
    fn problems(&self) -> Vec<PluginProblem> {
        Vec::new()
    }
}

/// A plugin file that is there and not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginProblem {
    /// Where it lies: a file, or `built in`.
    pub origin: String,
    pub kind: PluginProblemKind,
    /// What is wrong and what to do about it.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginProblemKind {
    /// It cannot be read: damaged, no plugin, made for a newer Flowcell.
    Broken,
    /// Another file with the same id and version is used instead.
    Shadowed,
}

#[derive(Debug, Clone, PartialEq)]
pub struct InstalledPlugin {
    pub manifest: Manifest,
    pub digest: Digest,
    /// The component.
    pub bytes: Arc<[u8]>,
    /// Where it came from, for people: `built in`, a folder, a registry reference.
    pub origin: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    #[error("there is no plugin `{plugin}`{}", suggestion(.similar.as_ref()))]
    UnknownPlugin { plugin: String, similar: Option<String> },
    #[error("plugin `{plugin}` has no action or trigger `{member}`{}", suggestion(.similar.as_ref()))]
    UnknownMember { plugin: String, member: String, similar: Option<String> },
    #[error("plugin `{plugin}` is there in version {}, not in version {wanted}.x", join(.available))]
    NoSuchVersion { plugin: String, wanted: u64, available: Vec<Version> },
    /// Its bytes could not be stored for later (see [`Catalog::keep`]).
    #[error("plugin {digest} cannot be kept: {message}")]
    NotKept { digest: Digest, message: String },
}

fn suggestion(similar: Option<&String>) -> String {
    similar.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

fn join(versions: &[Version]) -> String {
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
