//! Where and when a call happens.

/// What the host tells about one call. Values a trigger has no use for are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Context {
    /// Whose data this is.
    pub workspace: String,
    /// The workflow's id.
    pub workflow: String,
    /// The run's id (`run_…`). Empty for triggers: there is no run yet.
    pub run: String,
    /// The step's id. For triggers: the trigger's id.
    pub step: String,
    /// 1 for the first try of this step, 2 for the next …
    pub attempt: u32,
    /// The same for every attempt of this step: send it to APIs that accept an idempotency key.
    pub idempotency_key: String,
    /// When the host will end this call: milliseconds since 1970-01-01T00:00:00Z.
    pub deadline_ms: u64,
}
