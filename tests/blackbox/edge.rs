//! PROMISES §3 "Inbound" and 12: whatever bytes come in, however slowly and however many, the server answers or closes, says no 5xx that is not
//! meant, loses nothing it accepted, and serves everybody else.

mod admission;
mod corpus;
mod frames;
mod http2;
mod mutations;
mod overload;
mod slow;
mod smuggling;
mod wire;

use flowcell_tests::{Options, Server, post};
use serde_json::json;

/// A server with these lines in its `[http]` section.
fn server_with(http: &str) -> (Server, tempfile::TempDir) {
    wire::raise_descriptors();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flowcell.toml");
    std::fs::write(&file, format!("log = \"warn\"\n[http]\n{http}\n")).unwrap();
    let arguments = vec!["--config".to_owned(), file.display().to_string()];
    (Server::start_with(Options { arguments, ..Options::default() }), folder)
}

/// A workflow that does next to nothing with a delivery; returns the URL of its trigger.
fn taking(server: &Server) -> String {
    let workflow = "id: taking\nname: Taking\ntrigger:\n  uses: flowcell/webhook/inbound@1\nsteps:\n  - id: note\n    set: { number: \"{{ trigger.body.number }}\" }\n";
    server.apply(workflow).url
}

/// The ids of all runs, page by page.
fn runs(server: &Server) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.api("GET", &format!("/api/v2/runs?limit=500{cursor}"), b"").json();
        let ids = page["runs"].as_array().unwrap().iter();
        all.extend(ids.map(|run| run["id"].as_str().unwrap_or_else(|| panic!("no id: {run}")).to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// A good delivery is accepted.
fn assert_good(url: &str) {
    let answer = post(url, &json!({ "number": 1 })).unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// No panic was caught anywhere.
fn assert_no_panic(server: &Server) {
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
}
