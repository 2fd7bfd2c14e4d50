//! Records too large for a tree, in files named by their SHA-256: `blobs/ab/cdef…`. A file and its folder are synced before the
//! record that names it is queued; every read checks the digest. Files are never changed. All 256 folders are there and synced from the
//! open on: were they made when first used, a second writer could find a folder that the first one has not synced yet.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use flowcell_core::id::Digest;

use super::codec::PayloadRef;
use super::ignore_poison;

const FOLDER: &str = "blobs";

/// The folder of payload files, and nothing outside of it.
#[derive(Debug)]
pub(crate) struct Payloads {
    dir: Dir,
    /// Tells temporary files of one process apart.
    written: AtomicU64,
    /// The files that records name, or will in a moment.
    names: Mutex<Names>,
}

/// Files by their digest.
pub(crate) type Names = HashMap<Digest, Named>;

/// A file, and how many records name it: two records with the same content share one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    pub(crate) bytes: u64,
    records: u32,
}

/// Notes that one more record names the file.
pub(crate) fn note(names: &mut Names, file: PayloadRef) {
    let named = names.entry(file.digest).or_insert(Named { bytes: file.bytes, records: 0 });
    named.records = named.records.saturating_add(1);
}

/// Notes what another part of the store has noted.
pub(crate) fn add(names: &mut Names, other: Names) {
    for (digest, more) in other {
        let named = names.entry(digest).or_insert(Named { bytes: more.bytes, records: 0 });
        named.records = named.records.saturating_add(more.records);
    }
}

/// What went wrong with a payload file.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// Nothing was written that counts; it may be tried again.
    Write(io::Error),
    /// A sync failed: what is on the disk is unknown, and a second sync could say otherwise (PROMISES §1, 21).
    Sync(io::Error),
}

impl Payloads {
    /// Opens the folder under `store`, creating it and its 256 folders where they are missing. All of them are durable when this returns, as
    /// far as `store` itself is.
    pub(crate) fn open(store: &Path) -> io::Result<Self> {
        let path = store.join(FOLDER);
        std::fs::create_dir_all(&path)?;
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        for folder in 0..=u8::MAX {
            match dir.create_dir(format!("{folder:02x}")) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        sync_dir(&dir)?;
        Ok(Self { dir, written: AtomicU64::new(0), names: Mutex::default() })
    }

    /// Where a payload lies, relative to the store.
    pub(crate) fn path(name: &PayloadRef) -> String {
        let (folder, file) = split(&name.digest);
        format!("{FOLDER}/{folder}/{file}")
    }

    /// What the files hold, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        ignore_poison(self.names.lock()).values().map(|named| named.bytes).sum()
    }

    /// Writes a payload for one more record; it is durable when this returns.
    pub(crate) fn write(&self, name: &PayloadRef, payload: &[u8]) -> Result<(), WriteError> {
        // Before the file is there: a removal that comes now must leave it.
        {
            let mut names = ignore_poison(self.names.lock());
            note(&mut names, *name);
        }
        let written = self.write_file(name, payload);
        if written.is_err() {
            let _ = self.release(name);
        }
        written
    }

    fn write_file(&self, name: &PayloadRef, payload: &[u8]) -> Result<(), WriteError> {
        let (folder, file) = split(&name.digest);
        let dir = self.dir.open_dir(&folder).map_err(WriteError::Write)?;
        let temporary = format!("{file}.{}.tmp", self.written.fetch_add(1, Ordering::Relaxed));
        let result = write_and_name(&dir, &temporary, &file, payload);
        if result.is_err() {
            // What stays is removed at the next open.
            let _ = dir.remove_file(&temporary);
        }
        result
    }

    /// Reads a payload whole; says what is wrong with it.
    pub(crate) fn read(&self, name: &PayloadRef) -> Result<Vec<u8>, String> {
        let (folder, file) = split(&name.digest);
        let path = Self::path(name);
        let file = self
            .dir
            .open(format!("{folder}/{file}"))
            .map_err(|error| format!("its file {path} cannot be opened: {error}"))?;
        let mut payload = Vec::with_capacity(usize::try_from(name.bytes).unwrap_or(0).min(64 << 20));
        file.take(name.bytes + 1)
            .read_to_end(&mut payload)
            .map_err(|error| format!("its file {path} cannot be read: {error}"))?;
        if payload.len() as u64 == name.bytes && Digest::of(&payload) == name.digest {
            Ok(payload)
        } else {
            Err(format!("its file {path} does not hold what its name says"))
        }
    }

