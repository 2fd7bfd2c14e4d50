//! Values that plugins keep between calls: whose they are, how much room they take, and the port that stores them.
//! [`crate::host_call::key_value`] says what may be asked of them.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::host_call::HostError;
use crate::host_call::key_value::{At, Entry, Request, change};
use crate::id::{WorkflowId, WorkspaceId};
use crate::plugin::PluginId;
use crate::ports::StoreError;
use crate::receipt::Receipt;
use crate::time::Timestamp;

/// Whose keys they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Space {
    pub workspace: WorkspaceId,
    pub plugin: PluginId,
    /// Absent: of every workflow of the workspace that uses the plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowId>,
}

/// A value where it lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredValue {
    #[serde(flatten)]
    pub space: Space,
    pub key: String,
    #[serde(flatten)]
    pub entry: Entry,
}

impl StoredValue {
    /// What counts against the plugin's quota: the key and the value as JSON.
    pub fn bytes(key: &str, entry: &Entry) -> u64 {
        (key.len() + entry.value.to_string().len()) as u64
    }
}

/// What a plugin's values take in a workspace, and the last version that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Holding {
    pub bytes: u64,
    pub version: u64,
}

/// One write, made in one transaction with its receipt.
#[derive(Debug, Clone)]
pub struct ValueWrite {
    pub space: Space,
    /// A writing one.
    pub request: Request,
    pub quota_bytes: u64,
    pub now: Timestamp,
    /// Under which it is remembered; absent: it is not.
    pub receipt_key: Option<String>,
}

/// What a write comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// What is there afterwards.
    pub entry: Option<Entry>,
    pub holding: Holding,
    pub answer: Value,
    pub receipt: Option<Receipt>,
}

impl ValueWrite {
    /// Decides it against what is there, expired or not: what has expired is not there, and takes room until it is swept or written over.
    pub fn decide(&self, current: Option<&Entry>, holding: Holding) -> Result<Decided, HostError> {
        let (_, key) = self.request.place();
        let at = At { now: self.now, version: holding.version.saturating_add(1) };
        let Some(changed) = change(&self.request, current, at) else {
            return Err(HostError::invalid_input("", "a read is no write"));
        };
        let changed = changed?;
        let before = current.map_or(0, |entry| StoredValue::bytes(key, entry));
        let after = changed.entry.as_ref().map_or(0, |entry| StoredValue::bytes(key, entry));
        let bytes = holding.bytes.saturating_sub(before).saturating_add(after);
        if after > before && bytes > self.quota_bytes {
            return Err(HostError::quota(format!(
                "`{key}` would make {bytes} bytes of values of plugin {}; its quota in this workspace is {} bytes. Delete keys (`flowcell \
                 key-value list` shows them), give values a life, or raise `quota-kib` in the manifest",
                self.space.plugin, self.quota_bytes
            )));
        }
        let result = changed.answer.clone();
        let receipt = self.receipt_key.as_ref().map(|key| Receipt {
            workspace: self.space.workspace.clone(),
            key: key.clone(),
            at: self.now,
            result,
        });
        Ok(Decided {
            entry: changed.entry,
            holding: Holding { bytes, version: at.version },
            answer: changed.answer,
            receipt,
        })
    }
}

/// Which keys of a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    pub prefix: String,
    /// Only keys behind this one.
    pub after: Option<String>,
    pub limit: usize,
}

/// Values in the store. Every write is synced before it returns.
#[async_trait]
pub trait KeyValues: Send + Sync {
    /// What lies under a key, expired or not.
    async fn get(&self, space: &Space, key: &str) -> Result<Option<Entry>, StoreError>;

    /// Decides and writes in one transaction with the receipt. A write whose receipt is there (and counts) is not made again: it gets the
    /// result of then. The inner error is the plugin's.
    async fn write(&self, write: ValueWrite) -> Result<Result<Value, HostError>, StoreError>;

    /// Keys of a space that have not expired at `now`, in the order of their bytes.
    async fn keys(&self, space: &Space, range: KeyRange, now: Timestamp) -> Result<Vec<String>, StoreError>;

    /// Everything that plugins keep in the workspace, of one plugin or of all, expired or not.
    async fn values(&self, workspace: &WorkspaceId, plugin: Option<&PluginId>) -> Result<Vec<StoredValue>, StoreError>;

    /// Removes what has expired at `now`, at most `limit` values; how many there were.
    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError>;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::host_call::key_value::{Expected, Namespace};

    fn write(value: Value, quota_bytes: u64) -> ValueWrite {
        let request = Request::Set {
            namespace: Namespace::Plugin,
            key: "key".into(),
            value,
            ttl_ms: None,
            expected: Expected::Anything,
        };
        let space = Space {
            workspace: WorkspaceId::default_workspace(),
            plugin: "acme/p".parse().expect("an id"),
            workflow: None,
        };
        ValueWrite { space, request, quota_bytes, now: Timestamp::default(), receipt_key: Some("r".into()) }
    }

    #[test]
    fn a_quota_counts_keys_and_values_and_lets_them_shrink() {
        let held = Holding { bytes: 90, version: 4 };
        let decided = write(json!("1234567"), 102).decide(None, held).expect("it fits");
        assert_eq!((decided.holding, decided.answer), (Holding { bytes: 102, version: 5 }, json!(5)));
        assert_eq!(decided.receipt.expect("it is remembered").result, json!(5));
        let error = write(json!("12345678"), 102).decide(None, held).expect_err("a byte too much");
        assert!(
            error.code == "quota" && error.message.contains("acme/p") && error.message.contains("103 bytes"),
            "{error}"
        );
        // Over the quota already, because it was lowered: what makes it less is written.
        let large = Entry { value: json!("1234567890"), version: 2, expires_at: None };
        assert!(write(json!("1"), 10).decide(Some(&large), held).is_ok());
    }
}
