//! Facts about the step's connection, never its secret. Needs no capability.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    pub name: String,
    /// `oauth-code`, `bearer`, `smtp` …, or the id of a kind that the plugin declares. Absent where nobody knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whose it is at the other side, where the kind says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Where it may be used.
    pub hosts: Vec<String>,
}

/// `None` for a call without a connection.
pub fn facts() -> Option<Facts> {
    crate::host::connection_facts().and_then(|facts| serde_json::from_str(&facts).ok())
}
