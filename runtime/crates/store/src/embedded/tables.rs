//! The trees and their keys. Keys are big-endian and of fixed width, so they sort as what they stand for, and begin with
//! the number of the workspace whose data they are. Three tables differ: `meta` and `workspaces` belong to the instance, and
//! `hooks` is looked up before the workspace is known (its records name the workspace).

use flowcell_core::contact::Identity;
use flowcell_core::destination::DestinationId;
use flowcell_core::id::{
    ConnectionName, ContactEventId, ContactId, Digest, EventId, FieldName, NotificationId, RunId, UserId, WorkflowId,
};
use flowcell_core::key_value::Space;
use flowcell_core::plugin::PluginId;
use sha2::{Digest as _, Sha256};

/// Which tree, and the kind of record it holds. The numbers are on disk: they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Table {
    /// The number of the last group and how many records each table has.
    Meta = 0,
    /// Number (4) → name.
    Workspaces = 1,
    /// Workspace (4), event (16) → a delivery that started no run.
    Events = 2,
    /// Workspace (4), run (16) → summary.
    Runs = 3,
    /// Workspace (4), run (16), seq (4) → the entries of one append from that one on, or as many of them as fit.
    Journal = 4,
    /// Workspace (4), SHA-256 of trigger and key (32) → the first delivery.
    Dedupe = 5,
    /// Workspace (4), workflow (64, zeros after it) → head.
    Heads = 6,
    /// Workspace (4), workflow (64), version (4) → version.
    Versions = 7,
    /// SHA-256 of the token (32) → where it leads.
    Hooks = 8,
    /// Workspace (4), workflow (64), SHA-256 of the trigger's id (32) → how far its schedule has come.
    Schedules = 9,
    /// Workspace (4), bucket (4), group and part (8) → a block of runs that have ended (see `blocks`).
    Index = 10,
    /// Workspace (4), run (16) → that somebody wants it kept.
    Pins = 11,
    /// Workspace (4), name (64, zeros after it) → a connection, its secret sealed.
    Connections = 12,
    /// Workspace (4), destination (10) → what is known of it.
    Destinations = 13,
    /// Workspace (4), workflow (64), part (1, see [`TriggerPart`]) → what is kept about its trigger.
    Triggers = 14,
    /// Workspace (4), part (1, see [`ContactPart`]), … → what is kept of contacts.
    Contacts = 15,
    /// Workspace (4), user (64, zeros after it) → a user.
    People = 16,
    /// Workspace (4), user (64), notification (16) → a message in the user's inbox.
    Inbox = 17,
    /// Workspace (4), SHA-256 of its key (32) → what a step was told of what it did.
    Receipts = 18,
    /// Workspace (4), run (16), SHA-256 of the bytes (32) → a blob that the run keeps; its bytes are the payload file.
    Blobs = 19,
    /// Workspace (4), SHA-256 of the plugin (32), part (1): 0 → what the plugin holds; 1, key → a value of all its workflows; 2, workflow (64), key → a
    /// value of one.
    KeyValues = 20,
}

/// What is kept of contacts. The numbers are on disk: they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ContactPart {
    /// Contact (16) → it.
    Contact = 1,
    /// SHA-256 of what it is found by (32) → the contact's id.
    Identity = 2,
    /// Contact (16), note (16) → the note.
    Note = 3,
    /// Contact (16), version (4) → the change that led to it.
    History = 4,
    /// Event (16) → a change that waits to be dispatched.
    Waiting = 5,
    /// Name (64, zeros after it) → the definition of a field.
    Definition = 6,
    /// SHA-256 of a write's key (32) → what it came to.
    Remembered = 7,
}

impl ContactPart {
    pub(crate) fn of(key: &[u8]) -> Option<Self> {
        Some(match key.get(4)? {
            1 => Self::Contact,
            2 => Self::Identity,
            3 => Self::Note,
            4 => Self::History,
            5 => Self::Waiting,
            6 => Self::Definition,
            7 => Self::Remembered,
            _ => return None,
        })
    }
}

/// What is kept about a trigger, in a record each. The numbers are on disk: they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum TriggerPart {
    Reference = 1,
    Late = 2,
    /// How far its polls have come.
    Poll = 3,
    /// What stands at its provider.
    Subscription = 4,
}

