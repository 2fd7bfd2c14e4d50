//! Write Flowcell plugins in Rust: actions (what a step does) and triggers (what starts a run).
//!
//! ```
//! use flowcell_sdk::{ActionError, Context, Input, Output};
//!
//! #[derive(Input)]
//! struct Greeting {
//!     /// Who to greet.
//!     name: String,
//! }
//!
//! #[derive(Output)]
//! struct Greeted {
//!     message: String,
//! }
//!
//! fn greet(_ctx: &Context, input: Greeting) -> Result<Greeted, ActionError> {
//!     Ok(Greeted { message: format!("Hello, {}!", input.name) })
//! }
//!
//! flowcell_sdk::plugin! {
//!     actions: { "greet" => greet },
//! }
//! ```
//!
//! Titles, capabilities and limits stand in `plugin.toml`; schemas come from the types (`SCHEMAS.md`). A plugin reaches nothing by itself:
//! each request goes through the host ([`http`]), which holds it against what was granted and adds the credentials.
//! Every call gets a fresh instance: nothing a plugin keeps in memory outlives it.
//!
//! Under plain `cargo test` the host is played by [`test::Harness`].
//!
//! Reading order: [`schema`] (types → JSON Schema), [`register`] (`plugin!`), [`error`], [`http`], [`trigger`], [`poll`], [`subscription`], [`options`],
//! [`json`] and [`media`] (bodies), [`log`], what the host keeps and does ([`key_value`], [`mail`], [`inbox`], [`contacts`], [`connection`], [`files`]), then what lies
//! below them: `host` (the two hosts), `bindings` (the contract), `arena` (the allocator).

extern crate self as flowcell_sdk;

mod arena;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
pub mod connection;
pub mod contacts;
pub mod context;
pub mod error;
pub mod files;
mod host;
mod host_error;
pub mod http;
pub mod inbox;
pub mod json;
pub mod key_value;
pub mod log;
pub mod mail;
pub mod media;
pub mod multipart;
pub mod options;
pub mod poll;
pub mod register;
pub mod schema;
pub mod subscription;
#[cfg(not(target_arch = "wasm32"))]
pub mod test;
pub mod trigger;

pub use context::Context;
pub use error::ActionError;
pub use flowcell_sdk_derive::{Input, Output};
pub use host_error::HostError;
pub use register::Plugin;
pub use schema::{Input, Output};

/// For the macros; nothing here is promised.
#[doc(hidden)]
pub mod __private {
    pub use crate::register::{
        ActionSchemas, TriggerSchemas, call_action, call_options, call_poll, call_subscribe, call_trigger,
        call_unsubscribe, is_unique, unknown_action, unknown_options, unknown_trigger,
    };
    pub use crate::schema::line::{action_line, action_line_length, trigger_line, trigger_line_length};
    pub use serde;
}
