//! What the host keeps of a response: bytes that need not pass through a plugin's memory.

use crate::Input;

/// Names bytes that the host keeps with the run: what a step's output has as `{"blob": "sha256:…", "bytes": …}`, as the input of another.
#[derive(Debug, Clone, PartialEq, Eq, Input)]
pub struct Blob {
    /// `sha256:…`: the digest of its bytes.
    pub blob: String,
    pub bytes: Option<u64>,
    /// As its sender said.
    pub content_type: Option<String>,
    pub filename: Option<String>,
}
