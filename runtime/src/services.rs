//! What plugins may ask of the host besides requests: one module for each service. Here is only the way to them: the sandbox has held a request against
//! manifest, grant and sizes, and records what comes back.

pub(crate) mod contacts;

use async_trait::async_trait;
use flowcell_core::host_call::{Caller, HostError, HostRequest, HostServices};
use serde_json::Value;

/// Every service of this server.
pub(crate) struct Services {
    pub(crate) contacts: contacts::ContactService,
}

#[async_trait]
impl HostServices for Services {
    async fn call(&self, caller: &Caller, request: HostRequest) -> Result<Value, HostError> {
        match request {
            HostRequest::KeyValue(_) => Err(not_here("key-value")),
            HostRequest::Mail(_) => Err(not_here("mail")),
            HostRequest::Inbox(_) => Err(not_here("inbox")),
            HostRequest::Contacts(request) => self.contacts.call(caller, request).await,
            // The sandbox knows them itself.
            HostRequest::Connection => Err(not_here("connection")),
        }
    }
}

fn not_here(service: &str) -> HostError {
    HostError::unavailable(format!("this server has no service `{service}`"))
}
