use flowcell_core::ports::InstalledPlugin;
use flowcell_testkit::sample;
use serde_json::{Value, json};

use crate::connections::document::SecretDocument;
use crate::testing::Bench;

fn bearer(name: &str) -> Value {
    json!({
        "name": name, "kind": "bearer", "hosts": ["https://a.example/v1/*"], "plugins": ["test/tools"],
        "secret": { "token": "hunter2secret" },
    })
}

async fn add(bench: &Bench, document: &Value) -> (u16, Value) {
    let answer = bench.api("POST", "/connections", &document.to_string()).await;
    assert!(!answer.json.to_string().contains("hunter2"), "{answer:?}");
    (answer.status, answer.json)
}

/// The tools with a manifest that asks for connections and declares a kind.
fn connected() -> InstalledPlugin {
    let mut plugin = sample::tools("1.1.0");
    let manifest = &mut plugin.manifest;
    manifest.actions[0].connection = Some(
        serde_json::from_value(json!({ "kinds": ["bearer", "account"], "required": true, "reason": "Signs in." }))
            .unwrap(),
    );
    manifest.connections = vec![
        serde_json::from_value(json!({
            "id": "account", "title": "Account", "hosts": ["https://crm.example"],
            "fields": {
                "type": "object", "required": ["key", "account"], "additionalProperties": false,
                "properties": { "key": { "type": "string", "secret": true, "minLength": 3 }, "account": { "type": "string" } },
            },
            "inject": [{ "header": "X-Key", "value": "{{ secret.key }}" }],
        }))
        .unwrap(),
    ];
    plugin
}

