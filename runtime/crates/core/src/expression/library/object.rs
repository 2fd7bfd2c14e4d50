//! Filters for objects, and paths into values.

use minijinja::value::ValueKind;
use minijinja::{Environment, Value};
use serde_json::{Map, Value as Json};

use super::call::Call;
use super::{Filter, Outcome, filter, filter_of_many};

pub(super) const FILTERS: &[Filter] = &[
    filter("keys", &[], |call| {
        let fields = call.fields()?;
        call.done(&fields.into_iter().map(|(key, _)| Json::from(key)).collect())
    }),
    filter("values", &[], |call| {
        let fields = call.fields()?;
        call.done(&fields.into_iter().map(|(_, value)| value).collect())
    }),
    filter_of_many("pick", |call| {
        let names = call.texts("the names of fields")?;
        let fields = call.fields()?;
        let picked = fields.into_iter().filter(|(key, _)| names.contains(key));
        call.done(&Json::Object(picked.collect()))
    }),
    filter_of_many("omit", |call| {
        let names = call.texts("the names of fields")?;
        let fields = call.fields()?;
        let kept = fields.into_iter().filter(|(key, _)| !names.contains(key));
        call.done(&Json::Object(kept.collect()))
    }),
    filter("rename", &["from", "to"], |call| {
        let (from, to) = (call.needed_text(0)?, call.needed_text(1)?);
        let mut fields = call.fields()?;
        if let Some(value) = fields.remove(&*from) {
            fields.insert(to.to_string(), value);
        }
        call.done(&Json::Object(fields))
    }),
    filter("merge", &["other", "deep"], merge),
    filter("set", &["name", "value"], |call| {
        let name = call.needed_text(0)?;
        let value = call.argument_json(1)?.unwrap_or_default();
        let mut fields = call.fields()?;
        fields.insert(name.to_string(), value);
        call.done(&Json::Object(fields))
    }),
    filter("get", &["path", "default"], get),
    filter("compact", &[], compact),
];

fn merge(call: &mut Call<'_, '_, '_>) -> Outcome {
    let Json::Object(other) = call.needed_json(0)? else { return Err(call.wrong_argument(0, "an object")) };
    let mut fields = call.fields()?;
    if call.argument_bool(1)?.unwrap_or_default() {
        merge_deep(&mut fields, other);
    } else {
        fields.extend(other);
    }
    call.done(&Json::Object(fields))
}

fn merge_deep(into: &mut Map<String, Json>, other: Map<String, Json>) {
    for (key, value) in other {
        match (into.get_mut(&key), value) {
            (Some(Json::Object(into)), Json::Object(value)) => merge_deep(into, value),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Looks a path up; what is not there is the default, or undefined.
fn get(call: &mut Call<'_, '_, '_>) -> Outcome {
    let path = call.needed_text(0)?;
    if !matches!(call.value().kind(), ValueKind::Map | ValueKind::Seq | ValueKind::Iterable) {
        return Err(call.wrong("an object or an array"));
    }
    let value = call.json(call.value())?;
    match at(&value, &path) {
        Some(found) => call.done(found),
        // Whatever stands there, null included, is the default.
        None => Ok(call.given(1).cloned().unwrap_or(Value::UNDEFINED)),
    }
}

/// Follows `a.b[0].c`; a key that has a dot in it is found too, if it stands at the end. The empty path is the value itself.
pub(super) fn at<'v>(value: &'v Json, path: &str) -> Option<&'v Json> {
    let mut value = value;
    let mut rest = path.trim_start_matches('.');
    while !rest.is_empty() {
        if let Some(found) = value.get(rest) {
            return Some(found);
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            let (index, after) = after.strip_prefix('[')?.split_once(']')?;
            value = value.get(index.parse::<usize>().ok()?)?;
            rest = after.strip_prefix('.').unwrap_or(after);
            continue;
        }
        value = match value {
            Json::Array(items) => items.get(name.parse::<usize>().ok()?)?,
            other => other.get(name)?,
        };
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    Some(value)
}

/// Leaves out what is null or an empty text, of an array or an object.
fn compact(call: &mut Call<'_, '_, '_>) -> Outcome {
    let is_there = |value: &Json| !value.is_null() && value.as_str() != Some("");
    let compacted = match call.value().kind() {
        ValueKind::Map => Json::Object(call.fields()?.into_iter().filter(|(_, value)| is_there(value)).collect()),
        ValueKind::Seq | ValueKind::Iterable => call.items()?.into_iter().filter(is_there).collect(),
        _ => return Err(call.wrong("an array or an object")),
    };
    call.done(&compacted)
}

/// The test `empty`: null, an empty text, array or object.
pub(super) fn install(environment: &mut Environment<'static>) {
    environment.add_test("empty", |value: &Value| match value.kind() {
        ValueKind::None => true,
        ValueKind::String | ValueKind::Seq | ValueKind::Map => value.len() == Some(0),
        _ => false,
    });
}
