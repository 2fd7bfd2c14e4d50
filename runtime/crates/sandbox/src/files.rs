//! Private directories: one for each plugin in each workspace that has the capability `files`, with a quota. What guests see of them is in
//! [`crate::host`]; here is where they lie, how many may be open, and (in the modules below) what each operation may take.
//!
//! Guests' paths are resolved by cap-std and by nothing else, and every operation that changes what a directory takes up runs under the
//! lock of its ledger, to its end, whatever becomes of the call that began it.

mod directory;
mod ledger;
mod stream;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _};
use flowcell_core::id::WorkspaceId;
use flowcell_core::plugin::PluginId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::directory::{Blocking, Directory, Kind, Opened, Opening, Position, Terms};
pub(crate) use self::ledger::Quota;
pub(crate) use self::stream::{Reading, WriteFailed, Writing};

/// Files and directories that one call has open. 32: a walk with a handle on each level that a directory may have.
pub(crate) const HANDLES_PER_CALL: usize = 32;

/// Listings that one call reads at a time. Each is in memory as a whole, some 1 MiB at most; 4 is a walk that keeps those above it.
pub(crate) const LISTINGS_PER_CALL: usize = 4;

/// Files and directories that all calls have open together. Each takes two descriptors, ours and that of wasmtime-wasi: together a quarter of the 1,024
/// that a process may have where nobody raised it.
const HANDLES_MAX: usize = 128;

/// Whose a directory is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) workspace: WorkspaceId,
    pub(crate) plugin: PluginId,
}

/// All private directories of an installation.
#[derive(Debug)]
pub(crate) struct Directories {
    /// Below it lies `<workspace>/<publisher>/<plugin>`. Without one nothing is kept: every call begins with an empty directory.
    kept: Option<PathBuf>,
    /// Where directories lie that end with their call.
    passing: PathBuf,
    /// Those that calls are using, so that all calls of one directory share its ledger.
    in_use: Mutex<HashMap<Owner, Weak<Directory>>>,
    handles: Arc<Semaphore>,
}

impl Directories {
    pub(crate) fn new(kept: Option<PathBuf>, passing: PathBuf) -> Self {
        Self { kept, passing, in_use: Mutex::default(), handles: Arc::new(Semaphore::new(HANDLES_MAX)) }
    }

    /// The directory that is kept for `owner`, made when it is missing.
    pub(crate) fn kept(&self, owner: &Owner) -> io::Result<Arc<Directory>> {
        let Some(root) = &self.kept else { return self.passing() };
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = in_use.get(owner).and_then(Weak::upgrade) {
            return Ok(directory);
        }
        in_use.retain(|_, directory| directory.strong_count() > 0);
        let mut dir = open_root(root)?;
        for name in [owner.workspace.as_str(), owner.plugin.publisher(), owner.plugin.name()] {
            dir = enter(&dir, name)?;
        }
        let directory = Arc::new(Directory::new(dir, None));
        in_use.insert(owner.clone(), Arc::downgrade(&directory));
        Ok(directory)
    }

    /// An empty directory that is gone when nobody uses it any more.
    pub(crate) fn passing(&self) -> io::Result<Arc<Directory>> {
        open_root(&self.passing)?;
        let folder = tempfile::Builder::new().prefix("call-").tempdir_in(&self.passing)?;
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority())?;
        Ok(Arc::new(Directory::new(dir, Some(folder))))
    }

    /// Room for one more open file; none when too many are open.
    pub(crate) fn handle(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.handles).try_acquire_owned().ok()
    }
}

/// Opens a folder that belongs to the service alone, and makes it where it is missing.
fn open_root(path: &std::path::Path) -> io::Result<Dir> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    Dir::open_ambient_dir(path, ambient_authority())
}

fn enter(dir: &Dir, name: &str) -> io::Result<Dir> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    match dir.create_dir_with(name, &builder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => dir.open_dir(name),
    }
}
