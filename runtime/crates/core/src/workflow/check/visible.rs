//! Which steps an expression can read at its place: those that have run by then, for certain or perhaps.

use crate::id::StepId;
use crate::workflow::Workflow;
use crate::workflow::step::{Join, OnError, Step, StepKind, Within};
use crate::workflow::walk::Placed;

/// The place of an expression: in a list of steps, before the step with this index has ended.
#[derive(Debug, Clone)]
pub(super) struct Place<'w> {
    /// The steps around it with the list of theirs, outermost first.
    pub(super) around: Vec<(&'w Step, Within<'w>)>,
    pub(super) index: usize,
    /// The step whose field it is, if it is one's.
    pub(super) own: Option<&'w StepId>,
    /// Whether that step has failed by then: `on_error: { substitute }`.
    pub(super) after_failure: bool,
}

/// What an expression finds where it reads a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It has run.
    There,
    /// It has failed: it has `status` and `error`, and no output.
    Failed,
    /// It has run in some runs and not in others; the step that decides.
    Perhaps {
        decided_by: StepId,
    },
    /// It is the step itself.
    Own,
    /// It encloses the step and has not ended.
    Encloses,
    /// It is part of the step itself, or of a step that runs later.
    Inside {
        step: StepId,
    },
    /// It runs in another branch of this step.
    OtherBranch {
        of: StepId,
        at_once: bool,
    },
    /// It runs many times inside this loop.
    InLoop {
        of: StepId,
    },
    Later,
    Unknown,
}

impl<'w> Place<'w> {
    pub(super) fn of(placed: &Placed<'w>) -> Self {
        let around = placed.around.clone();
        Self { around, index: placed.index, own: Some(&placed.step.id), after_failure: false }
    }

    /// At the end of an iteration of the loop at `placed`.
    pub(super) fn end_of_iteration(placed: &Placed<'w>, steps: usize) -> Self {
        let around = placed.around.iter().copied().chain([(placed.step, Within::Each)]).collect();
        Self { around, index: steps, own: None, after_failure: false }
    }

    /// After the last step.
    pub(super) fn end_of(workflow: &Workflow) -> Self {
        Self { around: Vec::new(), index: workflow.steps.len(), own: None, after_failure: false }
    }

    /// Before the first step.
    pub(super) fn start() -> Self {
        Self { around: Vec::new(), index: 0, own: None, after_failure: false }
    }

    /// The loops around it, outermost first.
    pub(super) fn loops(&self) -> impl Iterator<Item = &'w Step> + '_ {
        self.around.iter().filter(|(_, within)| *within == Within::Each).map(|(step, _)| *step)
    }

    /// Whether no step has run when it is asked.
    pub(super) fn is_start(&self) -> bool {
        self.own.is_none() && self.around.is_empty() && self.index == 0
    }

    /// What it finds of the step `name`.
    pub(super) fn sight(&self, workflow: &'w Workflow, name: &str) -> Sight {
        let Some(target) = workflow.all_steps().find(|placed| placed.step.id.as_str() == name) else {
            return Sight::Unknown;
        };
        if self.own == Some(&target.step.id) {
            return if self.after_failure { Sight::Failed } else { Sight::Own };
        }
        let common = self.around.iter().zip(&target.around).take_while(|(one, other)| same(one, other)).count();
        // Both stand in this list, or in something that does.
        let (mine, its) = (self.around.get(common), target.around.get(common));
        let position = |entry: Option<&(&'w Step, Within<'w>)>, own: usize| match entry {
            Some((step, _)) => {
                index_in(workflow, self.around.get(..common).unwrap_or_default(), &step.id).unwrap_or(own)
            }
            None => own,
        };
        let (here, there) = (position(mine, self.index), position(its, target.index));
        match (mine, its) {
            _ if there > here => Sight::Later,
            // The expression belongs to no step, and stands before this one.
            (None, None) if there == here => Sight::Later,
            // Around the expression, from one of its lists.
            (Some((_, within)), None) if there == here => match within {
                Within::OnError | Within::OnTimeout => Sight::Failed,
                _ => Sight::Encloses,
            },
            (None, Some((step, _))) if there == here => Sight::Inside { step: step.id.clone() },
            (Some((step, one)), Some((_, other))) if there == here => in_lists_of(step, *one, *other),
            _ => earlier(&target, common),
        }
    }
}

