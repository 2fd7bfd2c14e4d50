//! Plugins that a workflow version pins, by digest: `<64 hexadecimal digits>.wasm`. They are written before the version is, and stay, so that an
//! upgrade of the binary takes no plugin away from a run (PROMISES 15).

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use flowcell_core::id::Digest;

use super::folder::read_file;

#[derive(Debug)]
pub(super) struct Archive {
    dir: Dir,
    /// For messages.
    path: PathBuf,
    /// Two writers of one plugin would share its `.part`.
    writing: Mutex<()>,
}

impl Archive {
    /// Opens the folder, and makes it if it is missing.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Dir::create_ambient_dir_all(path, ambient_authority())?;
        Ok(Self {
            dir: Dir::open_ambient_dir(path, ambient_authority())?,
            path: path.to_owned(),
            writing: Mutex::new(()),
        })
    }

    /// Where the plugin lies or would lie, for people.
    pub(super) fn origin(&self, digest: &Digest) -> String {
        self.path.join(file_name(digest)).display().to_string()
    }

    /// The plugin's bytes if it is there; an error in words if what is there is something else.
    pub(super) fn read(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        let name = file_name(digest);
        if !self.dir.try_exists(&name).map_err(|error| format!("the file cannot be read: {error}"))? {
            return Ok(None);
        }
        let bytes = read_file(&self.dir, Path::new(&name))?;
        if Digest::of(&bytes) == *digest {
            Ok(Some(bytes))
        } else {
            Err("the file is damaged: it does not have the digest of its name. Restore it from a backup; runs pinned to it cannot go on \
                 without it"
                .to_owned())
        }
    }

    /// Stores the plugin unless it is there, whole; returns once bytes and name are synced.
    pub(super) fn write(&self, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(self.read(digest), Ok(Some(_))) {
            // Its bytes were synced before it got its name; the name may date from just before a crash.
            return self.sync_names();
        }
        let name = file_name(digest);
        // The file appears whole or not at all: a crash leaves only a `.part`, which the next attempt truncates.
        let part = format!("{name}.part");
        let mut file = self.dir.open_with(&part, OpenOptions::new().write(true).create(true).truncate(true))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        self.dir.rename(&part, &self.dir, &name)?;
        self.sync_names()
    }

    fn sync_names(&self) -> io::Result<()> {
        // cap-std's own handle is a mere path (`O_PATH`) and cannot be synced.
        self.dir.open(".")?.sync_all()
    }
}

fn file_name(digest: &Digest) -> String {
    format!("{}.wasm", digest.to_hex())
}
