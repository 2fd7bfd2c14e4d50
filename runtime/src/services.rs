//! What plugins may ask of the host besides requests: one module for each service. Here is only the way to them: the sandbox has held a request against
//! manifest, grant and sizes, and records what comes back.

pub(crate) mod contacts;
pub(crate) mod inbox;
pub(crate) mod key_value;
pub(crate) mod mail;

use std::sync::Arc;

use async_trait::async_trait;
use flowcell_core::host_call::{Caller, HostError, HostRequest, HostServices};
use serde_json::Value;

use self::inbox::Inboxes;
use self::key_value::PluginValues;
use self::mail::Mailer;

/// Every service of this server.
pub(crate) struct Services {
    pub(crate) values: PluginValues,
    pub(crate) mailer: Arc<Mailer>,
    pub(crate) inboxes: Inboxes,
    pub(crate) contacts: contacts::ContactService,
}

#[async_trait]
impl HostServices for Services {
    async fn call(&self, caller: &Caller, request: HostRequest) -> Result<Value, HostError> {
        match request {
            HostRequest::KeyValue(request) => self.values.answer(caller, request).await,
            HostRequest::Mail(message) => mail::answer(&self.mailer, caller, message).await,
            HostRequest::Inbox(request) => inbox::answer(&self.inboxes, caller, request).await,
            HostRequest::Contacts(request) => self.contacts.call(caller, request).await,
            // The sandbox knows them itself.
            HostRequest::Connection => Err(not_here("connection")),
        }
    }
}

fn not_here(service: &str) -> HostError {
    HostError::unavailable(format!("this server has no service `{service}`"))
}
