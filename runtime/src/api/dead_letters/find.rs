//! Finds runs by what became of their deliveries. The index leads to the runs, their journals decide.

use std::collections::HashMap;

use flowcell_core::destination::DestinationId;
use flowcell_core::id::{RunId, WorkflowId};
use flowcell_core::ports::{PageRequest, RunFilter};
use flowcell_core::run::dead_letter::{DeadLetter, Wanted, mark_of, rerun_mark};
use flowcell_core::run::fold::RunStatus;
use flowcell_core::time::Timestamp;
use flowcell_engine::ControlError;

use crate::app::App;
use crate::http::problem::Problem;

/// Journals that one request reads: a few seconds. Where it ends, the answer says how to go on.
const JOURNALS_MAX: usize = 5_000;

/// Summaries that are looked through for reruns: beyond that a dead letter may be shown, and sent again, though it was. Receivers know it by its key.
const SUMMARIES_MAX: usize = 100_000;

/// How many runs a search gives at a time.
const PAGE: usize = 500;

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Looking {
    pub(super) workflow: Option<WorkflowId>,
    pub(super) destination: Option<DestinationId>,
    pub(super) error: Option<String>,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
    /// Those that were sent again, too.
    pub(super) with_resent: bool,
}

impl Looking {
    fn filter(&self) -> RunFilter {
        RunFilter { workflow: self.workflow.clone(), from: self.from, to: self.to, ..RunFilter::default() }
    }
}

/// The runs that repeat a run, and what became of them.
pub(super) type ResentAs = Vec<(RunId, RunStatus)>;

pub(super) struct Found {
    /// The newest first.
    pub(super) letters: Vec<(DeadLetter, ResentAs)>,
    /// Where to go on, if there may be more.
    pub(super) next: Option<RunId>,
}

/// Up to `limit` dead letters before a run.
pub(super) async fn dead_letters(
    app: &App,
    looking: &Looking,
    (mut before, limit): (Option<RunId>, usize),
) -> Result<Found, Problem> {
    let failed = RunFilter { status: Some(RunStatus::Failed), error: looking.error.clone(), ..looking.filter() };
    let (mut letters, mut read) = (Vec::new(), 0);
    let mut resends = Resends::of_workflow(looking.workflow.as_ref());
    'pages: loop {
        let page = app.ports.runs.search(&app.workspace, &failed, PageRequest { before, limit: PAGE }).await?;
        if let Some(oldest) = page.runs.last() {
            resends.reach(app, oldest.id.created_at()).await?;
        }
        for run in page.runs {
            let resent_as = resends.of(run.id);
            if looking.with_resent || resent_as.is_empty() {
                read += 1;
                let letter = look(app.control.dead_letter(run.id).await, run.id)?.flatten();
                letters.extend(letter.filter(|letter| is_wanted(letter, looking)).map(|letter| (letter, resent_as)));
            }
            before = Some(run.id);
            if letters.len() >= limit || read >= JOURNALS_MAX {
                break 'pages;
            }
        }
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    Ok(Found { letters, next: before })
}

fn is_wanted(letter: &DeadLetter, looking: &Looking) -> bool {
    let id = letter.destination.as_ref().map(flowcell_core::destination::Destination::id);
    looking.destination.is_none_or(|wanted| id == Some(wanted))
        && looking.error.as_ref().is_none_or(|code| letter.error.code == *code)
}

/// Up to `limit` ended runs with a delivery that never succeeded, in them or in a rerun; and whether there may be more.
pub(super) async fn missing(app: &App, looking: &Looking, limit: usize) -> Result<(Vec<RunId>, bool), Problem> {
    let wanted = Wanted { destination: looking.destination };
    let mut resends = Resends::of_workflow(looking.workflow.as_ref());
    resends.reach(app, looking.from.unwrap_or_default()).await?;
    let (mut found, mut before, mut read) = (Vec::new(), None, 0);
    loop {
        let request = PageRequest { before, limit: PAGE };
        let page = app.ports.runs.search(&app.workspace, &looking.filter(), request).await?;
        for run in page.runs.iter().filter(|run| run.status.is_final() && resends.of(run.id).is_empty()) {
            if found.len() >= limit || read >= JOURNALS_MAX {
                return Ok((found, true));
            }
            read += 1;
            let missing = look(app.control.undelivered(run.id, &wanted).await, run.id)?;
            found.extend(missing.filter(|steps| !steps.is_empty()).map(|_| run.id));
        }
        before = page.next;
        if before.is_none() {
            return Ok((found, false));
        }
    }
}

/// What is wrong with one run keeps nobody from the others; what the store says of itself does.
fn look<T>(result: Result<T, ControlError>, run: RunId) -> Result<Option<T>, Problem> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) => {
            let problem = Problem::from(error);
            if problem.is_of_the_store() {
                return Err(problem);
            }
            tracing::warn!(%run, reason = problem.detail(), "a run is passed over in the search for dead letters");
            Ok(None)
        }
    }
}

/// Which runs repeat which, by their events (see [`rerun_mark`]): looked through from the newest run back, as far as somebody asks.
#[derive(Debug, Default)]
pub(super) struct Resends {
    workflow: Option<WorkflowId>,
    by_mark: HashMap<u64, ResentAs>,
    before: Option<RunId>,
    seen: usize,
    is_done: bool,
}

impl Resends {
    pub(super) fn of_workflow(workflow: Option<&WorkflowId>) -> Self {
        Self { workflow: workflow.cloned(), ..Self::default() }
    }

    /// Looks back to then.
    pub(super) async fn reach(&mut self, app: &App, since: Timestamp) -> Result<(), Problem> {
        let filter = RunFilter { workflow: self.workflow.clone(), ..RunFilter::default() };
        while !self.is_done && self.before.is_none_or(|run| run.created_at() >= since) {
            let request = PageRequest { before: self.before, limit: PAGE };
            let page = app.ports.runs.search(&app.workspace, &filter, request).await?;
            self.seen += page.runs.len().max(1);
            for run in page.runs {
                self.by_mark.entry(mark_of(run.event)).or_default().push((run.id, run.status));
            }
            self.before = page.next;
            self.is_done = self.before.is_none() || self.seen >= SUMMARIES_MAX;
        }
        Ok(())
    }

    pub(super) fn of(&self, run: RunId) -> ResentAs {
        self.by_mark.get(&rerun_mark(run)).cloned().unwrap_or_default()
    }
}
