//! What a plugin may reach: effective = manifest ∩ workspace grant ∩ step scope ∩ operator ceiling. Pure decisions over data.
//!
//! [`rule`] is the text of one destination that may be reached, [`scope`] what a step's author fixed, [`grant`] what was given, and [`decide()`] brings
//! them together with one request; [`service`] does the same for what plugins ask of the host itself. Addresses are not looked at here: names are resolved, and addresses judged, by the door.

mod contacts;
mod decide;
mod grant;
mod rule;
mod scope;
mod service;
mod target;

use serde::{Deserialize, Serialize};

pub use contacts::ContactsCapability;
pub use decide::{Denial, DeniedBy, decide};
pub use grant::{Ceiling, Grant, HttpGrant, Rights};
pub use rule::{HostPattern, HttpRule, InvalidRule, METHODS};
pub use scope::{StepScope, UrlScope};
pub use service::{
    FilesCapability, KeyValueCapability, Service, ServiceCapabilities, ServiceCapability, ServiceRights,
};
pub use target::{Origin, RequestTarget};

/// One `[[capabilities.http]]` of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpCapability {
    /// For people who decide about a grant: why it is needed.
    pub reason: String,
    /// The step's input field (a JSON Pointer without the slash: `url`) whose authored text fixes the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_input: Option<String>,
    /// Rules such as `https://api.example.com/v1/*`; see [`HttpRule`]. Empty with `from-input`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HttpRule>,
}
