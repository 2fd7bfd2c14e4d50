//! The digest of what a secret is sealed for: its kind and its binding. A change of either on the disk makes the secret unreadable.

use flowcell_core::connection::{Binding, Connection, Kind, StoredConnection};
use flowcell_core::id::Digest;
use serde::Serialize;
use serde_json::Value;

use crate::vault::Place;

/// Where the secret of the connection belongs, as of `revision`.
pub(crate) fn place(connection: &Connection, revision: u32) -> Place<'_> {
    Place {
        workspace: connection.workspace.as_str(),
        name: connection.name.as_str(),
        revision,
        facts: digest(&connection.kind, &connection.bound),
    }
}

/// The same of a stored one.
pub(crate) fn place_of(stored: &StoredConnection) -> Place<'_> {
    place(&stored.connection, stored.revision)
}

#[derive(Serialize)]
struct Facts<'c> {
    #[serde(flatten)]
    kind: &'c Kind,
    bound: &'c Binding,
}

/// A field that later versions add must be left out where it is not used, or the digest of stored connections would be another.
fn digest(kind: &Kind, bound: &Binding) -> Digest {
    let facts = serde_json::to_value(Facts { kind, bound }).unwrap_or_default();
    let mut text = String::new();
    write_canonical(&facts, &mut text);
    Digest::of(text.as_bytes())
}

/// JSON with the keys of every object in order, however they were written.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for key in keys {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(fields.get(key).unwrap_or(&Value::Null), text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kind(value: Value) -> Kind {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_digest_tells_every_fact_apart_and_does_not_change() {
        let bound = |host: &str| Binding { hosts: vec![host.parse().unwrap()], anywhere: false, plugins: Vec::new() };
        let api_key = |name: &str| kind(json!({ "kind": "api-key", "settings": { "header": { "name": name } } }));
        let first = digest(&api_key("x-key"), &bound("https://a.example"));
        assert_eq!(first, digest(&api_key("x-key"), &bound("https://a.example/*")));
        assert_ne!(first, digest(&api_key("x-key2"), &bound("https://a.example")));
        assert_ne!(first, digest(&api_key("x-key"), &bound("https://b.example")));
        assert_ne!(first, digest(&kind(json!({ "kind": "bearer" })), &bound("https://a.example")));
        // Stored secrets hang on it: it may never become another.
        assert_eq!(
            digest(&kind(json!({ "kind": "bearer" })), &Binding::default()),
            Digest::of(br#"{"bound":{},"kind":"bearer",}"#),
        );
    }

    #[test]
    fn the_order_in_which_a_document_was_written_does_not_matter() {
        let (mut one, mut two) = (String::new(), String::new());
        write_canonical(&json!({ "b": [1, { "d": null, "c": "x" }], "a": 2 }), &mut one);
        write_canonical(&json!({ "a": 2, "b": [1, { "c": "x", "d": null }] }), &mut two);
        assert_eq!(one, two);
        assert_eq!(one, r#"{"a":2,"b":[1,{"c":"x","d":null,},],}"#);
    }
}
