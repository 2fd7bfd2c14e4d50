//! What is known of values before anything runs, from JSON Schemas: which fields there are, and of which type.
//!
//! Nothing is claimed that a schema leaves open: what is not known is [`Known::Anything`].

use serde_json::{Map, Value, json};

/// What is known of a value.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Anything,
    /// It fits this schema, which is a part of `root`.
    Schema {
        root: Value,
        at: Value,
    },
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    There(Known),
    /// There is no such field; these there are.
    NoField {
        fields: Vec<String>,
    },
    /// It has no fields or items: it is a text, a number, …
    Nothing {
        is: &'static str,
    },
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Name(String),
    Index,
}

impl Known {
    pub(super) fn schema(schema: &Value) -> Self {
        match schema {
            Value::Object(fields) if !fields.is_empty() => Self::Schema { root: schema.clone(), at: schema.clone() },
            _ => Self::Anything,
        }
    }

    /// What is known of a value as it was written, where expressions may stand for anything.
    pub(super) fn authored(value: &Value) -> Self {
        Self::schema(&schema_of(value))
    }

    pub(super) fn child(&self, key: &Key) -> Found {
        let Self::Schema { root, at } = self else { return Found::There(Self::Anything) };
        let at = resolve(root, at);
        // Alternatives and additions are not taken apart: whatever leads there may exist.
        if ["anyOf", "oneOf", "allOf", "if", "not", "patternProperties", "$dynamicRef"]
            .iter()
            .any(|open| at.get(open).is_some())
        {
            return Found::There(Self::Anything);
        }
        let types = types(&at);
        let within = |schema: &Value| Found::There(Self::Schema { root: root.clone(), at: schema.clone() });
        match key {
            Key::Name(name) => {
                if let Some(field) = at.get("properties").and_then(|fields| fields.get(name)) {
                    return within(field);
                }
                if !types.is_empty() && !types.contains(&"object") {
                    return Found::Nothing { is: article(&types) };
                }
                match (at.get("additionalProperties"), at.get("properties").and_then(Value::as_object)) {
                    (Some(Value::Object(other)), _) if !other.is_empty() => within(&Value::Object(other.clone())),
                    (None | Some(Value::Bool(false)), Some(fields)) => {
                        Found::NoField { fields: fields.keys().cloned().collect() }
                    }
                    (Some(Value::Bool(false)), None) => Found::NoField { fields: Vec::new() },
                    _ => Found::There(Self::Anything),
                }
            }
            Key::Index => {
                if !types.is_empty() && !types.iter().any(|kind| matches!(*kind, "array" | "string" | "object")) {
                    return Found::Nothing { is: article(&types) };
                }
                match at.get("items") {
                    Some(items) if at.get("prefixItems").is_none() => within(items),
                    _ => Found::There(Self::Anything),
                }
            }
        }
    }

    /// The JSON types it may have; empty when that is not known.
    pub(super) fn types(&self) -> Vec<String> {
        match self {
            Self::Anything => Vec::new(),
            Self::Schema { root, at } => types(&resolve(root, at)).into_iter().map(str::to_owned).collect(),
        }
    }
}

/// Follows references within the schema.
fn resolve(root: &Value, at: &Value) -> Value {
    let mut at = at.clone();
    // As deep as anybody refers; a circle is cut here.
    for _ in 0..16 {
        let Some(pointer) = at.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#')) else { break };
        match root.pointer(pointer) {
            Some(target) => at = target.clone(),
            None => return json!({}),
        }
    }
    at
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ if schema.get("properties").is_some() => vec!["object"],
        _ => Vec::new(),
    }
}

/// The type in a sentence.
pub(super) fn article<S: AsRef<str>>(types: &[S]) -> &'static str {
    match types.first().map(AsRef::as_ref) {
        Some("array") => "a list",
        Some("boolean") => "true or false",
        Some("integer" | "number") => "a number",
        Some("null") => "null",
        Some("object") => "an object",
        _ => "a text",
    }
}

/// Whether a value of one of `given` can be one of `wanted`; what is not known can be.
pub(super) fn overlap(given: &[String], wanted: &[String]) -> bool {
    let same = |given: &str, wanted: &str| {
        given == wanted || matches!((given, wanted), ("integer", "number") | ("number", "integer"))
    };
    given.is_empty() || wanted.is_empty() || given.iter().any(|given| wanted.iter().any(|wanted| same(given, wanted)))
}

