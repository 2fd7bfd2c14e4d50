//! Values that outlive a call, kept by the host. Needs the capability `key-value` in `plugin.toml`.
//!
//! ```no_run
//! # use flowcell_sdk::{ActionError, key_value::{self, Expected, Write}};
//! # fn run() -> Result<(), ActionError> {
//! let sent = key_value::workflow().add("sent", 1, None)?;
//!
//! let cache = key_value::plugin();
//! if let Some(entry) = cache.get::<Vec<String>>("sheets")? {
//!     let mut sheets = entry.value;
//!     sheets.push("new".to_owned());
//!     // A conflict if somebody else wrote meanwhile.
//!     cache.set("sheets", &sheets, Write { expected: Expected::Version(entry.version), ..Write::default() })?;
//! }
//! # Ok(()) }
//! ```
//! A key has 1 to 512 bytes, a value at most 64 KiB as JSON; the manifest's quota is for keys and values together. In a step, a write that an earlier
//! attempt made is not made again.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::HostError;

/// Who shares a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// The runs of one workflow.
    Workflow,
    /// Every workflow of the workspace that uses this plugin.
    Plugin,
}

/// What only runs of this workflow see.
pub fn workflow() -> Namespace {
    Namespace::Workflow
}

/// What every workflow of the workspace sees that uses this plugin.
pub fn plugin() -> Namespace {
    Namespace::Plugin
}

/// What is there under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    pub value: T,
    /// Another one after each change.
    pub version: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub expires_at_ms: Option<u64>,
}

/// What the caller believes is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expected {
    #[default]
    Anything,
    Absent,
    Version(u64),
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Write {
    /// It is gone after that.
    pub ttl: Option<Duration>,
    pub expected: Expected,
}

impl Namespace {
    pub fn get<T: DeserializeOwned>(self, key: &str) -> Result<Option<Entry<T>>, HostError> {
        let Some(Entry { value, version, expires_at_ms }) = crate::host::key_value_get(self, key)? else {
            return Ok(None);
        };
        let value = serde_json::from_str(&value)
            .map_err(|error| HostError::of_json(&format!("what is stored under `{key}` is something else"), &error))?;
        Ok(Some(Entry { value, version, expires_at_ms }))
    }

    /// The new version. [`HostError::is_conflict`] when what is there is not what was expected.
    pub fn set(self, key: &str, value: &(impl Serialize + ?Sized), write: Write) -> Result<u64, HostError> {
        let value =
            serde_json::to_string(value).map_err(|error| HostError::of_json("the value has no JSON form", &error))?;
        crate::host::key_value_set(self, (key, &value), write.ttl.map(millis), write.expected)
    }

    /// Whether it was there.
    pub fn delete(self, key: &str, expected: Expected) -> Result<bool, HostError> {
        crate::host::key_value_delete(self, key, expected)
    }

    /// Adds to a whole number (absent counts as 0) and returns the sum. `ttl` counts from now; without one the key keeps what it has.
    pub fn add(self, key: &str, delta: i64, ttl: Option<Duration>) -> Result<i64, HostError> {
        crate::host::key_value_add(self, key, delta, ttl.map(millis))
    }

    /// Keys that begin with `prefix`, in the order of their bytes, after `after`; at most `limit` (1 to 1,000).
    pub fn keys(self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, HostError> {
        crate::host::key_value_keys(self, prefix, after, limit)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
