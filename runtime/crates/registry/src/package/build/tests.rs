#![allow(
    clippy::needless_raw_string_hashes,
    clippy::needless_pass_by_value,
    reason = "expect-test writes its strings so; tables read better without `&`"
)]

use expect_test::{Expect, expect};
use flowcell_core::manifest::SECTION;
use serde_json::json;

use super::*;
use crate::fixture::{SEND, computer, module, plugin, sender, toml, with_schemas};

const HTTP: &str = "\n[[capabilities.http]]\nreason = \"it hands mail over.\"\nfrom-input = \"url\"\n";

fn check(module: &[u8], plugin_toml: &str, expected: Expect) {
    let text = match build(module, plugin_toml) {
        Ok(_) => "built".to_owned(),
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                text = format!("{text}: {inner}");
                cause = inner.source();
            }
            text
        }
    };
    expected.assert_eq(&text);
}

#[test]
fn a_module_becomes_a_component_that_carries_its_manifest_and_no_schemas() {
    let bytes = build(&sender(), &toml("acme/mail", "1.2.3", HTTP)).expect("builds");
    let package = read(&bytes).expect("reads");
    assert_eq!(
        (package.manifest.id.to_string().as_str(), package.manifest.api.as_str()),
        ("acme/mail", "flowcell:plugin@1")
    );
    assert_eq!(package.manifest.actions[0].input, json!({"type": "object", "properties": {"url": {"type": "string"}}}));
    assert_eq!(
        package.imports,
        ["flowcell:plugin/log@1.0.0", "flowcell:plugin/http@1.0.0", "flowcell:plugin/plugin-types@1.0.0"]
    );
    assert_eq!(package.exports, ["flowcell:plugin/action@1.0.0"]);
    assert_eq!(package.warnings(), []);
    assert_eq!(sections::take_custom(&bytes, schemas::SECTION).expect("whole").1, Vec::<Vec<u8>>::new());
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let toml = toml("acme/mail", "1.2.3", HTTP);
    assert_eq!(build(&sender(), &toml).expect("builds"), build(&sender(), &toml).expect("builds"));
    // The linker may join the contributions of object files in another order.
    let two = |lines: &str| with_schemas(module("import log; export action; export trigger;"), lines);
    let inbound = "{\"kind\":\"trigger\",\"id\":\"inbound\",\"config\":{\"type\":\"object\"},\"output\":true}\n";
    let toml = format!(
        "{}\n[[triggers]]\nid = \"inbound\"\ntitle = \"Mail came\"\nkind = \"webhook\"\n",
        self::toml("acme/mail", "1.0.0", "")
    );
    let (one, other) = (two(&format!("{SEND}{inbound}")), two(&format!("{inbound}{SEND}")));
    assert_eq!(build(&one, &toml).expect("builds"), build(&other, &toml).expect("builds"));
}

#[test]
fn a_finished_component_is_taken_as_it_is() {
    let component = encode(&computer()).expect("encodes");
    let bytes = build(&component, &toml("acme/mail", "1.0.0", "")).expect("its module brings the schemas along");
    assert_eq!(read(&bytes).expect("reads").manifest.actions[0].id, "send");
    let without = encode(&module("import log; export action;")).expect("encodes");
    let inline = toml(
        "acme/mail",
        "1.0.0",
        "input = { type = \"object\" }\noutput = '''{\"type\": [\"string\", \"null\"], \"default\": null}'''\n",
    );
    let bytes = build(&without, &inline).expect("plugin.toml brings the schemas along");
    assert_eq!(
        read(&bytes).expect("reads").manifest.actions[0].output,
        json!({"type": ["string", "null"], "default": null})
    );
}

