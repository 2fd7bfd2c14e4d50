//! Between `serde_json`'s values and the template engine's, and from values to text.

use std::collections::BTreeMap;

use minijinja::value::ValueKind;
use serde_json::{Map, Number, Value};

use super::path::Key;

/// Deeper results are refused: the limit is that of `serde_json`, which reads them back on the other side.
const DEPTH_MAX: usize = 128;

/// Takes a value into the engine. Integers keep all their digits.
pub(super) fn to_engine(value: &Value) -> minijinja::Value {
    match value {
        Value::Null => minijinja::Value::from(()),
        Value::Bool(value) => minijinja::Value::from(*value),
        Value::Number(number) => {
            if let Some(value) = number.as_i64() {
                minijinja::Value::from(value)
            } else if let Some(value) = number.as_u64() {
                minijinja::Value::from(value)
            } else {
                minijinja::Value::from(number.as_f64().unwrap_or(f64::NAN))
            }
        }
        Value::String(text) => minijinja::Value::from(text.as_str()),
        Value::Array(items) => minijinja::Value::from_object(items.iter().map(to_engine).collect::<Vec<_>>()),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), to_engine(value)));
            minijinja::Value::from_object(fields.collect::<BTreeMap<String, minijinja::Value>>())
        }
    }
}

/// Takes the parts at `paths` into the engine, within as much of the tree as leads to them.
pub(super) fn parts_to_engine(value: &Value, paths: &[&[Key]]) -> minijinja::Value {
    let Value::Object(fields) = value else { return to_engine(value) };
    let mut parts: BTreeMap<String, minijinja::Value> = BTreeMap::new();
    for path in paths {
        // The whole is asked for, or a key that only the engine can judge.
        let Some(Key::Name(name)) = path.first() else { return to_engine(value) };
        if let Some(field) = fields.get(name)
            && !parts.contains_key(name)
        {
            let below = paths.iter().filter(|path| path.first() == Some(&Key::Name(name.clone())));
            let below: Vec<&[Key]> = below.filter_map(|path| path.get(1..)).collect();
            parts.insert(name.clone(), parts_to_engine(field, &below));
        }
    }
    minijinja::Value::from_object(parts)
}

/// Takes a result out of the engine. What JSON cannot say, and what is larger than `bytes_max`, is an error that names it.
pub(super) fn from_engine(value: &minijinja::Value, bytes_max: usize) -> Result<Value, String> {
    from_engine_within(value, bytes_max, &super::template::too_long)
}

/// The same, with a message of its own for what is too large.
pub(super) fn from_engine_within(
    value: &minijinja::Value,
    bytes_max: usize,
    too_large: &dyn Fn() -> String,
) -> Result<Value, String> {
    Conversion { bytes_left: bytes_max, too_large }.convert(value, DEPTH_MAX)
}

/// The engine's sequences may be computed while they are read and pretend to any length: the size is checked on the way.
struct Conversion<'m> {
    bytes_left: usize,
    too_large: &'m dyn Fn() -> String,
}

impl Conversion<'_> {
    fn convert(&mut self, value: &minijinja::Value, depth: usize) -> Result<Value, String> {
        let depth = depth.checked_sub(1).ok_or_else(|| format!("the result is nested more than {DEPTH_MAX} deep"))?;
        self.spend(4)?;
        match value.kind() {
            ValueKind::Undefined => Err(UNDEFINED_PART.to_owned()),
            ValueKind::None => Ok(Value::Null),
            ValueKind::Bool => Ok(Value::Bool(value.is_true())),
            ValueKind::Number => number(value),
            ValueKind::String => {
                let text = value.as_str().unwrap_or_default();
                self.spend(text.len())?;
                Ok(Value::String(text.to_owned()))
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter().map_err(|error| error.to_string())?;
                items.map(|item| self.convert(&item, depth)).collect::<Result<_, _>>().map(Value::Array)
            }
            ValueKind::Map => {
                let mut fields = Map::new();
                for key in value.try_iter().map_err(|error| error.to_string())? {
                    let field = value.get_item(&key).map_err(|error| error.to_string())?;
                    fields.insert(self.key(&key)?, self.convert(&field, depth)?);
                }
                Ok(Value::Object(fields))
            }
            kind @ (ValueKind::Bytes | ValueKind::Plain) => {
                Err(format!("the result is a {kind}, which JSON has no form for"))
            }
            _ => Err(format!("the result cannot be computed: {value}")),
        }
    }

    fn key(&mut self, key: &minijinja::Value) -> Result<String, String> {
        match self.convert(key, 1)? {
            Value::String(text) => Ok(text),
            key @ (Value::Bool(_) | Value::Number(_)) => Ok(key.to_string()),
            _ => Err(format!("`{key}` cannot be a key of an object")),
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(self.too_large)?;
        Ok(())
    }
}

/// Part of an error's text; see `template::Reads::explain`.
pub(super) const UNDEFINED_PART: &str = "a part of the result is undefined";

fn number(value: &minijinja::Value) -> Result<Value, String> {
    if let Some(number) = value.as_i64().filter(|_| value.is_integer()) {
        return Ok(number.into());
    }
    if value.is_integer() {
        return u64::try_from(value.clone()).map(Value::from).map_err(|_| format!("{value} is too large a number"));
    }
    f64::try_from(value.clone())
        .ok()
        .and_then(Number::from_f64)
        .map(Value::Number)
        .ok_or_else(|| format!("{value} is not a number that JSON can say"))
}

/// Puts a value at a path, and objects around it where there are none.
pub(super) fn put_at(whole: &mut Value, keys: &[Key], with: &Value) {
    let Some((first, rest)) = keys.split_first() else {
        *whole = with.clone();
        return;
    };
    match (&mut *whole, first) {
        (Value::Array(items), Key::Index(index)) if *index < items.len() => {
            if let Some(item) = items.get_mut(*index) {
                put_at(item, rest, with);
            }
        }
        (Value::Object(fields), Key::Name(name)) => {
            put_at(fields.entry(name.clone()).or_insert(Value::Null), rest, with);
        }
        (_, Key::Name(name)) => {
            *whole = Value::Object([(name.clone(), Value::Null)].into_iter().collect());
            if let Some(inner) = whole.get_mut(name) {
                put_at(inner, rest, with);
            }
        }
        (_, Key::Index(_)) => {}
    }
}

/// Writes a value into a text: a text as it is, everything else as JSON.
pub(super) fn write_text(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => out.push_str(text),
        other => out.push_str(&other.to_string()),
    }
}

/// Whether a condition holds that comes to this value: not for null, false, zero, and what is empty.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// About as many bytes as the value has in JSON.
pub(super) fn approximate_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().fold(2, |bytes, item| bytes + 1 + approximate_bytes(item)),
        Value::Object(fields) => {
            fields.iter().fold(2, |bytes, (key, value)| bytes + 4 + key.len() + approximate_bytes(value))
        }
    }
}
