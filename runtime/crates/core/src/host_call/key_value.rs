//! `key-value`: values that outlive a call.

mod change;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::Timestamp;

pub use change::{At, Change, change};

/// The longest key: a URL or two ids fit.
pub const KEY_BYTES_MAX: usize = 512;

/// The largest value. 64 KiB is the contract (`wit/1.0.0`).
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The longest life that is asked for: ten years. What is to stay longer has no `ttl-ms`.
pub const TTL_MS_MAX: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// Keys of one answer. 1,000 is the contract (`wit/1.0.0`).
pub const KEYS_MAX: u32 = 1_000;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Answer: an [`Entry`], or null.
    Get { namespace: Namespace, key: String },
    /// Answer: the new version.
    Set {
        namespace: Namespace,
        key: String,
        value: Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl_ms: Option<u64>,
        #[serde(skip_serializing_if = "Expected::is_anything")]
        expected: Expected,
    },
    /// Answer: whether it was there.
    Delete {
        namespace: Namespace,
        key: String,
        #[serde(skip_serializing_if = "Expected::is_anything")]
        expected: Expected,
    },
    /// Answer: the sum.
    Add {
        namespace: Namespace,
        key: String,
        delta: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl_ms: Option<u64>,
    },
    /// Answer: a list of keys.
    Keys {
        namespace: Namespace,
        prefix: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        limit: u32,
    },
}

impl Request {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Get { .. } => "key-value.get",
            Self::Set { .. } => "key-value.set",
            Self::Delete { .. } => "key-value.delete",
            Self::Add { .. } => "key-value.add",
            Self::Keys { .. } => "key-value.keys",
        }
    }

    /// Whose key it is, and the key; of [`Request::Keys`] the prefix.
    pub fn place(&self) -> (Namespace, &str) {
        match self {
            Self::Get { namespace, key }
            | Self::Set { namespace, key, .. }
            | Self::Delete { namespace, key, .. }
            | Self::Add { namespace, key, .. }
            | Self::Keys { namespace, prefix: key, .. } => (*namespace, key),
        }
    }

    pub(super) fn is_writing(&self) -> bool {
        matches!(self, Self::Set { .. } | Self::Delete { .. } | Self::Add { .. })
    }
}

/// Who shares a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// The runs of one workflow.
    Workflow,
    /// Every workflow of the workspace that uses the plugin.
    Plugin,
}

/// What the caller believes is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    #[default]
    Anything,
    Absent,
    Version(u64),
}

impl Expected {
    fn is_anything(&self) -> bool {
        *self == Self::Anything
    }
}

/// What is there under a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub value: Value,
    /// Another one after each change, also of a key that was deleted meanwhile.
    pub version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl Entry {
    /// Whether it is still there at `now`.
    pub fn is_there(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
}
