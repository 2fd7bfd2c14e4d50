//! What a plugin may reach: effective = manifest ∩ workspace grant ∩ step scope ∩ operator ceiling. Pure decisions over data.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Scheme, host and port: what run data never chooses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: String,
    /// In lower case, without a trailing dot; IPv6 literals in brackets.
    pub host: String,
    pub port: u16,
}

/// One `[[capabilities.http]]` of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpCapability {
    /// For people, on the permission sheet: why it is needed.
    pub reason: String,
    /// The step's input field (a JSON Pointer without the slash: `url`) whose authored text fixes the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_input: Option<String>,
    /// Rules such as `https://api.example.com/v1/*`; see [`HttpRule`]. Empty with `from-input`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HttpRule>,
}

/// `[METHOD,…] scheme://host[:port][/path/*]`: one thing that may be reached. `*.example.com` stands for every name below.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpRule {
    /// Empty: every method a guest may use.
    pub methods: BTreeSet<String>,
    pub scheme: String,
    /// Exact, or `*.suffix`.
    pub host: String,
    pub port: u16,
    /// A path that must match exactly, or with a trailing `*` a prefix.
    pub path: String,
}

/// Where a step's URL field may lead, from what its author wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum UrlScope {
    /// The author's literal text fixes it.
    Fixed { origin: Origin },
    /// An expression decides scheme, host or port: allowed only where a workspace grant names the destination.
    FromData {
        /// The authored text, for the denial.
        authored: String,
    },
}

/// What the author of a step fixed: one entry for each `from-input` field of the plugin's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepScope {
    pub urls: Vec<(String, UrlScope)>,
}

impl HttpRule {
    /// Parses `[METHOD,…] scheme://host[:port][/path/*]`.
    pub fn parse(_text: &str) -> Result<Self, String> {
        unimplemented!()
    }
}
impl Serialize for HttpRule {
    fn serialize<S: serde::Serializer>(&self, _s: S) -> Result<S::Ok, S::Error> {
        unimplemented!()
    }
}
impl<'de> Deserialize<'de> for HttpRule {
    fn deserialize<D: serde::Deserializer<'de>>(_d: D) -> Result<Self, D::Error> {
        unimplemented!()
    }
}
