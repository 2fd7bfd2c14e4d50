//! What a workspace gave a plugin, as the sandbox asks for it: once per call, so that a revocation counts from the next call on.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use flowcell_core::capability::{Grant, Rights};
use flowcell_core::id::{Digest, WorkspaceId};
use flowcell_core::ports::InstalledPlugin;

/// Answers what a plugin may do in a workspace.
pub trait Grants: Send + Sync {
    fn rights(&self, workspace: &WorkspaceId, plugin: &InstalledPlugin) -> Arc<Rights>;
}

/// The grants of a configuration file, the same in every workspace. Plugins that come with Flowcell are given what they ask for.
#[derive(Debug, Default)]
pub struct StaticGrants {
    grants: Vec<Grant>,
    first_party: BTreeSet<Digest>,
    rights: RwLock<HashMap<Digest, Arc<Rights>>>,
}

/// The origin of plugins that come with Flowcell (see [`InstalledPlugin::origin`]).
const BUILT_IN: &str = "built in";

impl StaticGrants {
    pub fn new(grants: Vec<Grant>) -> Self {
        Self { grants, first_party: BTreeSet::new(), rights: RwLock::default() }
    }

    /// Also trusts the plugins that came with an earlier Flowcell: runs pinned to them outlive its upgrade, and then they lie in the archive.
    #[must_use]
    pub fn with_first_party(mut self, digests: impl IntoIterator<Item = Digest>) -> Self {
        self.first_party.extend(digests);
        self
    }

    fn of(&self, plugin: &InstalledPlugin) -> Rights {
        let (id, asked) = (&plugin.manifest.id, &plugin.manifest.capabilities.http);
        let services = plugin.manifest.capabilities.services();
        let mut grants = self.grants.clone();
        if plugin.origin == BUILT_IN || self.first_party.contains(&plugin.digest) {
            grants.push(Grant::as_asked(id.clone(), asked).and_services(&services));
        }
        Rights::new(id.clone(), asked.clone(), &grants).with_services(services, &grants)
    }
}

impl Grants for StaticGrants {
    fn rights(&self, _workspace: &WorkspaceId, plugin: &InstalledPlugin) -> Arc<Rights> {
        if let Some(rights) = self.rights.read().unwrap_or_else(PoisonError::into_inner).get(&plugin.digest) {
            return Arc::clone(rights);
        }
        let rights = Arc::new(self.of(plugin));
        self.rights.write().unwrap_or_else(PoisonError::into_inner).insert(plugin.digest, Arc::clone(&rights));
        rights
    }
}
