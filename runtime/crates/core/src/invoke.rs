//! One call into a plugin, as data: what goes in, what comes out, and how every failure is classified.

mod failure;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::capability::StepScope;
use crate::connection::CredentialError;
use crate::exchange::{Exchange, LogLine};
use crate::host_call::HostCall;
use crate::id::{ConnectionName, Digest, RunId, StepRef, WorkflowId, WorkspaceId};
use crate::record::Ambient;
use crate::time::Timestamp;

pub use failure::{UNAUTHORIZED, field_of};

/// A call of an action for one attempt of a step.
#[derive(Debug, Clone)]
pub struct ActionCall {
    pub digest: Digest,
    pub action: String,
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    pub run: RunId,
    pub step: StepRef,
    pub attempt: u32,
    pub idempotency_key: String,
    /// When the call is ended, whatever it does.
    pub deadline: Timestamp,
    pub input: Value,
    pub scope: StepScope,
    /// Whose credentials the door adds to its requests.
    pub connection: Option<ConnectionName>,
}

/// A call of a webhook trigger for one request.
#[derive(Debug, Clone)]
pub struct WebhookCall {
    pub digest: Digest,
    pub trigger: String,
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    pub deadline: Timestamp,
    /// The JSON document under the trigger's `with`.
    pub config: Value,
    pub request: WebhookRequest,
    /// Whose credentials the door adds to its requests.
    pub connection: Option<ConnectionName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookRequest {
    pub method: String,
    pub path: String,
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum WebhookOutcome {
    /// Each starts a run.
    Events(Vec<TriggerEvent>),
    Ignore {
        reason: String,
    },
    Reply {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
}

/// A call of a polling trigger.
#[derive(Debug, Clone)]
pub struct PollCall {
    pub trigger: TriggerCall,
    /// What the poll before left; none for the first.
    pub cursor: Option<String>,
}

/// What the calls of a trigger that no request caused have in common.
#[derive(Debug, Clone)]
pub struct TriggerCall {
    pub digest: Digest,
    /// The trigger's id in the manifest.
    pub trigger: String,
    pub workspace: WorkspaceId,
    pub workflow: WorkflowId,
    pub deadline: Timestamp,
    /// The JSON document under the trigger's `with`.
    pub config: Value,
    /// Whose credentials the door adds to its requests.
    pub connection: Option<ConnectionName>,
}

/// What a poll brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Polled {
    /// Each starts a run.
    pub events: Vec<TriggerEvent>,
    /// Where the next poll goes on: to be stored in one transaction with the runs of these events.
    pub cursor: Option<String>,
    /// More is there already.
    pub more: bool,
}

/// A call that registers a trigger's URL at a provider.
#[derive(Debug, Clone)]
pub struct SubscribeCall {
    pub trigger: TriggerCall,
    pub callback_url: String,
    /// What came of the time before, when it is renewed.
    pub registration: Option<Value>,
}

/// A trigger's URL stands at its provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// What [`UnsubscribeCall`] needs. No secret.
    pub registration: Value,
    /// The provider forgets it after that.
    pub renew_before_ms: Option<u64>,
}

/// A call that takes it away again.
#[derive(Debug, Clone)]
pub struct UnsubscribeCall {
    pub trigger: TriggerCall,
    pub registration: Value,
}

/// A call for the choices of one field. It may only read, and nobody's run pays for it.
#[derive(Debug, Clone)]
pub struct OptionsCall {
    pub digest: Digest,
    /// The action's or trigger's id in the manifest.
    pub member: String,
    pub workspace: WorkspaceId,
    /// Absent for a workflow that does not exist yet.
    pub workflow: Option<WorkflowId>,
    pub deadline: Timestamp,
    /// A JSON Pointer into the input.
    pub field: String,
    /// What is filled in so far; it need not fit the schema.
    pub input: Value,
    /// What somebody types to find a choice.
    pub search: Option<String>,
    /// The `next` of the page before.
    pub after: Option<String>,
    pub connection: Option<ConnectionName>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TriggerEvent {
    /// What the workflow reads as `trigger`.
    pub payload: Value,
    pub dedupe_key: Option<String>,
}

/// The outcome of a call, and what it did and cost, whether it succeeded or not.
#[derive(Debug)]
pub struct Invocation<T> {
    pub outcome: Result<T, InvokeError>,
    pub record: CallRecord,
}

/// What a call did and cost.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CallRecord {
    pub duration_ms: u64,
    /// Time on the processor inside the guest, in milliseconds with a fraction.
    pub cpu_ms: f64,
    /// The most memory the guest's linear memories held.
    pub memory_bytes: u64,
    /// WebAssembly instructions the guest ran: the same on every machine for the same call. 0 in records from before it was counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub fuel: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<Exchange>,
    /// What it asked of the host besides requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host: Vec<HostCall>,
    /// Host calls beyond what is kept: counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub host_calls_dropped: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
    /// Lines beyond the budget: counted, not kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub log_lines_dropped: u64,
    /// What its clock and its randomness started from; absent when it asked for neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ambient: Option<Ambient>,
}

impl<T> Invocation<T> {
    /// A call that never began: this caller of plugins makes no such calls.
    pub fn not_offered(digest: Digest, what: &str) -> Self {
        let message = format!("nothing here makes calls of the kind `{what}`");
        Self { outcome: Err(InvokeError::Unavailable { digest, message }), record: CallRecord::default() }
    }
}

impl CallRecord {
    /// Whether one of its requests may have had an effect that nobody was told of.
    pub fn is_uncertain(&self) -> bool {
        self.http.iter().any(Exchange::is_uncertain) || self.host.iter().any(HostCall::is_uncertain)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Why an action or trigger said it could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ActionError {
    /// Kebab case, stable: `invalid-input`, `rate-limited`, `http-status` …
    pub code: String,
    pub message: String,
    pub retryable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

/// Everything that can go wrong with a call. Only [`InvokeError::disposition`] says what follows from it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvokeError {
    #[error(transparent)]
    Action(#[from] ActionError),
    /// The guest crashed: a panic, a thrown error, an illegal instruction.
    #[error("the plugin crashed: {message}")]
    Trapped { message: String },
    #[error(
        "the plugin used {used_ms} ms of processor time; its limit is {limit_ms} ms. Give it less to do at a time, or raise `limits.cpu_ms` in its manifest"
    )]
    CpuExhausted { used_ms: u64, limit_ms: u64 },
    #[error(
        "the plugin ran more than the {limit} WebAssembly instructions it may run. Give it less to do at a time, or raise `limits.fuel` in its manifest"
    )]
    FuelExhausted { limit: u64 },
    #[error(
        "the plugin did not finish within {limit_ms} ms. If what it waits for is slow, raise the timeout of the step and `limits.wall_ms` in its manifest"
    )]
    DeadlineExceeded { limit_ms: u64 },
    #[error(
        "the plugin asked for more than its {limit_bytes} bytes of memory. Give it less to hold at a time, or raise `limits.memory_mib` in its manifest"
    )]
    MemoryExhausted { limit_bytes: u64 },
    /// Another limit of the sandbox: tables, instances, handles, the size of a value that crosses.
    #[error("the plugin went over a limit: {message}")]
    LimitExceeded { message: String },
    /// The result is not JSON, too large or too deep, or does not fit the manifest's schema.
    #[error("the plugin returned something it must not: {message}")]
    InvalidOutput { message: String },
    /// The input does not fit the manifest's schema.
    #[error("the input does not fit: {message}")]
    InvalidInput { message: String, pointer: String },
    /// No plugin with this digest, or it cannot be loaded.
    #[error("plugin {digest} cannot be loaded: {message}")]
    Unavailable { digest: Digest, message: String },
    /// Every instance slot stayed busy for as long as the call was willing to wait.
    #[error("no sandbox was free within {waited_ms} ms: more calls are under way than the server runs at once")]
    Busy { waited_ms: u64 },
    /// What an output names could not be kept.
    #[error("the response's body could not be kept: {message}")]
    BlobNotKept { message: String, retryable: bool },
    /// The connection that the step names cannot be used.
    #[error(transparent)]
    Connection(#[from] CredentialError),
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The same call will fail again.
    Permanent,
    /// It may succeed later, not before `after_ms` from now if that is given.
    Transient { after_ms: Option<u64> },
}

