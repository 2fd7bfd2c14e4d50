//! Contacts of the workspace. Needs the capability `contacts` in `plugin.toml`, which names the fields that are read and written; others are left out.
//! What the documents mean stands in `docs/contacts.md`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::HostError;

/// By what a contact is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By<'a> {
    Id(&'a str),
    Email(&'a str),
    Phone(&'a str),
    ExternalId(&'a str),
}

/// What `upsert` and `change` did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    pub contact: Value,
    pub outcome: Outcome,
    /// The fields that are others now.
    #[serde(default)]
    pub changed: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Created,
    Changed,
    Unchanged,
}

pub fn find(by: By<'_>) -> Result<Option<Value>, HostError> {
    let by = match by {
        By::Id(id) => json!({ "id": id }),
        By::Email(email) => json!({ "email": email }),
        By::Phone(phone) => json!({ "phone": phone }),
        By::ExternalId(id) => json!({ "external_id": id }),
    };
    crate::host::contacts_find(&by.to_string())?.map(|answer| read(&answer)).transpose()
}

/// Finds by id, external id, e-mail or phone and changes what is named, or creates it.
pub fn upsert(contact: &Value) -> Result<Changed, HostError> {
    read(&crate::host::contacts_upsert(&contact.to_string())?)
}

/// `{"set"?: {…}, "add_tags"?: […], "remove_tags"?: […], "if_version"?: …}`.
pub fn change(id: &str, changes: &Value) -> Result<Changed, HostError> {
    read(&crate::host::contacts_change(id, &changes.to_string())?)
}

/// `{"note": {"id": …, …}}`.
pub fn add_note(id: &str, text: &str) -> Result<Value, HostError> {
    read(&crate::host::contacts_add_note(id, text)?)
}

/// Whether it was there.
pub fn delete(id: &str) -> Result<bool, HostError> {
    crate::host::contacts_delete(id)
}

/// Makes it this run's contact: `{{ contact.* }}` from the next step on.
pub fn enroll(id: &str) -> Result<(), HostError> {
    crate::host::contacts_enroll(id)
}

fn read<T: serde::de::DeserializeOwned>(answer: &str) -> Result<T, HostError> {
    serde_json::from_str(answer).map_err(|error| HostError::of_json("the host's answer cannot be read", &error))
}
