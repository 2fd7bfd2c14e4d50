//! What a private directory takes up. Pure arithmetic: it is told what is there and what happens, and says whether that fits.
//!
//! A file counts by its length, holes included, so that what was allowed can be filled; and every name counts for a block besides.

use std::collections::HashMap;

/// The unit of disks: what ext4, XFS and APFS hand out, and what a name with its inode takes at most (263 and 256 bytes on ext4).
const BLOCK_BYTES: u64 = 4096;

/// Files and directories in one private directory. 4,096: counting them, once while anybody uses the directory, takes some 10 ms.
pub(crate) const ENTRIES_MAX: u64 = 4096;

/// What one plugin may take up in one workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

impl Quota {
    pub(crate) fn of_bytes(bytes: u64) -> Self {
        Self { bytes, entries: ENTRIES_MAX }
    }
}

/// What is taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

/// The bytes a name counts for.
pub(crate) const NAME: u64 = BLOCK_BYTES;

/// The bytes a file of `len` bytes counts for.
pub(crate) fn charge(len: u64) -> u64 {
    len.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES).saturating_add(NAME)
}

/// The directory has no room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// A file or directory, whatever its name: device and inode.
pub(crate) type Inode = (u64, u64);

/// An inode that somebody has open.
#[derive(Debug, Default)]
struct Held {
    handles: u32,
    /// It has no name any more, and still takes up this much.
    nameless: Option<u64>,
}

/// The account of one directory.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    usage: Option<Usage>,
    held: HashMap<Inode, Held>,
}

impl Ledger {
    /// Whether it is known what is taken up; if not, somebody has to count before anything else is asked.
    pub(crate) fn is_counted(&self) -> bool {
        self.usage.is_some()
    }

    /// Notes what was found by counting. What was counted in part is too much in any case, and is counted anew next time.
    pub(crate) fn count(&mut self, found: Usage) {
        let nameless: u64 = self.held.values().filter_map(|held| held.nameless).sum();
        self.usage = Some(Usage { bytes: found.bytes.saturating_add(nameless), entries: found.entries });
    }

    /// Forgets the count.
    pub(crate) fn forget(&mut self) {
        self.usage = None;
    }

    /// Whether `more` fits.
    pub(crate) fn admit(&self, quota: Quota, more: Usage) -> Result<(), Full> {
        let usage = self.usage.unwrap_or(Usage { bytes: u64::MAX, entries: u64::MAX });
        let fits =
            |taken: u64, more: u64, most: u64| more == 0 || taken.checked_add(more).is_some_and(|sum| sum <= most);
        if fits(usage.bytes, more.bytes, quota.bytes) && fits(usage.entries, more.entries, quota.entries) {
            Ok(())
        } else {
            Err(Full)
        }
    }

    /// A name was made: of a directory, or of an empty file.
    pub(crate) fn named(&mut self) {
        if let Some(usage) = &mut self.usage {
            usage.bytes = usage.bytes.saturating_add(NAME);
            usage.entries = usage.entries.saturating_add(1);
        }
    }

    /// A file's length has changed.
    pub(crate) fn resized(&mut self, inode: Inode, before: u64, after: u64) {
        if let Some(usage) = &mut self.usage {
            usage.bytes = usage.bytes.saturating_sub(charge(before)).saturating_add(charge(after));
        }
        if let Some(Held { nameless: Some(bytes), .. }) = self.held.get_mut(&inode) {
            *bytes = charge(after);
        }
    }

    /// A name is gone. What it named takes up its bytes for as long as somebody has it open.
    pub(crate) fn unnamed(&mut self, inode: Inode, bytes: u64) {
        if let Some(usage) = &mut self.usage {
            usage.entries = usage.entries.saturating_sub(1);
        }
        match self.held.get_mut(&inode) {
            Some(held) => held.nameless = Some(bytes),
            None => self.give_back(bytes),
        }
    }

    pub(crate) fn opened(&mut self, inode: Inode) {
        self.held.entry(inode).or_default().handles += 1;
    }

    pub(crate) fn closed(&mut self, inode: Inode) {
        let Some(held) = self.held.get_mut(&inode) else { return };
        held.handles = held.handles.saturating_sub(1);
        if held.handles == 0
            && let Some(Held { nameless: Some(bytes), .. }) = self.held.remove(&inode)
        {
            self.give_back(bytes);
        }
    }

    fn give_back(&mut self, bytes: u64) {
        if let Some(usage) = &mut self.usage {
            usage.bytes = usage.bytes.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { bytes: 10 * BLOCK_BYTES, entries: 3 };

    fn empty() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.count(Usage::default());
        ledger
    }

    fn room(ledger: &Ledger) -> u64 {
        let fits = |blocks: u64| ledger.admit(QUOTA, Usage { bytes: blocks * BLOCK_BYTES, entries: 0 }).is_ok();
        (0..=10).rev().find(|blocks| fits(*blocks)).unwrap()
    }

    #[test]
    fn a_file_counts_by_whole_blocks_and_one_for_its_name() {
        for (len, blocks) in [(0, 1), (1, 2), (4096, 2), (4097, 3)] {
            assert_eq!(charge(len), blocks * BLOCK_BYTES, "{len}");
        }
        // A hole of nearly 2⁶⁴ bytes does not wrap round.
        assert_eq!(charge(u64::MAX), u64::MAX);
        assert_eq!(empty().admit(QUOTA, Usage { bytes: charge(u64::MAX), entries: 0 }), Err(Full));
    }

    #[test]
    fn names_are_bounded_as_bytes_are() {
        let mut ledger = empty();
        for _ in 0..3 {
            ledger.admit(QUOTA, Usage { bytes: NAME, entries: 1 }).unwrap();
            ledger.named();
        }
        assert_eq!(ledger.admit(QUOTA, Usage { bytes: NAME, entries: 1 }), Err(Full));
        assert_eq!(room(&ledger), 7);
        ledger.unnamed((1, 1), NAME);
        assert_eq!(ledger.admit(QUOTA, Usage { bytes: NAME, entries: 1 }), Ok(()));
        assert_eq!(room(&ledger), 8);
    }

    #[test]
    fn what_has_no_name_counts_until_the_last_one_closes_it() {
        let (mut ledger, inode) = (empty(), (1, 7));
        ledger.named();
        ledger.opened(inode);
        ledger.opened(inode);
        ledger.resized(inode, 0, 2 * BLOCK_BYTES);
        ledger.unnamed(inode, charge(2 * BLOCK_BYTES));
        assert_eq!(room(&ledger), 7);
        ledger.resized(inode, 2 * BLOCK_BYTES, 4 * BLOCK_BYTES);
        assert_eq!(room(&ledger), 5, "it can still grow, and counts");
        ledger.closed(inode);
        assert_eq!(room(&ledger), 5, "another has it open");
        ledger.closed(inode);
        assert_eq!(room(&ledger), 10);
    }

    #[test]
    fn nothing_is_admitted_before_somebody_has_counted() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.admit(QUOTA, Usage { bytes: 1, entries: 0 }), Err(Full));
        assert_eq!(ledger.admit(QUOTA, Usage::default()), Ok(()), "what takes up nothing more always fits");
        ledger.count(Usage { bytes: 9 * BLOCK_BYTES, entries: 1 });
        assert_eq!(room(&ledger), 1);
        // An operator has put more there than fits: the plugin can still shrink and delete.
        ledger.count(Usage { bytes: 90 * BLOCK_BYTES, entries: 90 });
        assert_eq!(room(&ledger), 0);
    }
}
