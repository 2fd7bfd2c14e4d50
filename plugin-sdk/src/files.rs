//! The plugin's private directory, which no host gives yet (wit/PENDING_CHANGES.md). It will need the capability `files` in `plugin.toml`, and the target `wasm32-wasip2`: `std::fs` does the rest.
//!
//! It outlives calls, belongs to the plugin and the workspace alone, and has a quota: what exceeds it fails as a full disk does. Two calls at the same
//! time see the same files; write to a new name and rename it over the old one, so that nobody reads half a file.

/// Where the directory stands. Nothing else is there: no other path can be opened.
pub const DIRECTORY: &str = "/data";
