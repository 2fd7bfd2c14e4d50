//! A workflow's steps one after another, nested ones included, each with where it stands.

use super::Workflow;
use super::step::{Step, StepKind, Within};
use crate::expression::join_pointer;
use crate::id::StepId;

/// The name under which expressions in a loop read its `index` and `count`.
pub const LOOP: &str = "loop";

/// The name under which the `match` of a `wait` reads the event.
pub const EVENT: &str = "event";

/// A step and where it stands in the tree.
#[derive(Debug, Clone)]
pub struct Placed<'w> {
    pub step: &'w Step,
    /// The steps around it with the list of theirs that it is in, outermost first.
    pub around: Vec<(&'w Step, Within<'w>)>,
    /// A JSON Pointer into the document.
    pub pointer: String,
    /// Its place in its own list.
    pub index: usize,
}

impl<'w> Placed<'w> {
    /// The names that expressions of the step read beside the usual ones: those of the loops around it.
    pub fn locals(&self) -> Vec<&'w str> {
        let items = self.around.iter().filter_map(|(step, within)| match &step.kind {
            StepKind::ForEach(each) if *within == Within::Each => Some(each.item_name.as_str()),
            _ => None,
        });
        let names: Vec<_> = items.collect();
        if names.is_empty() { names } else { names.into_iter().chain([LOOP]).collect() }
    }

    /// The loops around it, outermost first.
    pub fn loops(&self) -> impl Iterator<Item = &'w Step> + '_ {
        self.around.iter().filter(|(_, within)| *within == Within::Each).map(|(step, _)| *step)
    }
}

impl Workflow {
    /// Every step, a step before those inside it, in the order of the text.
    pub fn all_steps(&self) -> AllSteps<'_> {
        let mut all = AllSteps { stack: Vec::new() };
        all.push(&self.steps, &[], "/steps");
        all
    }

    /// Finds a step at any depth.
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        find(&self.steps, id)
    }
}

fn find<'w>(steps: &'w [Step], id: &StepId) -> Option<&'w Step> {
    // A line of actions, which most workflows are, is searched without building anything.
    steps
        .iter()
        .find(|step| step.id == *id)
        .or_else(|| steps.iter().find_map(|step| step.lists().into_iter().find_map(|(_, steps)| find(steps, id))))
}

/// See [`Workflow::all_steps`].
#[derive(Debug)]
pub struct AllSteps<'w> {
    /// What is still to come, the next last.
    stack: Vec<Placed<'w>>,
}

impl<'w> AllSteps<'w> {
    fn push(&mut self, steps: &'w [Step], around: &[(&'w Step, Within<'w>)], pointer: &str) {
        let placed = steps.iter().enumerate().rev().map(|(index, step)| Placed {
            step,
            around: around.to_vec(),
            pointer: format!("{pointer}/{index}"),
            index,
        });
        self.stack.extend(placed);
    }
}

impl<'w> Iterator for AllSteps<'w> {
    type Item = Placed<'w>;
    fn next(&mut self) -> Option<Placed<'w>> {
        let placed = self.stack.pop()?;
        for (within, steps) in placed.step.lists().into_iter().rev() {
            let around: Vec<_> = placed.around.iter().copied().chain([(placed.step, within)]).collect();
            self.push(steps, &around, &list_pointer(&placed.pointer, within));
        }
        Some(placed)
    }
}

/// Where a list of the step at `pointer` stands in the document.
pub(super) fn list_pointer(pointer: &str, within: Within<'_>) -> String {
    match within {
        Within::Branch(index) => format!("{pointer}/if/{index}/steps"),
        Within::Else => format!("{pointer}/else"),
        Within::Each => format!("{pointer}/steps"),
        Within::Parallel(name) => join_pointer(&format!("{pointer}/parallel"), name),
        Within::OnTimeout => format!("{pointer}/on_timeout"),
        Within::OnError => format!("{pointer}/on_error/steps"),
    }
}
