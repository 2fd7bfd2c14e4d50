//! Whether checking a document against a schema ends in reasonable time. A schema comes from a stranger and runs in the host: a few lines that
//! refer twice to the next, or to themselves, make the validator work for minutes (measured: 22 doublings 0.4 s, each one more twice that).
//!
//! Two rules make the work proportional to schema × document: unfolded, a schema is of bounded size; and a schema that refers back to
//! itself does so at most once for each part of the document.

use serde_json::Value;

/// The most subschemas a schema may unfold to when each `$ref` is replaced by what it names. Usual ones have a few hundred.
pub(super) const NODES_MAX: usize = 5_000;

/// References back to a schema that is being walked. Filter groups and rich text have a handful; each is compared with each.
const BACK_REFS_MAX: usize = 100;

/// What is wrong with a schema, as the end of a sentence about it.
pub(super) type Verdict = Result<(), String>;

/// Walks every subschema as often as checking a document would.
pub(super) fn check(root: &Value) -> Verdict {
    let mut walk = Walk { root, left: NODES_MAX, path: Vec::new(), open: Vec::new(), back_refs: Vec::new() };
    walk.enter("#", root)
}

/// One step from a value into its parts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part<'a> {
    Member(&'a str),
    /// Any item or member.
    Any,
}

/// A schema somebody referred to, while it is walked.
struct Frame<'a> {
    target: &'a str,
    /// How deep in the document it began.
    depth: usize,
    /// How many back references there were before.
    first_back_ref: usize,
    is_recursive: bool,
}

struct Walk<'a> {
    root: &'a Value,
    left: usize,
    /// From the document's root to the value the current subschema is about.
    path: Vec<Part<'a>>,
    open: Vec<Frame<'a>>,
    back_refs: Vec<Vec<Part<'a>>>,
}

impl<'a> Walk<'a> {
    /// Walks what a reference names.
    fn enter(&mut self, target: &'a str, schema: &'a Value) -> Verdict {
        self.open.push(Frame {
            target,
            depth: self.path.len(),
            first_back_ref: self.back_refs.len(),
            is_recursive: false,
        });
        self.schema(schema)?;
        if let Some(frame) = self.open.pop().filter(|frame| frame.is_recursive) {
            self.disjoint(&frame)?;
        }
        Ok(())
    }

