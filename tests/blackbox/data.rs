//! What plugins keep between runs (`flowcell/data`, the service `key-value`): counted once each, held by one, gone in time, bounded, and nobody else's.

use std::collections::BTreeSet;
use std::time::Duration;

use flowcell_tests::{Options, Server, eventually, post};
use serde_json::{Value, json};

use crate::{guest, last_attempt};

/// A workflow of these steps, started by a webhook; each is tried once unless it says otherwise.
fn workflow(id: &str, steps: &Value) -> String {
    json!({ "id": id, "name": id, "trigger": { "uses": "flowcell/webhook/inbound@1" }, "steps": steps }).to_string()
}

fn step(id: &str, action: &str, with: &Value) -> Value {
    json!({ "id": id, "uses": format!("flowcell/data/{action}@1"), "with": with, "retry": { "attempts": 1 } })
}

/// What the last attempt of a step gave.
fn output<'r>(run: &'r Value, step: &str) -> &'r Value {
    let found = run["steps"].as_array().unwrap().iter().find(|found| found["id"] == step);
    let attempts = found.and_then(|found| found["attempts"].as_array());
    &attempts.and_then(|attempts| attempts.last()).unwrap_or_else(|| panic!("no attempt of `{step}`: {run:#}"))["output"]
}

/// Applies a workflow of these steps and plays it once.
fn play(server: &Server, id: &str, steps: &Value, ends: &str) -> Value {
    let applied = server.apply(&workflow(id, steps));
    let run = server.trigger(&applied.url, &json!({}));
    server.wait_for_run(&run, &[ends])
}

fn stored(server: &Server) -> Vec<Value> {
    let listed = server.api("GET", "/api/v2/key-values?plugin=flowcell/data&limit=200", b"");
    assert_eq!(listed.status, 200, "{listed:?}");
    listed.json()["key_values"].as_array().unwrap().clone()
}

#[test]
fn values_and_counters_are_there_after_a_kill_and_change_only_as_expected() {
    let mut server = Server::start();
    let value = json!({ "plan": "gold", "seats": [1, 2, 3] });
    let steps = json!([
        step("first", "set-value", &json!({ "key": "customer", "value": value, "expected_version": 0 })),
        step("shared", "set-value", &json!({ "key": "customer", "value": "of all", "scope": "workspace" })),
        step("count", "count", &json!({ "key": "orders", "by": 41 })),
    ]);
    let written = play(&server, "keep", &steps, "succeeded");
    let version = output(&written, "first")["version"].clone();

    server.kill();
    server.restart();

    let steps = json!([
        step("own", "get-value", &json!({ "key": "customer" })),
        step("shared", "get-value", &json!({ "key": "customer", "scope": "workspace" })),
        step("none", "get-value", &json!({ "key": "nobody", "default": 7 })),
        step("count", "count", &json!({ "key": "orders" })),
        step("changed", "set-value", &json!({ "key": "customer", "value": 2, "expected_version": version })),
        step("late", "set-value", &json!({ "key": "customer", "value": 3, "expected_version": version })),
    ]);
    let read = play(&server, "keep", &steps, "failed");
    assert_eq!(output(&read, "own"), &json!({ "found": true, "value": value, "version": version }));
    assert_eq!(output(&read, "shared")["value"], "of all");
    assert_eq!(output(&read, "none"), &json!({ "found": false, "value": 7, "version": 0 }));
    assert_eq!(output(&read, "count"), &json!({ "value": 42 }));
    let error = &last_attempt(&read)["error"];
    assert_eq!(error["code"], "conflict", "{error}");

    // Another workflow has values of its own; what all share is there for it, too.
    let steps = json!([
        step("own", "get-value", &json!({ "key": "customer" })),
        step("shared", "get-value", &json!({ "key": "customer", "scope": "workspace" })),
    ]);
    let other = play(&server, "other", &steps, "succeeded");
    assert_eq!(
        (&output(&other, "own")["found"], &output(&other, "shared")["value"]),
        (&json!(false), &json!("of all"))
    );
    assert_eq!(stored(&server).len(), 3);
}

