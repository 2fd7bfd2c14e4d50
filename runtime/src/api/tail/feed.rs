//! What one client follows, and how far it got.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flowcell_core::id::{RunId, WorkflowId};
use flowcell_core::ports::{StoreError, TailChange, TailPosition, TailRead};
use flowcell_core::redact::Redactor;
use flowcell_core::run::event::{Recorded, RunEvent};
use flowcell_core::run::fold::RunSummary;
use tokio::sync::OwnedSemaphorePermit;

use super::message;
use super::streamed::Pieces;
use crate::api::redaction;
use crate::app::App;
use crate::http::problem::Problem;

/// A line that says nothing, so that proxies keep a silent connection: the usual idle timeouts begin at 30 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Changes that go into one piece of the answer, and the size at which a piece is sent.
const CHANGES_MAX: usize = 64;
const PIECE_BYTES: usize = 256 * 1024;

/// Runs whose workflow is remembered, so that a run's later entries need no second look.
const WORKFLOWS_MAX: usize = 1_000;

pub(super) enum Scope {
    Run { run: RunId, next_seq: u32, follow: bool },
    All { workflow: Option<WorkflowId>, position: TailPosition },
}

/// What a run follows.
#[derive(Debug, Clone)]
struct Followed {
    id: WorkflowId,
    version: u32,
}

pub(crate) struct Feed {
    app: Arc<App>,
    scope: Scope,
    workflows: HashMap<RunId, Followed>,
    /// What is hidden of the one run, and up to which entry that is known.
    redactor: Option<(Redactor, u32)>,
    has_begun: bool,
    has_ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    /// Takes one of the places for followers.
    pub(super) fn begin(app: Arc<App>, scope: Scope) -> Result<Self, Problem> {
        let place = Arc::clone(&app.followers).try_acquire_owned().map_err(|_| super::no_place())?;
        Ok(Self {
            app,
            scope,
            workflows: HashMap::new(),
            redactor: None,
            has_begun: false,
            has_ended: false,
            _place: place,
        })
    }

    async fn next_piece(mut self) -> Option<(Bytes, Self)> {
        if self.has_ended {
            return None;
        }
        loop {
            let grown = self.app.ports.tail.grown();
            let mut text = String::new();
            if let Err(error) = self.read(&mut text).await {
                tracing::warn!(%error, "a stream of events has ended");
                message::failed(&mut text, "the journal cannot be read at the moment; the server's log has more");
                self.has_ended = true;
            }
            if !std::mem::replace(&mut self.has_begun, true) {
                // So that the client sees at once that it is connected, and how long to wait before it comes again.
                text.insert_str(0, "retry: 1000\n\n");
            }
            if !text.is_empty() {
                return Some((Bytes::from(text), self));
            }
            if self.has_ended {
                return None;
            }
            tokio::select! {
                () = grown => {}
                () = tokio::time::sleep(KEEP_ALIVE) => return Some((Bytes::from_static(b": keep-alive\n\n"), self)),
                () = self.app.closing.cancelled() => return None,
            }
        }
    }

    async fn read(&mut self, text: &mut String) -> Result<(), StoreError> {
        match &self.scope {
            Scope::Run { run, next_seq, follow } => {
                let (run, from, follow) = (*run, *next_seq, *follow);
                self.read_run(text, run, (from, follow)).await
            }
            Scope::All { position, .. } => {
                let position = *position;
                self.read_all(text, position).await
            }
        }
    }

    async fn read_run(&mut self, text: &mut String, run: RunId, (from, follow): (u32, bool)) -> Result<(), StoreError> {
        // A short look keeps the streams of other runs from reading this one's journal again and again.
        let summary = self.app.ports.runs.get(&self.app.workspace, run).await?;
        let Some(summary) = summary else {
            self.has_ended = true;
            return Ok(());
        };
        let mut reached = from;
        if summary.events > from {
            for recorded in self.new_of_run(&summary, from).await? {
                message::entry(text, run, &summary.workflow, (&recorded, Some(&recorded.seq.to_string())));
                reached = recorded.seq.saturating_add(1);
                if matches!(recorded.event, RunEvent::Finished { .. }) {
                    self.has_ended = true;
                }
                if text.len() >= PIECE_BYTES {
                    break;
                }
            }
        }
        let is_whole = reached >= summary.events;
        self.has_ended |= is_whole && (!follow || summary.status.is_final());
        if self.has_ended {
            message::end(text, run);
        }
        self.scope = Scope::Run { run, next_seq: reached, follow };
        Ok(())
    }

