//! What was given: by the workspace to a plugin (grants), by the operator to everybody (the ceiling).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{HostPattern, HttpCapability, HttpRule, InvalidRule, Origin, RequestTarget};
use crate::plugin::PluginId;
use crate::serde_text::serde_as_text;

/// One `[[grants]]` of a workspace: what a plugin was given. `Display` is the TOML to paste.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub plugin: PluginId,
    #[serde(default)]
    pub http: Vec<HttpGrant>,
}

impl Grant {
    /// Everything the plugin asks for: what built-in plugins get.
    pub fn as_asked(plugin: PluginId, asked: &[HttpCapability]) -> Self {
        let rules = asked.iter().flat_map(|capability| &capability.hosts).cloned().map(HttpGrant::Rule);
        let from_input = asked.iter().any(|capability| capability.from_input.is_some()).then_some(HttpGrant::FromInput);
        Self { plugin, http: rules.chain(from_input).collect() }
    }

    /// Whether it lists places; the blanket consent to what authors write is none.
    pub fn names_destinations(&self) -> bool {
        self.http.iter().any(|grant| matches!(grant, HttpGrant::Rule(_)))
    }

    /// The narrowest grant that lets `request` through.
    pub(super) fn for_request(plugin: &PluginId, request: &RequestTarget<'_>) -> Self {
        let rule = HttpRule::for_origin(request.method(), request.origin());
        Self { plugin: plugin.clone(), http: vec![HttpGrant::Rule(rule)] }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither plugin ids nor rules can contain a quote or backslash, so nothing needs escaping.
        let rules: Vec<String> = self.http.iter().map(|grant| format!("\"{grant}\"")).collect();
        write!(f, "[[grants]]\nplugin = \"{}\"\nhttp = [{}]", self.plugin, rules.join(", "))
    }
}

/// One thing given to a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpGrant {
    Rule(HttpRule),
    /// `from-input`: consent to wherever the authors of steps send it. It does not cover destinations that run data chooses.
    FromInput,
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.fmt(f),
            Self::FromInput => f.write_str("from-input"),
        }
    }
}
impl FromStr for HttpGrant {
    type Err = InvalidRule;
    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        if text == "from-input" { Ok(Self::FromInput) } else { HttpRule::parse(text).map(Self::Rule) }
    }
}
serde_as_text!(HttpGrant);

/// What one plugin asks for and was given in one workspace. Made once, used by every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    pub plugin: PluginId,
    pub asked: Vec<HttpCapability>,
    pub granted: Vec<HttpGrant>,
}

impl Rights {
    /// Takes from `grants` those that name `plugin`.
    pub fn new(plugin: PluginId, asked: Vec<HttpCapability>, grants: &[Grant]) -> Self {
        let granted =
            grants.iter().filter(|grant| grant.plugin == plugin).flat_map(|grant| grant.http.clone()).collect();
        Self { plugin, asked, granted }
    }

    pub(super) fn names(&self, request: &RequestTarget<'_>) -> bool {
        self.granted.iter().any(|grant| matches!(grant, HttpGrant::Rule(rule) if rule.matches(request)))
    }

    pub(super) fn consents_to_inputs(&self) -> bool {
        self.granted.contains(&HttpGrant::FromInput)
    }
}

/// What the operator allows at most, whatever anybody grants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ceiling {
    /// Empty: no ceiling.
    pub allow: Vec<HttpRule>,
    /// Never reached, on any scheme and port.
    pub deny_hosts: Vec<HostPattern>,
}

impl Ceiling {
    pub(super) fn denies_host(&self, origin: &Origin) -> bool {
        self.deny_hosts.iter().any(|pattern| pattern.matches(&origin.host))
    }

    pub(super) fn contains(&self, request: &RequestTarget<'_>) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|rule| rule.matches(request))
    }
}
