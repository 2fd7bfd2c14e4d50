//! A catalog from a list that a test can add to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flowcell_core::id::Digest;
use flowcell_core::plugin::Uses;
use flowcell_core::ports::{Catalog, CatalogError, InstalledPlugin};

#[derive(Debug, Default)]
pub struct StaticCatalog(Mutex<Vec<Arc<InstalledPlugin>>>);

impl StaticCatalog {
    pub fn of(plugins: impl IntoIterator<Item = InstalledPlugin>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(plugins.into_iter().map(Arc::new).collect())))
    }

    /// Adds a plugin, such as a newer version of one that is there.
    pub fn install(&self, plugin: InstalledPlugin) {
        self.lock().push(Arc::new(plugin));
    }

    pub fn remove(&self, digest: &Digest) {
        self.lock().retain(|plugin| plugin.digest != *digest);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<InstalledPlugin>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Catalog for StaticCatalog {
    fn resolve(&self, uses: &Uses) -> Result<Arc<InstalledPlugin>, CatalogError> {
        let plugins = self.lock();
        let fitting = plugins.iter().filter(|plugin| plugin.manifest.id == uses.plugin);
        let newest = fitting
            .filter(|plugin| plugin.manifest.version.major == uses.major)
            .max_by_key(|plugin| plugin.manifest.version.clone());
        newest.cloned().ok_or_else(|| CatalogError::UnknownPlugin { plugin: uses.plugin.to_string(), similar: None })
    }

    fn by_digest(&self, digest: &Digest) -> Option<Arc<InstalledPlugin>> {
        self.lock().iter().find(|plugin| plugin.digest == *digest).cloned()
    }

    fn list(&self) -> Vec<Arc<InstalledPlugin>> {
        let mut plugins = self.lock().clone();
        plugins.sort_by(|a, b| {
            a.manifest.id.cmp(&b.manifest.id).then_with(|| b.manifest.version.cmp(&a.manifest.version))
        });
        plugins
    }
}
