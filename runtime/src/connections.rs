//! Connections: the broker that gives calls their credentials, and everything that is done to a connection. It alone opens sealed secrets.
//!
//! Read in this order: [`document`] (what is secret), [`broker`] (who gets what), [`authorize`] (how a secret is put on a request). Nothing here
//! shows a secret again: what was given can be used, replaced and removed, never read.

pub(crate) mod authorize;
pub(crate) mod broker;
pub(crate) mod document;
mod facts;
pub(crate) mod generate;
pub(crate) mod keys;
pub(crate) mod oauth;
pub(crate) mod rotation;
mod usage;
pub(crate) mod users;
pub(crate) mod wanted;

pub(crate) use broker::{Broker, Change, WriteError};
