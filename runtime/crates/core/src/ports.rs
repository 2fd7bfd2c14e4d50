//! What the outside must do for the engine and the edge, in small traits. The crates around `core` implement them.

mod blobs;
mod destinations;
mod polls;
mod schedules;
mod subscriptions;
mod triggers;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{Digest, EventId, RunId, WorkflowId, WorkspaceId};
use crate::invoke::{
    ActionCall, Invocation, OptionsCall, PollCall, Polled, SubscribeCall, Subscription, UnsubscribeCall, WebhookCall,
    WebhookOutcome,
};
use crate::manifest::Manifest;
use crate::plugin::{Pin, Uses, Version};
use crate::record::{Answers, Recording, Replay};
use crate::run::event::Recorded;
use crate::run::fold::{Mark, RunSummary};
use crate::search::FieldPath;
use crate::time::Timestamp;

mod logs;

pub use crate::search::{PageRequest, RunFilter, RunPage};
pub use blobs::{Blobs, NoBlobs};
pub use destinations::Destinations;
pub use logs::{Kept, Pinning, Removed, Retention, Tail, TailChange, TailPosition, TailRead, Usage};
pub use polls::{Hold, PollCounts, PollState, Polls, TriggerFailure};
pub use schedules::{ScheduleCursor, Schedules};
pub use subscriptions::{Registered, SubscriptionState, Subscriptions, Wanted};
pub use triggers::{LateCallers, LateUse, Reference, Triggers};

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote first: load it again.
    #[error("{what} has moved on: expected {expected}, found {actual}")]
    Conflict { what: String, expected: u32, actual: u32 },
    #[error("{what} does not exist")]
    NotFound { what: String },
    /// The key of a delivery is that of an earlier one with another body.
    #[error("the key belongs to {event}, which came with another body")]
    OtherBody { event: EventId },
    /// A record's check sum, sequence or count is wrong.
    #[error("{what} is damaged: {problem}")]
    Damaged { what: String, problem: String },
    /// Too many writes are waiting; the same call may succeed later.
    #[error("the store is busy")]
    Busy,
    /// The disk is nearly full: deliveries are refused while runs go on. It passes by itself when there is space.
    #[error("the disk is nearly full ({free_bytes} bytes are free)")]
    NoSpace { free_bytes: u64 },
    /// A sync failed, so nothing more is acknowledged: restart and recover from disk.
    #[error("the store has stopped after a failed write; restart Flowcell to recover from disk")]
    Stopped,
    /// It may pass: a full disk, a closing store.
    #[error("the store failed: {message}")]
    Failed { message: String },
    /// This can never be written, however often it is tried.
    #[error("the store refuses this for good: {message}")]
    Refused { message: String },
}

/// How long a write waits before it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Until the bytes passed `fdatasync`.
    Synced,
    /// Until it is queued; it rides in the next group commit. Later writes of the same run come after it.
    NextGroup,
}

/// One delivery and the runs it starts, written together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    pub event: EventId,
    pub workspace: WorkspaceId,
    /// The trigger it came to (see [`Hook::trigger`]).
    pub trigger: String,
    pub received_at: Timestamp,
    /// A delivery with the key of an earlier one (same workspace and trigger, within its terms' window) starts nothing.
    pub dedupe_key: Option<String>,
    /// What else counts when its key is compared; nothing without a key.
    pub dedupe: DedupeTerms,
    /// First entries of the journals: each run begins with its `Created`.
    pub runs: Vec<NewRun>,
}

/// On what terms a delivery repeats an earlier one with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DedupeTerms {
    /// The earlier one came less than this before it.
    pub window: Duration,
    /// The SHA-256 of its body, where the same key promises the same body: another one is refused ([`StoreError::OtherBody`]).
    pub body: Option<Digest>,
}

