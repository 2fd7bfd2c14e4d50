#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes its strings so")]

use std::fs;

use expect_test::{Expect, expect};
use tempfile::TempDir;

use super::*;
use crate::fixture::{computer, plugin, toml};
use crate::package::build;

fn uses(text: &str) -> Uses {
    text.parse().expect("a reference")
}

fn built_in(plugins: &[Vec<u8>]) -> LocalCatalog {
    let plugins: Vec<_> = plugins.iter().map(|bytes| ("test", bytes.as_slice())).collect();
    LocalCatalog::open(Sources { built_in: &plugins, ..Sources::default() }).expect("good plugins")
}

fn with_folder(dir: &TempDir, plugins: &[Vec<u8>]) -> LocalCatalog {
    let plugins: Vec<_> = plugins.iter().map(|bytes| ("test", bytes.as_slice())).collect();
    LocalCatalog::open(Sources { built_in: &plugins, folders: &[dir.path().to_owned()], archive: None }).expect("opens")
}

/// Messages without the folder they were made in.
fn problems(catalog: &LocalCatalog, dir: &TempDir) -> String {
    let dir = format!("{}/", dir.path().display());
    catalog
        .problems()
        .into_iter()
        .map(|p| format!("{:?} {}: {}\n", p.kind, p.origin, p.message).replace(&dir, ""))
        .collect()
}

#[test]
fn the_newest_version_of_the_wanted_major_is_resolved() {
    let catalog =
        built_in(&[plugin("acme/mail", "1.9.0"), plugin("acme/mail", "1.10.0"), plugin("acme/mail", "2.0.0")]);
    let version = |text: &str| catalog.resolve(&uses(text)).expect("there").manifest.version.to_string();
    assert_eq!(version("acme/mail/send@1"), "1.10.0");
    assert_eq!(version("acme/mail/send@2"), "2.0.0");
    let listed: Vec<_> = catalog.list().iter().map(|plugin| plugin.manifest.version.to_string()).collect();
    assert_eq!(listed, ["2.0.0", "1.10.0", "1.9.0"]);
}

#[test]
fn what_cannot_be_resolved_says_what_there_is() {
    let catalog = built_in(&[plugin("flowcell/webhook", "1.0.0"), plugin("flowcell/custom-webhook", "1.2.0")]);
    let check = |text: &str, expected: Expect| {
        expected.assert_eq(&catalog.resolve(&uses(text)).map(|_| ()).expect_err("not there").to_string());
    };
    check("flowcell/webhok/send@1", expect!["there is no plugin `flowcell/webhok`; did you mean `flowcell/webhook`?"]);
    check("acme/webhook/send@1", expect!["there is no plugin `acme/webhook`; did you mean `flowcell/webhook`?"]);
    check("acme/sheets/send@1", expect!["there is no plugin `acme/sheets`"]);
    check(
        "flowcell/webhook/sent@1",
        expect!["plugin `flowcell/webhook` has no action or trigger `sent`; did you mean `send`?"],
    );
    check(
        "flowcell/custom-webhook/send@2",
        expect!["plugin `flowcell/custom-webhook` is there in version 1.2.0, not in version 2.x"],
    );
}