impl Table {
    pub(crate) const ALL: [Self; 21] = [
        Self::Meta,
        Self::Workspaces,
        Self::Events,
        Self::Runs,
        Self::Journal,
        Self::Dedupe,
        Self::Heads,
        Self::Versions,
        Self::Hooks,
        Self::Schedules,
        Self::Index,
        Self::Pins,
        Self::Connections,
        Self::Destinations,
        Self::Triggers,
        Self::Contacts,
        Self::People,
        Self::Inbox,
        Self::Receipts,
        Self::Blobs,
        Self::KeyValues,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Workspaces => "workspaces",
            Self::Events => "events",
            Self::Runs => "runs",
            Self::Journal => "journal",
            Self::Dedupe => "dedupe",
            Self::Heads => "heads",
            Self::Versions => "versions",
            Self::Hooks => "hooks",
            Self::Schedules => "schedules",
            Self::Index => "index",
            Self::Pins => "pins",
            Self::Connections => "connections",
            Self::Destinations => "destinations",
            Self::Triggers => "triggers",
            Self::Contacts => "contacts",
            Self::People => "people",
            Self::Inbox => "inbox",
            Self::Receipts => "receipts",
            Self::Blobs => "blobs",
            Self::KeyValues => "key_values",
        }
    }

    /// The kind byte of its records.
    pub(crate) fn kind(self) -> u8 {
        self as u8
    }
}

/// The open trees, in the order of [`Table::ALL`].
#[derive(Debug, Clone)]
pub(crate) struct Trees(Vec<sled::Tree>);

impl Trees {
    pub(crate) fn open(db: &sled::Db) -> sled::Result<Self> {
        Table::ALL.iter().map(|table| db.open_tree(table.name())).collect::<Result<_, _>>().map(Self)
    }
    #[expect(clippy::indexing_slicing, reason = "`open` made one tree for each table, in the order of their numbers")]
    pub(crate) fn get(&self, table: Table) -> &sled::Tree {
        &self.0[usize::from(table.kind())]
    }
    pub(crate) fn all(&self) -> &[sled::Tree] {
        &self.0
    }
}

/// The number of a workspace, given out in the order they first appear, from 1.
pub(crate) type WorkspaceNumber = u32;

/// The one key of [`Table::Meta`].
pub(crate) const STATE_KEY: [u8; 4] = [0; 4];

/// Bytes of a workflow id, a user's id or the name of a connection in a key: the longest there is.
const NAME_BYTES: usize = 64;

pub(crate) fn workspace(number: WorkspaceNumber) -> sled::IVec {
    sled::IVec::from(&number.to_be_bytes())
}

pub(crate) fn event(workspace: WorkspaceNumber, event: EventId) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &event.to_bytes()])
}

pub(crate) fn run(workspace: WorkspaceNumber, run: RunId) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &run.to_bytes()])
}

pub(crate) fn entry(workspace: WorkspaceNumber, run: RunId, seq: u32) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &run.to_bytes(), &seq.to_be_bytes()])
}

pub(crate) fn dedupe(workspace: WorkspaceNumber, trigger: &str, key: &str) -> sled::IVec {
    // The length keeps `("a", "bc")` and `("ab", "c")` apart.
    let hash = Sha256::new()
        .chain_update(u64::try_from(trigger.len()).unwrap_or(u64::MAX).to_be_bytes())
        .chain_update(trigger)
        .chain_update(key)
        .finalize();
    join(&[&workspace.to_be_bytes(), &hash])
}

pub(crate) fn head(workspace: WorkspaceNumber, workflow: &WorkflowId) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &padded(workflow.as_str())])
}

pub(crate) fn version(workspace: WorkspaceNumber, workflow: &WorkflowId, version: u32) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &padded(workflow.as_str()), &version.to_be_bytes()])
}

pub(crate) fn hook(token_hash: &[u8; 32]) -> sled::IVec {
    sled::IVec::from(token_hash)
}

pub(crate) fn schedule(workspace: WorkspaceNumber, workflow: &WorkflowId, trigger: &str) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &padded(workflow.as_str()), &Sha256::digest(trigger)])
}

pub(crate) fn connection(workspace: WorkspaceNumber, name: &ConnectionName) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &padded(name.as_str())])
}

pub(crate) fn destination(workspace: WorkspaceNumber, id: DestinationId) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), id.as_bytes()])
}

pub(crate) fn trigger(workspace: WorkspaceNumber, workflow: &WorkflowId, part: TriggerPart) -> sled::IVec {
    join(&[&head(workspace, workflow), &[part as u8]])
}

/// What a part of the contacts of a workspace begins with.
pub(crate) fn contacts(workspace: WorkspaceNumber, part: ContactPart) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &[part as u8]])
}

pub(crate) fn contact(workspace: WorkspaceNumber, id: ContactId) -> sled::IVec {
    join(&[&contacts(workspace, ContactPart::Contact), &id.to_bytes()])
}

