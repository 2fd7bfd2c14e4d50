//! The HTTP edge: accepts connections, enforces limits, gives every request an id, and turns every failure into a problem document.
//! It knows nothing of workflows; [`crate::api`] and [`crate::ingress`] do.

pub(crate) mod body;
pub(crate) mod document;
pub(crate) mod limits;
pub(crate) mod problem;
pub(crate) mod request_id;
pub(crate) mod serve;