#[test]
fn what_is_no_module_says_so() {
    let toml = toml("acme/mail", "1.0.0", "");
    check(b"", &toml, expect!["the module is no WebAssembly file; give the `.wasm` file the compiler made"]);
    check(
        b"(module)",
        &toml,
        expect!["the module is no WebAssembly file but its text form; translate it with `wasm-tools parse`"],
    );
    check(b"\0asm\x01\0\0\0\x01\xff", &toml, expect!["the module is damaged or cut off at byte 8; build it again"]);
    check(
        b"\0asm\x07\0\0\0",
        &toml,
        expect!["this is WebAssembly in a version that is not known; build the plugin with a released toolchain"],
    );
    check(
        &plugin("acme/mail", "1.0.0"),
        &toml,
        expect!["this is a finished plugin already: it holds a manifest. Build from the compiler's output"],
    );
    check(
        &with_schemas(b"\0asm\x01\0\0\0".to_vec(), SEND),
        &toml,
        expect![[r#"
        the plugin lacks what its manifest promises:
          - the manifest lists the action `send`, but the component exports no `flowcell:plugin/action@1` with `invoke`
        Build it with the SDK, or export the interface from your own world"#]],
    );
}

#[test]
fn imports_nobody_provides_are_refused() {
    let toml = toml("acme/mail", "1.0.0", "");
    let preview1 = wat::parse_str(
        "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32))))",
    )
    .expect("wat");
    check(
        &with_schemas(preview1, SEND),
        &toml,
        expect![
            "the module imports WASI preview 1 (target `wasm32-wasip1`); build it for `wasm32-unknown-unknown` or `wasm32-wasip2`"
        ],
    );
    let js = wat::parse_str("(module (import \"__wbindgen_placeholder__\" \"x\" (func)))").expect("wat");
    check(
        &with_schemas(js, SEND),
        &toml,
        expect![[
            r#"the module cannot be made a component: failed to decode world from module: module was not valid: failed to resolve import `__wbindgen_placeholder__::x`: module requires an import interface named `__wbindgen_placeholder__`. Is it a library with `crate-type = ["cdylib"]` that uses the Flowcell SDK or wit-bindgen?"#
        ]],
    );
    let inline = toml + "input = { type = \"object\" }\noutput = true\n";
    let component = wat::parse_str(
        "(component (import \"acme:db/sql@1.0.0\" (instance)) (import \"wasi:http/client@0.3.0\" (instance)) (import \"flowcell:plugin/kv@1.1.0\" (instance)))",
    )
    .expect("wat");
    check(
        &component,
        &inline,
        expect![[r#"
        the plugin imports what Flowcell does not give:
          - `acme:db/sql@1.0.0`: nothing provides this to plugins; use `flowcell:plugin/http` or `wasi:http` to reach other systems
          - `wasi:http/client@0.3.0`: only WASI 0.2 is provided; build it for `wasm32-unknown-unknown` or `wasm32-wasip2`
          - `flowcell:plugin/kv@1.1.0`: this Flowcell has no such interface; if the plugin is newer, upgrade Flowcell"#]],
    );
}

#[test]
fn a_manifest_promises_only_what_is_exported() {
    check(
        &with_schemas(module("import log; export trigger;"), SEND),
        &toml("acme/mail", "1.0.0", ""),
        expect![[r#"
        the plugin lacks what its manifest promises:
          - the manifest lists the action `send`, but the component exports no `flowcell:plugin/action@1` with `invoke`
        Build it with the SDK, or export the interface from your own world"#]],
    );
}

#[test]
fn http_and_its_capability_belong_together() {
    check(
        &sender(),
        &toml("acme/mail", "1.0.0", ""),
        expect![[r#"
        the plugin sends HTTP requests (it imports `flowcell:plugin/http`), but plugin.toml asks for no destination. Add, for example:

        [[capabilities.http]]
        reason = "why it is needed, in a sentence people understand"
        hosts = ["https://api.example.com/*"]

        or, where the step's author writes the address, `from-input = "url"` instead of `hosts`"#]],
    );
    let unused = build(&computer(), &toml("acme/mail", "1.0.0", HTTP)).expect("only a warning");
    let warnings: Vec<_> =
        read(&unused).expect("reads").warnings().into_iter().map(|warning| warning.message).collect();
    assert_eq!(
        warnings,
        [
            "the manifest asks for HTTP, but the component imports no HTTP interface and cannot use it; remove the capability"
        ]
    );
}

#[test]
fn schemas_of_the_code_and_plugin_toml_must_fit() {
    let good = toml("acme/mail", "1.0.0", "");
    check(
        &module("import log; export action;"),
        &good,
        expect![[
            r#"plugin.toml:7:6: `send` has no `input`: the module brings no schemas, so write it here as a JSON Schema, such as `input = { type = "object" }`"#
        ]],
    );
    check(
        &computer(),
        &good.replace("id = \"send\"", "id = \"sned\""),
        expect!["plugin.toml:7:6: the code registers no action `sned`; did you mean `send`?"],
    );
    let two = with_schemas(module("export action;"), &format!("{SEND}{}", SEND.replace("\"send\"", "\"sent\"")));
    check(
        &two,
        &good,
        expect![[
            r#"plugin.toml:1:1: `sent` is registered in the code, but there is no `[[actions]]` with `id = "sent"`; add one with `id` and `title`"#
        ]],
    );
    check(
        &computer(),
        &toml("acme/mail", "1.0.0", "output = false\n"),
        expect![
            "plugin.toml:9:10: the code of `send` brings another schema for `output` than this one; remove it here, and describe it in the code"
        ],
    );
    check(
        &computer(),
        &toml("acme/mail", "1.0.0", "output = '{'\n"),
        expect![
            "plugin.toml:9:10: `output` is a string, so it must hold JSON: EOF while parsing an object at line 1 column 1"
        ],
    );
    check(
        &with_schemas(computer(), "{}\n"),
        &good,
        expect![
            "the module's section `flowcell:schemas` is wrong: line 1 cannot be read: missing field `kind` at line 1 column 2. Was the plugin built with a newer SDK? Then update Flowcell"
        ],
    );
    check(&computer(), &toml("acme/mail", "1.0.0", "output = true\n"), expect!["built"]);
    check(
        &with_schemas(module("export action;"), &SEND.replace("\"type\":\"string\"", "\"type\":\"strng\"")),
        &good,
        expect![[
            r#"plugin.toml:6:1: the schema is not a JSON Schema (2020-12) at `/properties/url/type`: "strng" is not valid under any of the schemas listed in the 'anyOf' keyword"#
        ]],
    );
}

#[test]
fn a_manifest_of_an_inner_component_is_not_the_plugin_s() {
    let inner = plugin("evil/inner", "1.0.0");
    let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
    // A nested component as section 4, its length in LEB128.
    let mut n = inner.len();
    while n >= 0x80 {
        outer.push(u8::try_from(n & 0x7f).expect("seven bits") | 0x80);
        n >>= 7;
    }
    outer.push(u8::try_from(n).expect("seven bits"));
    outer.extend_from_slice(&inner);
    assert_eq!(read(&outer), Err(ReadError::NoManifest));
    assert!(inner.windows(SECTION.len()).any(|window| window == SECTION.as_bytes()));
}
