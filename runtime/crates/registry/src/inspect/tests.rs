#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes its strings so")]

use expect_test::expect;

use super::*;
use crate::fixture::{SEND, module, plugin, sender, toml, with_schemas};
use crate::package::{build, read};

#[test]
fn a_plugin_that_computes_is_described_in_plain_words() {
    let package = read(&plugin("acme/mail", "1.0.0")).expect("reads");
    expect![[r#"
        Mail
        acme/mail@1.0.0, for flowcell:plugin@1

        Sends mail.

        Actions
          send  Send a mail  repeating it may do it twice

        Capabilities
          Asks for nothing outside its sandbox.

        Imports
          flowcell:plugin/log@1.0.0           writes lines to the run's log
          flowcell:plugin/plugin-types@1.0.0

        Exports
          flowcell:plugin/action@1.0.0

        Size    2.8 KiB (28 bytes of code in 5 functions, 0 bytes of data, 298 bytes of manifest), at least 0 bytes of memory
        Digest  sha256:e81094af83cfa5faee387dd95a3017f6d6eb2bb9ccfba826987e32b35f570220
    "#]].assert_eq(&describe(&package));
}

#[test]
fn capabilities_limits_and_warnings_are_sentences() {
    let more = r#"idempotent = true

[[triggers]]
id = "inbound"
title = "Mail came"
kind = "webhook"

[[capabilities.http]]
reason = "that is where your mail server is."
from-input = "url"

[[capabilities.http]]
reason = "it tells a channel about failures."
hosts = ["POST https://hooks.slack.com/services/*"]

[limits]
memory_mib = 32
http_requests = 3
"#;
    let toml = format!("icon = \"✉️\"\n{}", toml("acme/mail", "1.0.0", more));
    let inbound = "{\"kind\":\"trigger\",\"id\":\"inbound\",\"config\":{\"type\":\"object\"},\"output\":true}\n";
    let module = with_schemas(module("export action; export trigger;"), &format!("{SEND}{inbound}"));
    let package = read(&build(&module, &toml).expect("builds")).expect("reads");
    expect![[r#"
        ✉️ Mail
        acme/mail@1.0.0, for flowcell:plugin@1

        Sends mail.

        Triggers
          inbound  Mail came  called by HTTP requests

        Actions
          send  Send a mail  may be repeated safely

        Capabilities
          May send requests to the address you write in the field `url`, because: that is where your mail server is.
          May send POST to https://hooks.slack.com/services/*, because: it tells a channel about failures.

        Limits it asks for, per call
          32 MiB of memory
          3 HTTP requests

        Imports
          flowcell:plugin/plugin-types@1.0.0

        Exports
          flowcell:plugin/action@1.0.0
          flowcell:plugin/trigger@1.0.0

        Warnings
          the manifest asks for HTTP, but the component imports no HTTP interface and cannot use it; remove the capability

        Size    4.4 KiB (21 bytes of code in 6 functions, 0 bytes of data, 646 bytes of manifest), at least 0 bytes of memory
        Digest  sha256:89a4c3bc61a6ec4ad8ad07812f549ee882d1aac6bc3db7ca4de3e924d3fbd8bf
    "#]].assert_eq(&describe(&package));
}

#[test]
fn json_says_the_same() {
    let http = "\n[[capabilities.http]]\nreason = \"it hands mail over.\"\nfrom-input = \"url\"\n";
    let package = read(&build(&sender(), &toml("acme/mail", "1.0.0", http)).expect("builds")).expect("reads");
    expect![[r#"
        {
          "digest": "sha256:df29740b23955edf0de0089bca5b12b190f4aa5db3f394ad36a9a2ab1a1ddcd8",
          "manifest": {
            "id": "acme/mail",
            "version": "1.0.0",
            "api": "flowcell:plugin@1",
            "title": "Mail",
            "description": "Sends mail.",
            "actions": [
              {
                "id": "send",
                "title": "Send a mail",
                "description": "",
                "idempotent": false,
                "input": {
                  "properties": {
                    "url": {
                      "type": "string"
                    }
                  },
                  "type": "object"
                },
                "output": true
              }
            ],
            "capabilities": {
              "http": [
                {
                  "reason": "it hands mail over.",
                  "from-input": "url"
                }
              ]
            },
            "limits": {}
          },
          "capabilities": [
            "May send requests to the address you write in the field `url`, because: it hands mail over."
          ],
          "imports": [
            "flowcell:plugin/log@1.0.0",
            "flowcell:plugin/http@1.0.0",
            "flowcell:plugin/plugin-types@1.0.0"
          ],
          "exports": [
            "flowcell:plugin/action@1.0.0"
          ],
          "sizes": {
            "bytes": 3731,
            "code_bytes": 58,
            "data_bytes": 0,
            "manifest_bytes": 358,
            "core_modules": 3,
            "functions": 6,
            "memory_bytes_min": 0
          },
          "warnings": []
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&Report::of(&package)).expect("JSON"));
}

#[test]
fn sizes_are_readable() {
    for (count, text) in [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (64_921, "63.3 KiB"),
        (19_398_656, "18.5 MiB"),
        (u64::MAX, "1759218604441.5 MiB"),
    ] {
        assert_eq!(bytes(count), text, "{count}");
    }
}
