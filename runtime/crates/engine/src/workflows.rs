//! Compiled workflow versions: read, parsed and compiled once, then shared by their runs. A version never changes, so an entry is never stale.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use flowcell_core::id::{WorkflowId, WorkspaceId};
use flowcell_core::manifest::schema;
use flowcell_core::plugin::{Pin, Uses};
use flowcell_core::ports::{Catalog, StoreError, WorkflowVersion};
use flowcell_core::redact::RedactionRules;
use flowcell_core::run::fold::Run;
use flowcell_core::workflow::compiled::CompiledWorkflow;
use flowcell_core::workflow::parse::Authored;
use flowcell_core::workflow::problem::Problem;
use flowcell_core::workflow::schema::readable;
use flowcell_core::workflow::text::Located;
use tokio::sync::OnceCell;

use crate::engine::Ports;
use crate::patience::Patience;

/// Why a run's workflow version cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum WorkflowError {
    #[error("the store refused")]
    Store(#[from] StoreError),
    #[error("version {version} of workflow `{workflow}` is not in the store; restore it from a backup")]
    Missing { workflow: WorkflowId, version: u32 },
    #[error(
        "version {version} of workflow `{workflow}` cannot be read by this Flowcell ({problems}); start the Flowcell that accepted it, or a newer one"
    )]
    Unreadable { workflow: WorkflowId, version: u32, problems: String },
}

/// A workflow version ready to run, or as much of it as is needed to say what is wrong.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Without steps when `broken`.
    pub(crate) compiled: CompiledWorkflow,
    /// Why its steps cannot be attempted: a plugin is gone.
    pub(crate) broken: Option<String>,
    /// The version that each `call` without one starts.
    pub(crate) calls: BTreeMap<WorkflowId, u32>,
    /// The plugins it is bound to.
    pub(crate) pins: BTreeMap<Uses, Pin>,
    /// The workflow's `input`, if it says what it takes.
    pub(crate) input: Option<jsonschema::Validator>,
    /// Whether an expression of it may read `contact`: whether the word stands in it.
    pub(crate) names_contacts: bool,
    /// What is left out of the records of its calls.
    pub(crate) redaction: Arc<RedactionRules>,
    /// Where each part stands in its text.
    located: Located,
}

/// A place in a workflow's text, for people: `steps[2].with.sheet, line 14`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextPlace {
    pub(crate) path: String,
    pub(crate) line: usize,
}

impl fmt::Display for TextPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.path, self.line)
    }
}

impl Prepared {
    /// Where the value at `pointer` stands; the nearest place around it where the text does not have it.
    pub(crate) fn place(&self, pointer: &str) -> TextPlace {
        let path = readable(pointer).trim_matches('`').to_owned();
        TextPlace { path, line: self.located.value_position(pointer).line }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    workspace: WorkspaceId,
    workflow: WorkflowId,
    version: u32,
}

/// Many runs may ask for a version at the same moment: the first one compiles, the others wait for it.
type Cell = Arc<OnceCell<Arc<Prepared>>>;

pub(crate) struct Workflows {
    entries_max: usize,
    redacted_names: Arc<[String]>,
    /// Held for look-ups only.
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    cells: HashMap<Key, (u64, Cell)>,
    /// Counts look-ups: an entry's number says when it was last used.
    uses: u64,
}

impl Workflows {
    pub(crate) fn new(entries_max: usize, redacted_names: Arc<[String]>) -> Self {
        Self { entries_max: entries_max.max(1), redacted_names, entries: Mutex::default() }
    }

    /// The version that `run` is pinned to.
    pub(crate) async fn get(&self, ports: &Ports, run: &Run) -> Result<Arc<Prepared>, WorkflowError> {
        self.version(ports, &run.workspace, (&run.workflow, run.version)).await
    }

    pub(crate) async fn version(
        &self,
        ports: &Ports,
        workspace: &WorkspaceId,
        (workflow, version): (&WorkflowId, u32),
    ) -> Result<Arc<Prepared>, WorkflowError> {
        let key = Key { workspace: workspace.clone(), workflow: workflow.clone(), version };
        let cell = self.cell(&key);
        let prepared = cell.get_or_try_init(|| read(ports, &key, &self.redacted_names)).await?;
        if prepared.broken.is_some() {
            self.lock().cells.remove(&key); // what is missing may come back
        }
        Ok(Arc::clone(prepared))
    }

    fn cell(&self, key: &Key) -> Cell {
        let mut entries = self.lock();
        entries.uses += 1;
        let now = entries.uses;
        if let Some((used, cell)) = entries.cells.get_mut(key) {
            *used = now;
            return Arc::clone(cell);
        }
        if entries.cells.len() >= self.entries_max {
            let oldest = entries.cells.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            oldest.and_then(|key| entries.cells.remove(&key));
        }
        let cell = Cell::default();
        entries.cells.insert(key.clone(), (now, Arc::clone(&cell)));
        cell
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        // No code that holds the lock can panic half-way through a change.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Workflows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflows").field("entries_max", &self.entries_max).finish_non_exhaustive()
    }
}

async fn read(ports: &Ports, key: &Key, redacted_names: &[String]) -> Result<Arc<Prepared>, WorkflowError> {
    let mut patience = Patience::new(&*ports.clock);
    let version = loop {
        match ports.definitions.version(&key.workspace, &key.workflow, key.version).await {
            Err(error) if Patience::covers(&error) => patience.pause("reading a workflow version", &error).await,
            result => break result?,
        }
    };
    let missing = || WorkflowError::Missing { workflow: key.workflow.clone(), version: key.version };
    prepare(&version.ok_or_else(missing)?, &*ports.catalog, redacted_names).map(Arc::new)
}

fn prepare(
    version: &WorkflowVersion,
    catalog: &dyn Catalog,
    redacted_names: &[String],
) -> Result<Prepared, WorkflowError> {
    let Authored { workflow, located } = Authored::parse(&version.source).map_err(|problems| {
        WorkflowError::Unreadable { workflow: version.id.clone(), version: version.version, problems: join(&problems) }
    })?;
    // By digest, never by name: what the name stands for today is another question.
    let manifest = |uses: &Uses| {
        let pin = version.pins.get(uses)?;
        catalog.by_digest(&pin.digest).map(|plugin| Arc::new(plugin.manifest.clone()))
    };
    let (calls, pins) = (version.calls.clone(), version.pins.clone());
    let input = workflow.input.as_ref().map(schema::compile).transpose();
    let compiled = CompiledWorkflow::compile(workflow.clone(), manifest).map_err(|problems| join(&problems));
    let (compiled, input, broken) = match (compiled, input) {
        (Ok(compiled), Ok(input)) => (compiled, input, None),
        (Err(problems), _) => (CompiledWorkflow::without_steps(workflow), None, Some(problems)),
        (_, Err(error)) => (CompiledWorkflow::without_steps(workflow), None, Some(format!("/input: {error}"))),
    };
    let hidden = compiled.workflow.settings.redact.iter().cloned();
    let redaction = Arc::new(RedactionRules::new(redacted_names, hidden));
    let names_contacts = version.source.contains("contact");
    Ok(Prepared { compiled, broken, calls, pins, input, names_contacts, redaction, located })
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.message)).collect::<Vec<_>>().join("; ")
}
