//! Plugins as files: making a package from a module and its `plugin.toml`, reading one without running anything, and the catalog of those
//! that are there.
//!
//! Nothing here runs a plugin, compiles one to machine code, or waits: no wasmtime, no tokio; `xtask` builds guests with this crate.
//! Read in this order: [`package`] (what a package is), [`package::build`], [`plugin_toml`], [`inspect`], [`catalog`].

pub mod catalog;
pub mod inspect;
pub mod package;
pub mod plugin_toml;
mod suggest;

#[cfg(test)]
mod fixture;
