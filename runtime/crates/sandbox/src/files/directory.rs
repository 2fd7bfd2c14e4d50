//! One private directory, and what can be done in it. Everything here blocks, and belongs on a thread for that: [`Blocking::run`].
//!
//! A directory holds files and directories. Guests can make no links of any kind, so a name is a file's only one, and no path leads elsewhere
//! than it says; links that an operator made inside are followed as long as they stay inside.

use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _, Metadata, MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use super::ledger::{ENTRIES_MAX, Full, Inode, Ledger, NAME, Quota, Usage, charge};

/// Directories below one another. 32: real trees (mail, git, caches) have less than ten.
const DEPTH_MAX: usize = 32;

/// The longest path in one call (`PATH_MAX` of Linux).
const PATH_BYTES_MAX: usize = 4096;

/// Names in one listing: [`ENTRIES_MAX`] and as many that an operator put there.
const LISTED_MAX: usize = 8192;

/// The largest file there can be; the quota ends long before.
const OFFSET_MAX: u64 = i64::MAX as u64;

/// One private directory, for all calls that use it now.
#[derive(Debug)]
pub(crate) struct Directory {
    root: Dir,
    ledger: Mutex<Ledger>,
    /// Deleted when the last call is done with it.
    passing: Option<tempfile::TempDir>,
}

/// What one call has open. As long as it lives, streams included, the file counts against the quota, with or without a name.
#[derive(Debug)]
pub(crate) struct Opened {
    // Before `held`: what is closed is given back, not the other way round.
    file: Arc<std::fs::File>,
    held: Held,
    /// How many directories lie above what is in it; of no account for a file.
    depth: usize,
    quota: Quota,
    /// Set when something did not fit.
    refused: Arc<AtomicBool>,
    _permits: [OwnedSemaphorePermit; 2],
}

/// The entry of an open file in its directory's ledger, which ends with it.
#[derive(Debug)]
struct Held {
    directory: Arc<Directory>,
    inode: Inode,
}

/// What was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
}

/// How a path is opened.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "they are the flags of open-at, one for one")]
pub(crate) struct Opening {
    pub(crate) follow: bool,
    pub(crate) create: bool,
    pub(crate) exclusive: bool,
    pub(crate) truncate: bool,
    pub(crate) directory: bool,
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// Where bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    At(u64),
    End,
}

/// What a handle costs a call, and what it may take up.
pub(crate) struct Terms {
    pub(crate) quota: Quota,
    pub(crate) refused: Arc<AtomicBool>,
    pub(crate) permits: [OwnedSemaphorePermit; 2],
}

type Outcome<T> = Result<T, ErrorCode>;

impl From<Full> for ErrorCode {
    fn from(_: Full) -> Self {
        Self::Quota
    }
}

/// Runs what blocks where no call waits for it. It runs to its end even if the call that asked is over, and so keeps the account right.
pub(crate) struct Blocking;

impl Blocking {
    pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> Outcome<T> + Send + 'static) -> FsResult<T> {
        match tokio::task::spawn_blocking(work).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(ErrorCode::Io.into()),
        }
    }
}

impl Directory {
    pub(super) fn new(root: Dir, passing: Option<tempfile::TempDir>) -> Self {
        Self { root, ledger: Mutex::default(), passing }
    }

    /// A handle on the directory itself.
    pub(crate) fn open_root(self: &Arc<Self>, terms: Terms) -> Outcome<Opened> {
        let file = self.root.try_clone()?.into_std_file();
        Opened::new(Arc::clone(self), &mut self.ledger(), (file, 0), terms)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ledger, with what is there counted. Counted once while anybody uses the directory: what an operator puts there or takes
    /// away counts from the next time on.
    fn account(&self) -> Outcome<MutexGuard<'_, Ledger>> {
        let mut ledger = self.ledger();
        if !ledger.is_counted() {
            let found = count(&self.root)?;
            ledger.count(found);
        }
        Ok(ledger)
    }
}

/// Counts what is there. Stops at one more than there may be: that is too much in any case.
fn count(root: &Dir) -> Outcome<Usage> {
    let mut usage = Usage::default();
    let mut folders = vec![PathBuf::from(".")];
    while let Some(folder) = folders.pop() {
        for entry in root.read_dir(&folder)? {
            let entry = entry?;
            let found = entry.metadata()?;
            usage.entries += 1;
            usage.bytes = usage.bytes.saturating_add(charge_of(&found));
            if usage.entries > ENTRIES_MAX {
                return Ok(usage);
            }
            if found.is_dir() {
                folders.push(folder.join(entry.file_name()));
            }
        }
    }
    Ok(usage)
}

fn charge_of(found: &Metadata) -> u64 {
    if found.is_file() { charge(found.len()) } else { NAME }
}

fn inode_of(found: &Metadata) -> Inode {
    (found.dev(), found.ino())
}

