//! The people of a workspace: what is known of each, how a change is decided, and what it sets off. Pure.
//!
//! Read in this order: [`field`] (what a contact can hold), [`wanted`] (what somebody asks for), [`decide`] (what becomes of it, the one
//! place that knows), [`event`] (what it sets off, and when that would never end), [`port`] (who keeps it).
//!
//! A contact is found by what is unique in its workspace: e-mail address (lower case), telephone number (E.164), external id.

pub mod decide;
pub mod event;
pub mod field;
pub mod filter;
pub mod port;
pub mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::id::{ContactId, FieldName, NoteId, RunId, StepRef, WorkflowId, WorkspaceId};
use crate::plugin::PluginId;
use crate::time::Timestamp;

/// What is known of a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    pub id: ContactId,
    /// In lower case. Unique in the workspace, as are the next two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// In E.164.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The name that another system gave to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// What every contact can have, by its name (see [`field::STANDARD`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub standard: BTreeMap<String, String>,
    /// What the workspace has defined.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<FieldName, Value>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Counts its changes from 1.
    pub version: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// By what a contact is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    Email(String),
    Phone(String),
    ExternalId(String),
}

impl Identity {
    /// The field of a contact that it is.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Phone(_) => "phone",
            Self::ExternalId(_) => "external_id",
        }
    }
    pub fn value(&self) -> &str {
        match self {
            Self::Email(value) | Self::Phone(value) | Self::ExternalId(value) => value,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.field(), self.value())
    }
}

impl Contact {
    /// Somebody of whom nothing is known yet.
    pub fn new(id: ContactId, at: Timestamp) -> Self {
        Self {
            id,
            email: None,
            phone: None,
            external_id: None,
            standard: BTreeMap::new(),
            fields: BTreeMap::new(),
            tags: BTreeSet::new(),
            version: 0,
            created_at: at,
            updated_at: at,
        }
    }

    /// By what it is found.
    pub fn identities(&self) -> impl Iterator<Item = Identity> {
        let email = self.email.clone().map(Identity::Email);
        let phone = self.phone.clone().map(Identity::Phone);
        let external = self.external_id.clone().map(Identity::ExternalId);
        [email, phone, external].into_iter().flatten()
    }

    /// The value at a path: `email`, `first_name`, `fields.plan`.
    pub fn value(&self, path: &str) -> Option<Value> {
        let text = |text: &Option<String>| text.clone().map(Value::String);
        match path {
            "email" => text(&self.email),
            "phone" => text(&self.phone),
            "external_id" => text(&self.external_id),
            path => match path.strip_prefix(field::CUSTOM_PREFIX) {
                Some(name) => {
                    self.fields.iter().find(|(field, _)| field.as_str() == name).map(|(_, value)| value.clone())
                }
                None => self.standard.get(path).map(|text| Value::String(text.clone())),
            },
        }
    }

    /// First and last name, if one of them is known.
    pub fn name(&self) -> Option<String> {
        let part = |name: &str| self.standard.get(name).map(String::as_str);
        let parts: Vec<&str> = [part("first_name"), part("last_name")].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    /// As interfaces and expressions show it. What is not known is left out.
    pub fn document(&self) -> Value {
        let mut document = Map::new();
        document.insert("id".to_owned(), json!(self.id));
        for identity in self.identities() {
            document.insert(identity.field().to_owned(), identity.value().into());
        }
        if let Some(name) = self.name() {
            document.insert("name".to_owned(), name.into());
        }
        for (name, value) in &self.standard {
            document.insert(name.clone(), value.as_str().into());
        }
        document.insert("tags".to_owned(), json!(self.tags));
        document.insert("fields".to_owned(), json!(self.fields));
        document.insert("version".to_owned(), self.version.into());
        document.insert("created_at".to_owned(), json!(self.created_at));
        document.insert("updated_at".to_owned(), json!(self.updated_at));
        Value::Object(document)
    }
}

/// What somebody wrote about a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub id: NoteId,
    pub text: String,
    pub at: Timestamp,
    pub by: Actor,
}

/// Who changed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "via", rename_all = "kebab-case")]
pub enum Actor {
    /// A request with the administrator's token.
    Api,
    /// The command line, which uses the API.
    Cli,
    /// A step of a run.
    Run { workflow: WorkflowId, run: RunId, step: StepRef, plugin: PluginId },
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api => f.write_str("API"),
            Self::Cli => f.write_str("command line"),
            Self::Run { workflow, run, step, .. } => write!(f, "workflow `{workflow}`, step `{step}` of {run}"),
        }
    }
}

/// One change of a contact: an entry of its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub kind: ChangeKind,
    /// The contact's version after it.
    pub version: u32,
    pub at: Timestamp,
    pub by: Actor,
    /// By path (see [`Contact::value`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FromTo>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags_added: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags_removed: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    Created,
    Changed,
    Deleted,
}

/// What a field was and what it is; nothing where it was or is not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FromTo {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

impl Change {
    /// The names of what changed: paths of fields, and `tags`.
    pub fn names(&self) -> Vec<String> {
        let has_tags = !self.tags_added.is_empty() || !self.tags_removed.is_empty();
        self.fields.keys().cloned().chain(has_tags.then(|| "tags".to_owned())).collect()
    }
}

/// Whose contact it is, in one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContactPlace {
    pub workspace: WorkspaceId,
    pub contact: ContactId,
}

#[cfg(test)]
mod tests;
