//! How the process asks the engine to end: once to drain, twice to stop at once.

use tokio_util::sync::CancellationToken;

/// Shared between the signal handler, the engine and whoever reports readiness.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    abort: CancellationToken,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// What a signal means: the first drains, the second aborts.
    pub fn request(&self) {
        if self.drain.is_cancelled() {
            self.abort.cancel();
        }
        self.drain.cancel();
    }

    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Resolves when nothing new is to begin.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Resolves when nothing more is waited for.
    pub async fn aborted(&self) {
        self.abort.cancelled().await;
    }
}
