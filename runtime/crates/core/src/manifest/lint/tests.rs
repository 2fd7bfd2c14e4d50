#![allow(
    clippy::needless_raw_string_hashes,
    clippy::needless_pass_by_value,
    reason = "expect-test writes its strings so; tables read better without `&`"
)]

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn good() -> Value {
    json!({
        "id": "acme/mail", "version": "1.0.0", "api": "flowcell:plugin@1", "title": "Mail", "description": "Sends mail.", "icon": "✉️",
        "actions": [{
            "id": "send", "title": "Send a mail", "idempotent": false,
            "input": {"type": "object", "properties": {"url": {"type": "string"}}}, "output": true,
        }],
        "capabilities": {"http": [{"reason": "it hands the mail over.", "from-input": "url"}]},
        "limits": {"memory_mib": 64},
    })
}

fn check(pointer: &str, value: Value, expected: Expect) {
    let mut manifest = good();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    match manifest.pointer_mut(parent).expect("a parent") {
        Value::Object(object) => _ = object.insert(key.to_owned(), value),
        Value::Array(array) => match key.parse::<usize>() {
            Ok(index) => array[index] = value,
            Err(_) => array.push(value),
        },
        other => panic!("{other} has no members"),
    }
    let manifest: Manifest = serde_json::from_value(manifest).expect("the right shape");
    let lines: Vec<_> =
        lint(&manifest).into_iter().map(|f| format!("{:?} {}: {}\n", f.severity, f.pointer, f.message)).collect();
    expected.assert_eq(&lines.concat());
}

#[test]
fn a_good_manifest_has_no_findings() {
    check("/title", json!("Mail"), expect![""]);
    check("/icon", json!("<svg viewBox='0 0 1 1'></svg>"), expect![""]);
    check("/api", json!("flowcell:plugin@1.2.0"), expect![""]);
}

