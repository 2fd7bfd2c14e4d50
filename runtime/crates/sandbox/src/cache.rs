//! Compiled code on disk. Loading it runs it, so a file is only mapped if this instance wrote it: each has an HMAC-SHA256 beside it, made with a key
//! that is drawn at the first start and readable by the service alone. Anything else (damaged, copied from elsewhere, forged) is
//! deleted and compiled again.
//!
//! This is the only module with `unsafe` code.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use flowcell_core::id::Digest;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// What the MAC covers besides the code, so that no entry can stand in for another.
const CONTEXT: &[u8] = b"flowcell code cache 1";
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;

/// Why the cache cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[error("the code cache {} cannot be used: {what}. Give it a directory that only the service's user can write", path.display())]
pub struct CacheError {
    path: PathBuf,
    what: String,
    #[source]
    source: Option<std::io::Error>,
}

/// Why there is no compiled code for a plugin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCode {
    #[error("it has not been compiled yet")]
    Absent,
    #[error("this instance did not write it as it is: {0}")]
    NotOurs(std::io::Error),
    #[error("it does not fit the sandbox: {0:#}")]
    Unfit(wasmtime::Error),
}

#[derive(Debug)]
pub(crate) struct CodeCache {
    directory: PathBuf,
    key: [u8; KEY_BYTES],
}

impl CodeCache {
    /// Opens the directory; creates it (0700) and the key (0600) at the first start.
    pub(crate) fn open(directory: &Path) -> Result<Self, CacheError> {
        let failed = |what: &str, source| CacheError { path: directory.to_owned(), what: what.to_owned(), source };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| failed("it cannot be created", Some(error)))?;
        let mode = directory.metadata().map_err(|error| failed("it cannot be read", Some(error)))?.permissions().mode();
        if mode & 0o022 != 0 {
            return Err(failed("others may write to it", None));
        }
        let key = key(&directory.join("key")).map_err(|error| failed("its key cannot be read or made", Some(error)))?;
        Ok(Self { directory: directory.to_owned(), key })
    }

    /// Maps the code of a plugin, if there is any that this instance compiled for this engine. What cannot be used is deleted.
    pub(crate) fn load(&self, engine: &Engine, digest: &Digest) -> Result<Component, NoCode> {
        let name = entry_name(engine, digest);
        let path = self.directory.join(&name);
        let loaded = match self.verify(&path, &name) {
            Ok(()) => map(engine, &path).map_err(NoCode::Unfit),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(NoCode::Absent),
            Err(error) => Err(NoCode::NotOurs(error)),
        };
        if !matches!(loaded, Ok(_) | Err(NoCode::Absent)) {
            discard(&path);
        }
        loaded
    }

    /// Writes an entry: the code first, its tag last, each under its name in one step.
    pub(crate) fn store(&self, engine: &Engine, digest: &Digest, code: &[u8]) -> std::io::Result<()> {
        let name = entry_name(engine, digest);
        let path = self.directory.join(&name);
        let tag = self.tag(&name, code).finalize().into_bytes();
        let _alone = alone(&path)?;
        write_new(&path, code)?;
        write_new(&path.with_extension("tag"), &tag)
    }

    fn verify(&self, path: &Path, name: &str) -> std::io::Result<()> {
        let mut tag = Vec::with_capacity(TAG_BYTES);
        File::open(path.with_extension("tag"))?.take(TAG_BYTES as u64 + 1).read_to_end(&mut tag)?;
        let mut file = File::open(path)?;
        let mut mac = self.tag(name, &[]);
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let read = file.read(&mut chunk)?;
            let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            mac.update(bytes);
        }
        mac.verify_slice(&tag).map_err(|_| std::io::Error::new(ErrorKind::InvalidData, "its tag is wrong"))
    }

    fn tag(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of every length");
        mac.update(CONTEXT);
        mac.update(&[0]);
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(code);
        mac
    }
}

/// Deletes an entry.
fn discard(path: &Path) {
    for path in [path.to_owned(), path.with_extension("tag")] {
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a discarded compilation");
        }
    }
}

/// Maps compiled code into this process.
#[expect(unsafe_code, reason = "running our own compiled code is what the cache is for")]
fn map(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize_file` demands a file that Wasmtime wrote and nobody changes while it is mapped. `verify` has just found this
    // instance's tag on it, which only `store` makes, from the output of our own compile child. Entries are written under a
    // temporary name and renamed, never changed in place, in a directory that no other user can write to (`open`).
    unsafe { Component::deserialize_file(engine, path) }
}

/// The digest of the plugin, and a hash of everything that makes compiled code fit this engine, this Wasmtime and this processor.
fn entry_name(engine: &Engine, digest: &Digest) -> String {
    use std::hash::Hash as _;
    let mut fit = HashInto(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut fit);
    let fit = Digest::from_bytes(fit.0.finalize().into()).to_hex();
    format!("{}-{}.cwasm", digest.to_hex(), fit.get(..16).unwrap_or(&fit))
}

/// Lets `Hash` feed SHA-256: unlike the standard hasher it gives the same result in every release.
struct HashInto(Sha256);

impl std::hash::Hasher for HashInto {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(&self) -> u64 {
        0 // never asked for: the name takes the whole digest
    }
}

/// Reads the key; draws it when there is none yet.
fn key(path: &Path) -> std::io::Result<[u8; KEY_BYTES]> {
    match File::open(path) {
        Ok(mut file) => {
            if file.metadata()?.permissions().mode() & 0o077 != 0 {
                return Err(std::io::Error::new(
                    ErrorKind::PermissionDenied,
                    "others may read the key: remove it, and a new one is made",
                ));
            }
            let mut key = Vec::with_capacity(KEY_BYTES);
            (&mut file).take(KEY_BYTES as u64 + 1).read_to_end(&mut key)?;
            key.try_into().map_err(|_| {
                std::io::Error::new(ErrorKind::InvalidData, "the key is damaged: remove it, and a new one is made")
            })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut drawn = [0; KEY_BYTES];
            getrandom::fill(&mut drawn).map_err(std::io::Error::other)?;
            let _alone = alone(path)?;
            // Another command may have been first: its key is the one.
            if !path.try_exists()? {
                write_new(path, &drawn)?;
            }
            key(path)
        }
        Err(error) => Err(error),
    }
}

/// Keeps other commands on the same directory from writing until it is dropped.
fn alone(path: &Path) -> std::io::Result<File> {
    let lock = path.with_file_name("lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock)?;
    lock.lock()?;
    Ok(lock)
}

/// Writes a file (0600) and gives it its name only when it is complete. The caller is [`alone`].
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_does_not_count_fuel_is_not_found_where_fuel_is_counted() {
        let named = |counts_fuel: bool| {
            let engine = Engine::new(wasmtime::Config::new().consume_fuel(counts_fuel)).expect("an engine");
            entry_name(&engine, &Digest::of(b"a plugin"))
        };
        assert_ne!(named(true), named(false));
    }

    #[test]
    fn of_many_who_begin_at_once_all_have_the_same_key() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("key");
            let keys: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| key(&path).expect("a key"))).collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            assert!(keys.iter().all(|key| key == &keys[0]));
        }
    }
}
