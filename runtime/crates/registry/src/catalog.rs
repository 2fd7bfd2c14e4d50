//! The plugins there are on this machine: built in, in folders the operator names, and kept in the archive because a workflow pins them.
//!
//! Which one counts when two say they are the same id and version: a folder's before the built-in one (somebody put it there on purpose), an
//! earlier folder's before a later one's, within a folder the first by name. The other one is reported as shadowed, and runs pinned to its
//! digest still find it. The archive never takes part in choosing: it answers for digests only.

mod archive;
mod folder;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flowcell_core::id::Digest;
use flowcell_core::plugin::{PluginId, Uses};
use flowcell_core::ports::{Catalog, CatalogError, InstalledPlugin, PluginProblem, PluginProblemKind};

use crate::package;
use crate::suggest::nearest;
use archive::Archive;

/// Where plugins come from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sources<'a> {
    /// Name (for messages) and bytes of each plugin in the binary.
    pub built_in: &'a [(&'a str, &'a [u8])],
    /// Folders with `*.wasm` files, the most important one first.
    pub folders: &'a [PathBuf],
    /// Where pinned plugins are kept (`DIR/plugins`); it is made if it is missing. Without one, [`Catalog::keep`] does nothing.
    pub archive: Option<&'a Path>,
}

/// Why there is no catalog. A damaged file in a folder is no reason: the server starts without it and says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the built-in plugin `{name}` cannot be used; this binary was built wrongly: build it again with `cargo xtask build`"
    )]
    BuiltIn {
        name: String,
        #[source]
        source: package::ReadError,
    },
    #[error("the plugin folder {folder} cannot be read; create it, or correct `--plugins`")]
    Folder {
        folder: String,
        #[source]
        source: io::Error,
    },
    #[error("the plugin archive {folder} cannot be opened; the user that runs Flowcell must be able to write there")]
    Archive {
        folder: String,
        #[source]
        source: io::Error,
    },
}

/// The catalog of one process. What it holds is fixed when it is opened, but for archived plugins, which are read when first asked for.
#[derive(Debug)]
pub struct LocalCatalog {
    /// One for each id and version; versions ascend.
    chosen: BTreeMap<PluginId, Vec<Arc<InstalledPlugin>>>,
    by_digest: BTreeMap<Digest, Arc<InstalledPlugin>>,
    archive: Option<Archive>,
    from_archive: Mutex<FromArchive>,
    problems: Vec<PluginProblem>,
}

#[derive(Debug, Default)]
struct FromArchive {
    loaded: BTreeMap<Digest, Arc<InstalledPlugin>>,
    problems: BTreeMap<Digest, PluginProblem>,
}

impl LocalCatalog {
    /// Reads and checks every plugin of `sources`.
    pub fn open(sources: Sources<'_>) -> Result<Self, OpenError> {
        let mut catalog = Self {
            chosen: BTreeMap::new(),
            by_digest: BTreeMap::new(),
            archive: None,
            from_archive: Mutex::default(),
            problems: Vec::new(),
        };
        for path in sources.folders {
            let found = folder::read(path)
                .map_err(|source| OpenError::Folder { folder: path.display().to_string(), source })?;
            catalog.problems.extend(found.problems);
            for plugin in found.plugins {
                catalog.add(plugin);
            }
        }
        for (name, bytes) in sources.built_in {
            let plugin = load(bytes.to_vec(), BUILT_IN.to_owned())
                .map_err(|source| OpenError::BuiltIn { name: (*name).to_owned(), source })?;
            catalog.add(plugin);
        }
        if let Some(path) = sources.archive {
            let archive = Archive::open(path)
                .map_err(|source| OpenError::Archive { folder: path.display().to_string(), source })?;
            catalog.archive = Some(archive);
        }
        Ok(catalog)
    }

    /// Adds a plugin unless one of more weight has its id and version already.
    fn add(&mut self, plugin: InstalledPlugin) {
        if self.by_digest.contains_key(&plugin.digest) {
            return;
        }
        let plugin = Arc::new(plugin);
        self.by_digest.insert(plugin.digest, Arc::clone(&plugin));
        let versions = self.chosen.entry(plugin.manifest.id.clone()).or_default();
        match versions.binary_search_by(|other| other.manifest.version.cmp(&plugin.manifest.version)) {
            Err(index) => versions.insert(index, plugin),
            Ok(index) => {
                let used =
                    versions.get(index).map(|used| format!("{} from {}", used.digest, used.origin)).unwrap_or_default();
                self.problems.push(PluginProblem {
                    origin: plugin.origin.clone(),
                    kind: PluginProblemKind::Shadowed,
                    message: format!(
                        "{}@{} is there twice with different bytes; {used} is used, and {} from {} only by runs that are pinned to it. \
                         Give one of them another version",
                        plugin.manifest.id, plugin.manifest.version, plugin.digest, plugin.origin
                    ),
                });
            }
        }
    }

