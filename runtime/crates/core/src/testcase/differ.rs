//! Comparing a part with the whole: what is expected must be there, more may be.

use serde_json::{Map, Value};

use crate::workflow::schema::Schema;

/// Where the two differ first of all in each part: path, what was expected, what came.
pub(super) type Difference = (String, String, String);

/// Adds every place where `came` lacks what is `expected`. Objects may have more fields; arrays have the same length. An object with a single key
/// `$matches`, `$contains` or `$exists` asks instead of comparing.
pub(super) fn differences(expected: &Value, came: Option<&Value>, path: &str, found: &mut Vec<Difference>) {
    if let Some(answer) = asked(expected, came) {
        if let Err(wanted) = answer {
            found.push((path.to_owned(), wanted, shown(came)));
        }
        return;
    }
    match (expected, came) {
        (Value::Object(fields), Some(Value::Object(there))) => {
            for (key, value) in fields {
                differences(value, there.get(key), &join(path, key), found);
            }
        }
        (Value::Array(items), Some(Value::Array(there))) if items.len() == there.len() => {
            for (index, (value, there)) in items.iter().zip(there).enumerate() {
                differences(value, Some(there), &format!("{path}[{index}]"), found);
            }
        }
        (Value::Array(items), Some(Value::Array(there))) => {
            let count = |count: usize, list: &[Value]| format!("{} {}", items_of(count), Value::from(list.to_vec()));
            found.push((path.to_owned(), count(items.len(), items), count(there.len(), there)));
        }
        (expected, Some(came)) if is_same(expected, came) => {}
        (expected, came) => found.push((path.to_owned(), expected.to_string(), shown(came))),
    }
}

fn items_of(count: usize) -> String {
    if count == 1 { "1 item:".to_owned() } else { format!("{count} items:") }
}

/// 1 and 1.0 are the same number.
fn is_same(expected: &Value, came: &Value) -> bool {
    match (expected.as_f64(), came.as_f64()) {
        (Some(expected), Some(came)) => (expected - came).abs() <= f64::EPSILON * expected.abs().max(came.abs()),
        _ => expected == came,
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), Value::to_string)
}

/// `None` when nothing is asked; else whether the answer is yes, or what was wanted.
fn asked(expected: &Value, came: Option<&Value>) -> Option<Result<(), String>> {
    let fields: &Map<String, Value> = expected.as_object().filter(|fields| fields.len() == 1)?;
    let (question, to) = fields.iter().next()?;
    let (holds, wanted) = match question.as_str() {
        "$exists" => {
            let wanted = to.as_bool().unwrap_or(true);
            (came.is_some() == wanted, if wanted { "anything".to_owned() } else { "nothing".to_owned() })
        }
        "$contains" => {
            let holds = match (came, to) {
                (Some(Value::String(text)), Value::String(part)) => text.contains(part.as_str()),
                (Some(Value::Array(items)), part) => items.iter().any(|item| {
                    let mut found = Vec::new();
                    differences(part, Some(item), "", &mut found);
                    found.is_empty()
                }),
                _ => false,
            };
            (holds, format!("something that contains {to}"))
        }
        "$matches" => {
            let schema = serde_json::json!({ "type": "string", "pattern": to });
            match Schema::compile(&schema) {
                Ok(schema) => {
                    let holds = came.is_some_and(|came| schema.check(came, "").is_empty());
                    (holds, format!("a text that matches {to}"))
                }
                Err(_) => (false, format!("a text that matches {to}, which is no regular expression")),
            }
        }
        _ => return None,
    };
    Some(if holds { Ok(()) } else { Err(wanted) })
}

/// `a.b` for a name, `a["x y"]` for what is none.
fn join(path: &str, key: &str) -> String {
    let is_name = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'));
    if is_name { format!("{path}.{key}") } else { format!("{path}[{}]", Value::from(key)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(expected: &Value, came: &Value) -> Vec<String> {
        let mut found = Vec::new();
        differences(expected, Some(came), "x", &mut found);
        found.into_iter().map(|(path, expected, came)| format!("{path}: {expected} / {came}")).collect()
    }

    #[test]
    fn what_is_expected_must_be_there_and_more_may_be() {
        let none: [&str; 0] = [];
        assert_eq!(paths(&json!({ "a": 1, "b": [{}] }), &json!({ "a": 1.0, "b": [{ "c": 2 }], "d": 3 })), none);
        assert_eq!(paths(&json!({ "a": { "b c": 1 } }), &json!({ "a": {} })), [r#"x.a["b c"]: 1 / nothing"#]);
        assert_eq!(paths(&json!([1]), &json!([1, 2])), ["x: 1 item: [1] / 2 items: [1,2]"]);
        assert_eq!(paths(&json!([1, "a"]), &json!([1, "b"])), [r#"x[1]: "a" / "b""#]);
        assert_eq!(paths(&json!(null), &json!(null)), none);
    }

    #[test]
    fn some_values_are_asked_instead_of_compared() {
        for (expected, came, holds) in [
            (json!({ "$matches": "^fc_[0-9a-f]+$" }), json!("fc_12"), true),
            (json!({ "$matches": "^fc_[0-9a-f]+$" }), json!("x"), false),
            (json!({ "$matches": "^1$" }), json!(1), false),
            (json!({ "$contains": "ell" }), json!("hello"), true),
            (json!({ "$contains": { "a": 1 } }), json!([{ "a": 1, "b": 2 }]), true),
            (json!({ "$contains": 1 }), json!(1), false),
            (json!({ "$exists": true }), json!(null), true),
            (json!({ "a": { "$exists": false } }), json!({}), true),
            (json!({ "a": { "$exists": false } }), json!({ "a": 1 }), false),
        ] {
            assert_eq!(paths(&expected, &came).is_empty(), holds, "{expected} {came}");
        }
    }
}
