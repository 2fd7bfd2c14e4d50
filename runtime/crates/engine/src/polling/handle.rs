//! What others ask of the poller while it works.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use flowcell_core::id::{ConnectionName, WorkflowId, WorkspaceId};
use flowcell_core::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::{Place, PollOutcome};

/// Asks that may wait: they are answered between two polls, in microseconds.
const ASKS_MAX: usize = 64;

/// Clones are the same.
#[derive(Clone)]
pub struct PollHandle {
    asks: mpsc::Sender<Ask>,
    /// Until a poller takes it.
    waiting: Arc<Mutex<Option<mpsc::Receiver<Ask>>>>,
}

pub(super) enum Ask {
    Now { place: Place, reply: oneshot::Sender<PollOutcome> },
    Reconnected { connection: ConnectionName, at: Timestamp },
}

/// There is nobody who could tell: the trigger is not polled, or no poller works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this workflow's trigger is not polled")]
pub struct NotPolled;

impl Default for PollHandle {
    fn default() -> Self {
        let (asks, waiting) = mpsc::channel(ASKS_MAX);
        Self { asks, waiting: Arc::new(Mutex::new(Some(waiting))) }
    }
}

impl PollHandle {
    /// Asks the trigger now, whenever its time is; returns what became of that poll, or of one that was under way.
    pub async fn poll_now(&self, workspace: &WorkspaceId, workflow: &WorkflowId) -> Result<PollOutcome, NotPolled> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Now { place: (workspace.clone(), workflow.clone()), reply };
        self.asks.send(ask).await.map_err(|_| NotPolled)?;
        answer.await.map_err(|_| NotPolled)
    }

    /// The owner of a connection acted at `at`: triggers that were refused before go on.
    pub async fn reconnected(&self, connection: &ConnectionName, at: Timestamp) {
        // A poller that is gone needs no telling.
        drop(self.asks.send(Ask::Reconnected { connection: connection.clone(), at }).await);
    }

    pub(super) fn asks(&self) -> Asks {
        Asks(self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take())
    }
}

/// The poller's end.
#[derive(Debug)]
pub(super) struct Asks(Option<mpsc::Receiver<Ask>>);

impl Asks {
    /// The next one; never, if nobody is left to ask.
    pub(super) async fn next(&mut self) -> Ask {
        match &mut self.0 {
            Some(asks) => match asks.recv().await {
                Some(ask) => ask,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

impl fmt::Debug for PollHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PollHandle")
    }
}