impl Opened {
    /// `file` and the depth of what is in it.
    fn new(
        directory: Arc<Directory>,
        ledger: &mut Ledger,
        (file, depth): (std::fs::File, usize),
        terms: Terms,
    ) -> Outcome<Self> {
        let found = file.metadata()?;
        let inode = (found.dev(), found.ino());
        ledger.opened(inode);
        let Terms { quota, refused, permits } = terms;
        let held = Held { directory, inode };
        Ok(Self { file: Arc::new(file), held, depth, quota, refused, _permits: permits })
    }

    /// The handle, for what only reads and needs no path.
    pub(crate) fn file(&self) -> &Arc<std::fs::File> {
        &self.file
    }

    pub(crate) fn inode(&self) -> Inode {
        self.held.inode
    }

    fn dir(&self) -> io::Result<Dir> {
        Ok(Dir::from_std_file(self.file.try_clone()?))
    }

    /// Whether that much more fits.
    fn admit(&self, ledger: &Ledger, more: Usage) -> Outcome<()> {
        ledger.admit(self.quota, more).map_err(|full| {
            self.refused.store(true, Ordering::Relaxed);
            full.into()
        })
    }

    /// Opens what `path` names, and makes a file where that is asked for.
    pub(crate) fn open(&self, path: &str, how: Opening, terms: Terms) -> Outcome<(Self, Kind)> {
        let depth = self.depth_of(path)?;
        if how.directory && (how.create || how.exclusive || how.truncate) {
            return Err(ErrorCode::Invalid);
        }
        let dir = self.dir()?;
        let mut ledger = self.held.directory.account()?;
        let found = if how.follow { dir.metadata(path) } else { dir.symlink_metadata(path) };
        let (file, kind) = match found {
            Ok(_) if how.create && how.exclusive => return Err(ErrorCode::Exist),
            Ok(found) if found.is_symlink() => return Err(ErrorCode::Loop),
            Ok(found) if found.is_dir() => {
                if how.create || how.truncate || how.write {
                    return Err(ErrorCode::IsDirectory);
                }
                (dir.open_dir(path)?.into_std_file(), Kind::Directory)
            }
            Ok(found) if found.is_file() => {
                if how.directory {
                    return Err(ErrorCode::NotDirectory);
                }
                let file = dir.open_with(path, options(how).create_new(false))?.into_std();
                if how.truncate {
                    file.set_len(0)?;
                    ledger.resized(inode_of(&found), found.len(), 0);
                }
                (file, Kind::File)
            }
            // A pipe, a socket or a device, put there by an operator: opening one may block, or do things.
            Ok(_) => return Err(ErrorCode::NotPermitted),
            Err(error) if error.kind() == io::ErrorKind::NotFound && how.create => {
                self.admit(&ledger, Usage { bytes: NAME, entries: 1 })?;
                let file = dir.open_with(path, options(how).create_new(true).mode(0o600))?.into_std();
                ledger.named();
                (file, Kind::File)
            }
            Err(error) => return Err(error.into()),
        };
        let opened = Self::new(Arc::clone(&self.held.directory), &mut ledger, (file, depth), terms)?;
        Ok((opened, kind))
    }

    /// Writes all of `bytes`; none of them if they do not fit. Returns where they end.
    pub(crate) fn write(&self, bytes: &[u8], position: Position) -> Outcome<u64> {
        let mut ledger = self.held.directory.account()?;
        let len = self.file.metadata()?.len();
        let begin = match position {
            Position::At(offset) => offset,
            Position::End => len,
        };
        let end =
            begin.checked_add(bytes.len() as u64).filter(|end| *end <= OFFSET_MAX).ok_or(ErrorCode::FileTooLarge)?;
        if bytes.is_empty() {
            return Ok(begin);
        }
        self.admit(&ledger, Usage { bytes: charge(len.max(end)).saturating_sub(charge(len)), entries: 0 })?;
        let written = self.file.write_all_at(bytes, begin);
        ledger.resized(self.held.inode, len, self.file.metadata()?.len());
        written?;
        Ok(end)
    }

    /// Cuts the file, or lengthens it by a hole, which counts as if it were full.
    pub(crate) fn set_len(&self, size: u64) -> Outcome<()> {
        if size > OFFSET_MAX {
            return Err(ErrorCode::FileTooLarge);
        }
        let mut ledger = self.held.directory.account()?;
        let len = self.file.metadata()?.len();
        self.admit(&ledger, Usage { bytes: charge(size).saturating_sub(charge(len)), entries: 0 })?;
        self.file.set_len(size)?;
        ledger.resized(self.held.inode, len, size);
        Ok(())
    }

    pub(crate) fn create_directory(&self, path: &str) -> Outcome<()> {
        self.depth_of(path)?;
        let dir = self.dir()?;
        let mut ledger = self.held.directory.account()?;
        self.admit(&ledger, Usage { bytes: NAME, entries: 1 })?;
        dir.create_dir_with(path, DirBuilder::new().mode(0o700))?;
        ledger.named();
        Ok(())
    }

