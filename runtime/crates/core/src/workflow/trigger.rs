//! What starts a run, and what is asked of a delivery before one exists.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::duration;
use super::verify::Verify;
use crate::condition::Condition;
use crate::contact::event::ContactTrigger;
use crate::id::ConnectionName;
use crate::plugin::Uses;
use crate::schedule::ScheduleSpec;

/// A workflow's `trigger`: exactly one kind, and what holds for every kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Trigger {
    pub kind: TriggerKind,
    /// A delivery for which it does not hold starts no run; it is counted.
    pub filter: Option<Condition>,
    /// Deliveries that are the same by this start one run.
    pub dedupe: Option<Dedupe>,
    /// The sender waits for the run's `respond` step.
    pub reply: Option<Reply>,
    /// How the sender proves who it is, of a plugin's trigger; without it the URL's secrecy has to do.
    pub verify: Option<Verify>,
    /// Whose credentials the door adds to the requests of a plugin's trigger.
    pub connection: Option<ConnectionName>,
    /// How often a plugin's polling trigger is asked; as often as its manifest says when absent.
    pub every_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TriggerKind {
    /// A plugin's, with its settings.
    Plugin { uses: Uses, with: Value },
    /// When runs start by the clock, as it was written; [`crate::schedule`] computes the times.
    Schedule(ScheduleSpec),
    /// From the command line, the API, or another workflow's `call`.
    Manual,
    /// As another workflow's `on_failure`.
    Error,
    /// An event by name (`POST /api/v2/events`).
    Event { name: String },
    /// A change of a contact, whoever makes it.
    Contact(ContactTrigger),
}

/// How two deliveries are recognised as the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dedupe {
    #[serde(flatten)]
    pub by: DedupeBy,
    #[serde(rename = "window", with = "duration", default = "Dedupe::default_window_ms")]
    pub window_ms: u64,
}

impl Dedupe {
    /// Senders that repeat a delivery give up after three days: Stripe does, and nobody goes on longer.
    pub const WINDOW_MS: u64 = 72 * 60 * 60 * 1_000;

    fn default_window_ms() -> u64 {
        Self::WINDOW_MS
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DedupeBy {
    /// The value of this header.
    Header(String),
    /// The value at this path below `trigger`, such as `body.id`.
    Path(String),
    /// The whole body, byte by byte; always `true`.
    Body(bool),
}

/// How long the sender is kept waiting for the run's `respond` step. After that it is told where to look (202).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    #[serde(rename = "wait", with = "duration")]
    pub wait_ms: u64,
}

impl Trigger {
    /// A trigger of this kind with nothing else to it.
    pub fn of(kind: TriggerKind) -> Self {
        Self { kind, filter: None, dedupe: None, reply: None, verify: None, connection: None, every_ms: None }
    }

    /// What a plugin's trigger names.
    pub fn uses(&self) -> Option<&Uses> {
        match &self.kind {
            TriggerKind::Plugin { uses, .. } => Some(uses),
            TriggerKind::Schedule(_)
            | TriggerKind::Manual
            | TriggerKind::Error
            | TriggerKind::Event { .. }
            | TriggerKind::Contact(_) => None,
        }
    }

    /// The key that says its kind, for messages.
    pub fn key(&self) -> &'static str {
        match &self.kind {
            TriggerKind::Plugin { .. } => "uses",
            TriggerKind::Schedule(_) => "schedule",
            TriggerKind::Manual => "manual",
            TriggerKind::Error => "error",
            TriggerKind::Event { .. } => "event",
            TriggerKind::Contact(_) => "contact",
        }
    }
}

/// The keys of a trigger as they stand in the text.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    uses: Option<Uses>,
    #[serde(skip_serializing_if = "Option::is_none")]
    with: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<ScheduleSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manual: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<ContactTrigger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedupe: Option<Dedupe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Reply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<Verify>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<ConnectionName>,
    #[serde(rename = "every", with = "duration::optional", skip_serializing_if = "Option::is_none")]
    every_ms: Option<u64>,
}

impl TryFrom<Written> for Trigger {
    type Error = String;
    fn try_from(written: Written) -> Result<Self, String> {
        let Written {
            uses,
            with,
            schedule,
            manual,
            error,
            event,
            contact,
            filter,
            dedupe,
            reply,
            verify,
            connection,
            every_ms,
        } = written;
        let with = with.unwrap_or_else(super::empty_object);
        let kinds = [
            uses.map(|uses| TriggerKind::Plugin { uses, with }),
            schedule.map(TriggerKind::Schedule),
            manual.filter(|manual| *manual).map(|_| TriggerKind::Manual),
            error.filter(|error| *error).map(|_| TriggerKind::Error),
            event.map(|name| TriggerKind::Event { name }),
            contact.map(TriggerKind::Contact),
        ];
        let mut kinds = kinds.into_iter().flatten();
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) => Ok(Self { kind, filter, dedupe, reply, verify, connection, every_ms }),
            _ => Err("exactly one of uses, schedule, manual, error, event, contact is needed".to_owned()),
        }
    }
}

impl From<Trigger> for Written {
    fn from(trigger: Trigger) -> Self {
        let Trigger { kind, filter, dedupe, reply, verify, connection, every_ms } = trigger;
        let mut written = Self { filter, dedupe, reply, verify, connection, every_ms, ..Self::default() };
        match kind {
            TriggerKind::Plugin { uses, with } => {
                written.uses = Some(uses);
                written.with = Some(with);
            }
            TriggerKind::Schedule(schedule) => written.schedule = Some(schedule),
            TriggerKind::Manual => written.manual = Some(true),
            TriggerKind::Error => written.error = Some(true),
            TriggerKind::Event { name } => written.event = Some(name),
            TriggerKind::Contact(contact) => written.contact = Some(contact),
        }
        written
    }
}
