//! One process for a directory: a lock that ends with the process, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process has it; its number, if it could be read.
    Taken(Option<u32>),
    Io(io::Error),
}

pub(crate) fn lock(store: &Path) -> Result<DirectoryLock, LockError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(store.join("lock"))
        .map_err(LockError::Io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // Only for the message: without the number it is still true.
            let _ = file.read_to_string(&mut holder);
            return Err(LockError::Taken(holder.trim().parse().ok()));
        }
        Err(errno) => return Err(LockError::Io(errno.into())),
    }
    // The number is for people; the lock itself is the kernel's.
    file.set_len(0).map_err(LockError::Io)?;
    file.rewind().map_err(LockError::Io)?;
    writeln!(file, "{}", std::process::id()).map_err(LockError::Io)?;
    Ok(DirectoryLock { _file: file })
}
