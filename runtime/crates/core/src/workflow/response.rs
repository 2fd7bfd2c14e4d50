//! What an author says of the body that the answer to an action has: for the checks before anything runs. Nothing at run time depends on it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The member of an action's output that is meant: what answers are kept as (`flowcell/custom-webhook/request`, `flowcell/webhook/send`).
pub const MEMBER: &str = "body";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Response {
    /// A JSON Schema (2020-12) that bodies fit: what it does not have is not there.
    Schema(Value),
    /// A body as it may come: what it does not have is worth a warning.
    Sample(Value),
}