    /// Called when a record that names the file is gone, or was never written. Removes the file when no other names it.
    pub(crate) fn release(&self, name: &PayloadRef) -> io::Result<()> {
        let mut names = ignore_poison(self.names.lock());
        if let Some(named) = names.get_mut(&name.digest) {
            named.records = named.records.saturating_sub(1);
            if named.records > 0 {
                return Ok(());
            }
        }
        names.remove(&name.digest);
        // Under the lock: nobody begins to write this file now.
        let (folder, file) = split(&name.digest);
        match self.dir.remove_file(format!("{folder}/{file}")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Compares the files with what the records name: a missing file or a wrong size is damage; a file that nothing names
    /// (its record was never committed) is removed. Returns how many were.
    pub(crate) fn reconcile(&self, named: Names) -> io::Result<Result<usize, String>> {
        let mut found = HashMap::new();
        let mut orphans = Vec::new();
        for folder in self.dir.entries()? {
            let folder = folder?;
            if !folder.file_type()?.is_dir() {
                continue;
            }
            let prefix = folder.file_name();
            let dir = folder.open_dir()?;
            for file in dir.entries()? {
                let file = file?;
                let hex = format!("{}{}", prefix.to_string_lossy(), file.file_name().to_string_lossy());
                match format!("sha256:{hex}").parse::<Digest>() {
                    Ok(digest) if named.contains_key(&digest) => {
                        found.insert(digest, file.metadata()?.len());
                    }
                    _ => orphans.push((folder.open_dir()?, file.file_name())),
                }
            }
        }
        for (digest, Named { bytes, .. }) in &named {
            let path = Self::path(&PayloadRef { digest: *digest, bytes: *bytes });
            match found.get(digest) {
                Some(size) if size == bytes => {}
                Some(size) => return Ok(Err(format!("{path} has {size} bytes instead of {bytes}"))),
                None => return Ok(Err(format!("{path} is missing"))),
            }
        }
        for (dir, name) in &orphans {
            dir.remove_file(name)?;
        }
        *ignore_poison(self.names.lock()) = named;
        Ok(Ok(orphans.len()))
    }
}

fn write_and_name(dir: &Dir, temporary: &str, name: &str, payload: &[u8]) -> Result<(), WriteError> {
    let mut file =
        dir.open_with(temporary, OpenOptions::new().write(true).create_new(true)).map_err(WriteError::Write)?;
    file.write_all(payload).map_err(WriteError::Write)?;
    file.sync_all().map_err(WriteError::Sync)?;
    // Over a file of that name: it holds the same bytes, or was damaged.
    dir.rename(temporary, dir, name).map_err(WriteError::Write)?;
    sync_dir(dir).map_err(WriteError::Sync)
}

fn sync_dir(dir: &Dir) -> io::Result<()> {
    dir.open(".")?.sync_all()
}

/// The folder and the file of a digest.
fn split(digest: &Digest) -> (String, String) {
    let mut folder = digest.to_hex();
    let file = folder.split_off(2);
    (folder, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_is_there_from_the_open_on_and_a_write_makes_none() {
        let store = tempfile::tempdir().unwrap();
        let folders = || std::fs::read_dir(store.path().join(FOLDER)).unwrap().count();
        let payloads = Payloads::open(store.path()).unwrap();
        assert_eq!(folders(), 256);
        let name = PayloadRef { digest: Digest::of(b"payload"), bytes: 7 };
        payloads.write(&name, b"payload").unwrap();
        assert_eq!(payloads.read(&name).unwrap(), b"payload");

        // What an earlier version, or a creation that was cut short, has left out.
        payloads.release(&name).unwrap();
        let folder = store.path().join(FOLDER).join(split(&name.digest).0);
        std::fs::remove_dir(&folder).unwrap();
        assert!(matches!(payloads.write(&name, b"payload"), Err(WriteError::Write(_))));
        assert!(!folder.exists());
        Payloads::open(store.path()).unwrap().write(&name, b"payload").unwrap();
        assert_eq!(folders(), 256);
    }
}
