//! What steps may ask of the host besides requests: one module for each service.

pub(crate) mod inbox;
pub(crate) mod mail;
