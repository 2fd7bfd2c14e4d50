use flowcell_core::id::WorkspaceId;

use super::*;
use crate::embedded::disk::Disk;
use crate::embedded::open;
use crate::embedded::shared::Shared;
use crate::embedded::tables;

/// Rows enough for several pieces.
const RECORDS: u32 = 1_000;

fn opened(dir: &Path) -> (Shared, Disk) {
    open::open(dir, &Options::default()).unwrap()
}

fn commit(shared: &Shared, disk: &mut Disk, change: impl FnOnce(&mut Group)) -> std::sync::Arc<Group> {
    let mut group = Group::default();
    change(&mut group);
    disk.log(&group, shared).unwrap();
    disk.hold(group);
    disk.apply(shared).unwrap()
}

fn name(number: u32) -> WorkspaceId {
    format!("w{number}").parse().unwrap()
}

fn put(group: &mut Group, number: u32) {
    let key = tables::workspace(number);
    let record = codec::encode(Table::Workspaces, &key, &name(number)).unwrap().record;
    group.put(crate::embedded::group::Row { table: Table::Workspaces, key, record });
}

fn filled(dir: &Path) -> (Shared, Disk) {
    let (shared, mut disk) = opened(dir);
    commit(&shared, &mut disk, |group| (1..=RECORDS).for_each(|number| put(group, number)));
    (shared, disk)
}

fn names(shared: &Shared) -> Vec<u32> {
    let mut numbers: Vec<_> = shared.directory().workspaces.values().copied().collect();
    numbers.sort_unstable();
    numbers
}

/// A group that changes, adds and removes on both sides of wherever the copy is.
fn churn(group: &mut Group, round: u32) {
    for number in [1, 2, RECORDS / 2, RECORDS] {
        group.remove(Table::Workspaces, tables::workspace(number + round * 3));
    }
    put(group, RECORDS + 1 + round);
}

#[test]
fn a_crash_at_any_piece_leaves_the_store_whole() {
    let mut pieces = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let (shared, mut disk) = filled(dir.path());
        let mut copy = Compaction::begin(dir.path(), &Options::default()).unwrap();
        let mut is_copied = false;
        for round in 0..pieces {
            is_copied = copy.copy_piece(&shared.database().trees).unwrap();
            let group = commit(&shared, &mut disk, |group| churn(group, round));
            copy.follow(&group).unwrap();
        }
        // Nothing is said to anybody: as after a crash.
        drop((copy, disk));
        let expected: Vec<_> = {
            let rows = shared.database().trees.get(Table::Workspaces).iter();
            rows.map(|row| u32::from_be_bytes(row.unwrap().0.as_ref().try_into().unwrap())).collect()
        };
        drop(shared);
        let (shared, _disk) = opened(dir.path());
        assert_eq!(names(&shared), expected, "after {pieces} pieces");
        assert!(!dir.path().join(COPY_DIR).exists());
        if is_copied {
            break;
        }
        pieces += 1;
    }
    assert!(pieces > 5, "there was something to cut: {pieces}");
}

#[test]
fn a_crash_after_the_exchange_finds_the_copy_with_everything_written_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (shared, mut disk) = filled(dir.path());
    let mut copy = Compaction::begin(dir.path(), &Options::default()).unwrap();
    let mut round = 0;
    while !copy.copy_piece(&shared.database().trees).unwrap() {
        let group = commit(&shared, &mut disk, |group| churn(group, round));
        copy.follow(&group).unwrap();
        round += 1;
    }
    let group = disk.state.group;
    let copied = copy.finish(dir.path(), &disk.state).unwrap();
    let expected: Vec<_> = {
        let rows = shared.database().trees.get(Table::Workspaces).iter();
        rows.map(|row| u32::from_be_bytes(row.unwrap().0.as_ref().try_into().unwrap())).collect()
    };
    assert!(dir.path().join(COPY_DIR).exists(), "the old file, until somebody removes it");
    drop((copied, disk, shared));
    let (shared, disk) = opened(dir.path());
    assert_eq!((names(&shared), disk.state.group), (expected, group));
    assert!(!dir.path().join(COPY_DIR).exists());
}

#[test]
fn a_copy_that_lacks_something_never_takes_the_place_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (shared, mut disk) = filled(dir.path());
    let mut copy = Compaction::begin(dir.path(), &Options::default()).unwrap();
    copy.copy_piece(&shared.database().trees).unwrap();
    while !copy.copy_piece(&shared.database().trees).unwrap() {}
    // The copy is not told of this group.
    commit(&shared, &mut disk, |group| put(group, RECORDS + 1));
    let refused = copy.finish(dir.path(), &disk.state).unwrap_err();
    assert!(refused.contains("1000 records of `workspaces` instead of 1001"), "{refused}");
}
