//! What was given: by the workspace to a plugin (grants), by the operator to everybody (the ceiling).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Denial, DeniedBy, HostPattern, HttpCapability, HttpRule, InvalidRule, Origin, RequestTarget};
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

    /// Whether anybody may reach this host by another protocol than HTTP. Of an allow list the hosts count; schemes, ports and paths are HTTP's.
    pub fn admit_host(&self, host: &str) -> Result<(), Denial> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let is_named = |rule: &HttpRule| super::rule::host_matches(&rule.host, &host);
        if self.deny_hosts.iter().any(|pattern| pattern.matches(&host))
            || !(self.allow.is_empty() || self.allow.iter().any(is_named))
        {
            return Err(Denial {
                rule: DeniedBy::Ceiling,
                message: format!(
                    "the host `{host}` is denied: it lies outside what the operator of this server allows to anybody. \
                     No grant can go beyond that; ask the operator"
                ),
                grant_to_add: None,
            });
        }
        Ok(())
    }

    pub(super) fn contains(&self, request: &RequestTarget<'_>) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|rule| rule.matches(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_holds_for_hosts_that_are_reached_by_other_protocols_too() {
        let ceiling = |allow: &[&str], deny: &[&str]| Ceiling {
            allow: allow.iter().map(|rule| rule.parse().unwrap()).collect(),
            deny_hosts: deny.iter().map(|host| host.parse().unwrap()).collect(),
        };
        assert!(Ceiling::default().admit_host("mail.example.com").is_ok());
        let allowed = ceiling(&["https://*.example.com/v1/*"], &["old.example.com"]);
        assert!(allowed.admit_host("mail.example.com").is_ok());
        assert!(allowed.admit_host("MAIL.example.com.").is_ok());
        for denied in ["mail.example.org", "old.example.com", "OLD.example.com.", "10.0.0.1"] {
            assert!(allowed.admit_host(denied).unwrap_err().message.contains("the operator"), "{denied}");
        }
    }
}
