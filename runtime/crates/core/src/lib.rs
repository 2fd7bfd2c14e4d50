//! What Flowcell is, without how: definitions, the run as a fold of its events, the plan, expressions, manifests,
//! capabilities, and the ports that the other crates implement.
//!
//! Nothing here does IO, reads a clock, draws randomness or spawns a task; a test asserts that no crate that could is in reach.
//! Read in this order: [`run::event`] (what can happen), [`run::plan`] (what should happen), [`ports`] (what makes it happen).

pub mod blob;
pub mod capability;
pub mod condition;
pub mod connection;
pub mod contact;
pub mod destination;
pub mod exchange;
pub mod expression;
mod serde_text;

pub mod host_call;
pub mod id;
pub mod inbox;
pub mod infer;
pub mod invoke;
pub mod key_value;
pub mod mail;
pub mod manifest;
pub mod manual_clock;
pub mod people;
pub mod plugin;
pub mod polling;
pub mod ports;
pub mod receipt;
pub mod record;
pub mod redact;
pub mod retention;
pub mod run;
pub mod schedule;
pub mod search;
pub mod secret;
pub mod testcase;
pub mod time;
pub mod workflow;
