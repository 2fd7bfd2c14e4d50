//! The services where there are none: what [`crate::Ports`] gets from tools that keep nothing.

use async_trait::async_trait;
use flowcell_core::host_call::{Caller, HostError, HostRequest, HostServices};
use serde_json::Value;

/// Nothing is kept and nothing is sent here.
#[derive(Debug, Clone, Copy)]
pub struct NoServices;

#[async_trait]
impl HostServices for NoServices {
    async fn call(&self, _: &Caller, request: HostRequest) -> Result<Value, HostError> {
        Err(HostError::unavailable(format!("`{}` is answered by a server, and this is none", request.name())))
    }
}
