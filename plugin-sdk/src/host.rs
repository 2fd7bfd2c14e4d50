//! The host's functions: those of the contract inside a component, those of [`crate::test`] everywhere else.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::imports::*;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::test::host::*;