#[test]
fn runs_at_the_same_time_count_each_once_and_one_of_them_holds_a_lock() {
    let server = Server::start();
    let applied = server.apply(&workflow(
        "rush",
        &json!([
            step("count", "count", &json!({ "key": "orders" })),
            step("lock", "acquire-lock", &json!({ "name": "orders", "held_for_seconds": 3600, "if_held": "continue" })),
        ]),
    ));
    let senders: Vec<_> = (0..32)
        .map(|_| {
            let url = applied.url.clone();
            std::thread::spawn(move || {
                post(&url, &json!({})).unwrap().json()["run_ids"][0].as_str().unwrap().to_owned()
            })
        })
        .collect();
    let runs: Vec<String> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
    let ended: Vec<Value> = runs.iter().map(|run| server.wait_for_run(run, &["succeeded"])).collect();
    let counted: BTreeSet<u64> = ended.iter().map(|run| output(run, "count")["value"].as_u64().unwrap()).collect();
    assert_eq!(counted, (1..=32).collect(), "each run has a number of its own, and none is left out");
    let holders: Vec<&Value> = ended.iter().filter(|run| output(run, "lock")["acquired"] == true).collect();
    assert_eq!(holders.len(), 1, "{holders:?}");
    let (holder, token) = (&holders[0]["id"], output(holders[0], "lock")["token"].clone());
    assert!(ended.iter().all(|run| output(run, "lock")["holder"] == *holder), "everybody is told who holds it");

    // Nobody takes it, nor gives it back for another, until its holder does.
    let take = json!([step("lock", "acquire-lock", &json!({ "name": "orders" }))]);
    let refused = play(&server, "rush", &take, "failed");
    let error = &last_attempt(&refused)["error"];
    assert_eq!((&error["code"], &error["details"]["holder"]), (&json!("locked"), holder), "{error}");
    let wrong = token.as_u64().unwrap() + 1_000;
    let free = |token: Value| json!([step("free", "release-lock", &json!({ "name": "orders", "token": token }))]);
    assert_eq!(output(&play(&server, "rush", &free(json!(wrong)), "succeeded"), "free"), &json!({ "released": false }));
    assert_eq!(output(&play(&server, "rush", &free(token), "succeeded"), "free"), &json!({ "released": true }));
    assert_eq!(output(&play(&server, "rush", &take, "succeeded"), "lock")["acquired"], true);
}

#[test]
fn what_has_a_life_is_gone_after_it_and_what_has_none_stays() {
    let server = Server::start();
    let steps = json!([
        step("short", "set-value", &json!({ "key": "short", "value": 1, "expires_after_seconds": 2 })),
        step("long", "set-value", &json!({ "key": "long", "value": 2 })),
    ]);
    play(&server, "lives", &steps, "succeeded");
    let read = json!([
        step("short", "get-value", &json!({ "key": "short" })),
        step("long", "get-value", &json!({ "key": "long" })),
    ]);
    let after = eventually("the value is gone", Duration::from_mins(1), || {
        let run = play(&server, "lives", &read, "succeeded");
        (output(&run, "short")["found"] == false).then_some(run)
    });
    assert_eq!(output(&after, "long")["value"], 2);
    assert_eq!(stored(&server).iter().map(|stored| stored["key"].clone()).collect::<Vec<_>>(), ["value/long"]);
}

