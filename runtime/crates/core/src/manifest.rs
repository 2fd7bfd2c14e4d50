//! The manifest: what a plugin says of itself, as data. It is written as `plugin.toml`, embedded as JSON in the component's custom section
//! [`SECTION`], and read without running anything.

mod changelog;
mod connection;
pub mod lint;
pub mod options;
pub mod schema;
pub mod sentences;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::capability::{
    ContactsCapability, FilesCapability, HttpCapability, KeyValueCapability, ServiceCapabilities, ServiceCapability,
};
use crate::plugin::{PluginId, Version};
use crate::run::retry::ScheduleName;

pub use changelog::Release;
pub use connection::{ConnectionKind, ConnectionSlot, SECRET_MARK};

/// The component-level custom section that holds the manifest as JSON.
pub const SECTION: &str = "flowcell:manifest";

/// The contract this Flowcell speaks, as manifests name it.
pub const API: &str = "flowcell:plugin@1";

/// The major version of the contract this Flowcell speaks.
pub const API_MAJOR: u64 = 1;

/// The largest manifest that is read: schemas of a large plugin stay well below.
pub const BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `publisher/name`.
    pub id: PluginId,
    pub version: Version,
    /// The contract it was built for: `flowcell:plugin@1`.
    pub api: String,
    pub title: String,
    #[serde(default)]
    pub description: String,
    /// An emoji or a short SVG (at most 4 KiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// What its versions brought, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changelog: Vec<Release>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionManifest>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<TriggerManifest>,
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Kinds of connections that this plugin brings along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<ConnectionKind>,
    #[serde(default)]
    pub limits: Limits,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionManifest {
    /// What workflows name: `publisher/name/<id>@1`.
    pub id: String,
    pub title: String,
    #[serde(default)]
    pub description: String,
    /// Whether repeating it under the same idempotency key is harmless.
    #[serde(default)]
    pub idempotent: bool,
    /// The connection that a step may name; absent: the plugin says nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionSlot>,
    /// When a failed attempt is made again, unless the step says otherwise. Absent: three attempts within some seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<ScheduleName>,
    /// JSON Schema (2020-12) of the step's `with`.
    pub input: Value,
    /// JSON Schema (2020-12) of `steps.<id>.output`.
    pub output: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerManifest {
    pub id: String,
    pub title: String,
    #[serde(default)]
    pub description: String,
    pub kind: TriggerKind,
    /// Of a webhook trigger: whether it registers its URL at a provider, and takes it away again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub subscribes: bool,
    /// Of a polling trigger: how often it is asked unless the workflow says otherwise, and at most. `1m` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// The connection that a workflow's trigger may name; absent: the plugin says nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionSlot>,
    /// JSON Schema of the trigger's `with`.
    pub config: Value,
    /// JSON Schema of `trigger` in expressions.
    pub output: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerKind {
    /// Called with each request to the trigger's URL.
    Webhook,
    /// Asked from time to time what is new.
    Poll,
}

/// How often a polling trigger is asked: `30s`, `5m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Interval(#[serde(with = "crate::workflow::duration")] u64);

impl Interval {
    /// What a manifest that says nothing means: providers whose APIs are polled allow some calls a minute.
    pub const DEFAULT: Self = Self(60_000);
    /// The shortest: below, somebody should have the other side call.
    pub const MIN: Self = Self(1_000);
    /// The longest: a week. Who looks more rarely wants a schedule.
    pub const MAX: Self = Self(7 * 24 * 60 * 60 * 1_000);

    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

/// What the plugin asks for. Nothing is granted by asking.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Capabilities {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpCapability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_value: Option<KeyValueCapability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<ServiceCapability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox: Option<ServiceCapability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contacts: Option<ContactsCapability>,
    /// A private directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesCapability>,
}

impl Capabilities {
    /// What it asks of the host itself.
    pub fn services(&self) -> ServiceCapabilities {
        let Self { http: _, key_value, mail, inbox, contacts, files } = self.clone();
        ServiceCapabilities { key_value, mail, inbox, contacts, files }
    }
}

/// What the plugin asks for per call; the operator's ceiling cuts it. Absent fields take the host's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_requests: Option<u32>,
    /// Calls of the host's services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_calls: Option<u32>,
    /// WebAssembly instructions, as wasmtime counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
}

impl Manifest {
    /// The major version of the contract an `api` names: 1 in `flowcell:plugin@1` and in `flowcell:plugin@1.2.0`.
    pub fn api_major(api: &str) -> Option<u64> {
        let version = api.strip_prefix("flowcell:plugin@")?;
        let mut numbers = version.split('.').map(str::parse::<u64>);
        let major = numbers.next()?.ok()?;
        let rest = numbers.collect::<Result<Vec<_>, _>>().ok()?;
        (rest.len() <= 2).then_some(major)
    }

    pub fn action(&self, id: &str) -> Option<&ActionManifest> {
        self.actions.iter().find(|action| action.id == id)
    }
    pub fn connection(&self, id: &str) -> Option<&ConnectionKind> {
        self.connections.iter().find(|kind| kind.id == id)
    }
    pub fn trigger(&self, id: &str) -> Option<&TriggerManifest> {
        self.triggers.iter().find(|trigger| trigger.id == id)
    }

    /// The connection that steps of an action, or a trigger, may name.
    pub fn slot(&self, member: &str) -> Option<&ConnectionSlot> {
        let of_trigger = || self.trigger(member).and_then(|trigger| trigger.connection.as_ref());
        self.action(member).and_then(|action| action.connection.as_ref()).or_else(of_trigger)
    }

    /// Whether a field of an action's input or a trigger's config gets its choices from the plugin.
    pub fn has_options(&self) -> bool {
        let inputs = self.actions.iter().map(|action| &action.input);
        inputs.chain(self.triggers.iter().map(|trigger| &trigger.config)).any(options::is_anywhere)
    }
}
