//! The syncs of the store's files: here that of the data file. sled's `flush` hands its bytes to the kernel and no further (PROMISES §2); this makes them durable.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes everything that was written to a file durable.
pub trait DiskSync: Send {
    fn sync(&self) -> io::Result<()>;
}

/// `fdatasync` on our own handle: it syncs the file, whoever wrote to it.
pub(crate) struct DataFile(File);

impl DataFile {
    pub(crate) fn open(sled_dir: &Path) -> io::Result<Self> {
        File::open(sled_dir.join("db")).map(Self)
    }
}

impl DiskSync for DataFile {
    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }
}
