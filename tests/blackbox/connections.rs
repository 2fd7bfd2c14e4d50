//! FEATURES V1, V2, V4 through the whole server: a secret that is given to a connection reaches its peer, and nothing else.

use std::path::Path;

use flowcell_tests::{Receiver, Server};
use serde_json::{Value, json};

/// What is looked for everywhere: no word of any other text.
const TOKEN: &str = "c4narytokenQx7Zp2";

fn add(server: &Server, receiver: &Receiver, extra: &[&str]) -> Value {
    let file = server.folder().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let host = format!("{}/api/*", receiver.origin());
    let file = file.display().to_string();
    let arguments = [
        "connection",
        "add",
        "crm",
        "--kind",
        "bearer",
        "--host",
        &host,
        "--plugin",
        "flowcell/custom-webhook",
        "--secret-file",
        &file,
        "--json",
    ];
    let added = server.cli(&[&arguments, extra].concat());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(added.code, Some(0), "{added:?}");
    added.json()
}

fn workflow(url: &str) -> String {
    format!(
        "id: use\nname: Use\ntrigger:\n  uses: flowcell/webhook/inbound@1\nsteps:\n  - id: call\n    uses: flowcell/custom-webhook/request@1\n    \
         connection: crm\n    with:\n      method: POST\n      url: {url}\n      json: {{ a: 1 }}\n"
    )
}

fn holds(folder: &Path, needles: &[Vec<u8>]) -> Option<String> {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if let Some(found) = holds(&path, needles) {
                return Some(found);
            }
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        if needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle)) {
            return Some(path.display().to_string());
        }
    }
    None
}

/// The secret as it is, in base64 (at each of the three offsets, without the ends that hang on the neighbours), in hexadecimal.
fn needles() -> Vec<Vec<u8>> {
    let mut needles = vec![TOKEN.as_bytes().to_vec()];
    needles.push(TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat().into_bytes());
    needles
}

#[test]
fn a_step_uses_a_connection_and_nobody_else_sees_the_secret() {
    let receiver = Receiver::start();
    let mut server = Server::start();
    let added = add(&server, &receiver, &[]);
    assert_eq!((&added["kind"], &added["state"]["is"]), (&json!("bearer"), &json!("ready")), "{added:#}");
    let applied = server.apply(&workflow(&format!("{}/api/contacts", receiver.origin())));
    let run = server.trigger(&applied.url, &json!({}));
    let shown = server.wait_for_run(&run, &["succeeded", "failed"]);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    let requests = receiver.wait_for(1);
    assert_eq!(requests[0].header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    let mut seen = vec![added.to_string(), shown.to_string(), server.log()];
    for command in [
        &["connection", "list"][..],
        &["connection", "show", "crm", "--json"],
        &["connection", "usage", "crm"],
        &["run", "show", &run, "--json"],
        &["run", "show", &run],
        &["secrets", "show"],
    ] {
        let output = server.cli(command);
        assert_eq!(output.code, Some(0), "{command:?}: {output:?}");
        seen.push(output.stdout + &output.stderr);
    }
    assert!(seen.iter().all(|text| !text.contains(TOKEN)), "{seen:#?}");
    assert!(seen.iter().any(|text| text.contains("use (steps: call)")), "{seen:#?}");
    server.terminate();
    assert_eq!(holds(&server.data(), &needles()), None);
}

#[test]
fn a_request_outside_the_binding_goes_without_and_what_does_not_fit_is_refused_when_it_is_applied() {
    let receiver = Receiver::start();
    let server = Server::start();
    let unknown = server.try_apply(&workflow(&format!("{}/api/a", receiver.origin())));
    assert!(unknown.stdout.contains("there is no connection `crm`"), "{unknown:?}");
    add(&server, &receiver, &[]);
    let applied = server.apply(&workflow(&format!("{}/elsewhere", receiver.origin())));
    let run = server.trigger(&applied.url, &json!({}));
    server.wait_for_run(&run, &["succeeded", "failed"]);
    assert_eq!(receiver.wait_for(1)[0].header("authorization"), None);
    let revoked = server.cli(&["connection", "allow", "crm", "flowcell/custom-webhook", "--revoke"]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    let refused = server.try_apply(&workflow(&format!("{}/api/b", receiver.origin())));
    assert!(refused.stdout.contains("may not use connection"), "{refused:?}");
    let run = server.trigger(&applied.url, &json!({}));
    let shown = server.wait_for_run(&run, &["failed", "succeeded"]);
    assert!(shown.to_string().contains("connection-not-allowed"), "{shown:#}");
    let widened = server.cli(&["connection", "edit", "crm", "--host", "https://evil.example"]);
    assert!(widened.code == Some(1) && widened.stderr.contains("give it again"), "{widened:?}");
}

#[test]
fn the_secrets_key_is_exchanged_while_steps_use_what_it_seals() {
    let receiver = Receiver::start();
    let mut server = Server::start();
    add(&server, &receiver, &[]);
    let applied = server.apply(&workflow(&format!("{}/api/a", receiver.origin())));
    let before = std::fs::read(server.data().join("secrets-key")).unwrap();
    let rotated = server.cli(&["secrets", "rotate-key", "--json"]);
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    // `crm`, and `webhook-signing` that every server has.
    assert_eq!((&rotated.json()["wrapped"], &rotated.json()["unreadable"]), (&json!(2), &json!(0)));
    let after = std::fs::read(server.data().join("secrets-key")).unwrap();
    assert_ne!(before, after);
    assert!(!server.data().join("secrets-rotation").exists());
    server.kill();
    server.restart();
    let url = format!("{}/hooks/{}", server.origin(), applied.url.rsplit('/').next().unwrap());
    let run = server.trigger(&url, &json!({}));
    server.wait_for_run(&run, &["succeeded"]);
    let requests = receiver.wait_for(1);
    assert_eq!(requests[0].header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
}
