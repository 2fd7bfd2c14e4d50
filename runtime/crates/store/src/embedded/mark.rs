//! `acknowledged`: the number of the last group that was synced, noted outside of sled, so that a data file which has lost its
//! end is found out (sled would open it as it was some groups ago). It is written after the sync of the group and before its
//! acknowledgements, and not synced itself: a killed process leaves it exact, a power cut leaves it at most too low, never too high.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const FILE: &str = "acknowledged";

/// Two slots, written in turn, so that one whole note survives a torn write. They lie in one sector.
const SLOT_BYTES: u64 = 16;

#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
}

impl Mark {
    /// Creates the file with `group` in both notes.
    pub(crate) fn create(store: &Path, group: u64) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(store.join(FILE))?;
        let mark = Self { file };
        mark.note(group.saturating_sub(1))?;
        mark.note(group)?;
        mark.sync()
    }

    /// Opens the file; says what is wrong with it, or returns the number.
    pub(crate) fn open(store: &Path) -> io::Result<Result<(Self, u64), String>> {
        let file = match OpenOptions::new().read(true).write(true).open(store.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err("it is missing".to_owned())),
            Err(error) => return Err(error),
        };
        let newest = [0, 1].into_iter().filter_map(|slot| read_slot(&file, slot)).max();
        Ok(newest.map(|group| (Self { file }, group)).ok_or_else(|| "neither of its two notes is whole".to_owned()))
    }

    /// Notes that `group` is on the disk.
    pub(crate) fn note(&self, group: u64) -> io::Result<()> {
        let number = group.to_be_bytes();
        let mut slot = [0; 16];
        for (to, from) in slot.iter_mut().zip(number.iter().chain(&crc32fast::hash(&number).to_be_bytes())) {
            *to = *from;
        }
        self.file.write_all_at(&slot, (group % 2) * SLOT_BYTES)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

fn read_slot(file: &File, slot: u64) -> Option<u64> {
    let mut bytes = [0; 16];
    file.read_exact_at(&mut bytes, slot * SLOT_BYTES).ok()?;
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    let (crc, _) = rest.split_first_chunk::<4>()?;
    (u32::from_be_bytes(*crc) == crc32fast::hash(number)).then(|| u64::from_be_bytes(*number))
}
