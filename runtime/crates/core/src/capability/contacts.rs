//! Which fields of contacts a plugin reads and writes. A field is one of a contact (`email`, `tags`, …), a custom one (`fields.vip`), all custom ones
//! (`fields`), notes (`notes`), or everything (`*`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What says which contact it is, and how old; every plugin that works with contacts sees it.
const ALWAYS: [&str; 4] = ["id", "version", "created_at", "updated_at"];

/// `contacts = { reason = "…", read = ["email", "tags"], write = ["tags"], delete = false }`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactsCapability {
    pub reason: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub write: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delete: bool,
}

impl ContactsCapability {
    pub fn may_read(&self, field: &str) -> bool {
        ALWAYS.contains(&field) || names(&self.read, field)
    }

    pub fn may_write(&self, field: &str) -> bool {
        names(&self.write, field)
    }

    /// The first field of a contact's document that may not be written, as a JSON Pointer into it and by its name.
    pub fn forbidden_write(&self, contact: &Value) -> Option<(String, String)> {
        fields(contact).find(|field| !ALWAYS.contains(&field.as_str()) && !self.may_write(field)).map(pointed)
    }

    /// The first field by which may not be searched: whoever may neither read nor write a field could find out by searching what stands there.
    pub fn forbidden_search(&self, by: &Value) -> Option<(String, String)> {
        fields(by).find(|field| !self.may_read(field) && !self.may_write(field)).map(pointed)
    }

    /// Leaves of a contact's document what may be read.
    pub fn filter(&self, contact: &mut Value) {
        let Value::Object(members) = contact else { return };
        if let Some(Value::Object(custom)) = members.get_mut("fields") {
            custom.retain(|name, _| self.may_read(&format!("fields.{name}")));
        }
        members.retain(|name, value| {
            self.may_read(name) || (name == "fields" && value.as_object().is_some_and(|own| !own.is_empty()))
        });
    }
}

/// Whether `listed` names a field: itself, everything, or for a custom field all of them.
fn names(listed: &[String], field: &str) -> bool {
    listed.iter().any(|name| name == "*" || name == field || (name == "fields" && field.starts_with("fields.")))
}

/// The names of all fields of a document.
fn fields(document: &Value) -> impl Iterator<Item = String> {
    let members = document.as_object().into_iter().flatten();
    members.flat_map(|(name, value)| match value {
        Value::Object(custom) if name == "fields" => {
            custom.keys().map(|own| format!("fields.{own}")).collect::<Vec<_>>()
        }
        _ => vec![name.clone()],
    })
}

fn pointed(field: String) -> (String, String) {
    let pointer = field
        .split('.')
        .fold(String::new(), |pointer, part| pointer + "/" + &part.replace('~', "~0").replace('/', "~1"));
    (pointer, field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn capability(read: &[&str], write: &[&str]) -> ContactsCapability {
        let texts = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        ContactsCapability { reason: "r".into(), read: texts(read), write: texts(write), delete: false }
    }

    #[test]
    fn what_was_not_granted_is_left_out() {
        let contact = json!({"id": "c", "email": "e", "phone": "p", "tags": ["t"], "fields": {"vip": true, "iban": "DE"}, "version": 1});
        for (read, left) in [
            (&["*"][..], contact.clone()),
            (&[], json!({"id": "c", "version": 1})),
            (&["email", "fields.vip"], json!({"id": "c", "email": "e", "fields": {"vip": true}, "version": 1})),
            (&["fields"], json!({"id": "c", "fields": {"vip": true, "iban": "DE"}, "version": 1})),
        ] {
            let mut seen = contact.clone();
            capability(read, &[]).filter(&mut seen);
            assert_eq!(seen, left, "{read:?}");
        }
    }

    #[test]
    fn a_field_that_may_not_be_written_is_named_with_its_place() {
        let tags = capability(&[], &["tags", "fields.vip"]);
        assert_eq!(tags.forbidden_write(&json!({"id": "c", "tags": [], "fields": {"vip": 1}})), None);
        let (pointer, field) = tags.forbidden_write(&json!({"fields": {"vip": 1, "iban": "x"}})).expect("not granted");
        assert_eq!((pointer.as_str(), field.as_str()), ("/fields/iban", "fields.iban"));
        assert!(tags.forbidden_write(&json!({"email": "x"})).is_some());
        assert!(tags.forbidden_search(&json!({"email": "x"})).is_some());
        assert_eq!(capability(&["email"], &[]).forbidden_search(&json!({"email": "x"})), None);
        assert_eq!(capability(&[], &["*"]).forbidden_write(&json!({"fields": {"a": 1}, "email": 1})), None);
    }
}
