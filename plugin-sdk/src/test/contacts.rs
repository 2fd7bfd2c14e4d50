//! Contacts in memory: enough of them to test a plugin, not the rules of a workspace.

use serde_json::{Map, Value, json};

use crate::HostError;

#[derive(Debug, Default)]
pub(super) struct Contacts {
    pub(super) all: Vec<Value>,
    pub(super) enrolled: Option<String>,
    made: u32,
}

impl Contacts {
    pub(super) fn find(&self, by: &Value) -> Option<Value> {
        let by = by.as_object()?;
        self.all.iter().find(|contact| by.iter().all(|(key, value)| &contact[key] == value)).cloned()
    }

    /// Adds it, with an id and a version if it has none.
    pub(super) fn add(&mut self, mut contact: Value) -> Value {
        self.made += 1;
        let document = contact.as_object_mut().expect("a contact is an object");
        document.entry("id").or_insert_with(|| format!("con_{}", self.made).into());
        document.entry("version").or_insert_with(|| 1.into());
        document.entry("tags").or_insert_with(|| json!([]));
        document.entry("fields").or_insert_with(|| json!({}));
        self.all.push(contact.clone());
        contact
    }

    pub(super) fn upsert(&mut self, wanted: Value) -> Value {
        let known = ["id", "external_id", "email", "phone"].into_iter().find_map(|key| {
            let value = wanted.get(key).filter(|value| !value.is_null())?;
            self.all.iter().position(|contact| contact.get(key) == Some(value))
        });
        match known.and_then(|at| self.all.get_mut(at)) {
            None => {
                let changed: Vec<String> =
                    wanted.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default();
                json!({ "contact": self.add(wanted), "outcome": "created", "changed": changed })
            }
            Some(contact) => {
                let set = wanted.as_object().cloned().unwrap_or_default();
                changed(contact, set)
            }
        }
    }

    pub(super) fn change(&mut self, id: &str, changes: &Value) -> Result<Value, HostError> {
        let contact = self.of_id(id)?;
        if changes.get("if_version").is_some_and(|version| contact["version"] != *version) {
            return Err(HostError::new("conflict", format!("contact {id} was changed meanwhile")));
        }
        let mut set = changes.get("set").and_then(Value::as_object).cloned().unwrap_or_default();
        let listed = |key: &str| changes.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut tags = contact["tags"].as_array().cloned().unwrap_or_default();
        tags.retain(|tag| !listed("remove_tags").contains(tag));
        let added: Vec<Value> = listed("add_tags").into_iter().filter(|tag| !tags.contains(tag)).collect();
        tags.extend(added);
        set.insert("tags".to_owned(), tags.into());
        Ok(changed(contact, set))
    }

    pub(super) fn add_note(&mut self, id: &str, text: &str) -> Result<Value, HostError> {
        self.made += 1;
        let note = json!({ "id": format!("note_{}", self.made), "text": text });
        let contact = self.of_id(id)?;
        match contact["notes"].as_array_mut() {
            Some(notes) => notes.push(note.clone()),
            None => contact["notes"] = json!([note]),
        }
        Ok(json!({ "note": note }))
    }

    pub(super) fn delete(&mut self, id: &str) -> bool {
        let before = self.all.len();
        self.all.retain(|contact| contact["id"] != id);
        self.all.len() < before
    }

    pub(super) fn enroll(&mut self, id: &str) -> Result<(), HostError> {
        self.of_id(id)?;
        self.enrolled = Some(id.to_owned());
        Ok(())
    }

    fn of_id(&mut self, id: &str) -> Result<&mut Value, HostError> {
        let found = self.all.iter_mut().find(|contact| contact["id"] == id);
        found.ok_or_else(|| HostError::new("not-found", format!("there is no contact `{id}`")))
    }
}

fn changed(contact: &mut Value, set: Map<String, Value>) -> Value {
    let mut names = Vec::new();
    for (name, value) in set {
        match (name.as_str(), value) {
            ("fields", Value::Object(own)) => {
                for (field, value) in own {
                    let Some(held) = contact.get_mut("fields").and_then(Value::as_object_mut) else { continue };
                    if held.get(&field) != Some(&value) {
                        names.push(format!("fields.{field}"));
                        held.insert(field, value);
                    }
                }
            }
            (_, value) if contact[&name] != value => {
                contact[&name] = value;
                names.push(name);
            }
            _ => {}
        }
    }
    if !names.is_empty() {
        contact["version"] = (contact["version"].as_u64().unwrap_or(0) + 1).into();
    }
    let outcome = if names.is_empty() { "unchanged" } else { "changed" };
    json!({ "contact": contact.clone(), "outcome": outcome, "changed": names })
}