fn same(one: &(&Step, Within<'_>), other: &(&Step, Within<'_>)) -> bool {
    one.0.id == other.0.id && one.1 == other.1
}

/// The place of a step in the list that `around` leads to.
fn index_in<'w>(workflow: &'w Workflow, around: &[(&'w Step, Within<'w>)], id: &StepId) -> Option<usize> {
    let steps = match around.last() {
        Some((step, within)) => step.list(*within)?,
        None => &workflow.steps,
    };
    steps.iter().position(|step| step.id == *id)
}

/// The expression is in one list of `step`, what it reads in another.
fn in_lists_of(step: &Step, mine: Within<'_>, its: Within<'_>) -> Sight {
    let of = || step.id.clone();
    match (mine, its) {
        (Within::OnError, Within::Each) => Sight::InLoop { of: of() },
        // They began before the step failed.
        (Within::OnError, Within::Branch(_) | Within::Else | Within::Parallel(_) | Within::OnTimeout) => {
            Sight::Perhaps { decided_by: of() }
        }
        (Within::Parallel(_), Within::Parallel(_)) => Sight::OtherBranch { of: of(), at_once: true },
        _ => Sight::OtherBranch { of: of(), at_once: false },
    }
}

/// What is read stands before the expression, perhaps inside of something; the first `common` steps around it are around both.
fn earlier(target: &Placed<'_>, common: usize) -> Sight {
    let inside = target.around.get(common..).unwrap_or_default();
    if let Some((step, _)) = inside.iter().find(|(_, within)| *within == Within::Each) {
        return Sight::InLoop { of: step.id.clone() };
    }
    match inside.iter().find(|(step, within)| !is_certain(step, *within)) {
        Some((step, _)) => Sight::Perhaps { decided_by: step.id.clone() },
        None => Sight::There,
    }
}

/// Whether whoever comes after `step` knows that its list `within` has been run to its end.
fn is_certain(step: &Step, within: Within<'_>) -> bool {
    if !matches!(step.on_error, OnError::Fail) {
        return false; // it may have failed half-way, and the run goes on
    }
    match (&step.kind, within) {
        (StepKind::Parallel(parallel), Within::Parallel(_)) => parallel.join == Join::All,
        // Where all other branches end the run, whoever comes after has come through this one.
        (StepKind::If(each), Within::Branch(_) | Within::Else) => {
            let others = step.lists().into_iter().filter(|(list, _)| *list != within);
            each.otherwise.is_some() && others.into_iter().all(|(_, steps)| list_ends(steps))
        }
        _ => false,
    }
}

/// Whether a list of steps never comes to its end: something in it ends the run.
pub(super) fn list_ends(steps: &[Step]) -> bool {
    steps.iter().any(always_ends)
}

/// Whether nothing comes after the step, whatever the data.
pub(super) fn always_ends(step: &Step) -> bool {
    match &step.kind {
        StepKind::Stop(_) => true,
        StepKind::If(each) => {
            each.branches.iter().all(|branch| list_ends(&branch.steps))
                && each.otherwise.as_deref().is_some_and(list_ends)
        }
        StepKind::Parallel(parallel) => {
            parallel.join != Join::Race && parallel.branches.values().any(|steps| list_ends(steps))
        }
        StepKind::Action(_)
        | StepKind::ForEach(_)
        | StepKind::Wait(_)
        | StepKind::Call(_)
        | StepKind::Set(_)
        | StepKind::Respond(_) => false,
    }
}
