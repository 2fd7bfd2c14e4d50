//! `MANIFEST`: the format of the store, written once, when its creation is complete. A newer format is refused, never guessed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The format this version writes. It reads every number up to it, and makes an older store one of this (see `upgrade`); what it is to read
/// for ever lies in `tests/golden`. The list of changes is here:
/// 1: the first.
/// 2: a record holds what one append writes (record format 2); runs that have ended are in an index; schedules and pins have tables.
/// 3: what was written last may lie in the write-ahead log alone.
pub(crate) const STORE_FORMAT: u32 = 3;

// A version that does not know a format of records must refuse the store as a whole, not find it damaged.
const _: () = assert!(
    super::codec::RECORD_FORMAT as u32 <= STORE_FORMAT,
    "records of a newer format need a newer format of the store"
);

const FILE: &str = "MANIFEST";

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    store: String,
    format: u32,
    /// CRC-32 of `store` and `format`.
    crc32: u32,
}

/// What the file says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Absent,
    Format(u32),
    Damaged(String),
}

pub(crate) fn read(store: &Path) -> io::Result<Found> {
    let text = match fs::read(store.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
        Err(error) => return Err(error),
    };
    let manifest: Manifest = match serde_json::from_slice(&text) {
        Ok(manifest) => manifest,
        Err(error) => return Ok(Found::Damaged(format!("it does not read: {error}"))),
    };
    if manifest.store != "flowcell" || manifest.crc32 != checksum(&manifest.store, manifest.format) {
        return Ok(Found::Damaged("its check sum is wrong".to_owned()));
    }
    Ok(Found::Format(manifest.format))
}

/// Writes the file, durably and whole.
pub(crate) fn write(store: &Path, format: u32) -> io::Result<()> {
    let name = "flowcell".to_owned();
    let manifest = Manifest { crc32: checksum(&name, format), store: name, format };
    let temporary = store.join("MANIFEST.tmp");
    let mut file = File::create(&temporary)?;
    serde_json::to_writer(&mut file, &manifest)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&temporary, store.join(FILE))?;
    sync_directory(store)
}

pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn checksum(store: &str, format: u32) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(store.as_bytes());
    crc.update(&format.to_be_bytes());
    crc.finalize()
}