    fn schema(&mut self, schema: &'a Value) -> Verdict {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            format!("it unfolds to more than {NODES_MAX} subschemas; refer less often to the same `$defs`")
        })?;
        let Value::Object(keywords) = schema else { return Ok(()) };
        for (keyword, value) in keywords {
            match (keyword.as_str(), value) {
                ("$ref", Value::String(target)) => self.reference(target)?,
                ("$dynamicRef", _) => return Err("`$dynamicRef` is not supported; use `$ref`".to_owned()),
                ("$id", _) if !std::ptr::eq(schema, self.root) => {
                    return Err("a `$id` inside a schema changes what `$ref` means; leave it away".to_owned());
                }
                ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                    schemas.iter().try_for_each(|schema| self.schema(schema))?;
                }
                ("not" | "if" | "then" | "else", _) => self.schema(value)?,
                ("dependentSchemas", Value::Object(schemas)) => {
                    schemas.values().try_for_each(|schema| self.schema(schema))?;
                }
                ("properties", Value::Object(schemas)) => {
                    schemas.iter().try_for_each(|(name, schema)| self.part(Part::Member(name), schema))?;
                }
                ("patternProperties", Value::Object(schemas)) => {
                    schemas.values().try_for_each(|schema| self.part(Part::Any, schema))?;
                }
                ("prefixItems", Value::Array(schemas)) => {
                    schemas.iter().try_for_each(|schema| self.part(Part::Any, schema))?;
                }
                (
                    "items"
                    | "contains"
                    | "additionalProperties"
                    | "propertyNames"
                    | "unevaluatedItems"
                    | "unevaluatedProperties"
                    | "contentSchema",
                    _,
                ) => self.part(Part::Any, value)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn part(&mut self, part: Part<'a>, schema: &'a Value) -> Verdict {
        self.path.push(part);
        self.schema(schema)?;
        self.path.pop();
        Ok(())
    }

    fn reference(&mut self, target: &'a str) -> Verdict {
        // Only what is found here exactly as the validator finds it: no anchors, no other documents, no second way to write a pointer.
        let found = target
            .strip_prefix('#')
            .filter(|pointer| !pointer.contains('%'))
            .and_then(|pointer| self.root.pointer(pointer));
        let Some(schema) = found else {
            return Err(format!(
                "`$ref` to `{target}`: write `#` or `#/$defs/…`, and put what is meant into the same schema"
            ));
        };
        let Some(index) = self.open.iter().position(|frame| frame.target == target) else {
            return self.enter(target, schema);
        };
        if self.open.get(index).is_some_and(|frame| frame.depth == self.path.len()) {
            return Err(format!("`{target}` refers to itself without going any deeper; remove that `$ref`"));
        }
        if let Some(frame) = self.open.get_mut(index) {
            frame.is_recursive = true;
        }
        if self.back_refs.len() == BACK_REFS_MAX {
            return Err(format!(
                "it refers back to itself more than {BACK_REFS_MAX} times; allow any value (`true`) there"
            ));
        }
        self.back_refs.push(self.path.clone());
        Ok(())
    }

    /// Refuses a recursive schema if two of its ways back can lead to the same part of a document: each level would double the work.
    fn disjoint(&self, frame: &Frame<'a>) -> Verdict {
        let inside = self.back_refs.get(frame.first_back_ref..).unwrap_or_default();
        for (index, one) in inside.iter().enumerate() {
            for other in inside.iter().skip(index + 1) {
                if one.iter().zip(other).skip(frame.depth).all(|(a, b)| a == b || *a == Part::Any || *b == Part::Any) {
                    return Err(format!(
                        "`{}` refers to itself twice for the same part of a value, which takes for ever; keep one, or allow any value (`true`)",
                        frame.target
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(schema: &Value) -> String {
        check(schema).err().unwrap_or_default()
    }

    /// Each level refers twice to the next.
    fn doubling(levels: usize) -> Value {
        let next = |level: usize| json!({"$ref": format!("#/$defs/{}", level + 1)});
        let mut defs: serde_json::Map<_, _> =
            (0..levels).map(|level| (level.to_string(), json!({"allOf": [next(level), next(level)]}))).collect();
        defs.insert(levels.to_string(), json!(true));
        json!({"$ref": "#/$defs/0", "$defs": defs})
    }

    #[test]
    fn doubling_is_refused_at_once() {
        assert_eq!(verdict(&doubling(8)), "");
        assert!(verdict(&doubling(60)).contains("more than 5000 subschemas"));
    }

    #[test]
    fn recursion_into_different_parts_is_fine() {
        let group = json!({"$ref": "#/$defs/g", "$defs": {"g": {"anyOf": [
            {"type": "object", "properties": {"and": {"type": "array", "items": {"$ref": "#/$defs/g"}}}},
            {"type": "object", "properties": {"or": {"type": "array", "items": {"$ref": "#/$defs/g"}}}},
        ]}}});
        let tree = json!({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "$ref": {"type": "string"}}});
        let two_lists = json!({"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}], "$defs": {
            "a": {"properties": {"next": {"$ref": "#/$defs/a"}}}, "b": {"properties": {"next": {"$ref": "#/$defs/b"}}},
        }});
        for schema in [group, tree, two_lists] {
            assert_eq!(verdict(&schema), "", "{schema}");
        }
    }

    #[test]
    fn recursion_twice_into_the_same_part_is_refused() {
        let twice = |name: &str| json!({"additionalProperties": {"anyOf": [{"$ref": name}, {"$ref": name}]}});
        let fibonacci = json!({"properties": {"a": {"allOf": [{"$ref": "#"}, {"properties": {"a": {"$ref": "#"}}}]}}});
        let mutual = json!({"$ref": "#/$defs/a", "$defs": {"a": twice("#/$defs/b"), "b": twice("#/$defs/a")}});
        let one_into_both = json!({"$ref": "#/$defs/a", "$defs": {
            "a": {"items": {"$ref": "#/$defs/b"}}, "b": {"items": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}},
        }});
        for schema in [twice("#"), fibonacci, mutual, one_into_both] {
            assert!(verdict(&schema).contains("twice for the same part"), "{schema}: {}", verdict(&schema));
        }
    }

    #[test]
    fn references_have_one_spelling() {
        let defs = json!({"a": true});
        for target in ["#a", "#/%24defs/a", "other.json#/$defs/a", "http://127.0.0.1/", "#/$defs/missing"] {
            assert!(verdict(&json!({"$ref": target, "$defs": defs})).starts_with("`$ref` to"), "{target}");
        }
        assert!(verdict(&json!({"$ref": "#"})).contains("without going any deeper"));
        assert!(verdict(&json!({"allOf": [{"$dynamicRef": "#a"}]})).contains("`$dynamicRef`"));
        assert!(verdict(&json!({"items": {"$id": "http://x/"}})).contains("`$id`"));
        assert_eq!(verdict(&json!({"$id": "http://x/", "const": {"$id": 1, "$ref": "x"}})), "");
    }
}