impl DedupeTerms {
    /// How long a key is remembered at most: 72 hours, longer than any known sender goes on retrying one delivery (PROMISES §1, 5).
    pub const WINDOW_MAX: Duration = Duration::from_hours(72);
}

impl Default for DedupeTerms {
    fn default() -> Self {
        Self { window: Self::WINDOW_MAX, body: None }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    pub id: RunId,
    /// `seq` 0, [`crate::run::event::RunEvent::Created`].
    pub created: Recorded,
    pub summary: RunSummary,
}

/// What a delivery led to: its own runs, or those of the earlier one it repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub event: EventId,
    pub runs: Vec<RunId>,
    pub duplicate: bool,
}

/// The append-only log of every run.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Writes a delivery and its runs in one transaction; returns after the sync.
    async fn accept(&self, delivery: Delivery) -> Result<Accepted, StoreError>;

    /// Appends `events` as entries `first_seq`, `first_seq + 1` … if the journal is that long; `summary` (the fold after them) changes with them.
    async fn append(&self, append: Append) -> Result<(), StoreError>;

    /// Every entry in order.
    async fn load(&self, run: RunId) -> Result<Vec<Recorded>, StoreError>;

    /// The entries from `seq` on, for those who follow a run. What comes without it reads them all.
    async fn load_from(&self, run: RunId, seq: u32) -> Result<Vec<Recorded>, StoreError> {
        let mut entries = self.load(run).await?;
        entries.retain(|entry| entry.seq >= seq);
        Ok(entries)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    pub run: RunId,
    /// Consecutive; the first one's `seq` is the length the journal must have.
    pub entries: Vec<Recorded>,
    pub summary: RunSummary,
    pub durability: Durability,
}

/// The runs that want a worker. A run is claimed by one worker at a time; a crash releases every claim.
#[async_trait]
pub trait RunQueue: Send + Sync {
    /// Claims up to `limit` runs that are due at `now`, the longest due first.
    async fn claim(&self, now: Timestamp, limit: usize) -> Result<Vec<RunId>, StoreError>;

    /// Gives a claimed run back. Takes effect after every write that was queued before, so its next claim sees them.
    /// A run that has ended needs none: the append that ends it ends the claim.
    async fn release(&self, run: RunId) -> Result<(), StoreError>;

    /// When the next unclaimed run is due.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Resolves at the first change after the call: subscribe before looking, so that nothing is missed.
    fn changed(&self) -> Changed;
}

/// Resolves once.
pub type Changed = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs by their summary.
#[async_trait]
pub trait RunIndex: Send + Sync {
    async fn get(&self, workspace: &WorkspaceId, run: RunId) -> Result<Option<RunSummary>, StoreError>;

    /// Newest first. An implementation may stop before the page is full, when it has looked at more than it allows itself:
    /// the page says so, and where to go on.
    async fn search(
        &self,
        workspace: &WorkspaceId,
        filter: &RunFilter,
        page: PageRequest,
    ) -> Result<RunPage, StoreError>;

    /// Names the fields by which runs of the workflow are found without reading their journals, from now on: runs that
    /// begin later have them in the index. Kept in memory; said again at every start.
    fn index_fields(&self, workspace: &WorkspaceId, workflow: &WorkflowId, fields: Vec<FieldPath>);

    /// The first `limit` runs of a search, however far they lie apart; `before` is the last run of the page before.
    async fn list(
        &self,
        workspace: &WorkspaceId,
        filter: RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunSummary>, StoreError> {
        let mut runs = Vec::new();
        let mut before = before;
        while runs.len() < limit {
            let page = self.search(workspace, &filter, PageRequest { before, limit: limit - runs.len() }).await?;
            runs.extend(page.runs);
            if page.next.is_none() {
                break;
            }
            before = page.next;
        }
        Ok(runs)
    }

    /// Every unfinished run of the workspace whose summary has this mark, the oldest first.
    async fn marked(&self, workspace: &WorkspaceId, mark: &Mark) -> Result<Vec<RunSummary>, StoreError>;
}

/// A version of a workflow, never changed after it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowVersion {
    pub workspace: WorkspaceId,
    pub id: WorkflowId,
    /// Counted from 1.
    pub version: u32,
    /// The text its author wrote: YAML or JSON.
    pub source: String,
    pub created_at: Timestamp,
    /// What each `uses` was resolved to.
    pub pins: std::collections::BTreeMap<Uses, Pin>,
    /// The version that each `call` without one starts: what was published when this version was applied.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub calls: std::collections::BTreeMap<WorkflowId, u32>,
}

