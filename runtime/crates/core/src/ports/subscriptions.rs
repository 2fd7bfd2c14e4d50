//! What stands at providers for triggers that register their URL there.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StoreError;
use super::polls::{Hold, TriggerFailure};
use crate::id::{ConnectionName, Digest, WorkflowId, WorkspaceId};
use crate::time::Timestamp;

/// Where the subscription of one workflow's trigger stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionState {
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    /// Counts its writes from 1: a write names the revision it was made from.
    pub revision: u64,
    /// What a provider is about to be asked for, written before it is asked: a process that dies in between asks for the same again,
    /// and no registration is left of which nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Wanted>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Registered>,
    /// What is to be taken away, the longest known first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retiring: Vec<Registered>,
    /// When something is tried again or renewed; none: nothing is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// Calls in a row that failed.
    #[serde(default)]
    pub failures: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TriggerFailure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
}

/// A registration to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The plugin that makes it, and takes it away later, whatever the workflow uses by then.
    pub digest: Digest,
    /// The trigger's id in the manifest.
    pub member: String,
    /// What is subscribed to ([`crate::polling::Source::digest`]).
    pub source: Digest,
    pub config: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionName>,
    /// The generation of the trigger's URL, and the server's address that it begins with. The URL itself is a secret, and derived.
    pub url_generation: u32,
    pub base_url: String,
}

impl Wanted {
    /// Whether the other one is the same registration at the provider, whichever version of the plugin made it.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.source, self.url_generation, &self.base_url) == (other.source, other.url_generation, &other.base_url)
    }
}

/// A registration that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    pub wanted: Wanted,
    /// What the plugin needs to take it away. No secret.
    pub registration: Value,
    pub at: Timestamp,
    /// The provider forgets it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl SubscriptionState {
    /// Nothing stands anywhere.
    pub fn new(workspace: WorkspaceId, workflow: WorkflowId) -> Self {
        Self {
            workspace,
            workflow,
            revision: 0,
            intent: None,
            current: None,
            retiring: Vec::new(),
            next_at: None,
            failures: 0,
            error: None,
            hold: None,
        }
    }

    /// Whether it says nothing.
    pub fn is_idle(&self) -> bool {
        self.intent.is_none() && self.current.is_none() && self.retiring.is_empty()
    }
}

/// The subscriptions of all triggers.
#[async_trait]
pub trait Subscriptions: Send + Sync {
    /// Writes a state; returns after the sync. `revision` is the stored one + 1, or 1 for the first; [`StoreError::Conflict`] otherwise.
    async fn put(&self, state: SubscriptionState) -> Result<(), StoreError>;

    async fn get(
        &self,
        workspace: &WorkspaceId,
        workflow: &WorkflowId,
    ) -> Result<Option<SubscriptionState>, StoreError>;

    /// Every state of the workspace, by workflow.
    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<SubscriptionState>, StoreError>;
}