pub(crate) fn identity(workspace: WorkspaceNumber, identity: &Identity) -> sled::IVec {
    let hash = Sha256::new().chain_update(identity.field()).chain_update([0]).chain_update(identity.value()).finalize();
    join(&[&contacts(workspace, ContactPart::Identity), &hash])
}

/// The notes or the history of a contact, or one entry of them.
pub(crate) fn of_contact(workspace: WorkspaceNumber, part: ContactPart, (id, entry): (ContactId, &[u8])) -> sled::IVec {
    join(&[&contacts(workspace, part), &id.to_bytes(), entry])
}

pub(crate) fn waiting(workspace: WorkspaceNumber, event: ContactEventId) -> sled::IVec {
    join(&[&contacts(workspace, ContactPart::Waiting), &event.to_bytes()])
}

pub(crate) fn definition(workspace: WorkspaceNumber, name: &FieldName) -> sled::IVec {
    join(&[&contacts(workspace, ContactPart::Definition), &padded(name.as_str())])
}

pub(crate) fn remembered(workspace: WorkspaceNumber, key: &str) -> sled::IVec {
    join(&[&contacts(workspace, ContactPart::Remembered), &Sha256::digest(key)])
}

pub(crate) fn person(workspace: WorkspaceNumber, id: &UserId) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &padded(id.as_str())])
}

/// What the keys of one inbox begin with.
pub(crate) fn inbox(workspace: WorkspaceNumber, user: &UserId) -> sled::IVec {
    person(workspace, user)
}

pub(crate) fn item(workspace: WorkspaceNumber, user: &UserId, id: NotificationId) -> sled::IVec {
    join(&[&inbox(workspace, user), &id.to_bytes()])
}

/// The notification of an inbox's key.
pub(crate) fn item_id(key: &[u8]) -> Option<NotificationId> {
    key.last_chunk::<16>().map(|id| NotificationId::from_bytes(*id))
}

pub(crate) fn receipt(workspace: WorkspaceNumber, key: &str) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &Sha256::digest(key)])
}

/// What the keys of a plugin's values begin with.
pub(crate) fn values(workspace: WorkspaceNumber, plugin: &PluginId) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &Sha256::digest(plugin.to_string())])
}

/// What a plugin holds in a workspace.
pub(crate) fn holding(workspace: WorkspaceNumber, plugin: &PluginId) -> sled::IVec {
    join(&[&values(workspace, plugin), &[0]])
}

/// Whether a key of [`Table::KeyValues`] is that of what a plugin holds.
pub(crate) fn is_holding(key: &[u8]) -> bool {
    key.get(36) == Some(&0)
}

/// A value, or the values whose keys begin so.
pub(crate) fn value(workspace: WorkspaceNumber, space: &Space, key: &str) -> sled::IVec {
    let values = values(workspace, &space.plugin);
    match &space.workflow {
        None => join(&[&values, &[1], key.as_bytes()]),
        Some(workflow) => join(&[&values, &[2], &padded(workflow.as_str()), key.as_bytes()]),
    }
}

/// The workspace whose key it is.
pub(crate) fn workspace_of(key: &[u8]) -> Option<WorkspaceNumber> {
    key.first_chunk::<4>().map(|number| u32::from_be_bytes(*number))
}

/// Whether the key of [`Table::Triggers`] is of this part.
pub(crate) fn is_part(key: &[u8], part: TriggerPart) -> bool {
    key.last() == Some(&(part as u8))
}

pub(crate) fn blob(workspace: WorkspaceNumber, run: RunId, digest: &Digest) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &run.to_bytes(), digest.as_bytes()])
}

pub(crate) fn block(workspace: WorkspaceNumber, bucket: u32, number: u64) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &bucket.to_be_bytes(), &number.to_be_bytes()])
}

/// The first block of a bucket, whether it is there or not.
pub(crate) fn bucket(workspace: WorkspaceNumber, bucket: u32) -> sled::IVec {
    join(&[&workspace.to_be_bytes(), &bucket.to_be_bytes()])
}

/// The workspace, run and rest (`seq` of a journal entry, nothing of a summary) of a key.
pub(crate) fn split_run(key: &[u8]) -> Option<(WorkspaceNumber, RunId, &[u8])> {
    let (workspace, rest) = key.split_first_chunk::<4>()?;
    let (run, rest) = rest.split_first_chunk::<16>()?;
    Some((u32::from_be_bytes(*workspace), RunId::from_bytes(*run), rest))
}

fn padded(name: &str) -> [u8; NAME_BYTES] {
    let mut bytes = [0; NAME_BYTES];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    bytes
}

fn join(parts: &[&[u8]]) -> sled::IVec {
    sled::IVec::from(parts.concat())
}
