//! Messages to the people of the workspace, kept in their inbox. Needs the capability `inbox` in `plugin.toml`. What the documents mean stands in
//! `docs/notifications.md`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::HostError;

/// Who gets a message: users by their ids, everybody with one of the roles, everyone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Audience {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub everyone: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notification {
    pub to: Audience,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Where a click on it leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Tells it from other messages of the step, whatever their order; none: its number among the step's writing calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Notified {
    pub id: String,
    /// Ids of the people who got it.
    pub recipients: Vec<String>,
    /// An earlier attempt had done it.
    pub repeated: bool,
}

/// One of the workspace's people.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    pub id: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// `{"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin"}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<Value>,
    /// There while it is one of their quiet hours: so long they last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_for_ms: Option<u64>,
    /// The ways they want to be reached, the first one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
}

impl Notification {
    pub fn new(to: Audience, title: impl Into<String>) -> Self {
        Self { to, title: title.into(), ..Self::default() }
    }

    pub fn send(&self) -> Result<Notified, HostError> {
        let document = serde_json::to_string(self).unwrap_or_default();
        let answer = crate::host::inbox_notify(&document)?;
        serde_json::from_str(&answer).map_err(|error| HostError::of_json("the host's answer cannot be read", &error))
    }
}

/// The people an audience stands for.
pub fn people(audience: &Audience) -> Result<Vec<Person>, HostError> {
    let document = serde_json::to_string(audience).unwrap_or_default();
    let answer = crate::host::inbox_people(&document)?;
    serde_json::from_str(&answer).map_err(|error| HostError::of_json("the host's answer cannot be read", &error))
}
