//! What runs are found by: the filter of a search, and the facts of a run that an index keeps. Pure.
//!
//! The journal is the truth: [`RunFilter::passes_entries`] decides every search. An index holds [`RunFacts`], which may leave
//! things out (they then say so) and never says anything the journal does not.

mod facts;
mod field;

use crate::id::{ContactId, RunId, StepId, WorkflowId};
use crate::run::event::{Outcome, Recorded, RunEvent, StepError};
use crate::run::fold::{RunStatus, RunSummary};
use crate::time::Timestamp;

pub use facts::{FieldFact, RunFacts};
pub use field::{FieldMatch, FieldPath, FieldTest, FieldValue, InvalidField};

/// Which runs a search wants: those for which everything that is given holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFilter {
    pub workflow: Option<WorkflowId>,
    pub status: Option<RunStatus>,
    /// Runs that reached this step; together with `error`, runs in which it failed with that code.
    pub step: Option<StepId>,
    /// The code of an error that ended an attempt, ended the run or parks it.
    pub error: Option<String>,
    /// Runs about this person.
    pub contact: Option<ContactId>,
    /// Created then or later.
    pub from: Option<Timestamp>,
    /// Created before.
    pub to: Option<Timestamp>,
    pub field: Option<FieldMatch>,
}

/// Where a page begins and how long it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// The last run that the page before has dealt with.
    pub before: Option<RunId>,
    pub limit: usize,
}

/// Runs, newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunPage {
    pub runs: Vec<RunSummary>,
    /// Where the next page begins; absent: there are no more.
    pub next: Option<RunId>,
    /// The search came to its bound before the page was full: there may be runs behind `next`, or none.
    pub is_cut: bool,
}

impl RunFilter {
    /// Whether what the summary alone can tell holds.
    pub fn passes_summary(&self, run: &RunSummary) -> bool {
        self.workflow.as_ref().is_none_or(|workflow| *workflow == run.workflow)
            && self.status.is_none_or(|status| status == run.status)
            && (self.contact.is_none() || self.contact == run.contact)
            && self.includes(run.id)
    }

    /// Whether the run was created in the wanted time.
    pub fn includes(&self, run: RunId) -> bool {
        let at = run.created_at();
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }

    /// Whether more than the summary has to be looked at.
    pub fn needs_journal(&self) -> bool {
        self.step.is_some() || self.error.is_some() || self.field.is_some()
    }

    /// Whether only the time of creation is asked for, if anything.
    pub fn is_only_time(&self) -> bool {
        self.workflow.is_none() && self.status.is_none() && self.contact.is_none() && !self.needs_journal()
    }

    /// Whether the run passes, by everything there is to know.
    pub fn passes_entries(&self, run: &RunSummary, entries: &[Recorded]) -> bool {
        self.passes_summary(run)
            && self.passes_step_and_error(run, entries)
            && self.field.as_ref().is_none_or(|field| entries.iter().any(|entry| field.is_met_by(&entry.event)))
    }

    fn passes_step_and_error(&self, run: &RunSummary, entries: &[Recorded]) -> bool {
        let events = || entries.iter().map(|entry| &entry.event);
        match (&self.step, &self.error) {
            (None, None) => true,
            (Some(step), None) => events().any(|event| reached(event).is_some_and(|id| id == step.as_str())),
            (None, Some(code)) => {
                run.error_code.as_ref() == Some(code)
                    || events().any(|event| failed(event).is_some_and(|(_, error)| error.code == *code))
            }
            (Some(step), Some(code)) => events()
                .any(|event| failed(event).is_some_and(|(id, error)| id == step.as_str() && error.code == *code)),
        }
    }
}

/// The step that an entry begins.
pub(crate) fn reached(event: &RunEvent) -> Option<&str> {
    match event {
        RunEvent::StepStarted { step, .. } | RunEvent::Entered { step, .. } => Some(step.id().as_str()),
        _ => None,
    }
}

/// The step and the error of an attempt or run that ended in one.
pub(crate) fn failed(event: &RunEvent) -> Option<(&str, &StepError)> {
    match event {
        RunEvent::StepFailed { step, error, .. }
        | RunEvent::StepParked { step, error: Some(error), .. }
        | RunEvent::Finished { outcome: Outcome::Failed { step, error }, .. } => Some((step.id().as_str(), error)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
