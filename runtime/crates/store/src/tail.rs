//! The newest changes in memory, for whoever follows: a ring that the writer fills after its sync, and that nobody can hold up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flowcell_core::id::RunId;
use flowcell_core::ports::{Changed, TailChange, TailPosition, TailRead};
use tokio::sync::Notify;

/// Changes that are kept: a minute and more of a busy instance (200 a second), in less than a megabyte. Whoever is further
/// behind is told so.
const CHANGES_MAX: usize = 16_384;

/// `W` names a workspace.
#[derive(Debug)]
pub(crate) struct Ring<W> {
    state: Mutex<State<W>>,
    grown: Arc<Notify>,
}

#[derive(Debug)]
struct State<W> {
    /// What is known begins here.
    oldest: TailPosition,
    end: TailPosition,
    changes: VecDeque<(W, TailChange)>,
}

/// Entries that have become durable: of which run, from `first_seq` to before `next_seq`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grown<W> {
    pub(crate) workspace: W,
    pub(crate) run: RunId,
    pub(crate) first_seq: u32,
    pub(crate) next_seq: u32,
}

impl<W: PartialEq> Ring<W> {
    /// An empty ring after group `group`.
    pub(crate) fn new(group: u64) -> Self {
        let start = TailPosition { group, index: u32::MAX };
        Self {
            state: Mutex::new(State { oldest: start, end: start, changes: VecDeque::new() }),
            grown: Arc::new(Notify::new()),
        }
    }

    /// Takes in what group `group` has made durable; groups come in their order.
    pub(crate) fn push(&self, group: u64, grown: impl IntoIterator<Item = Grown<W>>) {
        let mut has_grown = false;
        {
            let mut state = self.state();
            for (index, Grown { workspace, run, first_seq, next_seq }) in (0..).zip(grown) {
                has_grown = true;
                let position = TailPosition { group, index };
                state.changes.push_back((workspace, TailChange { position, run, first_seq, next_seq }));
                state.end = position;
            }
            while state.changes.len() > CHANGES_MAX {
                if let Some((_, dropped)) = state.changes.pop_front() {
                    state.oldest = dropped.position;
                }
            }
        }
        if has_grown {
            self.grown.notify_waiters();
        }
    }

    pub(crate) fn end(&self) -> TailPosition {
        self.state().end
    }

    pub(crate) fn after(&self, workspace: &W, position: TailPosition, limit: usize) -> TailRead {
        let state = self.state();
        if position < state.oldest || position > state.end {
            return TailRead::Cut { oldest: state.oldest };
        }
        let from = state.changes.partition_point(|(_, change)| change.position <= position);
        let mut reached = state.end;
        let mut changes = Vec::new();
        for (whose, change) in state.changes.range(from..) {
            if changes.len() == limit {
                break;
            }
            reached = change.position;
            if whose == workspace {
                changes.push(*change);
            }
        }
        TailRead::Changes { changes, reached }
    }

    pub(crate) fn grown(&self) -> Changed {
        // `notify_waiters` reaches every future made before it, polled or not: that is the subscription.
        Box::pin(Arc::clone(&self.grown).notified_owned())
    }

    fn state(&self) -> MutexGuard<'_, State<W>> {
        // Nothing under the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(workspace: u32, number: u8) -> Grown<u32> {
        Grown { workspace, run: RunId::from_bytes([number; 16]), first_seq: 0, next_seq: 1 }
    }

    #[test]
    fn a_follower_goes_on_where_it_was_and_sees_its_own_workspace() {
        let ring = Ring::new(7);
        let start = ring.end();
        ring.push(8, [grown(1, 1), grown(2, 2), grown(1, 3)]);
        let TailRead::Changes { changes, reached } = ring.after(&1, start, 1) else { panic!("cut") };
        assert_eq!((changes.len(), reached.to_string().as_str()), (1, "8.0"));
        let TailRead::Changes { changes, reached } = ring.after(&1, reached, 9) else { panic!("cut") };
        assert_eq!(changes.iter().map(|change| change.position.to_string()).collect::<Vec<_>>(), ["8.2"]);
        assert_eq!(ring.after(&1, reached, 9), TailRead::Changes { changes: Vec::new(), reached });
    }

    #[test]
    fn who_is_too_far_behind_or_ahead_is_told() {
        let ring = Ring::new(0);
        let start = ring.end();
        for group in 1..=2 {
            ring.push(group, (0..CHANGES_MAX).map(|_| grown(1, 1)));
        }
        let oldest = TailPosition { group: 1, index: u32::try_from(CHANGES_MAX).unwrap() - 1 };
        assert_eq!(ring.after(&1, start, 1), TailRead::Cut { oldest });
        assert!(matches!(ring.after(&1, oldest, 1), TailRead::Changes { .. }));
        let future = TailPosition { group: 99, index: 0 };
        assert_eq!(ring.after(&1, future, 1), TailRead::Cut { oldest }, "of another store");
    }
}
