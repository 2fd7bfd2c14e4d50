use std::sync::Arc;

use flowcell_core::id::Digest;

use super::*;
use crate::entropy::SystemEntropy;

fn key(byte: u8) -> MasterKey {
    MasterKey::from_bytes(Zeroizing::new([byte; 32]))
}

fn vault(byte: u8) -> Vault {
    Vault::new(key(byte), None, Arc::new(SystemEntropy))
}

fn place() -> Place<'static> {
    Place { workspace: "default", name: "crm", revision: 3, facts: Digest::of(b"facts") }
}

const DOCUMENT: &[u8] = br#"{"token":"s3cret"}"#;

#[test]
fn what_was_sealed_opens_at_its_place_and_shows_nothing_of_it() {
    let vault = vault(1);
    for document in [b"".as_slice(), DOCUMENT, &[7; 70_000]] {
        let sealed = vault.seal(&place(), document);
        assert_eq!(&**vault.open(&place(), &sealed).unwrap(), document);
        // Its record may have been written since, without a new secret.
        assert!(vault.open(&Place { revision: 9, ..place() }, &sealed).is_ok());
    }
    let sealed = vault.seal(&place(), DOCUMENT);
    assert!(!sealed.windows(6).any(|window| window == b"s3cret"));
    assert_ne!(sealed, vault.seal(&place(), DOCUMENT), "every document has a key and nonces of its own");
}

#[test]
fn a_change_of_any_byte_is_noticed() {
    let vault = vault(1);
    let sealed = vault.seal(&place(), DOCUMENT);
    for at in 0..sealed.len() {
        for flip in [1, 0x80] {
            let mut changed = sealed.clone();
            changed[at] ^= flip;
            let error = vault.open(&place(), &changed).unwrap_err();
            match at {
                0..4 => assert_eq!(error, OpenError::Form),
                4..12 => assert!(matches!(error, OpenError::OtherKey { .. }), "{at}: {error}"),
                _ => assert_eq!(error, OpenError::Changed, "{at}"),
            }
            assert!(vault.rewrap(&place(), &changed).ok().flatten().is_none(), "{at}");
        }
    }
    for length in 0..sealed.len() {
        assert!(vault.open(&place(), &sealed[..length]).is_err(), "{length}");
    }
    assert!(vault.open(&place(), &[sealed.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn what_was_sealed_for_one_place_opens_at_no_other() {
    let vault = vault(1);
    let sealed = vault.seal(&place(), DOCUMENT);
    for (what, other) in [
        ("workspace", Place { workspace: "other", ..place() }),
        ("name", Place { name: "crm2", ..place() }),
        ("names that read alike together", Place { workspace: "defaultc", name: "rm", ..place() }),
        ("an older record", Place { revision: 2, ..place() }),
        ("facts", Place { facts: Digest::of(b"other hosts"), ..place() }),
    ] {
        assert_eq!(vault.open(&other, &sealed), Err(OpenError::Changed), "{what}");
    }
}

#[test]
fn parts_of_two_sealed_documents_do_not_go_together() {
    let vault = vault(1);
    let (one, two) = (vault.seal(&place(), DOCUMENT), vault.seal(&place(), b"another document!!"));
    for cut in [4, 12, 16, 40, 88, 112] {
        let mixed = [&one[..cut], &two[cut..]].concat();
        // Below 16 the heads are the same.
        assert_eq!(vault.open(&place(), &mixed).is_ok(), cut <= 16, "{cut}");
    }
}

#[test]
fn another_key_is_named_and_no_key_is_shown() {
    let sealed = vault(1).seal(&place(), DOCUMENT);
    let error = vault(2).open(&place(), &sealed).unwrap_err();
    assert_eq!(error, OpenError::OtherKey { sealed_with: key(1).id(), have: key(2).id() });
    assert!(error.to_string().contains(&key(1).id().to_string()), "{error}");
    let text = key(1).to_text();
    let shown = format!("{:?} {:?} {error:?} {}", key(1), vault(1), key(1).id());
    assert!(!text.contains(&key(1).id().to_string()));
    assert!(!shown.contains(&text[5..]) && !shown.contains("01010101"), "{shown}");
    assert_eq!(vault(1).open(&place(), b""), Err(OpenError::GivenUp));
}

#[test]
fn a_new_key_wraps_what_the_old_one_sealed_and_both_open_meanwhile() {
    let vault = vault(1);
    let old = vault.seal(&place(), DOCUMENT);
    assert_eq!(vault.rewrap(&place(), &old), Ok(None));
    vault.take_over(key(2));
    let later = Place { revision: 4, ..place() };
    let wrapped = vault.rewrap(&later, &old).unwrap().expect("it was under the old key");
    for sealed in [&old, &wrapped] {
        assert_eq!(&**vault.open(&later, sealed).unwrap(), DOCUMENT);
    }
    assert_eq!(vault.rewrap(&later, &wrapped), Ok(None));
    vault.forget_previous();
    assert!(matches!(vault.open(&later, &old), Err(OpenError::OtherKey { .. })));
    assert_eq!(&**vault.open(&later, &wrapped).unwrap(), DOCUMENT);
    assert_eq!(
        vault.rewrap(&Place { name: "crm2", ..later }, &old).unwrap_err(),
        OpenError::OtherKey { sealed_with: key(1).id(), have: key(2).id() }
    );
}

#[test]
fn keys_are_read_as_they_are_written_and_nothing_else_is_one() {
    let generated = MasterKey::generate(&SystemEntropy);
    let text = generated.to_text();
    assert_eq!(text.parse::<MasterKey>().unwrap().id(), generated.id());
    assert_eq!(format!("  {}\n", *text).parse::<MasterKey>().unwrap().id(), generated.id());
    for wrong in ["", "fcsk_", "fcsk_abc", &text[5..], &text.to_uppercase(), &format!("{}a", *text)] {
        let error = wrong.parse::<MasterKey>().unwrap_err().to_string();
        assert!(error.contains("new-key"), "{error}");
    }
}

/// Sealed by another implementation of the form that `envelope` describes; every later version has to open it.
#[test]
fn what_earlier_versions_sealed_still_opens() {
    const SEALED: &str = include_str!("tests/sealed-1.txt");
    let sealed = data_encoding::BASE64.decode(SEALED.trim().as_bytes()).unwrap();
    assert_eq!(&**vault(1).open(&place(), &sealed).unwrap(), DOCUMENT);
}

#[test]
fn a_key_file_is_made_once_and_never_in_place_of_one_that_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets-key");
    let lost = key_file::load(&path, key_file::Needed::OfStoredSecrets, &SystemEntropy).unwrap_err().to_string();
    assert!(lost.contains("backup") && lost.contains("--give-up-secrets"), "{lost}");
    assert!(!path.exists());
    let made = key_file::load(&path, key_file::Needed::New, &SystemEntropy).unwrap();
    for needed in [key_file::Needed::New, key_file::Needed::OfStoredSecrets] {
        assert_eq!(key_file::load(&path, needed, &SystemEntropy).unwrap().id(), made.id());
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    std::fs::write(&path, "half a k").unwrap();
    let error = format!("{:#}", key_file::load(&path, key_file::Needed::New, &SystemEntropy).unwrap_err());
    assert!(error.contains("secrets-key") && error.contains("no secrets key") && !error.contains("half"), "{error}");
}
