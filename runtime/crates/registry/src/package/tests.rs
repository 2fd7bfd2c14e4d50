#![allow(
    clippy::needless_raw_string_hashes,
    clippy::needless_pass_by_value,
    reason = "expect-test writes its strings so; tables read better without `&`"
)]

use expect_test::{Expect, expect};

use super::*;
use crate::fixture::plugin;

fn check(bytes: &[u8], expected: Expect) {
    let text = match read(bytes) {
        Ok(package) => format!("{}@{}", package.manifest.id, package.manifest.version),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&text);
}

/// A good package with another manifest.
fn with_manifest(text: &str) -> Vec<u8> {
    let (mut rest, _) = sections::take_custom(&plugin("acme/mail", "1.0.0"), manifest::SECTION).expect("whole");
    sections::push_custom(&mut rest, manifest::SECTION, text.as_bytes());
    rest
}

#[test]
fn every_kind_of_wrong_file_has_its_own_message() {
    let good = plugin("acme/mail", "1.0.0");
    check(&good, expect!["acme/mail@1.0.0"]);
    check(b"", expect!["the file is empty; copy or download it again"]);
    check(b"hello", expect!["this is no WebAssembly file; a plugin is a `.wasm` file made by `flowcell plugin build`"]);
    check(b"\x1f\x8b\x08\0", expect!["this is no WebAssembly file but gzip; unpack it first"]);
    check(b"<!doctype html>", expect!["this is no WebAssembly file but a web page; was the download refused?"]);
    check(
        b"\0asm\x01\0\0\0",
        expect!["this is a bare module, not a finished plugin; run `flowcell plugin build` on it"],
    );
    check(
        b"\0asm\x0e\0\x01\0",
        expect!["this is WebAssembly in a version that is not known; build the plugin with a released toolchain"],
    );
    check(
        b"\0asm\x0d\0\x01\0",
        expect![
            "this component holds no manifest (custom section `flowcell:manifest`); run `flowcell plugin build` on it, and strip nothing afterwards"
        ],
    );
    check(
        &good[..good.len() - 1],
        expect![
            "the file is damaged or cut off: the section at byte 2603 is longer than the file. Download or build it again"
        ],
    );
    check(
        &good[..good.len() / 2],
        expect![
            "the file is damaged or cut off: the section at byte 1185 is longer than the file. Download or build it again"
        ],
    );
    let mut flipped = good.clone();
    flipped[40] ^= 0x55;
    check(
        &flipped,
        expect!["the file is damaged or cut off: unexpected end-of-file at byte 41. Download or build it again"],
    );
    let mut twice = good.clone();
    sections::push_custom(&mut twice, manifest::SECTION, b"{}");
    check(&twice, expect!["this component holds 2 manifests, so it cannot be known which one is true; build it again"]);
    check(
        &vec![0; BYTES_MAX + 1],
        expect![
            "the file has 33554433 bytes; plugins have at most 33554432. Leave out debug information (`strip = true`), or split the plugin"
        ],
    );
}

#[test]
fn every_kind_of_wrong_manifest_has_its_own_message() {
    check(
        &with_manifest("{"),
        expect![
            "the manifest is not JSON: EOF while parsing an object at line 1 column 1. Build the plugin again with `flowcell plugin build`"
        ],
    );
    check(
        &with_manifest("{}"),
        expect![
            "the manifest cannot be understood: missing field `id`. If the plugin was built by a newer Flowcell, upgrade this one"
        ],
    );
    check(
        &with_manifest(&" ".repeat(manifest::BYTES_MAX + 1)),
        expect!["the manifest has 1048577 bytes; at most 1048576 are read. Shorten its schemas and texts"],
    );
    check(
        &with_manifest(r#"{"api": "flowcell:plugin@2", "whatever": 1}"#),
        expect![
            "the plugin is made for `flowcell:plugin@2`, this Flowcell speaks `flowcell:plugin@1`; upgrade Flowcell, or use the plugin's version for it"
        ],
    );
    let good = r#"{"id":"acme/mail","version":"1.0.0","api":"flowcell:plugin@1","title":"Mail","actions":[{"id":"send","title":"Send","input":{"type":"object"},"output":true}]}"#;
    check(&with_manifest(good), expect!["acme/mail@1.0.0"]);
    check(
        &with_manifest(&good.replace("\"title\":\"Send\"", "\"title\":\"Send\",\"streams\":1")),
        expect![
            "the manifest cannot be understood at `actions[0].streams`: unknown field `streams`, expected one of `id`, `title`, `description`, `idempotent`, `connection`, `retry`, `input`, `output`. If the plugin was built by a newer Flowcell, upgrade this one"
        ],
    );
    check(
        &with_manifest(&good.replace("acme/mail", "Acme Mail")),
        expect![
            "the manifest cannot be understood at `id`: `Acme Mail` is not a plugin id of the form publisher/name. If the plugin was built by a newer Flowcell, upgrade this one"
        ],
    );
    check(
        &with_manifest(&good.replace("Mail", "\\u001b[31m")),
        expect![[r#"
        the manifest is not in order:
          - /title: a title is printed on terminals and consent pages and must not hold U+001B; remove it"#]],
    );
    check(
        &with_manifest(&good.replace("\"type\":\"object\"", "\"$ref\":\"file:///etc/passwd\"")),
        expect![[r#"
        the manifest is not in order:
          - /actions/0/input: the schema cannot be used: `$ref` to `file:///etc/passwd`: write `#` or `#/$defs/…`, and put what is meant into the same schema"#]],
    );
}

#[test]
fn no_truncation_and_no_flipped_bit_makes_the_reader_panic() {
    let good = plugin("acme/mail", "1.0.0");
    let digest = Digest::of(&good);
    for len in 0..good.len() {
        assert!(read(&good[..len]).is_err(), "{len} bytes are not the whole");
    }
    let mut bytes = good;
    for index in 0..bytes.len() {
        for flip in [0x01, 0x10, 0x80, 0xff] {
            bytes[index] ^= flip;
            // A flip in a title is another valid plugin; but never the same one.
            if let Ok(package) = read(&bytes) {
                assert_ne!(package.digest, digest, "byte {index}");
            }
            bytes[index] ^= flip;
        }
    }
}
