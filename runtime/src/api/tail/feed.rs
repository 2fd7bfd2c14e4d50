//! What one client follows, and how far it got.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flowcell_core::id::{RunId, WorkflowId};
use flowcell_core::ports::{StoreError, TailPosition, TailRead};
use flowcell_core::run::event::RunEvent;
use tokio::sync::OwnedSemaphorePermit;

use super::message;
use super::streamed::Pieces;
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

pub(crate) struct Feed {
    app: Arc<App>,
    scope: Scope,
    workflows: HashMap<RunId, WorkflowId>,
    has_begun: bool,
    has_ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    /// Takes one of the places for followers.
    pub(super) fn begin(app: Arc<App>, scope: Scope) -> Result<Self, Problem> {
        let place = Arc::clone(&app.followers).try_acquire_owned().map_err(|_| super::no_place())?;
        Ok(Self { app, scope, workflows: HashMap::new(), has_begun: false, has_ended: false, _place: place })
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
            for recorded in self.app.ports.journal.load(run).await?.iter().filter(|entry| entry.seq >= from) {
                message::entry(text, run, &summary.workflow, (recorded, Some(&recorded.seq.to_string())));
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
                        let entries = match self.app.ports.journal.load(change.run).await {
                            Ok(entries) => entries,
                            // Retention was faster.
                            Err(StoreError::NotFound { .. }) => continue,
                            Err(error) => return Err(error),
                        };
                        let id = change.position.to_string();
                        let range = change.first_seq..change.next_seq;
                        for recorded in entries.iter().filter(|entry| range.contains(&entry.seq)) {
                            let is_last = recorded.seq.saturating_add(1) == change.next_seq;
                            message::entry(text, change.run, &workflow, (recorded, is_last.then_some(id.as_str())));
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

    /// The workflow of a run, if the client wants it.
    async fn wanted(&mut self, run: RunId) -> Result<Option<WorkflowId>, StoreError> {
        let Scope::All { workflow, .. } = &self.scope else { return Ok(None) };
        let found = if let Some(known) = self.workflows.get(&run) {
            known.clone()
        } else {
            let Some(summary) = self.app.ports.runs.get(&self.app.workspace, run).await? else { return Ok(None) };
            if self.workflows.len() >= WORKFLOWS_MAX {
                self.workflows.clear();
            }
            self.workflows.insert(run, summary.workflow.clone());
            summary.workflow
        };
        Ok(workflow.as_ref().is_none_or(|wanted| *wanted == found).then_some(found))
    }
}

impl Pieces for Feed {
    async fn next(self) -> Option<(Bytes, Self)> {
        self.next_piece().await
    }
}
