//! What the writer is given, each checked and encoded by its caller.

use std::collections::HashSet;

use flowcell_core::connection::StoredConnection;
use flowcell_core::contact::decide::{ContactWrite, Refusal};
use flowcell_core::contact::port::Written;
use flowcell_core::id::{ConnectionName, EventId, RunId, WorkspaceId};
use flowcell_core::ports::{Accepted, HookBinding, ScheduleCursor, StoreError, WorkflowVersion};
use tokio::sync::oneshot;

use super::{DeliveredRows, TriggerWrite};
use crate::embedded::blocks::Ended;
use crate::embedded::group::Row;
use crate::embedded::shared::StoredHead;
use crate::embedded::tables::{Table, WorkspaceNumber};
use crate::embedded::tracker::Effect;
use crate::tail::Grown;

/// Where a write is answered. Dropped without an answer when the store stops.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A write, checked and encoded by its caller.
#[derive(Debug)]
pub(crate) enum Write {
    Accept(Box<AcceptWrite>),
    Append(AppendWrite),
    Define(Box<DefineWrite>),
    Remove(Box<RemoveWrite>),
    Cursor(Box<CursorWrite>),
    Connection(Box<ConnectionWrite>),
    Rows(Box<RowsWrite>),
    Trigger(Box<TriggerWrite>),
    Rotate(Box<RotateWrite>),
    Contact(Box<ContactsWrite>),
    /// Gives a workspace its number.
    Workspace {
        name: WorkspaceId,
        reply: Reply<WorkspaceNumber>,
    },
    Release {
        run: RunId,
    },
    /// Gives the space of removed records back, if it is worth it.
    Compact {
        reply: Reply<u64>,
    },
    /// Everything queued is durable when this is answered; nothing is queued after it.
    Close {
        reply: Reply<()>,
    },
}

impl Write {
    pub(super) fn is_awaited(&self) -> bool {
        match self {
            Self::Accept(_)
            | Self::Define(_)
            | Self::Remove(_)
            | Self::Cursor(_)
            | Self::Connection(_)
            | Self::Rows(_)
            | Self::Trigger(_)
            | Self::Rotate(_)
            | Self::Contact(_)
            | Self::Workspace { .. }
            | Self::Compact { .. }
            | Self::Close { .. } => true,
            Self::Append(append) => append.reply.is_some(),
            Self::Release { .. } => false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct AcceptWrite {
    pub(crate) delivered: DeliveredRows,
    pub(crate) reply: Reply<Accepted>,
}

#[derive(Debug)]
pub(crate) struct AppendWrite {
    pub(crate) rows: Vec<Row>,
    pub(crate) effect: Effect,
    /// The entries, for whoever follows.
    pub(crate) grown: Grown<WorkspaceNumber>,
    /// What the index gets, when the run ends.
    pub(crate) ended: Option<Box<Ended>>,
    /// Absent: nobody waits for the sync.
    pub(crate) reply: Option<Reply<()>>,
}

#[derive(Debug)]
pub(crate) struct DefineWrite {
    pub(crate) rows: Vec<Row>,
    pub(crate) version: WorkflowVersion,
    pub(crate) head: StoredHead,
    pub(crate) hook: HookBinding,
    pub(crate) reply: Reply<()>,
}

/// What goes, and what changes with it.
#[derive(Debug)]
pub(crate) struct RemoveWrite {
    pub(crate) workspace: WorkspaceNumber,
    pub(crate) remove: Vec<(Table, sled::IVec)>,
    pub(crate) rows: Vec<Row>,
    /// Runs that leave the index.
    pub(crate) gone: HashSet<RunId>,
    /// Dedupe records that go if they are still those of these deliveries.
    pub(crate) expired: Vec<(sled::IVec, EventId)>,
    pub(crate) reply: Option<Reply<()>>,
}

impl RemoveWrite {
    pub(crate) fn new(workspace: WorkspaceNumber) -> Self {
        Self { workspace, remove: Vec::new(), rows: Vec::new(), gone: HashSet::new(), expired: Vec::new(), reply: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.rows.is_empty() && self.expired.is_empty()
    }
}

#[derive(Debug)]
pub(crate) struct CursorWrite {
    pub(crate) rows: Vec<Row>,
    pub(crate) cursor: ScheduleCursor,
    pub(crate) reply: Reply<()>,
}

/// A connection as it is from now on; none: it goes.
#[derive(Debug)]
pub(crate) struct ConnectionWrite {
    pub(crate) place: (WorkspaceId, ConnectionName),
    pub(crate) key: sled::IVec,
    pub(crate) rows: Vec<Row>,
    pub(crate) connection: Option<StoredConnection>,
    pub(crate) reply: Reply<()>,
}

/// Records that stand for themselves: nothing beside them changes.
#[derive(Debug)]
pub(crate) struct RowsWrite {
    pub(crate) remove: Vec<(Table, sled::IVec)>,
    pub(crate) rows: Vec<Row>,
    pub(crate) reply: Reply<()>,
}

/// A head with the next URL of its trigger.
#[derive(Debug)]
pub(crate) struct RotateWrite {
    pub(crate) rows: Vec<Row>,
    pub(crate) head: StoredHead,
    pub(crate) hook: HookBinding,
    /// Tokens that lead nowhere from now on.
    pub(crate) gone: Vec<[u8; 32]>,
    pub(crate) reply: Reply<()>,
}

/// What is asked of a contact; what becomes of it is decided by the writer, where writes have an order.
#[derive(Debug)]
pub(crate) struct ContactsWrite {
    pub(crate) workspace: WorkspaceNumber,
    pub(crate) write: ContactWrite,
    pub(crate) reply: Reply<Result<Written, Refusal>>,
}