#[tokio::test]
async fn a_connection_is_added_listed_shown_and_removed_and_its_secret_is_in_no_answer() {
    let bench = Bench::new();
    let (status, added) = add(&bench, &bearer("crm")).await;
    assert_eq!((status, &added["kind"], &added["state"]["is"]), (201, &json!("bearer"), &json!("ready")));
    assert!(added.get("generated").is_none() && added.get("secret").is_none(), "{added}");
    assert_eq!(add(&bench, &bearer("crm")).await.0, 409);
    add(&bench, &bearer("another")).await;
    let listed = bench.api("GET", "/connections", "").await.json;
    let names: Vec<_> = listed["connections"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["another", "crm"]);
    assert!(!listed.to_string().contains("hunter2") && !listed.to_string().contains("sealed"));
    assert_eq!(bench.api("GET", "/connections/crm", "").await.status, 200);
    assert_eq!(bench.api("DELETE", "/connections/crm", "").await.status, 200);
    for (method, path) in
        [("GET", "/connections/crm"), ("DELETE", "/connections/crm"), ("GET", "/connections/crm/usage")]
    {
        assert_eq!(bench.api(method, path, "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_where_it_stands_and_never_repeated() {
    let bench = Bench::new();
    for (change, status, pointer) in [
        (json!({ "kind": "telepathy" }), 422, Some("/kind")),
        (json!({ "kind": "basic" }), 422, Some("/settings")),
        (json!({ "hosts": [] }), 422, Some("/hosts")),
        (json!({ "hosts": ["https://a.example", "telnet://b.example"] }), 422, Some("/hosts/1")),
        (json!({ "anywhere": true, "hosts": [] }), 422, Some("/anywhere")),
        // Whoever puts a secret where a setting belongs does not read it in the answer.
        (json!({ "kind": "hmac", "settings": { "header": "x", "algorithm": "hunter2" } }), 422, Some("/settings")),
        (
            json!({ "kind": "api-key", "settings": { "header": { "name": "x", "hunter2": "y" } } }),
            422,
            Some("/settings"),
        ),
        (json!({ "plugins": [] }), 422, Some("/plugins")),
        (json!({ "secret": { "token": "hunter2\n" } }), 422, Some("/secret")),
        (json!({ "secret": { "password": "hunter2" } }), 422, Some("/secret")),
        (json!({ "secret": null }), 422, Some("/secret")),
        (json!({ "secrt": "hunter2" }), 400, None),
        (json!({ "name": "Hunter2!" }), 400, None),
        (json!({ "note": "n".repeat(1_001) }), 422, None),
    ] {
        let mut document = bearer("crm");
        document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (got, answer) = add(&bench, &document).await;
        assert_eq!(got, status, "{change}: {answer}");
        if let Some(pointer) = pointer {
            assert_eq!(answer["errors"][0]["pointer"], pointer, "{change}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_secret_that_is_made_here_is_shown_once_and_rotated_with_an_overlap() {
    let bench = Bench::new();
    let document = json!({ "name": "hooks", "kind": "standard-webhooks", "anywhere": true, "plugins": ["test/tools"] });
    let (status, added) = add(&bench, &document).await;
    assert_eq!(status, 201, "{added}");
    let secret = added["generated"]["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"), "{added}");
    assert_eq!(added["settings"]["public_key"], added["generated"]["public_key"]);
    let shown = bench.api("GET", "/connections/hooks", "").await.json;
    assert!(!shown.to_string().contains("whsec_") && shown["settings"]["public_key"].is_string(), "{shown}");
    let rotated = bench.api("POST", "/connections/hooks/rotate", r#"{ "overlap_ms": 60000 }"#).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    assert_ne!(rotated.json["generated"]["secret"], secret.as_str());
    assert!(rotated.json["previous_valid_until"].is_string(), "{rotated:?}");
    let too_long = bench.api("POST", "/connections/hooks/rotate", r#"{ "overlap_ms": 99999999999999 }"#).await;
    assert_eq!(too_long.status, 422);
    add(&bench, &bearer("crm")).await;
    let without = bench.api("POST", "/connections/crm/rotate", "{}").await;
    assert!(without.status == 422 && without.json["detail"].as_str().unwrap().contains("other side"), "{without:?}");
}

#[tokio::test]
async fn hosts_are_taken_away_freely_and_added_only_with_the_secret() {
    let bench = Bench::new();
    let mut document = bearer("crm");
    document["hosts"] = json!(["https://a.example", "https://b.example"]);
    add(&bench, &document).await;
    let narrowed =
        bench.api("PATCH", "/connections/crm", r#"{ "hosts": ["https://a.example"], "note": "mine" }"#).await;
    assert_eq!(
        (narrowed.status, &narrowed.json["hosts"], &narrowed.json["note"]),
        (200, &json!(["https://a.example/*"]), &json!("mine"))
    );
    for wider in [
        r#"{ "hosts": ["https://evil.example"] }"#,
        r#"{ "hosts": ["https://a.example", "https://b.example"] }"#,
        r#"{ "hosts": [] }"#,
    ] {
        assert_eq!(bench.api("PATCH", "/connections/crm", wider).await.status, 422, "{wider}");
    }
    let body = r#"{ "hosts": ["https://b.example"], "secret": { "token": "another" } }"#;
    let rotated = bench.api("POST", "/connections/crm/rotate", body).await;
    assert_eq!((rotated.status, &rotated.json["hosts"]), (200, &json!(["https://b.example/*"])));
    let allowed = bench.api("PUT", "/connections/crm/plugins/acme/crm", "").await;
    assert_eq!(allowed.json["plugins"], json!(["acme/crm", "test/tools"]));
    let revoked = bench.api("DELETE", "/connections/crm/plugins/test/tools", "").await;
    assert_eq!(revoked.json["plugins"], json!(["acme/crm"]));
}

#[tokio::test]
async fn a_workflow_is_measured_against_the_connections_there_are() {
    let bench = Bench::new();
    bench.catalog.install(connected());
    let apply = async |step: &str| {
        let answer = bench.api("POST", "/workflows", &sample::workflow(step)).await;
        (answer.status, answer.json["errors"][0]["message"].as_str().unwrap_or_default().to_owned())
    };
    let named = "- { id: a, uses: test/tools/send@1, connection: crm }";
    let (status, message) = apply("- { id: a, uses: test/tools/send@1 }").await;
    assert!(status == 422 && message.contains("needs a connection: Signs in."), "{message}");
    add(&bench, &bearer("the-crm")).await;
    let (status, message) = apply(named).await;
    assert!(status == 422 && message.contains("there is no connection `crm`"), "{message}");
    let (_, message) = apply("- { id: a, uses: test/tools/send@1, connection: the-crn }").await;
    assert!(message.contains("did you mean `the-crm`?"), "{message}");
    let mut other = bearer("crm");
    (other["kind"], other["settings"], other["secret"]) =
        (json!("basic"), json!({ "username": "u" }), json!({ "password": "p" }));
    add(&bench, &other).await;
    let (status, message) = apply(named).await;
    assert!(status == 422 && message.contains("is of the kind basic, with which"), "{message}");
    bench.api("DELETE", "/connections/crm", "").await;
    let mut foreign = bearer("crm");
    foreign["plugins"] = json!(["acme/crm"]);
    add(&bench, &foreign).await;
    let (status, message) = apply(named).await;
    assert!(status == 422 && message.contains("may not use connection `crm`"), "{message}");
    bench.api("PUT", "/connections/crm/plugins/test/tools", "").await;
    assert_eq!(apply(named).await.0, 201);
    let usage = bench.api("GET", "/connections/crm/usage", "").await.json;
    assert_eq!(usage["workflows"], json!([{ "id": "sample", "name": "A sample", "steps": ["a"] }]), "{usage}");
}

#[tokio::test]
async fn a_kind_of_a_plugin_keeps_what_its_manifest_calls_secret() {
    let bench = Bench::new();
    bench.catalog.install(connected());
    let of = |fields: Value, secret: Value| {
        json!({
            "name": "crm", "kind": "plugin", "plugins": ["test/tools"], "secret": secret,
            "settings": { "plugin": "test/tools", "id": "account", "fields": fields },
        })
    };
    for (fields, secret) in [
        (json!({ "account": "a", "key": "hunter2" }), json!({})),
        (json!({}), json!({ "key": "hunter2" })),
        (json!({ "account": "a" }), json!({ "key": "hunter2", "account": "b" })),
        (json!({ "account": "a" }), json!({ "key": "h" })),
        (json!({ "account": "a", "more": "m" }), json!({ "key": "hunter2" })),
        (json!({ "account": "a" }), json!("hunter2")),
    ] {
        let (status, answer) = add(&bench, &of(fields, secret)).await;
        assert_eq!(status, 422, "{answer}");
    }
    let (status, added) = add(&bench, &of(json!({ "account": "a" }), json!({ "key": "hunter2" }))).await;
    assert_eq!((status, &added["hosts"]), (201, &json!(["https://crm.example/*"])), "{added}");
    assert_eq!(added["settings"]["inject"], json!([{ "header": "X-Key", "value": "{{ secret.key }}" }]));
    let rotate = async |secret: Value| {
        let body = json!({ "secret": secret }).to_string();
        bench.api("POST", "/connections/crm/rotate", &body).await.status
    };
    for wrong in [json!({ "key": "h" }), json!({ "key": "hunter22", "account": "b" }), json!({}), json!("hunter2")] {
        assert_eq!(rotate(wrong.clone()).await, 422, "{wrong}");
    }
    assert_eq!(rotate(json!({ "key": "hunter22" })).await, 200);
    let mut unknown = of(json!({}), json!({}));
    unknown["settings"]["id"] = json!("nothing");
    assert_eq!(add(&bench, &unknown).await.0, 422);
}

#[tokio::test]
async fn a_trial_stays_inside_the_binding() {
    let bench = Bench::new();
    add(&bench, &bearer("crm")).await;
    let outside = bench.api("POST", "/connections/crm/test", r#"{ "url": "https://evil.example/v1/a" }"#).await;
    assert!(
        outside.status == 422 && outside.json["detail"].as_str().unwrap().contains("https://a.example/v1/*"),
        "{outside:?}"
    );
    // Bound to it, and the door's rules about addresses hold all the same.
    let mut near = bearer("near");
    near["hosts"] = json!(["http://127.0.0.1:9/*"]);
    add(&bench, &near).await;
    let answer = bench.api("POST", "/connections/near/test", r#"{ "url": "http://127.0.0.1:9/" }"#).await;
    assert_eq!((answer.status, &answer.json["is_accepted"]), (200, &json!(false)), "{answer:?}");
    assert!(!answer.json.to_string().contains("hunter2"));
}

#[tokio::test]
async fn the_key_is_exchanged_and_named_by_its_fingerprint() {
    let bench = Bench::new();
    add(&bench, &bearer("crm")).await;
    let before = bench.api("GET", "/secrets", "").await.json;
    let exchanged = bench.api("POST", "/secrets/rotate-key", "").await;
    assert_eq!((exchanged.status, &exchanged.json["wrapped"]), (200, &json!(1)), "{exchanged:?}");
    let after = bench.api("GET", "/secrets", "").await.json;
    assert_eq!(after["key"], exchanged.json["key"]);
    assert!(before["key"] != after["key"] && !after.to_string().contains("fcsk_"), "{before} {after}");
}

#[tokio::test]
async fn what_signed_before_signs_nothing_for_other_hosts() {
    let bench = Bench::new();
    let document = json!({
        "name": "sig", "kind": "hmac", "settings": { "header": "X-Sig" }, "hosts": ["https://a.example"],
        "plugins": ["test/tools"], "secret": { "secrets": [{ "value": "the-first-secret" }] },
    });
    add(&bench, &document).await;
    let count = async || {
        let name = "sig".parse().unwrap();
        let stored = bench.app.connections.get(&bench.app.workspace, &name).await.unwrap().unwrap();
        match bench.app.connections.open(&stored).unwrap() {
            SecretDocument::Signing(signing) => signing.secrets.len(),
            _ => 0,
        }
    };
    assert_eq!(bench.api("POST", "/connections/sig/rotate", "{}").await.status, 200);
    assert_eq!(count().await, 2, "both count for a while");
    let elsewhere = r#"{ "hosts": ["https://evil.example"] }"#;
    assert_eq!(bench.api("POST", "/connections/sig/rotate", elsewhere).await.status, 200);
    assert_eq!(count().await, 1, "only the new one goes there");
}
