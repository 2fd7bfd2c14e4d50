//! The engine in simulated time, over the memory store, with a plugin that does as it is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::needless_raw_string_hashes,
    clippy::format_collect,
    reason = "a test may fail"
)]

mod world;

mod contacts;
mod crash;
mod crowd;
mod delivery;
mod drain;
mod family;
mod flow;
mod hours;
mod limits;
mod line;
mod outside;
mod pinned;
mod polling;
mod races;
mod reconnect;
mod refused;
mod replace;
mod rerun;
mod retry;
mod schedule;
mod seeds;
mod shapes;
mod subscribing;
mod uncertain;
