//! [`Tail`]: what the writer has synced last.

use flowcell_core::id::WorkspaceId;
use flowcell_core::ports::{Changed, Tail, TailPosition, TailRead};

use super::EmbeddedStore;

impl Tail for EmbeddedStore {
    fn end(&self) -> TailPosition {
        self.shared.tail.end()
    }

    fn after(&self, workspace: &WorkspaceId, position: TailPosition, limit: usize) -> TailRead {
        // A workspace without a number has no run; no workspace has number 0.
        let number = self.known_workspace(workspace).unwrap_or(0);
        self.shared.tail.after(&number, position, limit)
    }

    fn grown(&self) -> Changed {
        self.shared.tail.grown()
    }
}
