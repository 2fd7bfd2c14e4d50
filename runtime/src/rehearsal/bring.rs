//! What comes from outside during a rehearsal: the events, the opened links and the ended calls that are pinned.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use flowcell_core::id::{RunId, StepRef, WorkflowId, WorkspaceId};
use flowcell_core::ports::{Append, Durability, Journal, RunFilter, RunIndex};
use flowcell_core::run::event::{Detail, Outcome, Recorded, RunEvent, StepError};
use flowcell_core::run::fold::{Phase, Run};
use flowcell_core::run::state::Control;
use flowcell_core::testcase::{Pinned, Pins};
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::StepKind;
use flowcell_core::workflow::parse::Authored;
use flowcell_engine::RunControl;
use flowcell_store::memory::MemoryStore;
use serde_json::Value;

use super::{Ready, Script, load};

/// Brings what is pinned when its time has come.
pub(super) struct Prompter<'s> {
    run: RunId,
    pins: &'s Pins,
    store: Arc<MemoryStore>,
    control: RunControl,
    /// Workflows that are only stood in for.
    stubs: BTreeSet<WorkflowId>,
    /// Places whose pin has been brought, taken or not.
    brought: BTreeSet<StepRef>,
    notes: Vec<String>,
}

pub(super) enum Next {
    /// Something was brought.
    Brought,
    /// Something is to be brought then.
    At(Timestamp),
    Nothing,
}

impl<'s> Prompter<'s> {
    pub(super) fn new(run: RunId, script: &'s Script<'_>, store: &Arc<MemoryStore>, control: RunControl) -> Self {
        Self {
            run,
            pins: &script.pins,
            store: Arc::clone(store),
            control,
            stubs: stood_in(script).into_iter().collect(),
            brought: BTreeSet::new(),
            notes: Vec::new(),
        }
    }

    /// Whether the run and all it has led to have ended. A stand-in for a called workflow never does; its caller has been told.
    pub(super) async fn is_over(&self) -> Result<bool> {
        let filter = RunFilter::default();
        let runs = self.store.list(&WorkspaceId::default_workspace(), filter, None, super::RUNS_MAX).await?;
        let has_ended = runs.iter().any(|run| run.id == self.run && run.status.is_final());
        Ok(has_ended && runs.iter().all(|run| run.status.is_final() || self.stubs.contains(&run.workflow)))
    }

