//! Workflow files ready to run: read, checked, their plugins pinned.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flowcell_core::id::WorkflowId;
use flowcell_core::plugin::{Pin, Uses};
use flowcell_core::ports::Catalog;
use flowcell_core::workflow::parse::Authored;
use flowcell_core::workflow::problem::Problem;
use flowcell_core::workflow::{self, StepKind, Workflow};

use super::{Ready, Stage};
use crate::cli::input;
use crate::publish;

/// Why a file cannot run.
#[derive(Debug)]
pub(crate) enum NotReady {
    /// It cannot be read at all.
    Unreadable(anyhow::Error),
    /// It is wrong in these places.
    Wrong { file: String, problems: Vec<Problem> },
}

/// Reads a workflow and checks it as a server would.
pub(crate) fn read(file: &Path, stage: &Stage) -> Result<Ready, NotReady> {
    let source = input::read_workflow(file).map_err(NotReady::Unreadable)?;
    of(&source, stage).map_err(|problems| NotReady::Wrong { file: file.display().to_string(), problems })
}

/// The same for a text.
pub(crate) fn of(source: &str, stage: &Stage) -> Result<Ready, Vec<Problem>> {
    let workflow = workflow::check(source, stage.catalog(), stage.grants())?;
    let pins = pins(&workflow, stage.catalog());
    Ok(Ready { workflow, source: source.to_owned(), pins })
}

/// What each `uses` means today; the check has found them all.
fn pins(workflow: &Workflow, catalog: &dyn Catalog) -> BTreeMap<Uses, Pin> {
    let plugins = workflow.uses().filter_map(|(_, uses)| Some((uses.clone(), catalog.resolve(uses).ok()?)));
    publish::pins(&plugins.collect())
}

/// The workflows that `ready` names and that lie beside it, and those that they name.
pub(crate) fn beside(file: &Path, ready: &Ready, stage: &Stage) -> Result<Vec<Ready>, NotReady> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found: Vec<Ready> = Vec::new();
    let mut wanted = named(&ready.workflow);
    let files = if wanted.is_empty() { Vec::new() } else { workflows_in(folder) };
    while let Some(id) = wanted.pop() {
        if id == ready.workflow.id || found.iter().any(|ready| ready.workflow.id == id) {
            continue;
        }
        let Some((file, _)) = files.iter().find(|(_, found)| *found == id) else { continue };
        let other = read(file, stage)?;
        wanted.extend(named(&other.workflow));
        found.push(other);
    }
    Ok(found)
}

/// The workflows that it calls, and its error workflow.
fn named(workflow: &Workflow) -> Vec<WorkflowId> {
    let calls = workflow.all_steps().filter_map(|placed| match &placed.step.kind {
        StepKind::Call(call) => Some(call.workflow.clone()),
        _ => None,
    });
    calls.chain(workflow.settings.on_failure.clone()).collect()
}

fn workflows_in(folder: &Path) -> Vec<(PathBuf, WorkflowId)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| is_yaml(path)).collect();
    files.sort();
    let id = |file: &PathBuf| Some(Authored::parse(&input::read_workflow(file).ok()?).ok()?.workflow.id);
    files.into_iter().filter_map(|file| id(&file).map(|id| (file, id))).collect()
}

pub(crate) fn is_yaml(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|text| matches!(text, "yaml" | "yml" | "json"))
}
