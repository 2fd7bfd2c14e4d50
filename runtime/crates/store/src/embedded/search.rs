//! A search: the unfinished runs, which are in memory, and the blocks of those that have ended, bucket by bucket, the newest first. A
//! search by time alone walks the summaries. What a block cannot tell is asked of the journal, and that is bounded: a page that comes
//! to the bound says so and where to go on.

mod needles;

use std::collections::BTreeMap;

use flowcell_core::id::RunId;
use flowcell_core::ports::{RunFilter, RunPage, StoreError};
use flowcell_core::run::fold::RunSummary;
use flowcell_core::search::{FieldPath, RunFacts};

use super::blocks::{self, Ended, Verdict, View, Wanted};
use super::codec::{self, Body};
use super::guard::without_panic;
use super::index::summary;
use super::journal;
use super::shared::{Shared, damaged};
use super::tables::{self, Table, WorkspaceNumber};
use needles::{Glance, Needles};

/// Summaries, or runs of blocks, that one page may look at: some 100 ms of work each.
const SUMMARIES_MAX: usize = 20_000;
const ROWS_MAX: usize = 4_000_000;
const BLOCKS_MAX: usize = 100_000;

/// Journals that one page may decode to decide about a run: at some 30 microseconds each another 100 ms.
const JOURNALS_MAX: usize = 3_000;

/// Journals that one page may look through for what a passing one must contain, and their bytes: most of it is the way to the record, and
/// the look itself some gigabytes a second; with payload files of megabytes it is the reading of those that counts.
const GLANCES_MAX: usize = 3_000;
const GLANCED_BYTES_MAX: usize = 64 << 20;

pub(crate) struct Search<'s> {
    pub(crate) shared: &'s Shared,
    pub(crate) workspace: WorkspaceNumber,
    pub(crate) filter: &'s RunFilter,
    pub(crate) before: Option<RunId>,
    /// At least 1.
    pub(crate) limit: usize,
}

/// What is left of a page's bounds.
struct Budget {
    summaries: usize,
    rows: usize,
    blocks: usize,
    journals: usize,
    glances: usize,
    bytes: usize,
}

impl Budget {
    fn full() -> Self {
        Self {
            summaries: SUMMARIES_MAX,
            rows: ROWS_MAX,
            blocks: BLOCKS_MAX,
            journals: JOURNALS_MAX,
            glances: GLANCES_MAX,
            bytes: GLANCED_BYTES_MAX,
        }
    }

    /// Whether another run may be looked at.
    fn is_left(&self) -> bool {
        self.summaries > 0 && self.journals > 0 && self.glances > 0 && self.bytes > 0
    }
}

