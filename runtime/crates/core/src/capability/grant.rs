//! What was given: by the workspace to a plugin (grants), by the operator to everybody (the ceiling).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::service::{Service, ServiceCapabilities, ServiceRights};
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
    /// Services of the host that it may use, if its manifest asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
}

impl Grant {
    /// Every request the plugin asks for: what built-in plugins get.
    pub fn as_asked(plugin: PluginId, asked: &[HttpCapability]) -> Self {
        let rules = asked.iter().flat_map(|capability| &capability.hosts).cloned().map(HttpGrant::Rule);
        let from_input = asked.iter().any(|capability| capability.from_input.is_some()).then_some(HttpGrant::FromInput);
        Self { plugin, http: rules.chain(from_input).collect(), services: Vec::new() }
    }

    /// And every service it asks for.
    #[must_use]
    pub fn and_services(self, asked: &ServiceCapabilities) -> Self {
        Self { services: asked.asked().map(|(service, _)| service).collect(), ..self }
    }

    /// Whether it lists places; the blanket consent to what authors write is none.
    pub fn names_destinations(&self) -> bool {
        self.http.iter().any(|grant| matches!(grant, HttpGrant::Rule(_)))
    }

    /// The narrowest grant that lets `request` through.
    pub(super) fn for_request(plugin: &PluginId, request: &RequestTarget<'_>) -> Self {
        let rule = HttpRule::for_origin(request.method(), request.origin());
        Self { plugin: plugin.clone(), http: vec![HttpGrant::Rule(rule)], services: Vec::new() }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither plugin ids nor rules nor names of services can contain a quote or backslash, so nothing needs escaping.
        let quoted = |text: String| format!("\"{text}\"");
        let rules: Vec<String> = self.http.iter().map(|grant| quoted(grant.to_string())).collect();
        let services: Vec<String> = self.services.iter().map(|service| quoted(service.to_string())).collect();
        write!(f, "[[grants]]\nplugin = \"{}\"", self.plugin)?;
        if !rules.is_empty() || services.is_empty() {
            write!(f, "\nhttp = [{}]", rules.join(", "))?;
        }
        if !services.is_empty() {
            write!(f, "\nservices = [{}]", services.join(", "))?;
        }
        Ok(())
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
    pub services: ServiceRights,
}

impl Rights {
    /// Takes from `grants` those that name `plugin`.
    pub fn new(plugin: PluginId, asked: Vec<HttpCapability>, grants: &[Grant]) -> Self {
        let granted =
            grants.iter().filter(|grant| grant.plugin == plugin).flat_map(|grant| grant.http.clone()).collect();
        Self { plugin, asked, granted, services: ServiceRights::default() }
    }

    /// With the services that `asked` names and those of `grants` that name the plugin give.
    #[must_use]
    pub fn with_services(mut self, asked: ServiceCapabilities, grants: &[Grant]) -> Self {
        let given = grants.iter().filter(|grant| grant.plugin == self.plugin).flat_map(|grant| &grant.services);
        self.services = ServiceRights { asked, granted: given.copied().collect() };
        self
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
