//! `wasi:filesystem` for guests that have the capability `files`: one directory, `/data`. All others have none, and so not a single handle.
//!
//! What takes a path or changes anything is done by [`crate::files`], under the quota; wasmtime-wasi only reads from handles it is given, and
//! never sees a path. Files carry no times: those would be another clock.

mod descriptor;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flowcell_core::exchange::LogLevel;
use tokio::sync::Semaphore;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::{Descriptor, Dir, File, FsPerms, OpenMode};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use crate::files::{Directories, Directory, HANDLES_PER_CALL, Kind, LISTINGS_PER_CALL, Opened, Owner, Quota, Terms};
use crate::host::State;

/// Where guests find their directory.
const MOUNTED_AT: &str = "/data";

/// What a call may do with its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadWrite,
    /// Choices for a form may only read.
    ReadOnly,
}

/// How long what a call writes is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    UntilItIsDeleted,
    /// A dry run or a replay begins with an empty directory, which ends with the call.
    DuringTheCall,
}

/// The private directory of one call.
pub(crate) struct CallFiles {
    directories: Arc<Directories>,
    owner: Owner,
    quota: Quota,
    access: Access,
    keeps: Keeps,
    /// Why there is none.
    denied: Option<String>,
    /// Opened when the guest first asks for it.
    directory: Option<Arc<Directory>>,
    /// What is open, by the guest's handle.
    opened: HashMap<u32, (Arc<Opened>, Kind)>,
    /// How many may be.
    handles: Arc<Semaphore>,
    /// Listings that are being read, by the guest's handle: at most [`LISTINGS_PER_CALL`].
    listings: HashSet<u32>,
    /// Something did not fit.
    refused: Arc<AtomicBool>,
}

impl CallFiles {
    /// `denied` says why the guest gets none after all.
    pub(crate) fn new(
        directories: Arc<Directories>,
        owner: Owner,
        (quota, access, keeps): (Quota, Access, Keeps),
        denied: Option<String>,
    ) -> Self {
        Self {
            directories,
            owner,
            quota,
            access,
            keeps,
            denied,
            directory: None,
            opened: HashMap::new(),
            handles: Arc::new(Semaphore::new(HANDLES_PER_CALL)),
            listings: HashSet::new(),
            refused: Arc::default(),
        }
    }

    fn directory(&mut self) -> std::io::Result<Arc<Directory>> {
        if let Some(directory) = &self.directory {
            return Ok(Arc::clone(directory));
        }
        let directory = match self.keeps {
            Keeps::UntilItIsDeleted => self.directories.kept(&self.owner),
            Keeps::DuringTheCall => self.directories.passing(),
        }?;
        self.directory = Some(Arc::clone(&directory));
        Ok(directory)
    }

    /// What one more handle costs, if it may be had.
    fn terms(&self) -> Result<Terms, ErrorCode> {
        let ours = Arc::clone(&self.handles).try_acquire_owned().ok();
        let (Some(ours), Some(all)) = (ours, self.directories.handle()) else {
            return Err(ErrorCode::InsufficientMemory);
        };
        Ok(Terms { quota: self.quota, refused: Arc::clone(&self.refused), permits: [ours, all] })
    }

    fn may_list_more(&self) -> bool {
        self.listings.len() < LISTINGS_PER_CALL
    }

    /// What to say on the run's page about what did not fit.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.refused.load(Ordering::Relaxed).then(|| {
            format!(
                "the directory of {} is full: it may take up {} MiB, and hold {} files and directories (a file counts by whole blocks of 4 KiB, and \
                 one for its name). The plugin can delete what it does not need; its author can ask for more with `quota-mib` of the capability `files`",
                self.owner.plugin,
                self.quota.bytes / (1024 * 1024),
                self.quota.entries
            )
        })
    }
}

impl preopens::Host for State {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let Some(files) = &mut self.files else { return Ok(Vec::new()) };
        if let Some(denied) = files.denied.take() {
            self.log.push(LogLevel::Warn, denied);
            self.files = None;
            return Ok(Vec::new());
        }
        let opened = files.directory().map_err(|error| {
            tracing::error!(plugin = %files.owner.plugin, %error, "a plugin's directory cannot be opened");
            wasmtime::format_err!("the plugin's directory cannot be opened: {error}; see the server's log")
        })?;
        let terms = files.terms().map_err(|_| {
            wasmtime::format_err!("too many files are open: {HANDLES_PER_CALL} for a call; try again, or close some")
        })?;
        let opened = opened
            .open_root(terms)
            .map_err(|code| wasmtime::format_err!("the plugin's directory cannot be opened: {code:?}"))?;
        let handle = self.hand_out((opened, Kind::Directory), OpenMode::READ | OpenMode::WRITE)?;
        Ok(vec![(handle, MOUNTED_AT.to_owned())])
    }
}

impl State {
    /// Gives the guest a handle.
    fn hand_out(&mut self, (opened, kind): (Opened, Kind), mode: OpenMode) -> wasmtime::Result<Resource<Descriptor>> {
        let file = opened.file().try_clone()?;
        let perms = match self.files.as_ref().map(|files| files.access) {
            Some(Access::ReadWrite) => FsPerms::ReadWrite,
            Some(Access::ReadOnly) | None => FsPerms::ReadOnly,
        };
        let descriptor = match kind {
            Kind::File => Descriptor::File(File::new(file, perms, mode, false)),
            Kind::Directory => Descriptor::Dir(Dir::new(file, perms, mode, false)),
        };
        let handle = self.table.push(descriptor)?;
        if let Some(files) = &mut self.files {
            files.opened.insert(handle.rep(), (Arc::new(opened), kind));
        }
        Ok(handle)
    }
}
