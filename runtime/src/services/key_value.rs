//! `key-value`: what plugins keep between calls, each within its quota. The store decides and writes in one transaction; here a request finds its place.

use std::sync::Arc;

use flowcell_core::host_call::key_value::{Entry, Namespace, Request};
use flowcell_core::host_call::{Caller, HostError};
use flowcell_core::key_value::{KeyRange, KeyValues, Space, ValueWrite};
use flowcell_core::ports::Clock;
use serde_json::{Value, json};

/// Values that are removed at once when room is needed: some milliseconds of writing.
const SWEPT: usize = 500;

/// The values of every plugin.
pub(crate) struct PluginValues {
    pub(crate) store: Arc<dyn KeyValues>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl PluginValues {
    pub(crate) async fn answer(&self, caller: &Caller, request: Request) -> Result<Value, HostError> {
        let space = space(caller, request.place().0)?;
        let now = self.clock.now();
        match request {
            Request::Get { key, .. } => {
                let entry = self.store.get(&space, &key).await?;
                Ok(json!(entry.filter(|entry: &Entry| entry.is_there(now))))
            }
            Request::Keys { prefix, after, limit, .. } => {
                let range = KeyRange { prefix, after, limit: usize::try_from(limit).unwrap_or(usize::MAX) };
                Ok(json!(self.store.keys(&space, range, now).await?))
            }
            request @ (Request::Set { .. } | Request::Delete { .. } | Request::Add { .. }) => {
                let quota_bytes = caller
                    .rights
                    .services
                    .asked
                    .key_value
                    .as_ref()
                    .map_or(0, flowcell_core::capability::KeyValueCapability::quota_bytes);
                let receipt_key = caller.ledger_key().map(|key| format!("key-value/{key}"));
                let write = ValueWrite { space, request, quota_bytes, now, receipt_key };
                self.write(write).await
            }
        }
    }

    /// Writes; where there is no room, once more without what has expired.
    async fn write(&self, write: ValueWrite) -> Result<Value, HostError> {
        match self.store.write(write.clone()).await? {
            Err(error) if error.code == "quota" && self.store.sweep(write.now, SWEPT).await? > 0 => {
                self.store.write(write).await?
            }
            answer => answer,
        }
    }
}

fn space(caller: &Caller, namespace: Namespace) -> Result<Space, HostError> {
    let workflow = match (namespace, &caller.workflow) {
        (Namespace::Plugin, _) => None,
        (Namespace::Workflow, Some(workflow)) => Some(workflow.clone()),
        (Namespace::Workflow, None) => {
            return Err(HostError::invalid_input(
                "/namespace",
                "there is no workflow yet, so it has no values; use the namespace `plugin`",
            ));
        }
    };
    Ok(Space { workspace: caller.workspace.clone(), plugin: caller.plugin.clone(), workflow })
}

#[cfg(test)]
mod tests;
