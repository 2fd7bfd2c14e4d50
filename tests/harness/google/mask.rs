//! Partial answers: the parameter `fields` (`sheets(properties.title,data/rowData)`).

use serde_json::{Map, Value};

use super::Refusal;

/// What is wanted below a member; empty: all of it.
#[derive(Debug, Default)]
struct Mask(Vec<(String, Mask)>);

/// Keeps what the text names. A name that nothing has is refused by Google; here it keeps nothing, since answers leave out what is empty.
pub(crate) fn apply(text: &str, value: &Value) -> Result<Value, Refusal> {
    let mut rest = text;
    let mask = list(&mut rest).filter(|_| rest.is_empty());
    let mask = mask.ok_or_else(|| Refusal::invalid(format!("Invalid field selection {text}")))?;
    Ok(kept(&mask, value))
}

fn list(rest: &mut &str) -> Option<Mask> {
    let mut members = Vec::new();
    loop {
        members.push(path(rest)?);
        match rest.strip_prefix(',') {
            Some(more) => *rest = more,
            None => return Some(Mask(members)),
        }
    }
}

fn path(rest: &mut &str) -> Option<(String, Mask)> {
    let end = rest.find([',', '(', ')', '.', '/']).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    if name.is_empty() {
        return None;
    }
    *rest = after;
    let below = if let Some(more) = rest.strip_prefix(['.', '/']) {
        *rest = more;
        Mask(vec![path(rest)?])
    } else if let Some(more) = rest.strip_prefix('(') {
        *rest = more;
        let inner = list(rest)?;
        *rest = rest.strip_prefix(')')?;
        inner
    } else {
        Mask::default()
    };
    Some((name.to_owned(), below))
}

fn kept(mask: &Mask, value: &Value) -> Value {
    if mask.0.is_empty() {
        return value.clone();
    }
    match value {
        Value::Array(items) => items.iter().map(|item| kept(mask, item)).collect(),
        Value::Object(members) => {
            let mut chosen = Map::new();
            for (name, below) in &mask.0 {
                let found = members.iter().filter(|(member, _)| name == "*" || *member == name);
                for (member, value) in found {
                    chosen.insert(member.clone(), kept(below, value));
                }
            }
            Value::Object(chosen)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::apply;

    #[test]
    fn a_mask_keeps_what_it_names() {
        let whole = json!({ "a": [{ "b": 1, "c": { "d": 2, "e": 3 } }, { "b": 4 }], "f": 5 });
        for (mask, expected) in [
            ("f", json!({ "f": 5 })),
            ("a.b", json!({ "a": [{ "b": 1 }, { "b": 4 }] })),
            ("a(b,c/e),f", json!({ "a": [{ "b": 1, "c": { "e": 3 } }, { "b": 4 }], "f": 5 })),
            ("*", whole.clone()),
        ] {
            assert_eq!(apply(mask, &whole).unwrap(), expected, "{mask}");
        }
        assert!(apply("a(b", &whole).is_err() && apply("a,", &whole).is_err());
    }
}
