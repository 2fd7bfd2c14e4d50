//! Room on the disk. A full disk must never meet sled: it can then neither remove anything nor open again. So deliveries are refused while
//! there is still room to finish runs, entries while there is still room to remove some, and a ballast file gives the last room back.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use flowcell_core::ports::StoreError;

use super::Watermarks;

const BALLAST: &str = "ballast";

/// Calls that go by one measurement while there is plenty of room: a few groups' worth. Asking costs some 3 microseconds.
const CALLS_PER_MEASUREMENT: u32 = 64;

/// What counts as plenty above the watermarks: 64 calls write at most 64 MiB (a record's document has a megabyte), and whoever else fills the
/// disk has to write a gigabyte before the 64th.
const PLENTY_BYTES: u64 = 1 << 30;

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
    /// The calls that may still go by the last measurement, which found plenty of room.
    unmeasured: AtomicU32,
}

impl Space {
    pub(crate) fn new(store: &Path, watermarks: Option<Watermarks>) -> Self {
        let path = store.to_owned();
        let has_ballast = path.join(BALLAST).exists();
        Self { path, watermarks, has_ballast: has_ballast.into(), is_low: false.into(), unmeasured: 0.into() }
    }

    /// Whether a delivery may come in. Near the watermark it is measured each time: with space again, everything goes on by itself.
    pub(crate) fn admit_delivery(&self) -> Result<(), StoreError> {
        let Some(watermarks) = &self.watermarks else { return Ok(()) };
        if self.is_plenty() {
            return Ok(());
        }
        let free = self.measure(watermarks)?;
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
        if self.is_plenty()
            || self.measure(watermarks)? >= watermarks.hard_bytes
            || self.drop_ballast() && self.free()? >= watermarks.hard_bytes
        {
            return Ok(());
        }
        let message = "the disk is full; runs go on when there is space".to_owned();
        Err(StoreError::Failed { message })
    }

    /// Whether the last measurement still stands for this call.
    fn is_plenty(&self) -> bool {
        self.unmeasured.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn measure(&self, watermarks: &Watermarks) -> Result<u64, StoreError> {
        let free = self.free()?;
        let needed =
            watermarks.soft_bytes.max(watermarks.hard_bytes).saturating_add(watermarks.ballast_bytes.saturating_mul(2));
        let is_plenty = self.has_ballast.load(Ordering::Relaxed) && free > needed.saturating_add(PLENTY_BYTES);
        self.unmeasured.store(if is_plenty { CALLS_PER_MEASUREMENT } else { 0 }, Ordering::Relaxed);
        Ok(free)
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