    pub(crate) fn remove_file(&self, path: &str) -> Outcome<()> {
        self.depth_of(path)?;
        let dir = self.dir()?;
        let mut ledger = self.held.directory.account()?;
        let found = dir.symlink_metadata(path)?;
        if found.is_dir() {
            return Err(ErrorCode::IsDirectory);
        }
        dir.remove_file(path)?;
        ledger.unnamed(inode_of(&found), charge_of(&found));
        forget_part(&mut ledger);
        Ok(())
    }

    pub(crate) fn remove_directory(&self, path: &str) -> Outcome<()> {
        self.depth_of(path)?;
        let dir = self.dir()?;
        let mut ledger = self.held.directory.account()?;
        let found = dir.symlink_metadata(path)?;
        if !found.is_dir() {
            return Err(ErrorCode::NotDirectory);
        }
        dir.remove_dir(path)?;
        ledger.unnamed(inode_of(&found), NAME);
        forget_part(&mut ledger);
        Ok(())
    }

    /// Gives a file or directory another name. A directory stays as deep as it was: so the depth that a handle knows of itself stays true, and what is in
    /// it within the depth there may be. Programs that are told so (`cross-device`) copy instead.
    pub(crate) fn rename(&self, from: &str, to_folder: &Self, to: &str) -> Outcome<()> {
        let (depth_from, depth_to) = (self.depth_of(from)?, to_folder.depth_of(to)?);
        let (dir, to_dir) = (self.dir()?, to_folder.dir()?);
        let mut ledger = self.held.directory.account()?;
        let moved = dir.symlink_metadata(from)?;
        let replaced = match to_dir.symlink_metadata(to) {
            Ok(replaced) => Some(replaced).filter(|replaced| inode_of(replaced) != inode_of(&moved)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        if moved.is_dir() && depth_to != depth_from {
            return Err(ErrorCode::CrossDevice);
        }
        dir.rename(from, &to_dir, to)?;
        if let Some(replaced) = replaced {
            ledger.unnamed(inode_of(&replaced), charge_of(&replaced));
            forget_part(&mut ledger);
        }
        Ok(())
    }

    /// Whether there are no more names in it than a guest could have made: all of them are read before it is given the first.
    pub(crate) fn may_be_listed(&self) -> Outcome<()> {
        let names = self.dir()?.entries()?.take(LISTED_MAX.saturating_add(1)).count();
        if names > LISTED_MAX { Err(ErrorCode::InsufficientMemory) } else { Ok(()) }
    }

    /// What stands at `path`.
    pub(crate) fn metadata(&self, path: &str, follow: bool) -> Outcome<Metadata> {
        self.depth_of(path)?;
        let dir = self.dir()?;
        Ok(if follow { dir.metadata(path) } else { dir.symlink_metadata(path) }?)
    }

    /// Writes through to the disk: a file's content, or a directory's names.
    pub(crate) fn sync(&self, kind: Kind) -> Outcome<()> {
        match kind {
            Kind::File => self.file.sync_all()?,
            // A directory's own handle is a mere path (`O_PATH`), which cannot be synced.
            Kind::Directory => self.dir()?.open(".")?.sync_all()?,
        }
        Ok(())
    }

    /// How many directories lie above what is in `path`, by what it says; escapes are cap-std's to refuse.
    fn depth_of(&self, path: &str) -> Outcome<usize> {
        if path.len() > PATH_BYTES_MAX {
            return Err(ErrorCode::NameTooLong);
        }
        let mut depth = self.depth;
        for name in path.split('/') {
            match name {
                "" | "." => {}
                ".." => depth = depth.saturating_sub(1),
                _ => depth += 1,
            }
            if depth > DEPTH_MAX {
                return Err(ErrorCode::NameTooLong);
            }
        }
        Ok(depth)
    }
}

/// Where more is than was counted, it is counted anew once something has gone.
fn forget_part(ledger: &mut Ledger) {
    if ledger.admit(Quota { bytes: u64::MAX, entries: ENTRIES_MAX }, Usage { bytes: 0, entries: 1 }).is_err() {
        ledger.forget();
    }
}

fn options(how: Opening) -> OpenOptions {
    let mut options = OpenOptions::new();
    let writes = how.write || how.create || how.truncate;
    // What is opened for nothing in particular is opened for reading.
    options.read(how.read || !writes).write(writes);
    options
}

impl Drop for Held {
    fn drop(&mut self) {
        self.directory.ledger().closed(self.inode);
    }
}

impl Drop for Directory {
    /// Deleting thousands of files is nothing for a thread that polls calls.
    fn drop(&mut self) {
        let passing = self.passing.take();
        if passing.is_some()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn_blocking(|| drop(passing));
        }
    }
}
