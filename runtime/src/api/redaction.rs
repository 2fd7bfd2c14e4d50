//! What nobody is shown of runs: the operator's rules and those of the workflow, of the version that a run follows and of the one that is
//! published now, so that a rule that is added later hides what is there already.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use flowcell_core::id::{RunId, WorkflowId};
use flowcell_core::ports::StoreError;
use flowcell_core::redact::{RedactionRules, Redactor};
use flowcell_core::run::event::{Recorded, RunEvent, StepError};
use flowcell_core::run::fold::RunSummary;
use flowcell_core::search::FieldMatch;
use flowcell_core::workflow::parse::Authored;
use flowcell_core::workflow::settings::Settings;
use serde_json::{Value, json};

use crate::app::App;

/// Versions whose settings are remembered; some hundred bytes each.
const VERSIONS_MAX: usize = 10_000;

/// Changes of a contact whose values are hidden, too: more than happen to one during a run.
const CHANGES_MAX: usize = 100;

/// The settings that were read, by workflow and version. A version never changes.
#[derive(Debug, Default)]
pub(crate) struct Redactions {
    /// Held for look-ups only.
    read: Mutex<HashMap<(WorkflowId, u32), Arc<Settings>>>,
}

/// The rules for the runs of a version.
pub(crate) async fn rules(app: &App, workflow: &WorkflowId, version: u32) -> Result<Arc<RedactionRules>, StoreError> {
    let published = app.ports.definitions.head(&app.workspace, workflow).await?.and_then(|head| head.published);
    let own = settings(app, workflow, version).await?;
    let now = match published.filter(|published| *published != version) {
        Some(published) => Some(settings(app, workflow, published).await?),
        None => None,
    };
    Ok(Arc::new(app.control.redaction_rules([Some(&*own), now.as_deref()].into_iter().flatten())))
}

async fn settings(app: &App, workflow: &WorkflowId, version: u32) -> Result<Arc<Settings>, StoreError> {
    let key = (workflow.clone(), version);
    let lock = || app.redactions.read.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lock().get(&key) {
        return Ok(Arc::clone(known));
    }
    let stored = app.ports.definitions.version(&app.workspace, workflow, version).await?;
    // A text that cannot be read has started no run of this Flowcell; the operator's rules hold all the same.
    let read = stored.and_then(|stored| Authored::parse(&stored.source).ok());
    let settings = Arc::new(read.map(|read| read.workflow.settings).unwrap_or_default());
    let mut known = lock();
    if known.len() >= VERSIONS_MAX {
        known.clear(); // rare, and cheaper than bookkeeping
    }
    known.insert(key, Arc::clone(&settings));
    Ok(settings)
}

/// A whole journal as it is shown.
pub(crate) async fn redacted(
    app: &App,
    rules: Arc<RedactionRules>,
    mut entries: Vec<Recorded>,
) -> Result<Vec<Recorded>, StoreError> {
    let mut redactor = Redactor::new(rules);
    learn(app, &mut redactor, &entries).await?;
    for entry in &mut entries {
        redactor.redact(&mut entry.event);
    }
    Ok(entries)
}

/// Takes in what has happened, and what the contacts of the run are and were: expressions read them, and no entry has them.
pub(crate) async fn learn(app: &App, redactor: &mut Redactor, entries: &[Recorded]) -> Result<(), StoreError> {
    if !redactor.has_rules() {
        return Ok(());
    }
    let mut contacts = BTreeSet::new();
    for entry in entries {
        redactor.learn(&entry.event);
        contacts.extend(match &entry.event {
            RunEvent::Created { origin, .. } => origin.contact,
            RunEvent::ContactEnrolled { contact, .. } => Some(*contact),
            _ => None,
        });
    }
    for id in contacts {
        if let Some(contact) = app.ports.contacts.get(&app.workspace, id).await? {
            redactor.learn_contact(&contact.document());
        }
        for change in app.ports.contacts.history(&app.workspace, id, (None, CHANGES_MAX)).await? {
            for (path, values) in change.fields {
                for value in [values.from, values.to].into_iter().flatten() {
                    redactor.learn_contact(&nested(&path, value));
                }
            }
        }
    }
    Ok(())
}

/// `{"fields": {"plan": value}}` of `fields.plan`.
fn nested(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |below, name| json!({ name: below }))
}

/// Hides in what is said of a failed run's error what is hidden of the run.
pub(crate) async fn hide_in_error(
    app: &App,
    (run, workflow, version): (RunId, &WorkflowId, u32),
    error: &mut StepError,
) -> Result<(), StoreError> {
    let mut redactor = Redactor::new(rules(app, workflow, version).await?);
    if redactor.has_rules() {
        learn(app, &mut redactor, &load(app, run).await?.unwrap_or_default()).await?;
    }
    redactor.redact_error(error);
    Ok(())
}

/// Whether a run is found by this field as it is shown: nobody learns from a search what stands behind a rule.
pub(crate) async fn is_found_by(app: &App, run: &RunSummary, field: &FieldMatch) -> Result<bool, StoreError> {
    let rules = rules(app, &run.workflow, run.version).await?;
    if rules.is_empty() {
        return Ok(true);
    }
    let entries = match load(app, run.id).await? {
        Some(entries) => redacted(app, rules, entries).await?,
        None => return Ok(false), // retention was faster
    };
    Ok(entries.iter().any(|entry| field.is_met_by(&entry.event)))
}

async fn load(app: &App, run: RunId) -> Result<Option<Vec<Recorded>>, StoreError> {
    match app.ports.journal.load(run).await {
        Ok(entries) => Ok(Some(entries)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