#[test]
fn a_full_quota_is_refused_with_what_to_do_and_shrinks_again() {
    let server = Server::start();
    // 20 values of 60,000 bytes are more than the plugin's 1 MiB; the 18th is refused.
    let large = "x".repeat(60_000);
    let steps: Vec<Value> = (0..20)
        .map(|number| {
            step(
                &format!("s{number}"),
                "set-value",
                &json!({ "key": format!("k{number}"), "value": "{{ trigger.body.large }}" }),
            )
        })
        .collect();
    let applied = server.apply(&workflow("full", &json!(steps)));
    let run = server.trigger(&applied.url, &json!({ "large": large }));
    let ended = server.wait_for_run(&run, &["failed"]);
    let error = &ended["error"];
    let said = error["message"].as_str().unwrap();
    assert_eq!((&error["code"], &error["step"]), (&json!("quota"), &json!("s17")), "{error}");
    assert!(
        said.contains("flowcell/data") && said.contains("1048576 bytes") && said.contains("flowcell key-value"),
        "{said}"
    );
    let kept = stored(&server);
    let bytes: u64 = kept.iter().map(|stored| stored["bytes"].as_u64().unwrap()).sum();
    assert!(kept.len() == 17 && bytes <= 1_048_576, "{} values, {bytes} bytes", kept.len());

    // One that goes makes room.
    let gone = server.cli(&["key-value", "delete", "flowcell/data", "value/k0", "--workflow", "full", "--yes"]);
    assert_eq!(gone.code, Some(0), "{gone:?}");
    let put = json!([step("put", "set-value", &json!({ "key": "k17", "value": large }))]);
    play(&server, "full", &put, "succeeded");
}

#[test]
fn another_plugin_reads_nothing_of_it_and_one_without_a_grant_is_told_what_to_add() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("services.wasm"), guest("fixture-services")).unwrap();
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let mut server =
        Server::start_with(Options { arguments: vec!["--plugins".into(), path(folder.path())], ..Options::default() });
    let ours = json!([
        step("own", "set-value", &json!({ "key": "secret", "value": "of data" })),
        step("all", "set-value", &json!({ "key": "secret", "value": "of data", "scope": "workspace" })),
    ]);
    play(&server, "mixed", &ours, "succeeded");
    let ask = |calls: Value| json!([{ "id": "ask", "uses": "fixture/services/ask@1", "with": { "calls": calls }, "retry": { "attempts": 1 } }]);
    let theirs = ask(json!([
        { "do": "key-value.get", "key": "value/secret" },
        { "do": "key-value.get", "key": "value/secret", "of": "plugin" },
        { "do": "key-value.keys" },
        { "do": "key-value.keys", "of": "plugin" },
        { "do": "key-value.set", "key": "value/secret", "of": "plugin", "value": "of another" },
    ]));
    let refused = play(&server, "mixed", &theirs, "succeeded");
    let told = output(&refused, "ask").as_array().unwrap();
    assert!(told.iter().all(|told| told["code"] == "denied"), "{told:?}");
    let grant = "[[grants]]\nplugin = \"fixture/services\"\nservices = [\"key-value\"]";
    assert!(told[0]["message"].as_str().unwrap().contains(grant), "{told:?}");

    // With the grant it has a place of its own, in the same workflow and under the same keys.
    let config = folder.path().join("flowcell.toml");
    let with = |text: &str| {
        std::fs::write(&config, text).unwrap();
        Options {
            arguments: vec!["--plugins".into(), path(folder.path()), "--config".into(), path(&config)],
            ..Options::default()
        }
    };
    server.kill();
    server.restart_with(with(grant));
    let granted = play(&server, "mixed", &theirs, "succeeded");
    let told = output(&granted, "ask").as_array().unwrap();
    assert_eq!((&told[0]["ok"], &told[1]["ok"]), (&json!(null), &json!(null)), "{told:?}");
    assert_eq!((&told[2]["ok"], &told[3]["ok"]), (&json!([]), &json!([])), "{told:?}");
    assert!(told[4]["ok"].is_u64(), "{told:?}");
    let read = json!([step("all", "get-value", &json!({ "key": "secret", "scope": "workspace" }))]);
    assert_eq!(output(&play(&server, "mixed", &read, "succeeded"), "all")["value"], "of data");

    // What the operator denies nobody has, plugins that come with Flowcell included.
    server.kill();
    server.restart_with(with(&format!("[services]\ndeny = [\"key-value\"]\n{grant}")));
    let denied = play(&server, "mixed", &read, "failed");
    let error = &last_attempt(&denied)["error"];
    let said = error["message"].as_str().unwrap();
    assert!(error["code"] == "denied" && said.contains("the operator of this server"), "{error}");
}
