//! Fields whose choices come from the plugin: `"x-options": {"depends_on": ["/spreadsheet"]}` in a schema. The pointers lead to fields of the same input
//! that must be filled in before; without any, `"x-options": {}`.

use serde_json::Value;

/// The keyword.
pub const KEYWORD: &str = "x-options";

/// Whether some field of the schema has choices of the plugin's.
pub fn is_anywhere(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.contains_key(KEYWORD) || members.values().any(is_anywhere),
        Value::Array(items) => items.iter().any(is_anywhere),
        _ => false,
    }
}

/// The fields that a field's choices depend on, as JSON Pointers into the input. `None`: the plugin gives it no choices, or there is no such field.
/// `field` is a JSON Pointer into the input as well; an index stands for any item of a list.
pub fn depends_on<'s>(schema: &'s Value, field: &str) -> Option<Vec<&'s str>> {
    let options = below(schema, field)?.get(KEYWORD)?;
    Some(options.get("depends_on").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect())
}

/// The schema of the field that a JSON Pointer into the input leads to.
pub(super) fn below<'s>(schema: &'s Value, pointer: &str) -> Option<&'s Value> {
    let steps = pointer.strip_prefix('/')?.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    let mut at = schema;
    for step in steps {
        let named = at.get("properties").and_then(|properties| properties.get(&step));
        let item = || at.get("items").filter(|_| step.bytes().all(|digit| digit.is_ascii_digit()));
        let other = || at.get("additionalProperties").filter(|schema| schema.is_object());
        at = named.or_else(item).or_else(other)?;
    }
    Some(at)
}

/// Every field of choices with its place in the schema, and what it depends on.
pub(super) fn all(schema: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    collect(schema, "", &mut found);
    found
}

fn collect<'s>(schema: &'s Value, at: &str, found: &mut Vec<(String, &'s Value)>) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                let below = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                if name == KEYWORD {
                    found.push((below, value));
                } else {
                    collect(value, &below, found);
                }
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| collect(item, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_says_what_its_choices_depend_on() {
        let schema = json!({"type": "object", "properties": {
            "spreadsheet": {"type": "string", "x-options": {}},
            "rows": {"type": "array", "items": {"type": "object", "properties": {
                "column": {"type": "string", "x-options": {"depends_on": ["/spreadsheet"]}}}}},
            "values": {"type": "object", "additionalProperties": {"type": "string", "x-options": {"depends_on": []}}},
            "text": {"type": "string"},
        }});
        assert_eq!(depends_on(&schema, "/spreadsheet"), Some(vec![]));
        assert_eq!(depends_on(&schema, "/rows/3/column"), Some(vec!["/spreadsheet"]));
        assert_eq!(depends_on(&schema, "/values/A"), Some(vec![]));
        for none in ["/text", "/rows/x/column", "/nothing", "", "spreadsheet"] {
            assert_eq!(depends_on(&schema, none), None, "{none}");
        }
        assert!(is_anywhere(&schema) && !is_anywhere(&json!({"properties": {"a": true}})));
        assert_eq!(all(&schema).len(), 3);
    }
}