#[test]
fn identity_is_checked() {
    check(
        "/api",
        json!("plugin@1"),
        expect![[r#"
        Error /api: `plugin@1` is no contract; write `flowcell:plugin@1`
    "#]],
    );
    check(
        "/title",
        json!(" "),
        expect![[r#"
        Error /title: there is no title; it is what people see in lists and on the canvas
    "#]],
    );
    check(
        "/title",
        json!("Mail \u{1b}[2J"),
        expect![[r#"
        Error /title: a title is printed on terminals and consent pages and must not hold U+001B; remove it
    "#]],
    );
    check(
        "/title",
        json!("a\u{202e}b"),
        expect![[r#"
        Error /title: a title is printed on terminals and consent pages and must not hold U+202E; remove it
    "#]],
    );
    check(
        "/title",
        json!("x".repeat(81)),
        expect![[r#"
        Error /title: a title has at most 80 characters; this one has 81
    "#]],
    );
    check(
        "/description",
        json!(""),
        expect![[r#"
        Warning /description: a description helps people choose; write what the plugin does in a sentence or two
    "#]],
    );
    check(
        "/icon",
        json!("x".repeat(5000)),
        expect![[r#"
        Error /icon: the icon has 5000 bytes; at most 4096 are allowed. Simplify the SVG, or use an emoji
    "#]],
    );
    check(
        "/icon",
        json!("<svg><script>1</script></svg>"),
        expect![[r#"
        Error /icon: the SVG holds `<script`; an icon is a picture and nothing more
    "#]],
    );
    check(
        "/icon",
        json!("https://example.com/icon.png"),
        expect![[r#"
        Error /icon: the icon is neither an emoji nor an SVG that begins with `<svg`
    "#]],
    );
}

#[test]
fn actions_are_checked() {
    check(
        "/actions",
        json!([]),
        expect![[r#"
        Error : there is neither an action nor a trigger; add `[[actions]]` or `[[triggers]]`
        Error /capabilities/http/0/from-input: no action has an input field `url`
    "#]],
    );
    check(
        "/actions/0/id",
        json!("Send_It"),
        expect![[r#"
        Error /actions/0/id: `Send_It` is no id: use a letter, then letters, digits and hyphens in lower case, at most 64, such as `create-row`
    "#]],
    );
    check(
        "/actions/-",
        good()["actions"][0].clone(),
        expect![[r#"
        Error /actions/1/id: `send` is there twice; workflows name actions and triggers by their id
    "#]],
    );
    check(
        "/actions/0/input",
        json!({"type": "string"}),
        expect![[r#"
        Error /actions/0/input: this schema describes what stands under `with`, which is an object: write `type = "object"`
    "#]],
    );
    check(
        "/actions/0/input",
        json!({"type": "object", "properties": {"a": {"type": "strng"}}}),
        expect![[r#"
        Error /actions/0/input/properties/a/type: the schema is not a JSON Schema (2020-12) at `/properties/a/type`: "strng" is not valid under any of the schemas listed in the 'anyOf' keyword
        Error /capabilities/http/0/from-input: no action has an input field `url`
    "#]],
    );
    check(
        "/actions/0/output",
        json!({"$ref": "http://127.0.0.1/s.json"}),
        expect![[r#"
        Error /actions/0/output: the schema cannot be used: `$ref` to `http://127.0.0.1/s.json`: write `#` or `#/$defs/…`, and put what is meant into the same schema
    "#]],
    );
}

#[test]
fn capabilities_and_limits_are_checked() {
    check(
        "/capabilities/http/0/reason",
        json!(""),
        expect![[r#"
        Error /capabilities/http/0/reason: people decide by the reason; write in one sentence why this is needed
    "#]],
    );
    check(
        "/capabilities/http/0/from-input",
        json!("ulr"),
        expect![[r#"
        Error /capabilities/http/0/from-input: no action has an input field `ulr`; did you mean `url`?
    "#]],
    );
    check(
        "/capabilities/http/0",
        json!({"reason": "because."}),
        expect![[r#"
        Error /capabilities/http/0: this asks for no destination: write `hosts = ["https://api.example.com/*"]`, or `from-input` with the input field that holds the address
    "#]],
    );
    check(
        "/limits/memory_mib",
        json!(0),
        expect![[r#"
        Error /limits/memory_mib: 0 is outside 1 to 4096 MiB; leave it away for the host's default
    "#]],
    );
    check(
        "/limits",
        json!({"cpu_ms": 5000, "wall_ms": 1000}),
        expect![[r#"
        Warning /limits/cpu_ms: a call ends after 1000 ms (`wall_ms`) and can never use 5000 ms of processor time
    "#]],
    );
}

fn declared() -> Value {
    json!({
        "id": "account", "title": "CRM account",
        "fields": {"type": "object", "properties": {"key": {"type": "string", "secret": true}, "account": {"type": "string"}}},
        "inject": [{"header": "X-Api-Key", "value": "Key {{ secret.key }} of {{ field.account }}"}],
    })
}

fn check_connections(kinds: Value, slot: Value, expected: Expect) {
    let mut manifest = good();
    manifest["connections"] = kinds;
    manifest["actions"][0]["connection"] = slot;
    let manifest: Manifest = serde_json::from_value(manifest).expect("the right shape");
    let lines: Vec<_> =
        lint(&manifest).into_iter().map(|f| format!("{:?} {}: {}\n", f.severity, f.pointer, f.message)).collect();
    expected.assert_eq(&lines.concat());
}

#[test]
fn connections_that_are_right_have_no_findings() {
    let slot = json!({"kinds": ["bearer", "account"], "required": true, "default": "crm", "reason": "Signs in."});
    check_connections(json!([declared()]), slot, expect![""]);
    check_connections(json!([]), json!({"reason": "Signs in."}), expect![""]);
}

#[test]
fn a_slot_names_kinds_that_there_are_and_says_why() {
    let mut manifest: Manifest = serde_json::from_value(good()).expect("the right shape");
    manifest.actions[0].connection =
        serde_json::from_value(json!({"kinds": ["bearr"], "reason": " "})).expect("a slot");
    let messages: Vec<_> = lint(&manifest).into_iter().map(|finding| (finding.pointer, finding.message)).collect();
    let pointers: Vec<_> = messages.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(pointers, ["/actions/0/connection/reason", "/actions/0/connection/kinds/0"]);
    assert!(messages[1].1.starts_with("there is no kind `bearr`; there are: bearer, "), "{messages:?}");
}

#[test]
fn a_declared_kind_has_secrets_names_and_templates_that_fit() {
    for (pointer, value, at, said) in [
        ("/id", json!("bearer"), "/connections/0/id", "Flowcell itself"),
        ("/inject", json!([]), "/connections/0/inject", "nothing is added"),
        ("/inject/0/header", json!("X Api"), "/connections/0/inject/0", "usable name"),
        ("/inject/0/value", json!("{{ secret.key"), "/connections/0/inject", "without its `}}`"),
        ("/inject/0/value", json!("{{ secret.account }}"), "/connections/0/inject", "names no field"),
        ("/inject/0/value", json!("{{ field.key }}"), "/connections/0/inject", "names no field"),
        ("/inject/0/value", json!("{{ key }}"), "/connections/0/inject", "names no field"),
        ("/inject/0/value", json!("ä"), "/connections/0/inject/0/value", "ASCII"),
        ("/fields/properties/account", json!({"type": "integer"}), "/connections/0/fields/properties/account", "texts"),
    ] {
        let mut kind = declared();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        kind.pointer_mut(parent).expect("a parent")[key] = value;
        let mut manifest = good();
        manifest["connections"] = json!([kind]);
        let manifest: Manifest = serde_json::from_value(manifest).expect("the right shape");
        let found = lint(&manifest);
        let fits = |finding: &Finding| finding.pointer == at && finding.message.contains(said);
        assert!(found.iter().any(fits), "{pointer}: {found:?}");
    }
}

#[test]
fn what_is_said_of_connections_is_said_in_sentences() {
    let mut manifest = good();
    manifest["connections"] = json!([declared()]);
    manifest["actions"][0]["connection"] =
        json!({"kinds": ["bearer", "account"], "required": true, "default": "crm", "reason": "Signs in."});
    let manifest: Manifest = serde_json::from_value(manifest).expect("the right shape");
    assert_eq!(
        crate::manifest::sentences::connections(&manifest),
        [
            "`send` needs a connection of the kinds bearer or account (CRM account) (where a step names none: `crm`, if it is there), because: Signs in.",
            "Brings the kind `account` along (CRM account): the host keeps key and adds it to requests; the plugin never sees it.",
        ]
    );
}

#[test]
fn a_changelog_has_the_newest_first_and_tells_of_this_version() {
    let release = |version: &str, change: &str| json!({ "version": version, "changes": [change] });
    check("/changelog", json!([release("1.0.0", "Sends mail."), release("0.9.0", "Tries to.")]), expect![""]);
    check(
        "/changelog",
        json!([release("0.9.0", "a"), release("0.9.0", "b")]),
        expect![[r#"
            Error /changelog/1/version: the newest stands first, each once: 0.9.0 comes after 0.9.0
            Warning /changelog/0/version: it says nothing of this version, 1.0.0; write what is new for those who use the plugin
        "#]],
    );
    check(
        "/changelog",
        json!([{ "version": "1.1.0", "changes": [] }]),
        expect![[r#"
            Error /changelog/0/changes: version 1.1.0 has 0 changes; write from one to 30
            Error /changelog/0/version: it tells of 1.1.0, and this is 1.0.0
        "#]],
    );
    check(
        "/changelog",
        json!([release("1.0.0", "colours \u{1b}[31m")]),
        expect![[r#"
            Error /changelog/0/changes/0: a change is printed on terminals and consent pages and must not hold U+001B; remove it
        "#]],
    );
}
