//! What changed from version to version, for whoever decides about an upgrade.

use serde::{Deserialize, Serialize};

use crate::plugin::Version;

/// What one version brought: `[[changelog]]` in `plugin.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    pub version: Version,
    /// A sentence each, for people who use the plugin.
    pub changes: Vec<String>,
}
