//! Hostile and broken plugins against one sandbox: each must end with its own clear error, and a good call must work right afterwards.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, unreachable_pub)]

#[path = "../ssrf/badge.rs"]
#[allow(dead_code, reason = "the other tests of the door use all of it")]
mod badge;
mod cache;
mod compile;
mod first_party;
mod guest;
mod load;
#[path = "../ssrf/network.rs"]
#[allow(dead_code, reason = "the other tests of the door use all of it")]
mod network;
mod record;
mod services;
mod support;
mod thieves;
mod wasi_http;
