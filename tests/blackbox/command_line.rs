//! The CLI as people meet it: what it prints, and how it ends.

use flowcell_tests::{CliOutput, Server, root};

use crate::forward;

#[test]
fn check_works_without_a_server_and_points_at_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let good = root().join("examples/push-to-build/workflow.yaml");
    let checked = CliOutput::of(&["check", good.to_str().unwrap()]);
    assert_eq!(checked.code, Some(0), "{checked:?}");

    let bad = folder.path().join("bad.yaml");
    std::fs::write(&bad, forward("bad", "https://example.com", "    retyr: { attempts: 2 }\n")).unwrap();
    let checked = CliOutput::of(&["check", good.to_str().unwrap(), bad.to_str().unwrap()]);
    assert_eq!(checked.code, Some(1), "one bad file is enough: {checked:?}");
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert!(said.contains("bad.yaml:13:"), "file and line: {said}");
    assert!(said.contains("retry"), "did you mean: {said}");

    // What only a server can look at is named: the connections of steps, and the secret of the sender's signature.
    let signed = root().join("examples/invoice-paid/workflow.yaml");
    let checked = CliOutput::of(&["check", signed.to_str().unwrap()]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let line =
        checked.stdout.lines().chain(checked.stderr.lines()).find(|line| line.contains("connections not checked here"));
    let line = line.unwrap_or_else(|| panic!("{checked:?}"));
    for name in ["google", "slack-bot", "stripe"] {
        assert!(line.contains(name), "{name}: {line}");
    }

    let missing = CliOutput::of(&["check", "no-such-file.yaml"]);
    assert_ne!(missing.code, Some(0));
    assert!(missing.stderr.contains("no-such-file.yaml"), "{missing:?}");
}

#[test]
fn an_unreachable_server_is_said_plainly() {
    let lost = CliOutput::of(&["run", "list", "--server", "http://127.0.0.1:9", "--token", "x"]);
    assert_eq!(lost.code, Some(3), "{lost:?}");
    assert!(lost.stderr.contains("127.0.0.1:9"), "{lost:?}");
    assert!(lost.stderr.contains("flowcell serve"), "it says what to do: {lost:?}");
}

#[test]
fn applying_the_same_file_again_changes_nothing_and_a_change_makes_a_version() {
    let server = Server::start();
    let first = server.apply(&forward("versions", "https://example.com/a", ""));
    let again = server.apply(&forward("versions", "https://example.com/a", ""));
    let changed = server.apply(&forward("versions", "https://example.com/b", ""));
    assert_eq!((first.version, again.version, changed.version), (1, 1, 2));
    assert_eq!(first.url, changed.url, "the URL stays");
    let shown = server.cli(&["workflow", "show", "versions", "--json"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stdout.contains("https://example.com/b"), "{shown:?}");
}

#[test]
fn a_draft_starts_no_runs() {
    let server = Server::start();
    let file = server.folder().join("draft.yaml");
    std::fs::write(&file, forward("draft", "https://example.com/", "")).unwrap();
    let applied = server.cli(&["workflow", "apply", file.to_str().unwrap(), "--draft", "--json"]);
    assert_eq!(applied.json()["status"], "draft", "{applied:?}");
    let url = applied.json()["triggers"][0]["url"].as_str().unwrap().to_owned();
    let answer = flowcell_tests::post(&url, &serde_json::json!({ "number": 1 })).unwrap();
    // It is kept as a test request (`flowcell trigger requests`).
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(answer.json()["run_ids"].is_null(), "{answer:?}");
    assert_eq!(server.api("GET", "/api/v2/runs", b"").json()["runs"].as_array().map(Vec::len), Some(0));
}

#[test]
fn the_default_configuration_is_a_working_file() {
    let printed = CliOutput::of(&["config", "default"]);
    assert_eq!(printed.code, Some(0));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flowcell.toml");
    std::fs::write(&file, &printed.stdout).unwrap();
    let arguments = vec!["--config".into(), file.to_str().unwrap().into()];
    let server = Server::start_with(flowcell_tests::Options { arguments, ..Default::default() });
    assert_eq!(flowcell_tests::get(&format!("{}/healthz", server.origin())).unwrap().status, 200);
}

#[test]
fn inspect_says_in_sentences_what_a_plugin_may_do() {
    let file = root().join("target/guests/flowcell-custom-webhook.wasm");
    let inspected = CliOutput::of(&["plugin", "inspect", file.to_str().unwrap()]);
    assert_eq!(inspected.code, Some(0), "{inspected:?}");
    for words in ["flowcell/custom-webhook", "sha256:", "`url`"] {
        assert!(inspected.stdout.contains(words), "{words}: {}", inspected.stdout);
    }
    let json = CliOutput::of(&["plugin", "inspect", file.to_str().unwrap(), "--json"]).json();
    assert_eq!(json["manifest"]["id"], "flowcell/custom-webhook");
    assert!(
        json["manifest"]["actions"][0]["input"]["properties"]["url"].is_object(),
        "schemas come from the Rust types: {json}"
    );
}