    /// Brings the first thing whose time has come, or says when the next is.
    pub(super) async fn next(&mut self, now: Timestamp) -> Result<Next> {
        let run = load(&self.store, self.run).await?;
        if run.outcome.is_some() {
            return Ok(Next::Nothing);
        }
        let waiting = run.open().filter_map(|(step, state)| Some((step.clone(), state.control.as_deref()?.clone())));
        let mut next: Option<Timestamp> = None;
        for (step, control) in waiting.collect::<Vec<_>>() {
            if control.arrival.is_some() || control.has_timed_out || self.brought.contains(&step) {
                continue;
            }
            let Some((pinned, due)) = self.due(&step, &control) else { continue };
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
                continue;
            }
            self.brought.insert(step.clone());
            self.bring(run, &step, &control, (pinned, now)).await?;
            return Ok(Next::Brought);
        }
        Ok(next.map_or(Next::Nothing, Next::At))
    }

    /// What is pinned for a wait or call, and when it comes.
    fn due(&self, step: &StepRef, control: &Control) -> Option<(Pinned, Timestamp)> {
        let pinned = self.pins.attempt(step, 1)?;
        let after_ms = match (&control.detail, pinned) {
            (Detail::Waiting { event: Some(_), .. }, Pinned::Event { after_ms, .. })
            | (Detail::Waiting { resume: true, .. }, Pinned::Resume { after_ms, .. }) => *after_ms,
            (Detail::Called { .. }, Pinned::Output(_) | Pinned::Error(_)) => 0,
            _ => return None,
        };
        Some((pinned.clone(), control.entered_at + Duration::from_millis(after_ms)))
    }

    async fn bring(&mut self, run: Run, step: &StepRef, control: &Control, due: (Pinned, Timestamp)) -> Result<()> {
        let (pinned, now) = due;
        match (pinned, &control.detail) {
            (Pinned::Event { payload, .. }, Detail::Waiting { event: Some(name), .. }) => {
                let workspace = WorkspaceId::default_workspace();
                let taken = self.control.emit_event(&workspace, name, payload).await?;
                if !taken.iter().any(|(at, place)| *at == self.run && place == step) {
                    self.notes.push(format!("the event pinned for step `{step}` came, and its `match` did not hold"));
                }
            }
            (Pinned::Resume { payload, .. }, _) => {
                let token = self.control.resume_token(self.run, step);
                self.control.resume(self.run, step, &token, payload).await?;
            }
            (Pinned::Output(output), _) => self.end_call(run, (step, now), Outcome::Succeeded, output).await?,
            (Pinned::Error(error), _) => {
                let failed = StepError { details: error.details, ..StepError::permanent(&error.code, error.message) };
                let outcome = Outcome::Failed { step: step.clone(), error: failed };
                self.end_call(run, (step, now), outcome, Value::Null).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Tells a `call` how it ended, as the called run does.
    async fn end_call(&self, mut run: Run, at: (&StepRef, Timestamp), outcome: Outcome, output: Value) -> Result<()> {
        let (step, now) = at;
        let event = RunEvent::ChildEnded { step: step.clone(), outcome, output };
        let recorded = Recorded { seq: run.next_seq, at: now, event };
        run.apply(&recorded)?;
        let append =
            Append { run: self.run, entries: vec![recorded], summary: run.summary(), durability: Durability::Synced };
        Ok(self.store.append(append).await?)
    }
}

impl Prompter<'_> {
    /// What a person should know of a run that has ended.
    pub(super) fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// The same for a run for which nothing happens any more.
    pub(super) async fn notes_on_rest(&mut self) -> Result<Vec<String>> {
        let run = load(&self.store, self.run).await?;
        let mut notes = self.notes();
        for (step, state) in run.open().filter(|_| run.outcome.is_none()) {
            let why = match (&state.phase, state.control.as_deref().map(|control| &control.detail)) {
                (Phase::Parked { reason }, _) => format!("step `{step}` is parked: {reason}"),
                (_, Some(Detail::Waiting { event: Some(name), .. })) => format!(
                    "step `{step}` waits for the event `{name}` without a timeout; pin it in a test case: pin: {{ {step}: {{ event: {{ … }} }} }}"
                ),
                (_, Some(Detail::Waiting { resume: true, .. })) => format!(
                    "step `{step}` waits for its resume link without a timeout; pin it in a test case: pin: {{ {step}: {{ resume: {{ … }} }} }}"
                ),
                (_, Some(Detail::Called { workflow, .. })) => {
                    format!("step `{step}` waits for the run of `{workflow}` that it called")
                }
                _ => continue,
            };
            notes.push(why);
        }
        Ok(notes)
    }
}

/// The workflows whose calls are all pinned, so that they need not be there.
fn stood_in(script: &Script<'_>) -> Vec<WorkflowId> {
    let mut ids: Vec<WorkflowId> = Vec::new();
    for placed in script.workflow.workflow.all_steps() {
        let StepKind::Call(call) = &placed.step.kind else { continue };
        let place = StepRef::from(placed.step.id.clone());
        let is_pinned = matches!(script.pins.attempt(&place, 1), Some(Pinned::Output(_) | Pinned::Error(_)));
        if is_pinned && !ids.contains(&call.workflow) {
            ids.push(call.workflow.clone());
        }
    }
    ids
}

/// Workflows that wait for ever, in the place of those whose calls are pinned: the caller is told how they end.
pub(super) fn stubs(script: &Script<'_>) -> Result<Vec<Ready>> {
    let stub = |id: WorkflowId| {
        let source = format!(
            "id: {id}\nname: Stand-in\ntrigger: {{ manual: true }}\nsteps: [{{ id: pinned, wait: {{ resume: true }} }}]\n"
        );
        let authored = Authored::parse(&source).ok().context("a stand-in is a workflow")?;
        Ok(Ready { workflow: authored.workflow, source, pins: std::collections::BTreeMap::new() })
    };
    stood_in(script).into_iter().map(stub).collect()
}
