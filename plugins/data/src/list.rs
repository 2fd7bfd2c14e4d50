//! Lists.

use std::cmp::Ordering;

use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::Value;

#[derive(Input)]
#[expect(clippy::struct_field_names, reason = "the names are the contract's")]
pub(crate) struct List {
    list: Vec<Value>,
    /// Takes this field of each item, which then has to be an object.
    #[serde(default)]
    field: String,
    /// Leaves the first of those that are the same.
    #[serde(default)]
    unique: bool,
    #[serde(default)]
    order: Order,
    /// Leaves the first so many.
    limit: Option<u32>,
    /// Stands between the items in `text`.
    #[input(default = ", ")]
    join_with: String,
}

#[derive(Input, Clone, Copy, Default, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Order {
    #[default]
    Unchanged,
    /// Numbers by their size before text by its letters.
    Ascending,
    Descending,
    Reversed,
}

#[derive(Output)]
pub(crate) struct Formatted {
    list: Vec<Value>,
    count: usize,
    first: Value,
    last: Value,
    /// The items, joined.
    text: String,
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of an action")]
pub(crate) fn format(_: &Context, input: List) -> Result<Formatted, ActionError> {
    let mut list = input.list;
    if !input.field.is_empty() {
        list = list.iter_mut().map(|item| item.get_mut(&input.field).map(Value::take).unwrap_or_default()).collect();
    }
    if input.unique {
        let mut seen = std::collections::BTreeSet::new();
        list.retain(|item| seen.insert(item.to_string()));
    }
    match input.order {
        Order::Unchanged => {}
        Order::Ascending => list.sort_by(compare),
        Order::Descending => list.sort_by(|a, b| compare(b, a)),
        Order::Reversed => list.reverse(),
    }
    if let Some(limit) = input.limit.and_then(|limit| usize::try_from(limit).ok()) {
        list.truncate(limit);
    }
    let shown: Vec<String> =
        list.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect();
    Ok(Formatted {
        count: list.len(),
        first: list.first().cloned().unwrap_or_default(),
        last: list.last().cloned().unwrap_or_default(),
        text: shown.join(&input.join_with),
        list,
    })
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => match (a.as_str(), b.as_str()) {
            (Some(a), Some(b)) => a.cmp(b),
            (a_text, b_text) => b_text.is_some().cmp(&a_text.is_some()).then_with(|| a.to_string().cmp(&b.to_string())),
        },
    }
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::Harness;
    use serde_json::json;

    use super::format;

    #[test]
    fn lists_are_taken_apart_sorted_and_joined() {
        let host = Harness::new();
        let input = json!({"list": [{"n": 10}, {"n": 9}, {"m": 1}, {"n": 9}, {"n": "a"}], "field": "n", "unique": true, "order": "ascending"});
        let given = host.call(format, input).unwrap();
        assert_eq!((&given["list"], &given["text"]), (&json!([9, 10, "a", null]), &json!("9, 10, a, null")));
        let given =
            host.call(format, json!({"list": [1, 2, 3], "order": "reversed", "limit": 2, "join_with": "-"})).unwrap();
        assert_eq!(
            (&given["first"], &given["last"], &given["count"], &given["text"]),
            (&json!(3), &json!(2), &json!(2), &json!("3-2"))
        );
        assert_eq!(host.call(format, json!({"list": []})).unwrap()["first"], json!(null));
    }
}
