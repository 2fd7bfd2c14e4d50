//! JSON documents from outside: well formed, and no deeper than what is made of them can be stored.

use serde_json::Value;

use crate::http::problem::{Kind, Problem};

/// How deep arrays and objects may be nested in each other. A record of the store takes 120 levels, and a run puts its own around a document:
/// half of that leaves room for both.
const DEPTH_MAX: usize = 64;

pub(crate) fn parse(body: &[u8]) -> Result<Value, Problem> {
    let document = serde_json::from_slice(body)
        .map_err(|error| Problem::new(Kind::InvalidRequest, format!("The body is not JSON: {error}.")))?;
    if depth(&document) > DEPTH_MAX {
        let detail = format!("The body is nested more than {DEPTH_MAX} levels deep; send a flatter document.");
        return Err(Problem::new(Kind::InvalidRequest, detail));
    }
    Ok(document)
}

/// The levels of arrays and objects; the parser has made sure that there are not many more than are taken.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_too_deep_to_be_stored_is_refused() {
        let arrays = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let objects = |levels: usize| format!("{}0{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        for (levels, status) in [(1, None), (64, None), (65, Some(400)), (127, Some(400)), (100_000, Some(400))] {
            for body in [arrays(levels), objects(levels)] {
                let refused = parse(body.as_bytes()).err().map(|problem| problem.status().as_u16());
                assert_eq!(refused, status, "{levels}");
            }
        }
        assert!(parse(arrays(65).as_bytes()).unwrap_err().detail().contains("64 levels"));
    }
}
