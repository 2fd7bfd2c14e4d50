//! Plugins that crash again and again are not called any more: their runs park, and go on when somebody lets the plugin out.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flowcell_core::id::Digest;
use flowcell_core::invoke::{Invocation, InvokeError};

/// Counts, per plugin digest, the calls in a row that the sandbox had to end. A new start forgets the counts: a plugin that is still
/// poisonous is back here after as many calls.
pub(crate) struct Quarantine {
    /// After this many in a row.
    after: u32,
    /// Held for look-ups only.
    failures: Mutex<HashMap<Digest, u32>>,
}

impl Quarantine {
    pub(crate) fn new(after: u32) -> Self {
        Self { after: after.max(1), failures: Mutex::default() }
    }

    /// Takes note of how a call ended.
    pub(crate) fn judge<T>(&self, digest: Digest, invocation: &Invocation<T>) {
        let mut failures = self.lock();
        if is_poisonous(invocation) {
            let count = failures.entry(digest).or_default();
            *count = count.saturating_add(1);
            if *count == self.after {
                tracing::error!(%digest, crashes = *count, "a plugin is quarantined: its runs park until it is released");
            }
        } else if !matches!(&invocation.outcome, Err(InvokeError::Busy { .. } | InvokeError::Unavailable { .. })) {
            failures.remove(&digest);
        }
    }

    pub(crate) fn holds(&self, digest: &Digest) -> bool {
        self.lock().get(digest).is_some_and(|count| *count >= self.after)
    }

    pub(crate) fn release(&self, digest: &Digest) {
        self.lock().remove(digest);
    }

    pub(crate) fn list(&self) -> Vec<Digest> {
        let mut held: Vec<_> =
            self.lock().iter().filter(|(_, count)| **count >= self.after).map(|(digest, _)| *digest).collect();
        held.sort_unstable();
        held
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, u32>> {
        // No code that holds the lock can panic half-way through a change.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the sandbox had to end the call for what the plugin itself did. A deadline counts when nothing else was waited for:
/// a slow receiver is no fault of the plugin that every workflow uses.
fn is_poisonous<T>(invocation: &Invocation<T>) -> bool {
    match &invocation.outcome {
        Err(
            InvokeError::Trapped { .. }
            | InvokeError::CpuExhausted { .. }
            | InvokeError::MemoryExhausted { .. }
            | InvokeError::LimitExceeded { .. },
        ) => true,
        Err(InvokeError::DeadlineExceeded { .. }) => {
            invocation.record.http.is_empty() && invocation.record.cpu_ms > 0.0
        }
        _ => false,
    }
}

impl fmt::Debug for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quarantine").field("held", &self.list()).finish_non_exhaustive()
    }
}
