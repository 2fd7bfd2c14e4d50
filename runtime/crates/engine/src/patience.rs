//! Waiting out a store that is busy or short of space: what has happened must be written down, however long that takes.

use std::time::Duration;

use flowcell_core::ports::{Clock, StoreError};

/// The first wait: a writer's queue of some hundred entries is written in about that time.
const FIRST: Duration = Duration::from_millis(20);
/// The longest: somebody who makes room on a full disk should not wait for us.
const LONGEST: Duration = Duration::from_secs(5);

/// One series of tries of one call.
pub(crate) struct Patience<'c> {
    clock: &'c dyn Clock,
    next: Duration,
}

impl<'c> Patience<'c> {
    pub(crate) fn new(clock: &'c dyn Clock) -> Self {
        Self { clock, next: FIRST }
    }

    /// Whether the same call may succeed later.
    pub(crate) fn covers(error: &StoreError) -> bool {
        match error {
            StoreError::Busy | StoreError::Failed { .. } => true,
            StoreError::Conflict { .. }
            | StoreError::NotFound { .. }
            | StoreError::OtherBody { .. }
            | StoreError::Damaged { .. }
            | StoreError::Refused { .. }
            | StoreError::Stopped => false,
        }
    }

    /// Waits before the next try, longer each time.
    pub(crate) async fn pause(&mut self, doing: &str, error: &StoreError) {
        if self.next >= Duration::from_secs(1) {
            tracing::warn!(%error, doing, "the store cannot do this at the moment; trying again");
        }
        self.clock.sleep_until(self.clock.now() + self.next).await;
        self.next = (self.next * 2).min(LONGEST);
    }
}
