//! JSON from guests: one document, bounded in size and depth, every key once.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// Parses `text`; the error is a sentence for the plugin's author.
pub(crate) fn parse(text: &str, bytes_max: usize, depth_max: usize) -> Result<Value, String> {
    if text.len() > bytes_max {
        return Err(format!("{} bytes of JSON; at most {bytes_max} may cross", text.len()));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Level { left: depth_max, max: depth_max }
        .deserialize(&mut deserializer)
        .map_err(|error| format!("not a JSON document as the contract wants it: {error}"))?;
    deserializer.end().map_err(|error| format!("more than one JSON document: {error}"))?;
    Ok(value)
}

/// Whether `value` has at most `depth_max` levels.
pub(crate) fn fits_depth(value: &Value, depth_max: usize) -> bool {
    match value {
        Value::Array(items) => depth_max > 0 && items.iter().all(|item| fits_depth(item, depth_max - 1)),
        Value::Object(members) => depth_max > 0 && members.values().all(|member| fits_depth(member, depth_max - 1)),
        _ => true,
    }
}

/// A value that may still hold `left` levels.
#[derive(Clone, Copy)]
struct Level {
    left: usize,
    max: usize,
}

impl Level {
    fn below<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(E::custom(format_args!("it is nested more than {} levels deep", self.max))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            match object.entry(key) {
                Entry::Vacant(place) => drop(place.insert(members.next_value_seed(below)?)),
                Entry::Occupied(place) => {
                    return Err(A::Error::custom(format_args!("the key `{}` is there twice", place.key())));
                }
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_serde_json_reads() {
        for text in
            [r#"{"a":[1,-2,3.5,"x",null,true,{}],"b":{"c":[]}}"#, "0", "\"ü\\n\"", "18446744073709551615", "1e3"]
        {
            assert_eq!(parse(text, 1024, 4), Ok(serde_json::from_str(text).expect("valid")), "{text}");
        }
    }

    #[test]
    fn refuses_depth_size_repeated_keys_and_rubbish() {
        for (text, part) in [
            ("[[[]]]", "nested more than 2 levels"),
            (r#"{"a":{"b":{}}}"#, "nested more than 2 levels"),
            (r#"{"a":1,"a":2}"#, "`a` is there twice"),
            ("{} {}", "more than one"),
            ("{", "EOF"),
            ("NaN", "expected"),
            ("", "EOF"),
            (r#""0123456789012345678901234567890123""#, "36 bytes of JSON; at most 32"),
        ] {
            let error = parse(text, 32, 2).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(parse(&"[".repeat(100_000), 1 << 20, 64).is_err());
        assert!(fits_depth(&serde_json::json!([[1]]), 2) && !fits_depth(&serde_json::json!([[[1]]]), 2));
    }
}
