//! Flowcell from outside: the binary, HTTP, and files. One module a promise or a way things go wrong.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a value that is not there fails the test, as it should; outside there is only real time"
)]

mod bad_input;
mod blobs;
mod canaries;
mod clock;
mod command_line;
mod connections;
mod contacts;
mod crash;
mod delivery;
mod edge;
mod egress;
mod examples;
mod flow;
mod hostile;
mod inbound;
mod ingest;
mod journal;
mod links;
mod notifications;
mod oauth;
mod pins;
mod plugin_readmes;
mod polling;
mod redaction;
mod rehearse;
mod reply;
mod rerun;
mod sheets;
mod shutdown;
mod signatures;
mod tools;

use serde_json::Value;

/// A workflow of one custom webhook to `url`.
fn forward(id: &str, url: &str, extra: &str) -> String {
    format!(
        "id: {id}\nname: Forward\ntrigger:\n  uses: flowcell/webhook/inbound@1\nsteps:\n  - id: forward\n    \
         uses: flowcell/custom-webhook/request@1\n    with:\n      method: POST\n      url: {url}\n      \
         json:\n        number: \"{{{{ trigger.body.number }}}}\"\n{extra}"
    )
}

/// The only attempt of the only step, or the last ones.
fn last_attempt(run: &Value) -> &Value {
    run["steps"]
        .as_array()
        .and_then(|steps| steps.last())
        .and_then(|step| step["attempts"].as_array())
        .and_then(|attempts| attempts.last())
        .unwrap_or_else(|| panic!("no attempt: {run}"))
}

/// The component that `cargo xtask build` left for a fixture.
fn guest(package: &str) -> Vec<u8> {
    let path = flowcell_tests::root().join("target/guests").join(format!("{package}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask build` first", path.display()))
}
