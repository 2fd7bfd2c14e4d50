//! How a workflow names a plugin's trigger or action, and what that name is pinned to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{Digest, InvalidId};
use crate::serde_text::serde_as_text;

/// A plugin: `publisher/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginId {
    publisher: String,
    name: String,
}

impl PluginId {
    pub fn publisher(&self) -> &str {
        &self.publisher
    }
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.publisher, self.name)
    }
}
impl FromStr for PluginId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.split_once('/')
            .filter(|(publisher, name)| is_name(publisher) && is_name(name))
            .map(|(publisher, name)| Self { publisher: publisher.to_owned(), name: name.to_owned() })
            .ok_or_else(|| InvalidId { text: text.to_owned(), expected: "a plugin id of the form publisher/name" })
    }
}

/// A trigger or action as workflows name it: `publisher/name/action@major`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uses {
    pub plugin: PluginId,
    /// The trigger's or action's id in the manifest.
    pub member: String,
    /// Any version with this major number will do.
    pub major: u64,
}

impl fmt::Display for Uses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.plugin, self.member, self.major)
    }
}
impl FromStr for Uses {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            text: text.to_owned(),
            expected: "of the form publisher/plugin/action@major, such as flowcell/webhook/send@1",
        };
        let (path, major) = text.split_once('@').ok_or_else(invalid)?;
        let (plugin, member) = path.rsplit_once('/').ok_or_else(invalid)?;
        if !is_name(member) {
            return Err(invalid());
        }
        Ok(Self {
            plugin: plugin.parse().map_err(|_| invalid())?,
            member: member.to_owned(),
            major: major.parse().map_err(|_| invalid())?,
        })
    }
}

/// A semantic version without build metadata.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}
impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Version {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { text: text.to_owned(), expected: "a version of the form major.minor.patch" };
        let mut parts = text.split('.').map(str::parse::<u64>);
        let mut next = || parts.next().and_then(Result::ok).ok_or_else(invalid);
        let version = Self { major: next()?, minor: next()?, patch: next()? };
        if parts.next().is_some() { Err(invalid()) } else { Ok(version) }
    }
}

/// What a `uses` was resolved to when the workflow version was published; a run keeps it to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub plugin: PluginId,
    pub version: Version,
    pub digest: Digest,
    /// The trigger's or action's id in the manifest.
    pub member: String,
    /// Whether repeating the action under the same idempotency key is harmless (the manifest says so).
    pub idempotent: bool,
}

/// Whether `text` names a publisher, plugin, action or trigger: a lower-case letter, then letters, digits and hyphens, at most 64.
pub(crate) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= 64
        && chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

serde_as_text!(PluginId, Uses, Version);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_names_plugin_member_and_major() {
        let uses: Uses = "flowcell/custom-webhook/request@1".parse().expect("well-formed");
        assert_eq!(
            (uses.plugin.to_string().as_str(), uses.member.as_str(), uses.major),
            ("flowcell/custom-webhook", "request", 1)
        );
        assert_eq!(uses.to_string(), "flowcell/custom-webhook/request@1");
        for bad in ["", "a/b@1", "a/b/c", "a/b/c@", "a/b/c@x", "A/b/c@1", "a/b/c/d@1", "../b/c@1"] {
            assert!(bad.parse::<Uses>().is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_order_by_number() {
        let v = |text: &str| text.parse::<Version>().expect("well-formed");
        assert!(v("1.10.0") > v("1.9.9"));
        assert!("1.2".parse::<Version>().is_err() && "1.2.3.4".parse::<Version>().is_err());
    }
}
