//! Room on the disk. A full disk must never meet sled: it can then neither remove anything nor open again. So deliveries are refused while
//! there is still room to finish runs, entries while there is still room to remove some, and a ballast file gives the last room back.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use flowcell_core::ports::StoreError;

use super::Watermarks;

const BALLAST: &str = "ballast";

/// Bytes that are free for this process on the file system of `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[derive(Debug)]
pub(crate) struct Space {
    path: PathBuf,
    /// Absent: nobody looks.
    watermarks: Option<Watermarks>,
    has_ballast: AtomicBool,
    /// So that the log has one line for each time, and not one for each delivery.
    is_low: AtomicBool,
}

impl Space {
    pub(crate) fn new(store: &Path, watermarks: Option<Watermarks>) -> Self {
        let path = store.to_owned();
        let has_ballast = path.join(BALLAST).exists();
        Self { path, watermarks, has_ballast: has_ballast.into(), is_low: false.into() }
    }

    /// Whether a delivery may come in. Measured each time, a microsecond: with space again, everything goes on by itself.
    pub(crate) fn admit_delivery(&self) -> Result<(), StoreError> {
        let Some(watermarks) = &self.watermarks else { return Ok(()) };
        let free = self.free()?;
        if free < watermarks.soft_bytes {
            if !self.is_low.swap(true, Ordering::Relaxed) {
                let (free, soft) = (free >> 20, watermarks.soft_bytes >> 20);
                tracing::error!(
                    free_mib = free,
                    soft_mib = soft,
                    "the disk is nearly full: deliveries are refused until there is space; runs go on"
                );
            }
            return Err(StoreError::NoSpace { free_bytes: free });
        }
        if self.is_low.swap(false, Ordering::Relaxed) {
            tracing::info!(free_mib = free >> 20, "there is space on the disk again; deliveries are accepted");
        }
        self.restore_ballast(free, watermarks);
        Ok(())
    }

    /// Whether an entry of a run may be written.
    pub(crate) fn admit_entry(&self) -> Result<(), StoreError> {
        let Some(watermarks) = &self.watermarks else { return Ok(()) };
        if self.free()? >= watermarks.hard_bytes || self.drop_ballast() && self.free()? >= watermarks.hard_bytes {
            return Ok(());
        }
        let message = "the disk is full; runs go on when there is space".to_owned();
        Err(StoreError::Failed { message })
    }

    fn free(&self) -> Result<u64, StoreError> {
        free_bytes(&self.path)
            .map_err(|error| StoreError::Failed { message: format!("the disk cannot be measured: {error}") })
    }

    /// Returns whether there was one.
    fn drop_ballast(&self) -> bool {
        if !self.has_ballast.swap(false, Ordering::Relaxed) {
            return false;
        }
        tracing::error!("the disk is full: the ballast file is removed so that runs can end and old ones be removed");
        fs::remove_file(self.path.join(BALLAST)).is_ok()
    }

    fn restore_ballast(&self, free: u64, watermarks: &Watermarks) {
        let wanted = watermarks.ballast_bytes;
        let has_room = free > watermarks.soft_bytes.saturating_add(wanted.saturating_mul(2));
        if wanted == 0 || !has_room || self.has_ballast.swap(true, Ordering::Relaxed) {
            return;
        }
        let made = File::create(self.path.join(BALLAST)).and_then(|file| {
            let flags = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(&file, flags, 0, wanted).map_err(io::Error::from)
        });
        if let Err(error) = made {
            // A file system that cannot set space aside: there is none then, and the watermarks alone have to do.
            tracing::warn!(%error, "no ballast file could be made");
        }
    }
}
