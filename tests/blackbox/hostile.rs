//! Guests that mean harm, through the whole server: contained, explained on their run, and the server unharmed.

use flowcell_tests::{Options, Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::{forward, guest, last_attempt};

/// A workflow of one step, tried once.
fn one_step(id: &str, uses: &str, with: &Value) -> String {
    let step = json!({ "id": "attack", "uses": uses, "with": with, "retry": { "attempts": 1 }, "timeout": "45s" });
    let trigger = json!({ "uses": "flowcell/webhook/inbound@1" });
    json!({ "id": id, "name": id, "trigger": trigger, "steps": [step] }).to_string()
}

/// Where the reason stands.
enum Says {
    /// The run failed with this code.
    Run(&'static str),
    /// The guest was told, and so is the reader of the exchange.
    Exchange(&'static str),
    /// What went over the limit was counted and not kept.
    DroppedLines,
}

/// Action of the hostile fixture, its input, and what its run must say.
fn attacks(receiver: &str) -> Vec<(&'static str, Value, Says)> {
    vec![
        ("infinite-loop", json!({}), Says::Run("cpu-exhausted")),
        ("spin-in-host-calls", json!({}), Says::Run("cpu-exhausted")),
        ("memory-bomb", json!({}), Says::Run("memory-exhausted")),
        ("recursion", json!({}), Says::Run("limit-exceeded")),
        ("log-flood", json!({}), Says::DroppedLines),
        ("giant-result", json!({ "bytes": 2 << 20 }), Says::Run("invalid-output")),
        ("bad-json", json!({}), Says::Run("invalid-output")),
        ("deep-json", json!({}), Says::Run("invalid-output")),
        ("panic", json!({}), Says::Run("plugin-crashed")),
        ("header-flood", json!({ "url": receiver }), Says::Exchange("too-large")),
        ("send", json!({ "url": "http://elsewhere.test/" }), Says::Exchange("denied")),
    ]
}

#[test]
fn hostile_guests_are_contained_and_their_runs_say_why() {
    let receiver = Receiver::start();
    let plugins = tempfile::tempdir().unwrap();
    std::fs::write(plugins.path().join("hostile.wasm"), guest("fixture-hostile")).unwrap();
    let arguments = vec!["--plugins".into(), plugins.path().to_str().unwrap().into()];
    let server = Server::start_with(Options { arguments, ..Default::default() });
    let behaves = server.apply(&one_step("behaves", "fixture/hostile/behave@1", &json!({})));
    let neighbour = server.apply(&forward("neighbour", &receiver.origin(), ""));

    for (action, input, says) in attacks(&receiver.origin()) {
        // Each attack is judged by itself: on a slow machine the sandbox ends so many in a row that the plugin would be quarantined, and a call that
        // goes well begins the count anew.
        let run = server.trigger(&behaves.url, &json!({}));
        server.wait_for_run(&run, &["succeeded"]);
        let applied =
            server.apply(&one_step(&format!("attack-{action}"), &format!("fixture/hostile/{action}@1"), &input));
        let run = server.trigger(&applied.url, &json!({}));
        let shown = server.wait_for_run(&run, &["failed", "succeeded"]);
        let attempt = last_attempt(&shown);
        let (place, code) = match says {
            Says::Run(code) => (&attempt["error"], code),
            Says::Exchange(code) => (&attempt["http"][0]["error"], code),
            Says::DroppedLines => {
                assert!(attempt["log_lines_dropped"].as_u64().is_some_and(|lines| lines > 0), "{action}: {attempt:#}");
                continue;
            }
        };
        assert_eq!(place["code"], code, "{action}: {attempt:#}");
        assert!(place["message"].as_str().is_some_and(|said| said.len() > 20), "{action} says why: {attempt:#}");
        // The neighbour's work goes on.
        let run = server.trigger(&neighbour.url, &json!({ "number": 1 }));
        server.wait_for_run(&run, &["succeeded"]);
    }
}

/// A plugin whose only action does no harm; `core` stands beside it.
fn plugin(id: &str, core: &str) -> Vec<u8> {
    let text = include_str!("../fixtures/action.wat").replacen(";; CORE\n", core, 1);
    let mut component = wat::parse_str(text).unwrap();
    let manifest = json!({
        "id": id, "version": "1.0.0", "api": "flowcell:plugin@1", "title": "Made up", "description": "Attacks the compiler.",
        "actions": [{ "id": "act", "title": "Act", "input": { "type": "object" }, "output": true }],
    });
    push_section(&mut component, "flowcell:manifest", manifest.to_string().as_bytes());
    component
}

/// Adds a custom section: 0, its length, its name with its length, the data.
fn push_section(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut length = 1 + name.len() + data.len();
    component.push(0);
    while length >= 0x80 {
        component.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    component.extend([u8::try_from(length).unwrap(), u8::try_from(name.len()).unwrap()]);
    component.extend_from_slice(name.as_bytes());
    component.extend_from_slice(data);
}

/// 400 loops within each other and 400 variables: some 2 KB that keep a compiler busy for minutes.
fn nested_loops() -> String {
    format!(
        "(func (param i32) (local{}){}{})",
        " i32".repeat(400),
        " (loop (br_if 0 (local.get 0))".repeat(400),
        ")".repeat(400)
    )
}

#[test]
fn plugins_that_attack_the_compiler_are_refused_when_a_workflow_wants_them() {
    let receiver = Receiver::start();
    let plugins = tempfile::tempdir().unwrap();
    let bombs = [
        ("fixture/table-bomb", "(table 5000000 funcref)".to_owned(), "5000000 elements; at most"),
        ("fixture/compile-bomb", nested_loops(), "loops within each other"),
    ];
    for (id, core, _) in &bombs {
        std::fs::write(plugins.path().join(id.replace('/', "-") + ".wasm"), plugin(id, core)).unwrap();
    }
    // The same component without a bomb is fine: it is the bomb that is refused.
    std::fs::write(plugins.path().join("harmless.wasm"), plugin("fixture/harmless", "")).unwrap();
    let arguments = vec!["--plugins".into(), plugins.path().to_str().unwrap().into()];
    let server = Server::start_with(Options { arguments, ..Default::default() });
    let neighbour = server.apply(&forward("neighbour", &receiver.origin(), ""));
    let harmless = server.apply(&one_step("harmless", "fixture/harmless/act@1", &json!({})));
    for (id, _, reason) in &bombs {
        let refused = server.try_apply(&one_step("attack", &format!("{id}/act@1"), &json!({})));
        assert_eq!(refused.code, Some(1), "{id}: {refused:?}");
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(said.contains(id) && said.contains(reason), "{id}: {said}");
        for url in [&neighbour.url, &harmless.url] {
            let run = server.trigger(url, &json!({ "number": 1 }));
            server.wait_for_run(&run, &["succeeded"]);
        }
    }
    assert!(!server.cli(&["workflow", "list", "--json"]).stdout.contains("attack"), "nothing was stored");
}

#[test]
fn a_large_answer_that_is_never_read_ends_with_its_run() {
    // One is within what a response may have, the other is not.
    let receiver = Receiver::answering(|_, request| match request.target.as_str() {
        "/fits" => Reply::status(200).body(vec![b'x'; 2 << 20]),
        "/too-large" => Reply::status(200).body(vec![b'x'; 20 << 20]),
        _ => Reply::status(200),
    });
    let plugins = tempfile::tempdir().unwrap();
    std::fs::write(plugins.path().join("wasi-http.wasm"), guest("fixture-wasi-http")).unwrap();
    let config = plugins.path().join("flowcell.toml");
    std::fs::write(&config, "[[grants]]\nplugin = \"fixture/wasi-http\"\nhttp = [\"from-input\"]\n").unwrap();
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let arguments = vec!["--plugins".into(), path(plugins.path()), "--config".into(), path(&config)];
    let server = Server::start_with(Options { arguments, ..Default::default() });
    let neighbour = server.apply(&forward("neighbour", &receiver.origin(), ""));

    for (target, output, error) in [
        ("fits", json!({ "status": 200 }), Value::Null),
        ("too-large", json!({ "error": "HttpResponseBodySize" }), json!("too-large")),
    ] {
        let url = format!("{}/{target}", receiver.origin());
        let unread = server.apply(&one_step(target, "fixture/wasi-http/unread-body@1", &json!({ "url": url })));
        // More than one after the other: what a call leaves behind would add up.
        for _ in 0..5 {
            let run = server.trigger(&unread.url, &json!({}));
            let shown = server.wait_for_run(&run, &["failed", "succeeded"]);
            let attempt = last_attempt(&shown);
            assert_eq!(attempt["output"], output, "{shown:#}");
            assert_eq!(attempt["http"][0]["error"]["code"], error, "{shown:#}");
        }
    }
    let run = server.trigger(&neighbour.url, &json!({ "number": 1 }));
    server.wait_for_run(&run, &["succeeded"]);
}
