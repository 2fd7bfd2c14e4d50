//! The people of a workspace: how each of them can be reached, and when they want to be left alone. Who they are to the API (tokens, passwords)
//! is not decided here.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::id::{RoleName, UserId, WorkspaceId};
use crate::ports::StoreError;
use crate::schedule::{ScheduleError, Window, Zone};
use crate::time::Timestamp;
use crate::workflow::settings::{self, TimeOfDay};

/// Users of one workspace, its contacts not counted: a message to all of them is one write of the store, of a few MiB at most.
pub const PEOPLE_MAX: usize = 1_000;

/// Characters of a name: what address books take.
pub const NAME_CHARS_MAX: usize = 200;

/// Bytes of an address: RFC 5321 §4.5.3.1.3, a path without its brackets.
pub const EMAIL_BYTES_MAX: usize = 254;

/// Roles of one user, and channels in their order: more is a mistake of a program.
pub const ROLES_MAX: usize = 50;
pub const CHANNELS_MAX: usize = 10;

/// Somebody who can be told something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    pub workspace: WorkspaceId,
    pub id: UserId,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// E.164: `+4930901820`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// The channels by which they like to be told, the dearest first: `in-app`, `email`, `slack` … Empty: as the sender says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Hours in which only what is urgent may disturb: `{ from: "22:00", to: "07:00", timezone: "Europe/Berlin" }`, over midnight too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    pub from: TimeOfDay,
    pub to: TimeOfDay,
    /// The person's own, by its IANA name.
    pub timezone: String,
}

impl QuietHours {
    /// When they end, if it is one of them at `now`.
    pub fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        // A text that was checked when it was stored; should another version read it otherwise, nobody is kept from being told.
        let window = self.window().ok()?;
        window.next_open(now).filter(|open| *open > now)
    }

    /// Whether they can be read; the error says what is wrong with them.
    pub fn check(&self) -> Result<(), ScheduleError> {
        self.window().map(drop)
    }

    /// The other hours of the day: when somebody may be disturbed.
    fn window(&self) -> Result<Window, ScheduleError> {
        let zone: Zone = self.timezone.parse()?;
        let open = settings::Window { days: Vec::new(), from: self.to, to: self.from, timezone: None };
        Window::of(&open, &[], &zone)
    }
}

/// A telephone number as every interface takes it; the error says what is wrong with it.
pub fn e164(text: &str) -> Result<String, String> {
    // Three times the longest number with all its spaces and brackets.
    let wrong = "a telephone number begins with its country, such as +49 30 901820";
    if text.len() > 100 || !(text.trim_start().starts_with('+') || text.trim_start().starts_with("00")) {
        return Err(wrong.to_owned());
    }
    let parsed = phonelib::PhoneNumber::try_parse(text);
    parsed.map(|number| number.e164().to_owned()).map_err(|error| format!("{wrong}: {error}"))
}

/// A person and how often the record was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPerson {
    pub person: Person,
    /// Counts its writes from 1: a write names the revision it was made from.
    pub revision: u32,
}

/// To whom something goes. Several of them together are everybody whom one of them names, once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audience {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleName>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub everyone: bool,
}

/// Why an audience cannot be told anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAudience {
    #[error("nobody is named: give `users`, `roles` or `everyone: true`")]
    Empty,
    #[error("there is no user `{id}`{}; `flowcell user list` prints those there are", similar.as_ref().map_or_else(String::new, |name| format!(" (did you mean `{name}`?)")))]
    Unknown { id: UserId, similar: Option<UserId> },
}

impl Audience {
    /// Those of `people` whom it names, in their order. A role that nobody has is nobody; a user who is not there is an error.
    pub fn of<'p>(&self, people: &'p [Person]) -> Result<Vec<&'p Person>, NoAudience> {
        if self.users.is_empty() && self.roles.is_empty() && !self.everyone {
            return Err(NoAudience::Empty);
        }
        if let Some(unknown) = self.users.iter().find(|id| !people.iter().any(|person| person.id == **id)) {
            let names = people.iter().map(|person| person.id.as_str());
            let similar = crate::workflow::problem::similar(unknown.as_str(), names).and_then(|name| name.parse().ok());
            return Err(NoAudience::Unknown { id: unknown.clone(), similar });
        }
        let is_named = |person: &&Person| {
            self.everyone
                || self.users.contains(&person.id)
                || person.roles.iter().any(|role| self.roles.contains(role))
        };
        Ok(people.iter().filter(is_named).collect())
    }
}

/// People in the store. Every write is synced before it returns.
#[async_trait]
pub trait People: Send + Sync {
    /// Writes one. `revision` is the stored one + 1, or 1 for a new one; [`StoreError::Conflict`] otherwise.
    async fn put(&self, person: StoredPerson) -> Result<(), StoreError>;
    async fn get(&self, workspace: &WorkspaceId, id: &UserId) -> Result<Option<StoredPerson>, StoreError>;
    /// All of the workspace, by id.
    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<StoredPerson>, StoreError>;
    /// Takes the person and their inbox away. Whether they were there.
    async fn remove(&self, workspace: &WorkspaceId, id: &UserId) -> Result<bool, StoreError>;
}

#[cfg(test)]
mod tests;
