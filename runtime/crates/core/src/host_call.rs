//! What a guest asks of the host besides HTTP, as data: it is held against what was granted, recorded, replayed and rehearsed like an exchange.
//!
//! One road for all of it: the sandbox makes a [`HostRequest`] of what the guest said, and [`HostServices`] answers with a JSON document whose shape
//! each request's documentation names. Nothing here decides or does anything.

pub mod contacts;
pub mod inbox;
pub mod key_value;
pub mod mail;
mod recorded;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::capability::{Rights, Service};
use crate::id::{ConnectionName, Digest, RunId, StepRef, WorkflowId, WorkspaceId};
use crate::plugin::PluginId;
use crate::ports::StoreError;
use crate::time::Timestamp;

pub use recorded::{HostCall, UNCERTAIN};

/// One thing asked of the host.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub enum HostRequest {
    KeyValue(key_value::Request),
    Mail(mail::Message),
    Inbox(inbox::Request),
    Contacts(contacts::Request),
    /// Facts about the step's connection. The sandbox answers it itself.
    Connection,
}

impl HostRequest {
    /// The service that it needs; none for what every plugin may ask.
    pub fn service(&self) -> Option<Service> {
        match self {
            Self::KeyValue(_) => Some(Service::KeyValue),
            Self::Mail(_) => Some(Service::Mail),
            Self::Inbox(_) => Some(Service::Inbox),
            Self::Contacts(_) => Some(Service::Contacts),
            Self::Connection => None,
        }
    }

    /// Interface and function, as in the contract: `key-value.set`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::KeyValue(request) => request.name(),
            Self::Mail(_) => "mail.send",
            Self::Inbox(request) => request.name(),
            Self::Contacts(request) => request.name(),
            Self::Connection => "connection.facts",
        }
    }

    /// Whether it may change something. Such calls of a step are numbered, and repeated under the number of before.
    pub fn is_writing(&self) -> bool {
        match self {
            Self::KeyValue(request) => request.is_writing(),
            Self::Mail(_) => true,
            Self::Inbox(request) => matches!(request, inbox::Request::Notify { .. }),
            Self::Contacts(request) => !matches!(request, contacts::Request::Find { .. }),
            Self::Connection => false,
        }
    }

    /// What the record keeps of it: everything but the name of the call and the content of attachments.
    pub fn document(&self) -> Value {
        // None of these types has a map with keys other than text, so it cannot fail.
        let mut document = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(fields) = &mut document {
            fields.remove("call");
            fields.remove("do");
        }
        document
    }
}

/// Why the host did not do it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// `denied`, `conflict`, `not-found`, `invalid-input`, `too-large`, `quota`, `budget`, `unauthorized`, `rejected`, `rate-limited` or `unavailable`.
    pub code: String,
    /// For people: what happened, and what to do about it.
    pub message: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// An object with more; `{"field": "/to/0"}` is a JSON Pointer into what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl HostError {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), retryable: false, retry_after_ms: None, details: None }
    }

    /// No grant, or none that reaches so far.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new("denied", message)
    }

    /// What is there is not what was expected.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new("conflict", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new("not-found", message)
    }

    /// `pointer` leads to the place at fault in what was asked: `/to/0`; empty for the whole.
    pub fn invalid_input(pointer: &str, message: impl Into<String>) -> Self {
        Self { details: Some(json!({ "field": pointer })), ..Self::new("invalid-input", message) }
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new("too-large", message)
    }

    /// The plugin's room is used up.
    pub fn quota(message: impl Into<String>) -> Self {
        Self::new("quota", message)
    }

    /// This call has used what one call may use.
    pub fn budget(message: impl Into<String>) -> Self {
        Self::new("budget", message)
    }

    /// The other side refuses the connection's credentials.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new("unauthorized", message)
    }

    pub fn rate_limited(message: impl Into<String>, retry_after_ms: Option<u64>) -> Self {
        Self { retryable: true, retry_after_ms, ..Self::new("rate-limited", message) }
    }

    /// It may pass.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new("unavailable", message) }
    }
}

/// A store that is busy may be asked again; the rest is for the operator.
impl From<StoreError> for HostError {
    fn from(error: StoreError) -> Self {
        let retryable = !matches!(error, StoreError::Refused { .. } | StoreError::Damaged { .. });
        Self { retryable, ..Self::unavailable(error.to_string()) }
    }
}

/// Who asks: which step of which run, or which trigger, through which plugin.
#[derive(Debug, Clone)]
pub struct Caller {
    pub workspace: WorkspaceId,
    /// Absent where there is no workflow yet: choices for the form of a new one.
    pub workflow: Option<WorkflowId>,
    /// Absent for triggers.
    pub run: Option<RunId>,
    /// Absent for triggers.
    pub step: Option<StepRef>,
    pub attempt: u32,
    /// The same for every attempt of the step; empty for triggers.
    pub idempotency_key: String,
    /// Which of the writing calls of this attempt it is, from 1; 0 for one that only reads.
    pub nth: u32,
    pub plugin: PluginId,
    pub digest: Digest,
    pub connection: Option<ConnectionName>,
    /// Nobody waits for the answer any longer then.
    pub deadline: Timestamp,
    pub rights: Arc<Rights>,
}

impl Caller {
    /// Under which a writing call is remembered, so that a repeated attempt gets the first one's answer: `<idempotency key>/<nth>`.
    /// None for triggers, which have no key, and for calls that only read.
    pub fn ledger_key(&self) -> Option<String> {
        self.ledger_key_of(None)
    }

    /// The same for a call that brings a name of its own, `<idempotency key>/=<key>`: it is remembered however many calls come before it.
    pub fn ledger_key_of(&self, key: Option<&str>) -> Option<String> {
        if let Some(key) = key {
            return (!self.idempotency_key.is_empty()).then(|| format!("{}/={key}", self.idempotency_key));
        }
        (self.nth > 0 && !self.idempotency_key.is_empty()).then(|| format!("{}/{}", self.idempotency_key, self.nth))
    }
}

/// Does what guests ask for. Whoever calls it has held the request against manifest and grant, and has checked its size; the port holds it against
/// what the workspace has.
#[async_trait]
pub trait HostServices: Send + Sync {
    async fn call(&self, caller: &Caller, request: HostRequest) -> Result<Value, HostError>;
}

#[cfg(test)]
mod tests;