impl Search<'_> {
    pub(crate) fn run(&self) -> Result<RunPage, StoreError> {
        if self.filter.is_only_time() {
            return self.by_time();
        }
        let mut page = Page { found: RunPage::default(), limit: self.limit };
        let mut budget = Budget::full();
        let needles = Needles::of(self.filter);
        // Before any block is read: a run leaves the unfinished ones only when its block is there.
        let mut unfinished: Vec<RunId> =
            self.shared.tracker().unfinished(self.workspace).filter(|run| self.is_in_reach(*run)).collect();
        unfinished.sort_unstable();
        let mut ended = self.blocks();
        let mut next = ended.next_bucket(&mut budget)?;
        loop {
            let floor = next.as_ref().map(|bucket| bucket.first);
            let mut candidates = next.map_or_else(BTreeMap::new, |bucket| bucket.candidates);
            while let Some(run) = unfinished.pop_if(|run| floor.is_none_or(|floor| *run >= floor)) {
                candidates.entry(run).or_insert(None);
            }
            for (run, verdict) in candidates.into_iter().rev() {
                if !budget.is_left() {
                    return Ok(page.cut());
                }
                if self.holds((run, verdict), &needles, &mut budget)?.is_some_and(|summary| page.add(summary)) {
                    return Ok(page.full());
                }
                page.dealt_with(run);
            }
            let Some(floor) = floor else { return Ok(page.whole()) };
            page.dealt_with(floor);
            if budget.rows == 0 || budget.blocks == 0 {
                return Ok(page.cut());
            }
            next = ended.next_bucket(&mut budget)?;
        }
    }

    /// The summaries of the wanted time; all of them are hits.
    fn by_time(&self) -> Result<RunPage, StoreError> {
        let mut page = Page { found: RunPage::default(), limit: self.limit };
        let end = self.filter.to.map(|to| RunId::from_parts(to, 0));
        let end = match (self.before, end) {
            (Some(before), Some(end)) => Some(before.min(end)),
            (before, end) => before.or(end),
        };
        let start = self.filter.from.map_or(RunId::from_bytes([0; 16]), |from| RunId::from_parts(from, 0));
        let after = match end {
            Some(end) => tables::run(self.workspace, end),
            None => tables::workspace(self.workspace.saturating_add(1)),
        };
        let start = tables::run(self.workspace, start);
        if start >= after {
            return Ok(page.whole());
        }
        let mut rows = self.shared.database().trees.get(Table::Runs).range(start..after);
        while let Some((key, record)) = previous(&mut rows, "the list of runs")? {
            let found: RunSummary = self.shared.decode(Table::Runs, &key, &record, "the summary of a run")?;
            let run = found.id;
            if page.add(found) {
                return Ok(page.full());
            }
            page.dealt_with(run);
        }
        Ok(page.whole())
    }

    fn is_in_reach(&self, run: RunId) -> bool {
        self.before.is_none_or(|before| run < before) && self.filter.includes(run)
    }

    /// The summary, if the run passes; `verdict` is what the index says of a run that has ended.
    fn holds(
        &self,
        (run, verdict): (RunId, Option<Verdict>),
        needles: &Needles,
        budget: &mut Budget,
    ) -> Result<Option<RunSummary>, StoreError> {
        budget.summaries = budget.summaries.saturating_sub(1);
        // Of a run of a block before its summary is read: that costs as much again, and one glance is mostly enough.
        if verdict == Some(Verdict::Unsure) && self.fails_at_a_glance(run, needles, budget)? {
            return Ok(None);
        }
        // Absent: removed since, or created and not yet applied.
        let Some(found) = summary(self.shared, self.workspace, run)? else { return Ok(None) };
        if !self.filter.passes_summary(&found) {
            return Ok(None);
        }
        if verdict == Some(Verdict::Passes) || !self.filter.needs_journal() {
            return Ok(Some(found));
        }
        if verdict.is_none() && self.fails_at_a_glance(run, needles, budget)? {
            return Ok(None);
        }
        budget.journals = budget.journals.saturating_sub(1);
        let entries = match journal::load(self.shared, run) {
            Ok(entries) => entries,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(self.filter.passes_entries(&found, &entries).then_some(found))
    }

    fn fails_at_a_glance(&self, run: RunId, needles: &Needles, budget: &mut Budget) -> Result<bool, StoreError> {
        if needles.is_empty() {
            return Ok(false);
        }
        budget.glances = budget.glances.saturating_sub(1);
        needles.glance(self.shared, (self.workspace, run), &mut budget.bytes).map(|glance| glance == Glance::Fails)
    }

    fn blocks(&self) -> Blocks<'_> {
        let last = match (self.before, self.filter.to) {
            (Some(before), Some(to)) => before.min(RunId::from_parts(to, u128::MAX)),
            (Some(before), None) => before,
            (None, Some(to)) => RunId::from_parts(to, u128::MAX),
            (None, None) => RunId::from_bytes([u8::MAX; 16]),
        };
        let first = self.filter.from.map_or(0, |from| blocks::bucket(RunId::from_parts(from, 0)));
        let end = match blocks::bucket(last).checked_add(1) {
            Some(bucket) => tables::bucket(self.workspace, bucket),
            None => tables::workspace(self.workspace.saturating_add(1)),
        };
        let start = tables::bucket(self.workspace, first).min(end.clone());
        let rows = self.shared.database().trees.get(Table::Index).range(start..end);
        // Runs that have not ended are in no block.
        let is_over = self.filter.status.is_some_and(|status| !status.is_final());
        Blocks { search: self, rows, ahead: None, is_over }
    }
}

/// The blocks of a search, bucket by bucket.
struct Blocks<'s> {
    search: &'s Search<'s>,
    rows: sled::Iter,
    /// A block that was read and belongs to the next bucket.
    ahead: Option<(sled::IVec, sled::IVec)>,
    is_over: bool,
}

/// The runs of a bucket that may pass.
struct Bucket {
    /// No run of it is less.
    first: RunId,
    /// What the index says of each; nothing of one that has not ended.
    candidates: BTreeMap<RunId, Option<Verdict>>,
}