fn schema_of(value: &Value) -> Value {
    match value {
        Value::Null => json!({ "type": "null" }),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(_) => json!({ "type": "number" }),
        Value::String(text) if whole(text) => json!({}),
        Value::String(_) => json!({ "type": "string" }),
        Value::Array(items) => match items.as_slice() {
            [first, ..] if items.iter().all(|item| schema_of(item) == schema_of(first)) => {
                json!({ "type": "array", "items": schema_of(first) })
            }
            _ => json!({ "type": "array" }),
        },
        Value::Object(fields) => {
            let fields: Map<_, _> = fields.iter().map(|(key, field)| (key.clone(), schema_of(field))).collect();
            json!({ "type": "object", "properties": fields, "additionalProperties": false })
        }
    }
}

/// Whether a text may become a value of another type.
fn whole(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("{{") && text.ends_with("}}")
}

/// The keys of a path such as `.output.items[0]['first name']`; `None` for what is no such path.
pub(super) fn keys(path: &str) -> Option<Vec<Key>> {
    let mut keys = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at_checked(end)?;
            keys.push(Key::Name(name.to_owned()));
            rest = after;
        } else {
            let (inner, after) = rest.strip_prefix('[')?.split_once(']')?;
            let name = inner.strip_prefix(['\'', '"']).and_then(|inner| inner.strip_suffix(['\'', '"']));
            keys.push(name.map_or(Key::Index, |name| Key::Name(name.to_owned())));
            rest = after;
        }
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(schema: &Value, path: &str) -> String {
        let mut known = Known::schema(schema);
        for key in keys(path).expect("a path") {
            match known.child(&key) {
                Found::There(child) => known = child,
                Found::NoField { fields } => return format!("no {key:?} in {}", fields.join(", ")),
                Found::Nothing { is } => return format!("no {key:?}: {is}"),
            }
        }
        let types = known.types();
        if types.is_empty() { "anything".to_owned() } else { types.join(" or ") }
    }

    #[test]
    fn paths_are_followed_as_far_as_a_schema_says_something() {
        let schema = json!({
            "type": "object",
            "properties": {
                "id": { "type": "string" },
                "open": {},
                "free": { "type": "object" },
                "map": { "type": "object", "additionalProperties": { "type": "integer" } },
                "list": { "type": "array", "items": { "$ref": "#/$defs/item" } },
                "either": { "anyOf": [{ "type": "string" }, { "type": "object", "properties": { "a": {} } }] },
                "maybe": { "type": ["null", "object"], "properties": { "a": { "type": "number" } } },
                "circle": { "$ref": "#/$defs/circle" },
            },
            "$defs": { "item": { "type": "object", "properties": { "n": { "type": "integer" } } }, "circle": { "$ref": "#/$defs/circle" } },
        });
        let cases = [
            (".id", "string"),
            (".idd", "no Name(\"idd\") in circle, either, free, id, list, map, maybe, open"),
            (".id.x", "no Name(\"x\"): a text"),
            (".open.x.y[3]", "anything"),
            (".free.x", "anything"),
            (".map.x", "integer"),
            (".map.x.y", "no Name(\"y\"): a number"),
            (".list[0].n", "integer"),
            (".list[0].m", "no Name(\"m\") in n"),
            (".list.n", "no Name(\"n\"): a list"),
            (".either.b", "anything"),
            (".maybe.a", "number"),
            (".circle.x", "anything"),
            ("['id']", "string"),
        ];
        for (path, expected) in cases {
            assert_eq!(found(&schema, path), expected, "{path}");
        }
        let authored = Known::authored(&json!({ "a": "{{ x }}", "b": "x {{ y }}", "c": [1, 2], "d": { "e": true } }));
        let Known::Schema { root, .. } = authored else { panic!("known") };
        for (path, expected) in [
            (".a.x", "anything"),
            (".b", "string"),
            (".c[0]", "number"),
            (".d.e", "boolean"),
            (".d.f", "no Name(\"f\") in e"),
        ] {
            assert_eq!(found(&root, path), expected, "{path}");
        }
    }
}
