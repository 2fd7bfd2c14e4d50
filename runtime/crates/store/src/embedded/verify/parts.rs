//! Verification in parts, on as many threads as there are processors: an open is mostly sled taking pages apart. Runs and their journals
//! are split by the time of the runs' creation; the other tables are a part each.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use flowcell_core::id::RunId;
use flowcell_core::time::Timestamp;

use super::{Directory, Found, Reader, damage};
use crate::embedded::guard::without_panic;
use crate::embedded::ignore_poison;
use crate::embedded::open::Damage;
use crate::embedded::payload::Payloads;
use crate::embedded::tables::{self, Table, Trees};

/// More would wait for the same disk, and for each other in sled's cache.
const THREADS_MAX: usize = 8;

/// Parts of a workspace's runs: some for each thread, since an hour may have more runs than a week.
const SLICES: u64 = 32;

/// What one thread verifies at a time.
#[derive(Debug)]
enum Part {
    Events,
    Dedupe,
    Index,
    /// Summaries and journals from one run on to before another.
    Runs {
        from: Option<sled::IVec>,
        to: Option<sled::IVec>,
    },
}

/// Verifies everything but what the directory holds.
pub(super) fn verify(trees: &Trees, payloads: &Payloads, directory: &Directory) -> Result<Found, Damage> {
    let mut parts = vec![Part::Dedupe, Part::Index, Part::Events];
    let mut from = None;
    for border in borders(trees, directory)? {
        parts.push(Part::Runs { from: from.replace(border.clone()), to: Some(border) });
    }
    parts.push(Part::Runs { from, to: None });

    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let verified = Mutex::new(Ok(Found::default()));
    let work = || {
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed))
            && !has_failed.load(Ordering::Relaxed)
        {
            let found = without_panic(|| one(part, trees, payloads))
                .unwrap_or_else(|problem| Err(damage("the database", problem)));
            has_failed.fetch_or(found.is_err(), Ordering::Relaxed);
            let mut verified = ignore_poison(verified.lock());
            match (&mut *verified, found) {
                (Ok(sum), Ok(found)) => sum.add(found),
                (Ok(_), Err(first)) => *verified = Err(first),
                (Err(_), _) => {}
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    thread::scope(|scope| {
        // Where no thread can be had, this one does it all.
        let others: Vec<_> = (1..threads).map(|_| thread::Builder::new().spawn_scoped(scope, work)).collect();
        work();
        drop(others);
    });
    verified.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn one(part: &Part, trees: &Trees, payloads: &Payloads) -> Result<Found, Damage> {
    let mut reader = Reader::new(trees, payloads);
    match part {
        Part::Events => reader.events()?,
        Part::Dedupe => reader.dedupe()?,
        Part::Index => reader.index()?,
        Part::Runs { from, to } => reader.runs((from.as_ref(), to.as_ref()))?,
    }
    Ok(reader.found)
}

/// Keys of runs, whether they are there or not, that split those of each workspace into slices of equal time. In order.
fn borders(trees: &Trees, directory: &Directory) -> Result<Vec<sled::IVec>, Damage> {
    let mut numbers: Vec<_> = directory.workspaces.values().copied().collect();
    numbers.sort_unstable();
    let mut borders = Vec::new();
    for number in numbers {
        let mut rows =
            trees.get(Table::Runs).range(tables::workspace(number)..tables::workspace(number.saturating_add(1)));
        let ends =
            without_panic(|| (rows.next(), rows.next_back())).map_err(|problem| damage("the list of runs", problem))?;
        let created = |row: Option<sled::Result<(sled::IVec, sled::IVec)>>| {
            let (key, _) = row?.ok()?;
            tables::split_run(&key).map(|(_, run, _)| run.created_at().as_millis())
        };
        let (Some(first), Some(last)) = (created(ends.0), created(ends.1)) else { continue };
        let width = last.saturating_sub(first) / SLICES;
        if width > 0 {
            borders.extend((0..SLICES).map(|slice| {
                let at = Timestamp::from_millis(first + width * slice);
                tables::run(number, RunId::from_parts(at, 0))
            }));
        }
    }
    Ok(borders)
}