impl Blocks<'_> {
    fn next_bucket(&mut self, budget: &mut Budget) -> Result<Option<Bucket>, StoreError> {
        let mut found: Option<(u32, Bucket)> = None;
        while !self.is_over {
            let row = match self.ahead.take() {
                Some(row) => Some(row),
                None => previous(&mut self.rows, WHAT)?,
            };
            let Some((key, record)) = row else {
                self.is_over = true;
                break;
            };
            let number = number_of(&key).ok_or_else(|| malformed("its key is malformed"))?;
            match &mut found {
                Some((bucket, _)) if *bucket != number => {
                    self.ahead = Some((key, record));
                    break;
                }
                Some((_, bucket)) => self.search.read(&key, &record, bucket, budget)?,
                None => {
                    let mut bucket = Bucket { first: blocks::first_of(number), candidates: BTreeMap::new() };
                    self.search.read(&key, &record, &mut bucket, budget)?;
                    found = Some((number, bucket));
                }
            }
        }
        Ok(found.map(|(_, bucket)| bucket))
    }
}

impl Search<'_> {
    fn read(&self, key: &[u8], record: &[u8], bucket: &mut Bucket, budget: &mut Budget) -> Result<(), StoreError> {
        budget.blocks = budget.blocks.saturating_sub(1);
        let Body::Inline(body) = codec::open(Table::Index, key, record).map_err(|problem| damaged(WHAT, problem))?.body
        else {
            return Err(malformed("it is in a file"));
        };
        let mut view = View::open(key, body).ok_or_else(|| malformed("its head does not read"))?;
        let Some(wanted) = Wanted::of(self.filter, &view) else { return Ok(()) };
        let count = view.len();
        budget.rows = budget.rows.saturating_sub(count);
        for _ in 0..count {
            let row = view.next().ok_or_else(|| malformed("it ends too early"))?;
            if self.before.is_some_and(|before| row.run >= before) {
                continue;
            }
            let verdict = wanted.verdict(&row);
            if verdict != Verdict::Fails {
                bucket.candidates.insert(row.run, Some(verdict));
            }
        }
        Ok(())
    }
}

const WHAT: &str = "a block of the index of runs";

fn malformed(problem: &str) -> StoreError {
    damaged(WHAT, problem.to_owned())
}

fn number_of(key: &[u8]) -> Option<u32> {
    key.get(4..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

pub(crate) fn previous(rows: &mut sled::Iter, what: &str) -> Result<Option<(sled::IVec, sled::IVec)>, StoreError> {
    without_panic(|| rows.next_back())
        .and_then(|row| row.transpose().map_err(|error| error.to_string()))
        .map_err(|problem| damaged(what, problem))
}

pub(crate) fn next(rows: &mut sled::Iter, what: &str) -> Result<Option<(sled::IVec, sled::IVec)>, StoreError> {
    without_panic(|| rows.next())
        .and_then(|row| row.transpose().map_err(|error| error.to_string()))
        .map_err(|problem| damaged(what, problem))
}

/// A page in the making.
struct Page {
    found: RunPage,
    limit: usize,
}

impl Page {
    /// Returns whether the run was one too many: then there is another page.
    fn add(&mut self, run: RunSummary) -> bool {
        if self.found.runs.len() == self.limit {
            return true;
        }
        self.found.runs.push(run);
        false
    }

    /// Every run from here on is older.
    fn dealt_with(&mut self, run: RunId) {
        self.found.next = Some(run);
    }

    fn full(mut self) -> RunPage {
        self.found.next = self.found.runs.last().map(|run| run.id);
        self.found
    }

    fn cut(mut self) -> RunPage {
        self.found.is_cut = true;
        self.found
    }

    fn whole(mut self) -> RunPage {
        self.found.next = None;
        self.found
    }
}

/// What the index gets of a run that has ended.
pub(crate) fn ended(workspace: WorkspaceNumber, summary: &RunSummary, facts: RunFacts) -> Ended {
    Ended { workspace, run: summary.id, workflow: summary.workflow.clone(), status: summary.status, facts }
}

/// The facts of the entries of a run before `end`, from its journal.
pub(crate) fn facts(shared: &Shared, run: RunId, end: u32, indexed: &[FieldPath]) -> Result<RunFacts, StoreError> {
    let mut facts = RunFacts::default();
    for entry in journal::load(shared, run)?.iter().take_while(|entry| entry.seq < end) {
        facts.note(&entry.event, indexed);
    }
    Ok(facts)
}