/// Which versions a workflow has and which one runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowHead {
    pub workspace: WorkspaceId,
    pub id: WorkflowId,
    pub name: String,
    pub latest: u32,
    /// The version new runs take; absent while there are only drafts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<u32>,
    /// Counts the rotations of its trigger's URL. The token itself is derived from this and the instance key, and stored nowhere.
    pub hook_generation: u32,
    /// URLs that were replaced and count for a while yet, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_hooks: Vec<FormerHook>,
    pub updated_at: Timestamp,
}

/// A trigger's URL that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerHook {
    pub generation: u32,
    /// From then on it leads nowhere.
    pub valid_until: Timestamp,
}

/// Where a trigger's URL leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    /// The trigger's id within its workflow.
    pub trigger: String,
}

/// The SHA-256 of a trigger URL's token, and where the URL leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookBinding {
    pub token_hash: [u8; 32],
    pub hook: Hook,
}

/// Workflows and their versions.
#[async_trait]
pub trait Definitions: Send + Sync {
    /// Writes a version, the new head and the hook in one transaction; returns after the sync.
    /// [`StoreError::Conflict`] when `version.version` is not the stored head's `latest` + 1, or the trigger's URL was replaced meanwhile.
    async fn put(&self, version: WorkflowVersion, head: WorkflowHead, hook: HookBinding) -> Result<(), StoreError>;

    /// Replaces the trigger's URL: writes the head, whose `hook_generation` is the stored one + 1 (else [`StoreError::Conflict`]), and the hook of
    /// the new URL. The former hooks stay, except those whose token is in `gone`.
    async fn rotate(&self, head: WorkflowHead, hook: HookBinding, gone: Vec<[u8; 32]>) -> Result<(), StoreError>;

    async fn head(&self, workspace: &WorkspaceId, id: &WorkflowId) -> Result<Option<WorkflowHead>, StoreError>;

    async fn version(
        &self,
        workspace: &WorkspaceId,
        id: &WorkflowId,
        version: u32,
    ) -> Result<Option<WorkflowVersion>, StoreError>;

    /// Every workflow of the workspace, by id.
    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<WorkflowHead>, StoreError>;

    /// Looks a trigger URL's token up by the SHA-256 of the token.
    async fn hook(&self, token_hash: [u8; 32]) -> Result<Option<Hook>, StoreError>;
}

/// Calls into plugins.
#[async_trait]
pub trait Invoker: Send + Sync {
    async fn invoke(&self, call: ActionCall) -> Invocation<Value>;
    async fn on_webhook(&self, call: WebhookCall) -> Invocation<WebhookOutcome>;

    /// Asks a polling trigger what is new.
    async fn poll(&self, call: PollCall) -> Invocation<Polled> {
        Invocation::not_offered(call.trigger.digest, "poll")
    }

    /// Registers a trigger's URL at its provider, or renews that.
    async fn subscribe(&self, call: SubscribeCall) -> Invocation<Subscription> {
        Invocation::not_offered(call.trigger.digest, "subscribe")
    }

    /// Takes it away again.
    async fn unsubscribe(&self, call: UnsubscribeCall) -> Invocation<()> {
        Invocation::not_offered(call.trigger.digest, "unsubscribe")
    }

