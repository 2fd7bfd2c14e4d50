use std::collections::HashSet;

use flowcell_core::ports::RunFilter;
use flowcell_core::run::event::RunEvent;
use flowcell_core::time::Timestamp;

use super::*;
use crate::embedded::codec::{self, Body};
use crate::embedded::group::{Group, Row};
use crate::embedded::tables::Table;

fn run(number: u64) -> RunId {
    RunId::from_parts(Timestamp::from_millis(1_764_000_000_000 + number), u128::from(number) << 60)
}

fn ended(number: u64) -> Ended {
    let mut facts = RunFacts::begun();
    facts.note(
        &RunEvent::StepStarted {
            step: format!("s{}", number % 3).parse::<flowcell_core::id::StepId>().unwrap().into(),
            attempt: 1,
        },
        &[],
    );
    Ended { workspace: 1, run: run(number), workflow: "push".parse().unwrap(), status: RunStatus::Succeeded, facts }
}

fn rows(group: Group) -> Vec<Row> {
    group.into_rows()
}

fn runs(rows: &[Row]) -> Vec<RunId> {
    let mut found = Vec::new();
    for row in rows {
        let Body::Inline(body) = codec::open(Table::Index, &row.key, &row.record).unwrap().body else { panic!() };
        assert!(body.len() <= BODY_BYTES_MAX);
        let mut view = View::open(&row.key, body).unwrap();
        for _ in 0..view.len() {
            found.push(view.next().unwrap().run);
        }
        assert!(view.next().is_none());
    }
    found.sort();
    found
}

#[test]
fn runs_come_back_from_blocks_that_fit_into_a_tree() {
    let mut open = OpenBlocks::default();
    let many: Vec<_> = (0..500).map(ended).collect();
    let mut group = Group::default();
    open.add(&many, 7, &mut group);
    let rows = rows(group);
    assert!(rows.len() < 10, "{} blocks for 500 runs", rows.len());
    assert_eq!(runs(&rows), (0..500).map(run).collect::<Vec<_>>());
}

#[test]
fn a_small_block_grows_and_a_large_one_is_left_alone() {
    let mut open = OpenBlocks::default();
    let mut written = std::collections::BTreeMap::new();
    let mut bytes = 0;
    for number in 0..200 {
        let mut group = Group::default();
        open.add(&[ended(number)], number, &mut group);
        for row in rows(group) {
            bytes += row.record.len();
            written.insert(row.key.clone(), row);
        }
    }
    let rows: Vec<_> = written.into_values().collect();
    assert_eq!(runs(&rows), (0..200).map(run).collect::<Vec<_>>());
    assert!(rows.len() < 10, "{} blocks for 200 single runs", rows.len());
    assert!(bytes < 200 * 1_024, "{bytes} bytes written for 200 runs");
}

#[test]
fn runs_leave_a_block_and_the_last_one_takes_it_along() {
    let mut open = OpenBlocks::default();
    let mut group = Group::default();
    open.add(&[ended(1), ended(2), ended(3)], 1, &mut group);
    let [row] = &rows(group)[..] else { panic!("one block") };
    let Body::Inline(body) = codec::open(Table::Index, &row.key, &row.record).unwrap().body else { panic!() };
    let left = without(&row.key, body, &HashSet::from([run(2), run(9)])).unwrap().unwrap();
    assert_eq!(runs(&[left]), [run(1), run(3)]);
    assert!(without(&row.key, body, &[1, 2, 3].map(run).into()).unwrap().is_none());
    assert_eq!(without(&row.key, body, &HashSet::from([run(9)])).unwrap_err(), Unchanged::HasNone);
    assert_eq!(without(&row.key, &body[..body.len() - 1], &HashSet::from([run(3)])).unwrap_err(), Unchanged::Damaged);
}

#[test]
fn no_cut_of_a_block_panics() {
    let mut group = Group::default();
    OpenBlocks::default().add(&[ended(1), ended(2)], 1, &mut group);
    let [row] = &rows(group)[..] else { panic!("one block") };
    let Body::Inline(body) = codec::open(Table::Index, &row.key, &row.record).unwrap().body else { panic!() };
    let filter = RunFilter { step: Some("s1".parse().unwrap()), ..RunFilter::default() };
    for end in 0..body.len() {
        let Some(mut view) = View::open(&row.key, &body[..end]) else { continue };
        let wanted = Wanted::of(&filter, &view).unwrap();
        while let Some(row) = view.next() {
            let _ = wanted.verdict(&row);
        }
    }
}
