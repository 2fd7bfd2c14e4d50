//! What somebody asks to be done to a contact, read from the document that every interface takes:
//! `{email, phone, external_id, first_name, …, fields: {…}, tags, add_tags, remove_tags, if_version}`.
//!
//! `null` removes a field; an empty text says nothing (forms send them for what was left out).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::field::{self, FieldDefinition, IDENTITIES, READ_ONLY};
use super::{Contact, Identity};
use crate::expression::join_pointer;
use crate::id::{ContactId, FieldName};
use crate::workflow::problem::similar;

/// What is to become of a contact; every value is in the form it is kept in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    /// By path (see [`Contact::value`]); nothing: it is removed.
    pub set: BTreeMap<String, Option<Value>>,
    pub add_tags: BTreeSet<String>,
    pub remove_tags: BTreeSet<String>,
    /// Nothing is changed when the contact has another version.
    pub if_version: Option<u32>,
}

/// A place of the document that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidField {
    /// A JSON Pointer.
    pub pointer: String,
    pub message: String,
    pub help: Option<String>,
}

impl Wanted {
    /// Reads a document. The `id` stands beside what is wanted; where nothing may name it, the document must not have one.
    pub fn read(
        document: &Value,
        definitions: &[FieldDefinition],
    ) -> Result<(Option<ContactId>, Self), Vec<InvalidField>> {
        let mut reading = Reading { definitions, wanted: Self::default(), id: None, invalid: Vec::new() };
        match document {
            Value::Object(members) => members.iter().for_each(|(name, value)| reading.member(name, value)),
            _ => reading.refuse("", "takes an object with the fields of a contact", None),
        }
        let both: Vec<String> = reading.wanted.add_tags.intersection(&reading.wanted.remove_tags).cloned().collect();
        if let Some(tag) = both.first() {
            reading.refuse("/remove_tags", &format!("the tag `{tag}` cannot be added and removed at once"), None);
        }
        if reading.invalid.is_empty() { Ok((reading.id, reading.wanted)) } else { Err(reading.invalid) }
    }

    /// By what the contact is to be found.
    pub fn identities(&self) -> impl Iterator<Item = Identity> {
        let text = |name: &str| self.set.get(name)?.as_ref()?.as_str().map(str::to_owned);
        let email = text("email").map(Identity::Email);
        let phone = text("phone").map(Identity::Phone);
        [email, phone, text("external_id").map(Identity::ExternalId)].into_iter().flatten()
    }

    /// The names of what it would change: paths of fields, and `tags`.
    pub fn names(&self) -> BTreeSet<String> {
        let has_tags = !self.add_tags.is_empty() || !self.remove_tags.is_empty();
        self.set.keys().cloned().chain(has_tags.then(|| "tags".to_owned())).collect()
    }

    /// Does it. The version and times are left as they are.
    pub fn apply(&self, contact: &mut Contact) {
        for (path, value) in &self.set {
            let text = || value.as_ref().and_then(Value::as_str).map(str::to_owned);
            match path.as_str() {
                "email" => contact.email = text(),
                "phone" => contact.phone = text(),
                "external_id" => contact.external_id = text(),
                path => match path.strip_prefix(field::CUSTOM_PREFIX).map(str::parse::<FieldName>) {
                    Some(Ok(name)) => drop(match value.clone() {
                        Some(value) => contact.fields.insert(name, value),
                        None => contact.fields.remove(&name),
                    }),
                    Some(Err(_)) => {}
                    None => drop(match text() {
                        Some(text) => contact.standard.insert(path.to_owned(), text),
                        None => contact.standard.remove(path),
                    }),
                },
            }
        }
        contact.tags.extend(self.add_tags.iter().cloned());
        contact.tags.retain(|tag| !self.remove_tags.contains(tag));
    }
}

struct Reading<'d> {
    definitions: &'d [FieldDefinition],
    wanted: Wanted,
    id: Option<ContactId>,
    invalid: Vec<InvalidField>,
}

