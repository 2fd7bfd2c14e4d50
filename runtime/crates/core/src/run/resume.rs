//! Resume links as expressions read them: `{{ resume.ask }}` is the link of the wait `ask`, also before that wait has begun.
//!
//! A link is a function of the installation, the run and the place of the wait, so nothing has to be stored for it; who makes it knows a
//! secret of the installation, which `core` does not.

use std::fmt;

use crate::id::{RunId, StepId, StepRef};
use crate::workflow::Workflow;
use crate::workflow::step::{StepKind, WaitFor};

/// Makes the links.
pub trait ResumeLinks: fmt::Debug + Send + Sync {
    /// The URL that ends the wait at this place of the run, once.
    fn resume_link(&self, run: RunId, step: &StepRef) -> String;
}

/// The waits of a workflow that a resume link ends.
pub fn resume_waits(workflow: &Workflow) -> impl Iterator<Item = &StepId> {
    let is_meant = |kind: &StepKind| matches!(kind, StepKind::Wait(wait) if matches!(wait.what, WaitFor::Resume));
    workflow.all_steps().filter(move |placed| is_meant(&placed.step.kind)).map(|placed| &placed.step.id)
}

/// The place of the wait `id` as it is seen from within the iteration `at` of the loops around it; nothing when there is no such wait, or when
/// it stands in a loop that is not gone through here.
pub fn resume_place(workflow: &Workflow, id: &str, at: &[u32]) -> Option<StepRef> {
    let placed = workflow.all_steps().find(|placed| placed.step.id.as_str() == id)?;
    let StepKind::Wait(wait) = &placed.step.kind else { return None };
    let at = at.get(..placed.loops().count()).filter(|_| matches!(wait.what, WaitFor::Resume))?;
    Some(StepRef::new(placed.step.id.clone(), at))
}