impl InvokeError {
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Action(error) if error.retryable => Disposition::Transient { after_ms: error.retry_after_ms },
            Self::DeadlineExceeded { .. } | Self::Busy { .. } | Self::BlobNotKept { retryable: true, .. } => {
                Disposition::Transient { after_ms: None }
            }
            Self::Connection(CredentialError::Unavailable { retry_after_ms, .. }) => {
                Disposition::Transient { after_ms: *retry_after_ms }
            }
            Self::Action(_)
            | Self::Connection(_)
            | Self::Trapped { .. }
            | Self::CpuExhausted { .. }
            | Self::FuelExhausted { .. }
            | Self::MemoryExhausted { .. }
            | Self::LimitExceeded { .. }
            | Self::InvalidOutput { .. }
            | Self::InvalidInput { .. }
            | Self::BlobNotKept { .. }
            | Self::Unavailable { .. } => Disposition::Permanent,
        }
    }

    /// Stable and machine-readable, for logs and the API.
    pub fn code(&self) -> &str {
        match self {
            Self::Action(error) => &error.code,
            Self::Trapped { .. } => "plugin-crashed",
            Self::CpuExhausted { .. } => "cpu-exhausted",
            Self::FuelExhausted { .. } => "fuel-exhausted",
            Self::DeadlineExceeded { .. } => "deadline-exceeded",
            Self::MemoryExhausted { .. } => "memory-exhausted",
            Self::LimitExceeded { .. } => "limit-exceeded",
            Self::InvalidOutput { .. } => "invalid-output",
            Self::InvalidInput { .. } => "invalid-input",
            Self::Unavailable { .. } => "plugin-unavailable",
            Self::Busy { .. } => "busy",
            Self::BlobNotKept { .. } => "blob-not-kept",
            Self::Connection(error) => error.code(),
        }
    }
}
