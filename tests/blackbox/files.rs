//! K9: a plugin's private directory, through the whole server: what a step of one run wrote, a step of the next run reads, with a kill between them.

use flowcell_tests::{Options, Server};
use serde_json::{Value, json};

use crate::{guest, last_attempt};

/// A workflow of one step that does this with the fixture's directory.
fn with_files(id: &str, lines: &Value) -> String {
    let step =
        json!({ "id": "files", "uses": "fixture/files/do@1", "with": { "do": lines }, "retry": { "attempts": 1 } });
    let trigger = json!({ "uses": "flowcell/webhook/inbound@1" });
    json!({ "id": id, "name": id, "trigger": trigger, "steps": [step] }).to_string()
}

#[test]
fn a_step_reads_after_a_kill_what_a_run_before_it_wrote_and_only_with_a_grant() {
    let folder = tempfile::tempdir().unwrap();
    let (plugins, config) = (folder.path().join("plugins"), folder.path().join("flowcell.toml"));
    std::fs::create_dir(&plugins).unwrap();
    std::fs::write(plugins.join("files.wasm"), guest("fixture-files")).unwrap();
    let ungranted: Vec<String> = vec!["--plugins".into(), plugins.to_str().unwrap().into()];
    let mut server = Server::start_with(Options { arguments: ungranted.clone(), ..Options::default() });
    let write =
        server.apply(&with_files("write", &json!([["write", "kept.txt", "from the first run"], ["sync", "kept.txt"]])));
    let read = server.apply(&with_files("read", &json!([["read", "kept.txt"], ["read", "../../../../admin-token"]])));

    let denied = server.wait_for_run(&server.trigger(&write.url, &json!({})), &["succeeded"]);
    let attempt = last_attempt(&denied);
    assert_eq!(attempt["output"], json!({ "directories": 0 }), "{attempt:#}");
    let said = attempt["log"][0]["message"].as_str().unwrap();
    let grant = said.split_once("[[grants]]").map(|(_, rest)| format!("[[grants]]{rest}")).unwrap();
    assert!(!server.data().join("files").exists());

    // The denial prints what to paste.
    std::fs::write(&config, grant).unwrap();
    let mut arguments = ungranted;
    arguments.extend(["--config".to_owned(), config.to_str().unwrap().to_owned()]);
    server.kill();
    server.restart_with(Options { arguments, ..Options::default() });
    let written = server.wait_for_run(&server.trigger(&server.rebase(&write.url), &json!({})), &["succeeded"]);
    assert_eq!(last_attempt(&written)["output"]["told"], json!([{ "ok": null }, { "ok": null }]), "{written:#}");

    server.kill();
    server.restart();
    let read = server.wait_for_run(&server.trigger(&server.rebase(&read.url), &json!({})), &["succeeded"]);
    let told = &last_attempt(&read)["output"]["told"];
    assert_eq!(told, &json!([{ "ok": "from the first run" }, { "error": "not-permitted" }]), "{read:#}");
    let on_disk = server.data().join("files/default/fixture/files/kept.txt");
    assert_eq!(std::fs::read_to_string(on_disk).unwrap(), "from the first run");
}