#[test]
fn a_damaged_file_is_reported_by_name_and_stops_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let good = plugin("acme/mail", "1.0.0");
    fs::write(dir.path().join("b-good.wasm"), &good).expect("writes");
    fs::write(dir.path().join("a-damaged.wasm"), &good[..good.len() - 5]).expect("writes");
    fs::write(dir.path().join("c-module.wasm"), computer()).expect("writes");
    fs::write(dir.path().join("notes.txt"), "not a plugin").expect("writes");
    fs::create_dir(dir.path().join("d-folder.wasm")).expect("makes");
    let catalog = with_folder(&dir, &[]);
    assert_eq!(catalog.list().len(), 1);
    expect![[r#"
        Broken a-damaged.wasm: the file is damaged or cut off: the section at byte 2603 is longer than the file. Download or build it again
        Broken c-module.wasm: this is a bare module, not a finished plugin; run `flowcell plugin build` on it
        Broken d-folder.wasm: this is no file; remove it, or give it a name that does not end in `.wasm`
    "#]].assert_eq(&problems(&catalog, &dir));
}

#[test]
fn a_folder_comes_before_the_built_in_and_the_hidden_one_keeps_its_digest() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = plugin("acme/mail", "1.0.0");
    let theirs = build(&computer(), &toml("acme/mail", "1.0.0", "idempotent = true\n")).expect("builds");
    fs::write(dir.path().join("mail.wasm"), &theirs).expect("writes");
    let catalog = with_folder(&dir, std::slice::from_ref(&ours));
    assert_eq!(catalog.resolve(&uses("acme/mail/send@1")).expect("there").digest, Digest::of(&theirs));
    assert_eq!(catalog.by_digest(&Digest::of(&ours)).expect("still there").origin, "built in");
    let problems = catalog.problems();
    assert_eq!(
        (problems.len(), problems[0].kind, problems[0].origin.as_str()),
        (1, PluginProblemKind::Shadowed, "built in")
    );
    // The very same bytes in both places hide nothing.
    assert_eq!(with_folder(&dir, &[theirs]).problems(), []);
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let missing = PathBuf::from("/nowhere/at/all");
    let error = LocalCatalog::open(Sources { folders: &[missing], ..Sources::default() }).expect_err("no folder");
    assert_eq!(
        error.to_string(),
        "the plugin folder /nowhere/at/all cannot be read; create it, or correct `--plugins`"
    );
}

#[test]
fn a_kept_plugin_is_found_by_digest_after_a_restart_with_a_newer_binary() {
    let dir = tempfile::tempdir().expect("a folder");
    let archive = dir.path().join("data/plugins");
    let open = |bytes: &[u8]| {
        LocalCatalog::open(Sources { built_in: &[("mail", bytes)], folders: &[], archive: Some(&archive) })
            .expect("opens")
    };
    let (old, new) = (plugin("acme/mail", "1.0.0"), plugin("acme/mail", "1.1.0"));
    let pinned = open(&old).resolve(&uses("acme/mail/send@1")).expect("there").digest;
    assert_eq!(pinned, Digest::of(&old));

    // Not kept: the newer binary does not have it any more. This is what keeping is for.
    assert!(open(&new).by_digest(&pinned).is_none());

    open(&old).keep(&pinned).expect("keeps");
    let upgraded = open(&new);
    let found = upgraded.by_digest(&pinned).expect("kept");
    assert_eq!((found.bytes.as_ref(), found.manifest.version.to_string().as_str()), (old.as_slice(), "1.0.0"));
    assert_eq!(upgraded.resolve(&uses("acme/mail/send@1")).expect("there").manifest.version.to_string(), "1.1.0");
    assert_eq!(upgraded.list().len(), 1);
    // Keeping again, now from the archive itself, changes nothing.
    upgraded.keep(&pinned).expect("is kept");
    assert_eq!(fs::read_dir(&archive).expect("lists").count(), 1);
}

#[test]
fn a_damaged_archived_plugin_is_named_and_never_used() {
    let dir = tempfile::tempdir().expect("a folder");
    let open = |built_in: &[(&str, &[u8])]| {
        LocalCatalog::open(Sources { built_in, folders: &[], archive: Some(dir.path()) }).expect("opens")
    };
    let old = plugin("acme/mail", "1.0.0");
    let digest = Digest::of(&old);
    open(&[("mail", &old)]).keep(&digest).expect("keeps");
    let file = dir.path().join(format!("{}.wasm", digest.to_hex()));
    // Another valid plugin under its name: only the digest tells.
    fs::write(&file, plugin("evil/mail", "1.0.0")).expect("writes");
    let catalog = open(&[]);
    assert!(catalog.by_digest(&digest).is_none());
    expect![[r#"
        Broken DIGEST.wasm: the file is damaged: it does not have the digest of its name. Restore it from a backup; runs pinned to it cannot go on without it
    "#]].assert_eq(&problems(&catalog, &dir).replace(&digest.to_hex(), "DIGEST"));
    // A binary that still has it makes the archive whole again.
    open(&[("mail", &old)]).keep(&digest).expect("keeps");
    assert!(open(&[]).by_digest(&digest).is_some());
}

#[test]
fn what_is_unknown_cannot_be_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let catalog = LocalCatalog::open(Sources { archive: Some(dir.path()), ..Sources::default() }).expect("opens");
    let digest = Digest::of(b"nothing");
    assert_eq!(
        catalog.keep(&digest),
        Err(CatalogError::NotKept { digest, message: "there is no plugin with this digest".to_owned() })
    );
}
