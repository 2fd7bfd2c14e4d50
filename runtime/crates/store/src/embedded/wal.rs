//! The write-ahead log, `wal`: groups that are durable and not in the trees yet. A group is acknowledged when it is here; the trees get several
//! at a time ([`super::pending`]), and once that is synced the log begins again from its start.
//!
//! ```text
//! group   CRC-32 of all that follows (4), bytes of the changes (4), number (8), changes
//! change  table (1), bytes of the key (2), bytes of the record or 2^32 - 1: it is removed (4), key, record
//! ```
//! Numbers are big-endian. The log ends where what follows is no whole group with the next number: what lies behind it is older, or was cut
//! short before anybody was told of it. Whether something is missing that somebody was told of, the mark knows ([`super::mark`]).
//!
//! The file is written once to its full length when it is made: a sync of what lies there already needs no change of the file system's own
//! records, and takes half as long.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::group::{Group, Row};
use super::manifest::sync_directory;
use super::sync::DiskSync;
use super::tables::Table;

const FILE: &str = "wal";

/// What is ready for use: twice what may lie here before the trees get it, with the largest group behind it (see [`super::pending`]).
const READY_BYTES: usize = 1 << 20;

const HEAD_BYTES: usize = 16;
const CRC_BYTES: usize = 4;

/// Stands for the length of a record: there is none, the key is removed.
const REMOVED: u32 = u32::MAX;

/// The file, and where the next group goes.
pub(crate) struct Wal {
    file: File,
    sync: Box<dyn DiskSync>,
    end: u64,
    /// The group in the making; kept for its room.
    buffer: Vec<u8>,
}

/// Why a group is not in the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalError {
    #[error("the write-ahead log could not be written: {0}")]
    Write(io::Error),
    #[error("the sync of the write-ahead log failed: {0}")]
    Sync(io::Error),
}

/// The log's own file, for its sync.
struct LogFile(File);

impl DiskSync for LogFile {
    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }
}

/// Makes an empty log, durably, unless there is one.
pub(crate) fn create(store: &Path) -> io::Result<()> {
    let path = store.join(FILE);
    if path.exists() {
        return Ok(());
    }
    // Under another name first: a log that is there is whole.
    let making = store.join("wal.making");
    fs::write(&making, vec![0; READY_BYTES])?;
    File::open(&making)?.sync_all()?;
    fs::rename(&making, &path)?;
    sync_directory(store)
}

impl Wal {
    /// Opens the log for writing from its start: whoever calls has read it (see [`read`]) and made what it holds durable elsewhere.
    pub(crate) fn open(store: &Path, wrap: impl FnOnce(Box<dyn DiskSync>) -> Box<dyn DiskSync>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(store.join(FILE))?;
        let ready = READY_BYTES as u64;
        let length = file.metadata()?.len();
        if length < ready {
            // It was cut off; zeros are no group.
            let missing = usize::try_from(ready - length).unwrap_or(READY_BYTES);
            file.write_all_at(&vec![0; missing], length)?;
            file.sync_all()?;
        }
        let sync = wrap(Box::new(LogFile(file.try_clone()?)));
        Ok(Self { file, sync, end: 0, buffer: Vec::new() })
    }

    /// Makes group number `number` durable.
    pub(crate) fn append(&mut self, number: u64, group: &Group) -> Result<(), WalError> {
        encode(&mut self.buffer, number, group).map_err(WalError::Write)?;
        self.file.write_all_at(&self.buffer, self.end).map_err(WalError::Write)?;
        self.sync.sync().map_err(WalError::Sync)?;
        self.end += self.buffer.len() as u64;
        Ok(())
    }

    /// Begins again from the start: everything here is durable in the trees.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        if self.end > READY_BYTES as u64 {
            // A removal of very much, or a group of many small records.
            self.file.set_len(READY_BYTES as u64)?;
            self.buffer = Vec::new();
        }
        self.end = 0;
        Ok(())
    }

    /// Leaves nothing to read: for an orderly end.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.restart()?;
        self.file.write_all_at(&[0; HEAD_BYTES], 0)
    }
}

/// The groups of the log, the oldest first, with their numbers; nothing when there is no log.
pub(crate) fn read(store: &Path) -> io::Result<Option<Vec<(u64, Group)>>> {
    let bytes = match fs::read(store.join(FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (mut groups, mut rest): (Vec<(u64, Group)>, &[u8]) = (Vec::new(), &bytes);
    while let Some((number, group, after)) = decode(rest) {
        if groups.last().is_some_and(|(last, _)| last + 1 != number) {
            break;
        }
        groups.push((number, group));
        rest = after;
    }
    Ok(Some(groups))
}

fn encode(buffer: &mut Vec<u8>, number: u64, group: &Group) -> io::Result<()> {
    let too_long = || io::Error::from(io::ErrorKind::FileTooLarge);
    buffer.clear();
    buffer.resize(HEAD_BYTES, 0);
    for (table, key, record) in group.changes() {
        buffer.push(table.kind());
        buffer.extend(u16::try_from(key.len()).map_err(|_| too_long())?.to_be_bytes());
        let length = record.map_or(Ok(REMOVED), |record| u32::try_from(record.len())).map_err(|_| too_long())?;
        buffer.extend(length.to_be_bytes());
        buffer.extend_from_slice(key);
        buffer.extend_from_slice(record.unwrap_or_default());
    }
    let bytes = u32::try_from(buffer.len() - HEAD_BYTES).map_err(|_| too_long())?;
    put(buffer, CRC_BYTES, &bytes.to_be_bytes());
    put(buffer, CRC_BYTES + 4, &number.to_be_bytes());
    let crc = crc32fast::hash(buffer.get(CRC_BYTES..).unwrap_or_default());
    put(buffer, 0, &crc.to_be_bytes());
    Ok(())
}

fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = buffer.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// The first group of `bytes` with its number, and what follows it; nothing when there is no whole one.
fn decode(bytes: &[u8]) -> Option<(u64, Group, &[u8])> {
    let (crc, checked) = bytes.split_first_chunk::<CRC_BYTES>()?;
    let (length, rest) = checked.split_first_chunk::<4>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (mut changes, after) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let checked = checked.get(..checked.len() - after.len())?;
    if crc32fast::hash(checked) != u32::from_be_bytes(*crc) {
        return None;
    }
    let mut group = Group::default();
    while !changes.is_empty() {
        let ([kind], rest) = changes.split_first_chunk()?;
        let (key_bytes, rest) = rest.split_first_chunk::<2>()?;
        let (record_bytes, rest) = rest.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_at_checked(u16::from_be_bytes(*key_bytes).into())?;
        let table = Table::ALL.into_iter().find(|table| table.kind() == *kind)?;
        changes = match u32::from_be_bytes(*record_bytes) {
            REMOVED => {
                group.remove(table, key.into());
                rest
            }
            length => {
                let (record, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                group.put(Row { table, key: key.into(), record: record.to_vec() });
                rest
            }
        };
    }
    Some((u64::from_be_bytes(*number), group, after))
}

#[cfg(test)]
mod tests;