impl Reading<'_> {
    fn member(&mut self, name: &str, value: &Value) {
        let pointer = join_pointer("", name);
        match name {
            "id" => match value.as_str().map(str::parse) {
                Some(Ok(id)) => self.id = Some(id),
                _ if value.is_null() || value.as_str() == Some("") => {}
                _ => self.refuse(&pointer, "takes a contact's id, con_…", None),
            },
            "if_version" => match value.as_u64().and_then(|version| u32::try_from(version).ok()) {
                Some(version) => self.wanted.if_version = Some(version),
                None if value.is_null() => {}
                None => self.refuse(&pointer, "takes the version that the contact should have, a number", None),
            },
            "tags" | "add_tags" => {
                let tags = self.tags(&pointer, value);
                self.wanted.add_tags.extend(tags);
            }
            "remove_tags" => self.wanted.remove_tags = self.tags(&pointer, value),
            "fields" => match value {
                Value::Object(fields) => fields.iter().for_each(|(name, value)| self.custom(name, value)),
                Value::Null => {}
                _ => self.refuse(&pointer, "takes an object: the workspace's own fields by their names", None),
            },
            name if IDENTITIES.contains(&name) || field::standard(name).is_some() => self.known(name, value, &pointer),
            name if READ_ONLY.contains(&name) => {
                let help = (name == "name").then(|| "set `first_name` and `last_name`".to_owned());
                self.refuse(&pointer, &format!("`{name}` is not set by anybody"), help);
            }
            name => self.unknown(name, &pointer),
        }
    }

    fn known(&mut self, name: &str, value: &Value, pointer: &str) {
        if value.is_null() {
            self.wanted.set.insert(name.to_owned(), None);
            return;
        }
        if says_nothing(value) {
            return;
        }
        let text = match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(format!("takes a text, and got {other}")),
        };
        let kept = text.and_then(|text| match name {
            "email" => field::email(&text).map(Value::String),
            "phone" => field::phone(&text).map(Value::String),
            "external_id" => field::external_id(&text).map(Value::String),
            name => field::keep(field::standard(name).unwrap_or(field::Kind::Text), &[], &Value::String(text)),
        });
        match kept {
            Ok(kept) => drop(self.wanted.set.insert(name.to_owned(), Some(kept))),
            Err(message) => self.refuse(pointer, &format!("`{name}` {message}"), None),
        }
    }

    fn custom(&mut self, name: &str, value: &Value) {
        let pointer = join_pointer("/fields", name);
        let Some(definition) = self.definitions.iter().find(|definition| definition.name.as_str() == name) else {
            let names = self.definitions.iter().map(|definition| definition.name.as_str());
            let help = match similar(name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None if field::standard(name).is_some() => {
                    format!("every contact has `{name}`: it stands beside `fields`, not in it")
                }
                None => format!("define it: flowcell contact field set {name} --kind text"),
            };
            return self.refuse(&pointer, &format!("no field `{name}` is defined in this workspace"), Some(help));
        };
        let path = format!("{}{name}", field::CUSTOM_PREFIX);
        if value.is_null() {
            self.wanted.set.insert(path, None);
        } else if !says_nothing(value) {
            match definition.keep(value) {
                Ok(kept) => drop(self.wanted.set.insert(path, Some(kept))),
                Err(message) => self.refuse(&pointer, &format!("`fields.{name}` {message}"), None),
            }
        }
    }

    fn tags(&mut self, pointer: &str, value: &Value) -> BTreeSet<String> {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            Value::String(_) => std::slice::from_ref(value),
            Value::Null => &[],
            _ => {
                self.refuse(pointer, "takes a list of tags", None);
                &[]
            }
        };
        let mut tags = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let tag = item.as_str().ok_or_else(|| format!("takes a text, and got {item}"));
            match tag.and_then(field::tag) {
                Ok(tag) => drop(tags.insert(tag)),
                Err(message) => self.refuse(&join_pointer(pointer, &index.to_string()), &message, None),
            }
        }
        tags
    }

    fn unknown(&mut self, name: &str, pointer: &str) {
        let is_custom = self.definitions.iter().any(|definition| definition.name.as_str() == name);
        let help = match similar(name, field::top_names()) {
            _ if is_custom => format!(
                "it is one of the workspace's own fields: write it in `fields`, {{\"fields\": {{\"{name}\": …}}}}"
            ),
            Some(near) => format!("did you mean `{near}`?"),
            None => "the workspace's own fields stand in `fields`".to_owned(),
        };
        self.refuse(pointer, &format!("a contact has no `{name}`"), Some(help));
    }

    fn refuse(&mut self, pointer: &str, message: &str, help: Option<String>) {
        self.invalid.push(InvalidField { pointer: pointer.to_owned(), message: message.to_owned(), help });
    }
}

fn says_nothing(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}