    /// Asks for the choices of a field: `{"options": [{"value", "label", "description"?}], "next"?}`. Whatever the plugin was granted, such a call
    /// only reads.
    async fn options(&self, call: OptionsCall) -> Invocation<Value> {
        Invocation::not_offered(call.digest, "options")
    }
}

/// Calls plugins without letting anything out: no request leaves, no sleep is slept, and the call sees the clock and the randomness it is given.
#[async_trait]
pub trait Rehearsal: Send + Sync {
    /// Makes the call for show. Each request is checked and recorded exactly as it would be sent, and answered by the first of `answers` that fits,
    /// else with 200 and an empty JSON object; [`crate::exchange::Exchange::answered_by`] says which.
    async fn dry_run(&self, call: ActionCall, answers: &Answers) -> Invocation<Value>;

    /// The same for a webhook trigger.
    async fn dry_run_webhook(&self, call: WebhookCall, answers: &Answers) -> Invocation<WebhookOutcome>;

    /// Makes a recorded call again, with the recorded answers, clock and randomness, and says what went differently first. With another digest in
    /// `recording.call` it tells what a new version of the plugin would have done.
    async fn replay(&self, recording: &Recording) -> Replay;
}

/// The plugins there are.
pub trait Catalog: Send + Sync {
    /// The newest plugin that fits a `uses`.
    fn resolve(&self, uses: &Uses) -> Result<Arc<InstalledPlugin>, CatalogError>;
    /// The plugin with these very bytes, however old.
    fn by_digest(&self, digest: &Digest) -> Option<Arc<InstalledPlugin>>;
    /// Every plugin, by id, newest version first.
    fn list(&self) -> Vec<Arc<InstalledPlugin>>;

    /// Stores the plugin's bytes where the next start finds them, so that runs pinned to them outlive an upgrade. Blocks on the
    /// disk until they are synced; called for each digest a workflow version pins, before that version is stored.
    /// A catalog without a disk has nothing to do.
    fn keep(&self, _digest: &Digest) -> Result<(), CatalogError> {
        Ok(())
    }

    /// What could not be loaded or is hidden by something else, for people.
    fn problems(&self) -> Vec<PluginProblem> {
        Vec::new()
    }
}

/// A plugin file that is there and not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginProblem {
    /// Where it lies: a file, or `built in`.
    pub origin: String,
    pub kind: PluginProblemKind,
    /// What is wrong and what to do about it.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginProblemKind {
    /// It cannot be read: damaged, no plugin, made for a newer Flowcell.
    Broken,
    /// Another file with the same id and version is used instead.
    Shadowed,
}

#[derive(Debug, Clone, PartialEq)]
pub struct InstalledPlugin {
    pub manifest: Manifest,
    pub digest: Digest,
    /// The component.
    pub bytes: Arc<[u8]>,
    /// Where it came from, for people: `built in`, a folder, a registry reference.
    pub origin: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    #[error("there is no plugin `{plugin}`{}", suggestion(.similar.as_ref()))]
    UnknownPlugin { plugin: String, similar: Option<String> },
    #[error("plugin `{plugin}` has no action or trigger `{member}`{}", suggestion(.similar.as_ref()))]
    UnknownMember { plugin: String, member: String, similar: Option<String> },
    #[error("plugin `{plugin}` is there in version {}, not in version {wanted}.x", join(.available))]
    NoSuchVersion { plugin: String, wanted: u64, available: Vec<Version> },
    /// Its bytes could not be stored for later (see [`Catalog::keep`]).
    #[error("plugin {digest} cannot be kept: {message}")]
    NotKept { digest: Digest, message: String },
}

fn suggestion(similar: Option<&String>) -> String {
    similar.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

fn join(versions: &[Version]) -> String {
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The time, and waiting for it.
#[async_trait]
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
    /// Returns once `now()` is at least `at`.
    async fn sleep_until(&self, at: Timestamp);
}

/// Randomness: for ids, tokens and jitter.
pub trait Entropy: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);
}
