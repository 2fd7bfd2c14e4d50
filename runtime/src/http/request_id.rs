//! The id of a request: in its log lines, in the `x-request-id` header of its answer, and as `instance` of its problem.

use std::sync::Arc;

use flowcell_core::ports::{Clock, Entropy};
use http::header::HeaderName;

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Travels in the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// Ids sort by time; a client's own id is never taken over, since it could forge log lines.
    pub(crate) fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        let ulid = flowcell_core::id::EventId::from_parts(clock.now(), crate::entropy::id_bits(entropy)).to_string();
        let (_, bare) = ulid.split_once('_').unwrap_or(("", &ulid));
        Self(format!("req_{bare}").into())
    }
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