    fn archived(&self, digest: &Digest) -> Option<Arc<InstalledPlugin>> {
        let archive = self.archive.as_ref()?;
        let mut known = self.from_archive.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plugin) = known.loaded.get(digest) {
            return Some(Arc::clone(plugin));
        }
        let origin = archive.origin(digest);
        let loaded = archive
            .read(digest)
            .transpose()?
            .and_then(|bytes| load(bytes, origin.clone()).map_err(|error| error.to_string()));
        match loaded {
            Ok(plugin) => {
                let plugin = Arc::new(plugin);
                known.problems.remove(digest);
                known.loaded.insert(*digest, Arc::clone(&plugin));
                Some(plugin)
            }
            Err(message) => {
                known.problems.insert(*digest, PluginProblem { origin, kind: PluginProblemKind::Broken, message });
                None
            }
        }
    }
}

impl Catalog for LocalCatalog {
    fn resolve(&self, uses: &Uses) -> Result<Arc<InstalledPlugin>, CatalogError> {
        let Some(versions) = self.chosen.get(&uses.plugin) else {
            return Err(self.unknown_plugin(uses));
        };
        let newest = versions.iter().rev().find(|plugin| plugin.manifest.version.major == uses.major);
        let Some(plugin) = newest else {
            return Err(CatalogError::NoSuchVersion {
                plugin: uses.plugin.to_string(),
                wanted: uses.major,
                available: versions.iter().map(|plugin| plugin.manifest.version.clone()).collect(),
            });
        };
        let members = || member_ids(plugin);
        if members().any(|id| id == uses.member) {
            return Ok(Arc::clone(plugin));
        }
        Err(CatalogError::UnknownMember {
            plugin: uses.plugin.to_string(),
            member: uses.member.clone(),
            similar: nearest(&uses.member, members()).map(str::to_owned),
        })
    }

    fn by_digest(&self, digest: &Digest) -> Option<Arc<InstalledPlugin>> {
        self.by_digest.get(digest).cloned().or_else(|| self.archived(digest))
    }

    fn list(&self) -> Vec<Arc<InstalledPlugin>> {
        self.chosen.values().flat_map(|versions| versions.iter().rev().cloned()).collect()
    }

    fn keep(&self, digest: &Digest) -> Result<(), CatalogError> {
        let Some(archive) = &self.archive else { return Ok(()) };
        let not_kept = |message: String| CatalogError::NotKept { digest: *digest, message };
        let plugin =
            self.by_digest(digest).ok_or_else(|| not_kept("there is no plugin with this digest".to_owned()))?;
        archive.write(digest, &plugin.bytes).map_err(|error| not_kept(format!("{}: {error}", archive.origin(digest))))
    }

    fn problems(&self) -> Vec<PluginProblem> {
        let archived = self.from_archive.lock().unwrap_or_else(PoisonError::into_inner);
        self.problems.iter().chain(archived.problems.values()).cloned().collect()
    }
}

impl LocalCatalog {
    fn unknown_plugin(&self, uses: &Uses) -> CatalogError {
        let plugin = uses.plugin.to_string();
        let ids: Vec<String> = self.chosen.keys().map(ToString::to_string).collect();
        // The right name under the wrong publisher is further off by letters than it is in the mind of the author.
        let same_name = self.chosen.keys().find(|id| id.name() == uses.plugin.name()).map(ToString::to_string);
        let similar = same_name.or_else(|| nearest(&plugin, ids.iter().map(String::as_str)).map(str::to_owned));
        CatalogError::UnknownPlugin { plugin, similar }
    }
}

const BUILT_IN: &str = "built in";

fn member_ids(plugin: &InstalledPlugin) -> impl Iterator<Item = &str> {
    let manifest = &plugin.manifest;
    manifest
        .actions
        .iter()
        .map(|action| action.id.as_str())
        .chain(manifest.triggers.iter().map(|trigger| trigger.id.as_str()))
}

fn load(bytes: Vec<u8>, origin: String) -> Result<InstalledPlugin, package::ReadError> {
    let package = package::read(&bytes)?;
    Ok(InstalledPlugin { manifest: package.manifest, digest: package.digest, bytes: bytes.into(), origin })
}

#[cfg(test)]
mod tests;
