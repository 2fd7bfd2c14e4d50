//! What the log gives back after it was cut short, damaged, begun again.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::*;

fn group(name: &str, bytes: usize) -> Group {
    let mut group = Group::default();
    group.put(Row { table: Table::Runs, key: name.into(), record: vec![7; bytes] });
    group.remove(Table::Journal, name.into());
    group
}

fn begin(dir: &Path) -> Wal {
    create(dir).unwrap();
    Wal::open(dir, |sync| sync).unwrap()
}

fn numbers(dir: &Path) -> Vec<u64> {
    read(dir).unwrap().unwrap().into_iter().map(|(number, _)| number).collect()
}

fn file(dir: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(dir.join(FILE)).unwrap()
}

#[test]
fn groups_come_back_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    assert!(read(dir.path()).unwrap().is_none());
    let mut wal = begin(dir.path());
    assert!(numbers(dir.path()).is_empty());
    for number in 5..8 {
        wal.append(number, &group(&format!("key {number}"), 10)).unwrap();
    }
    let groups = read(dir.path()).unwrap().unwrap();
    assert_eq!(groups.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [5, 6, 7]);
    let changes: Vec<_> = groups[1].1.changes().map(|(table, key, record)| (table, key.clone(), record)).collect();
    let key = sled::IVec::from("key 6");
    assert_eq!(changes, [(Table::Runs, key.clone(), Some([7; 10].as_slice())), (Table::Journal, key, None)]);
}

#[test]
fn what_lies_behind_the_end_is_older_and_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut wal = begin(dir.path());
    for number in 1..=4 {
        wal.append(number, &group("a", 100)).unwrap();
    }
    wal.restart().unwrap();
    wal.append(5, &group("b", 100)).unwrap();
    // Of the same length: group 2 begins where group 5 ends.
    assert_eq!(numbers(dir.path()), [5]);
    wal.append(6, &group("b", 30)).unwrap();
    assert_eq!(numbers(dir.path()), [5, 6]);
    wal.clear().unwrap();
    assert!(numbers(dir.path()).is_empty());
}

#[test]
fn a_group_that_was_cut_short_or_damaged_ends_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut wal = begin(dir.path());
    let mut ends = vec![0];
    for number in 1..=3 {
        wal.append(number, &group("a", 50)).unwrap();
        ends.push(wal.end);
    }
    let whole = std::fs::read(dir.path().join(FILE)).unwrap();
    for at in 0..ends[3] {
        let before = ends.iter().filter(|end| **end <= at).count() as u64;
        let byte = whole[usize::try_from(at).unwrap()];
        file(dir.path()).write_all_at(&[byte ^ 0x10], at).unwrap();
        assert_eq!(numbers(dir.path()), (1..before).collect::<Vec<_>>(), "a bit flipped at {at}");
        file(dir.path()).write_all_at(&[byte], at).unwrap();
    }
    for length in [0, 1, ends[1] - 1, ends[1], ends[2] + 10] {
        file(dir.path()).set_len(length).unwrap();
        let whole_groups = ends.iter().filter(|end| **end <= length).count() as u64;
        assert_eq!(numbers(dir.path()), (1..whole_groups).collect::<Vec<_>>(), "cut to {length}");
        file(dir.path()).write_all_at(&whole, 0).unwrap();
    }
    // Opened after a cut it is as long as it was.
    file(dir.path()).set_len(ends[1]).unwrap();
    let mut wal = Wal::open(dir.path(), |sync| sync).unwrap();
    assert_eq!(file(dir.path()).metadata().unwrap().len(), READY_BYTES as u64);
    wal.append(2, &group("a", 50)).unwrap();
    assert_eq!(numbers(dir.path()), [2]);
}

#[test]
fn a_log_that_had_to_grow_gives_the_room_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut wal = begin(dir.path());
    for number in 1..=3 {
        wal.append(number, &group("a", READY_BYTES / 2)).unwrap();
    }
    assert_eq!(numbers(dir.path()), [1, 2, 3]);
    assert!(file(dir.path()).metadata().unwrap().len() > READY_BYTES as u64);
    wal.restart().unwrap();
    assert_eq!(file(dir.path()).metadata().unwrap().len(), READY_BYTES as u64);
    wal.append(4, &group("a", 10)).unwrap();
    assert_eq!(numbers(dir.path()), [4]);
}
