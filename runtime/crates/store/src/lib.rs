//! Where runs and workflows are kept: [`memory`] (the reference, for tests) and [`embedded`] (one directory, one process).
//!
//! Both implement the same four ports of `flowcell_core::ports` and pass the same suite (`tests/contract.rs`).
//! Nothing here knows what a run *means*: it keeps entries, and the summary and the queue that change with them.
//!
//! Read in this order: [`rules`] (what every backend must check), [`queue`] (who is due, who is claimed), [`memory`], then
//! [`embedded`], whose module documentation tells the path of a write.

pub mod embedded;
mod marks;
pub mod memory;
mod queue;
mod rules;

pub use rules::DEDUPE_WINDOW;
