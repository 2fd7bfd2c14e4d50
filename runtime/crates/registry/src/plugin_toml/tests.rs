#![allow(
    clippy::needless_raw_string_hashes,
    clippy::needless_pass_by_value,
    reason = "expect-test writes its strings so; tables read better without `&`"
)]

use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

const GOOD: &str = r#"id = "acme/mail"
version = "1.0.0"
title = "Mail"

[[actions]]
id = "send"
title = "Send a mail"
input = { type = "object" }
output = true
"#;

fn check(text: &str, expected: Expect) {
    let text = match parse(text, &[]) {
        Ok(manifest) => serde_json::to_string(&manifest).expect("JSON"),
        Err(mistakes) => mistakes.iter().fold(String::new(), |lines, mistake| lines + &mistake.to_string() + "\n"),
    };
    expected.assert_eq(&text);
}

#[test]
fn a_good_file_becomes_a_manifest() {
    check(
        GOOD,
        expect![[
            r#"{"id":"acme/mail","version":"1.0.0","api":"flowcell:plugin@1","title":"Mail","description":"","actions":[{"id":"send","title":"Send a mail","description":"","idempotent":false,"input":{"type":"object"},"output":true}],"capabilities":{},"limits":{}}"#
        ]],
    );
}

#[test]
fn mistakes_have_a_line_and_a_suggestion() {
    check(
        "id = ",
        expect![[r#"
        plugin.toml:1:6: string values must be quoted, expected literal string
    "#]],
    );
    check(
        &GOOD.replace("title = \"Mail\"", "tilte = \"Mail\"\nauthor = \"me\""),
        expect![[r#"
        plugin.toml:3:1: there is no `tilte` at the top level; did you mean `title`?
        plugin.toml:4:1: there is no `author` at the top level; there are: id, version, api, title, description, icon, changelog, actions, triggers, capabilities, connections, limits
    "#]],
    );
    check(
        &GOOD.replace("title = \"Send a mail\"", "idempotency = true"),
        expect![[r#"
        plugin.toml:7:1: there is no `idempotency` in `actions`; did you mean `idempotent`?
    "#]],
    );
    check(
        &GOOD.replace("title = \"Send a mail\"\n", ""),
        expect![[r#"
        plugin.toml:5:1: missing field `title`
    "#]],
    );
    check(
        &GOOD.replace("1.0.0", "1.0"),
        expect![[r#"
        plugin.toml:2:11: `1.0` is not a version of the form major.minor.patch
    "#]],
    );
    check(
        &GOOD.replace("output = true", "output = 2026-01-01"),
        expect![[r#"
        plugin.toml:9:10: JSON has no dates; write it in quotes
    "#]],
    );
    check(
        &GOOD.replace("\"object\"", "\"objekt\""),
        expect![[r#"
        plugin.toml:8:18: the schema is not a JSON Schema (2020-12) at `/type`: "objekt" is not valid under any of the schemas listed in the 'anyOf' keyword
    "#]],
    );
    check(
        &format!("{GOOD}\n[limits]\nmemory = 3\n"),
        expect![[r#"
        plugin.toml:12:1: there is no `memory` in `limits`; did you mean `memory_mib`?
    "#]],
    );
    check(
        &format!("{GOOD}\n[limits]\nmemory_mib = 5000\ncpu_ms = -1\n"),
        expect![[r#"
        plugin.toml:13:10: invalid value: integer `-1`, expected u32
    "#]],
    );
    check(
        &format!("{GOOD}\n[limits]\nmemory_mib = 5000\nhttp_requests = 0\n"),
        expect![[r#"
        plugin.toml:12:14: 5000 is outside 1 to 4096 MiB; leave it away for the host's default
        plugin.toml:13:17: 0 is outside 1 to 10000 requests; leave it away for the host's default
    "#]],
    );
    check(
        &format!(
            "{GOOD}\n[[capabilities.http]]\nreason = \"because.\"\nhosts = [\"https://example.com\", \"example.com\"]\n"
        ),
        expect![[r#"
        plugin.toml:13:33: `example.com` is not a rule of the form [METHOD,…] scheme://host[:port][/path/*]: the scheme is missing; write https://… or http://…
    "#]],
    );
    check(
        &format!("{GOOD}\n[[capabilities.http]]\nreason = \"because.\"\nfrom_input = \"url\"\n"),
        expect![[r#"
        plugin.toml:13:1: there is no `from_input` in `capabilities.http`; did you mean `from-input`?
    "#]],
    );
    check(
        &" ".repeat(BYTES_MAX + 1),
        expect![[r#"
        plugin.toml:1:1: the file has 1048577 bytes; at most 1048576 are read
    "#]],
    );
}

/// The list of keys above cannot drift from what the manifest reads: serde names what it knows when it meets something else.
#[test]
fn known_keys_are_those_the_manifest_reads() {
    for (path, keys) in KEYS {
        let mut document = json!({"unknown": 0});
        for name in path.rsplit('.').filter(|name| !name.is_empty()) {
            let list = matches!(name, "actions" | "triggers" | "http" | "connections" | "changelog");
            document = if list { json!({ name: [document] }) } else { json!({ name: document }) };
        }
        let error = serde_json::from_value::<Manifest>(document).expect_err("an unknown key").to_string();
        let expected = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>();
        for key in expected {
            assert!(error.contains(&key), "{path}: {error} lacks {key}");
        }
        let known = error.matches('`').count() / 2 - 1;
        assert_eq!(known, keys.len(), "{path}: {error}");
    }
}
