//! The first-party plugins inside this binary; the build script writes the table.

/// Package name and component of each plugin that `cargo xtask build` had built before the binary was.
pub(crate) const PLUGINS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));
