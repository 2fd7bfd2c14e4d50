//! The door against everything that wants out: the corpus in `tests/corpus/ssrf.json`, rebinding, redirects, forbidden headers, limits, and peers
//! that stall. Loopback only: public addresses are dialled through a seam that records them and connects to a local receiver.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "tests may panic, dial their own listeners and spawn"
)]

mod badge;
mod corpus;
mod credentials;
mod limits;
mod network;
mod policy;
mod record;
mod sent;