    async fn read_all(&mut self, text: &mut String, from: TailPosition) -> Result<(), StoreError> {
        let mut from = from;
        // Until there is something to say, or nothing more to see.
        while text.len() < PIECE_BYTES {
            match self.app.ports.tail.after(&self.app.workspace, from, CHANGES_MAX) {
                TailRead::Cut { oldest } => {
                    message::cut(text, from, oldest);
                    from = oldest;
                }
                TailRead::Changes { changes, reached } => {
                    for change in &changes {
                        let Some(workflow) = self.wanted(change.run).await? else { continue };
                        let entries = match self.changed(change, &workflow).await {
                            Ok(entries) => entries,
                            // Retention was faster.
                            Err(StoreError::NotFound { .. }) => continue,
                            Err(error) => return Err(error),
                        };
                        let id = change.position.to_string();
                        for recorded in &entries {
                            let is_last = recorded.seq.saturating_add(1) == change.next_seq;
                            message::entry(text, change.run, &workflow.id, (recorded, is_last.then_some(id.as_str())));
                        }
                    }
                    if reached == from {
                        break;
                    }
                    from = reached;
                }
            }
        }
        if let Scope::All { position, .. } = &mut self.scope {
            *position = from;
        }
        Ok(())
    }

    /// The entries of the followed run from `from` on, as they are shown. What came before is read once, for what has to be hidden.
    async fn new_of_run(&mut self, summary: &RunSummary, from: u32) -> Result<Vec<Recorded>, StoreError> {
        let journal = &self.app.ports.journal;
        let (mut redactor, known) = if let Some(known) = self.redactor.take() {
            known
        } else {
            let rules = redaction::rules(&self.app, &summary.workflow, summary.version).await?;
            let known = if rules.is_empty() { from } else { 0 };
            (Redactor::new(rules), known)
        };
        let mut entries = journal.load_from(summary.id, known.min(from)).await?;
        let mut learned = known;
        let unknown = entries.iter().position(|entry| entry.seq >= known).and_then(|first| entries.get(first..));
        let unknown = unknown.unwrap_or_default();
        redaction::learn(&self.app, &mut redactor, unknown).await?;
        learned = unknown.last().map_or(learned, |last| last.seq.saturating_add(1));
        entries.retain(|entry| entry.seq >= from);
        for entry in &mut entries {
            redactor.redact(&mut entry.event);
        }
        self.redactor = Some((redactor, learned));
        Ok(entries)
    }

    /// What has changed, as it is shown.
    async fn changed(&self, change: &TailChange, of: &Followed) -> Result<Vec<Recorded>, StoreError> {
        let journal = &self.app.ports.journal;
        let rules = redaction::rules(&self.app, &of.id, of.version).await?;
        // What is to be hidden may have come before.
        let from = if rules.is_empty() { change.first_seq } else { 0 };
        let mut entries = redaction::redacted(&self.app, rules, journal.load_from(change.run, from).await?).await?;
        entries.retain(|entry| (change.first_seq..change.next_seq).contains(&entry.seq));
        Ok(entries)
    }

    /// The workflow of a run, if the client wants it.
    async fn wanted(&mut self, run: RunId) -> Result<Option<Followed>, StoreError> {
        let Scope::All { workflow, .. } = &self.scope else { return Ok(None) };
        let found = if let Some(known) = self.workflows.get(&run) {
            known.clone()
        } else {
            let Some(summary) = self.app.ports.runs.get(&self.app.workspace, run).await? else { return Ok(None) };
            if self.workflows.len() >= WORKFLOWS_MAX {
                self.workflows.clear();
            }
            let found = Followed { id: summary.workflow, version: summary.version };
            self.workflows.insert(run, found.clone());
            found
        };
        Ok(workflow.as_ref().is_none_or(|wanted| *wanted == found.id).then_some(found))
    }
}

impl Pieces for Feed {
    async fn next(self) -> Option<(Bytes, Self)> {
        self.next_piece().await
    }
}
