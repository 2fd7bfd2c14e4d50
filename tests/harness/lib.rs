//! What the black-box tests stand on: a real `flowcell serve` in its own process, and a real HTTP receiver.
//!
//! Nothing here knows Flowcell's crates; it speaks HTTP and the command line, as a user does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::disallowed_methods,
    reason = "a test harness fails by panicking, and measures real time"
)]

mod client;
pub mod google;
mod oidc;
mod receiver;
mod server;
mod smtp;
pub mod tools;

pub use client::{Answer, delete, get, post, request};
pub use oidc::{Browser, Oidc};
pub use receiver::{Receiver, Reply, Request};
pub use server::{Applied, CliOutput, Options, Server};
pub use smtp::Smtp;

use std::time::{Duration, Instant};

/// Asks until there is an answer; panics with `what` when there is none within `limit`.
pub fn eventually<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The checkout's root.
pub fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the root").to_owned()
}

/// How much of something a test does: `usual`, or what `cargo xtask torture` sets in `variable`.
pub fn amount(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}
