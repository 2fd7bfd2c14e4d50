//! A JSON Schema from samples: which fields there are, of which types, which of them were always there, and what texts look like.
//!
//! Nothing is claimed beyond the samples, and it stays small whatever they are.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Levels that are described; what lies deeper may be anything. Payloads have some ten.
const DEPTH_MAX: usize = 24;

/// Fields of one object that are described. With more its keys are data, not names.
const FIELDS_MAX: usize = 500;

/// Places that are described in all, so that the schema stays below the size that is compiled.
const PLACES_MAX: usize = 2_000;

/// The schema that fits all of `samples`.
pub fn schema_of(samples: &[Value]) -> Value {
    let mut seen = Seen::default();
    let mut places = 0;
    for sample in samples {
        seen.add(sample, 0, &mut places);
    }
    seen.schema()
}

/// What was seen at one place.
#[derive(Debug, Default)]
struct Seen {
    nulls: usize,
    booleans: usize,
    integers: usize,
    numbers: usize,
    texts: usize,
    arrays: usize,
    objects: usize,
    /// What every text so far looked like.
    format: Option<&'static str>,
    items: Option<Box<Self>>,
    fields: BTreeMap<String, Self>,
    /// Some of it is not described.
    is_open: bool,
}

impl Seen {
    fn add(&mut self, value: &Value, depth: usize, places: &mut usize) {
        match value {
            Value::Null => self.nulls += 1,
            Value::Bool(_) => self.booleans += 1,
            Value::Number(number) if number.is_f64() => self.numbers += 1,
            Value::Number(_) => self.integers += 1,
            Value::String(text) => {
                let format = format_of(text);
                self.format = if self.texts == 0 { format } else { self.format.filter(|known| Some(*known) == format) };
                self.texts += 1;
            }
            Value::Array(items) => {
                self.arrays += 1;
                if depth >= DEPTH_MAX {
                    self.is_open = true;
                    return;
                }
                for item in items {
                    self.items.get_or_insert_default().add(item, depth + 1, places);
                }
            }
            Value::Object(fields) => {
                self.objects += 1;
                if depth >= DEPTH_MAX {
                    self.is_open = true;
                    return;
                }
                for (name, value) in fields {
                    let is_known = self.fields.contains_key(name);
                    if !is_known && (self.fields.len() >= FIELDS_MAX || *places >= PLACES_MAX) {
                        self.is_open = true;
                        continue;
                    }
                    *places += usize::from(!is_known);
                    self.fields.entry(name.clone()).or_default().add(value, depth + 1, places);
                }
            }
        }
    }

    fn times(&self) -> usize {
        self.nulls + self.booleans + self.integers + self.numbers + self.texts + self.arrays + self.objects
    }

    fn schema(&self) -> Value {
        let mut schema = Map::new();
        let types = [
            ("array", self.arrays),
            ("boolean", self.booleans),
            // An integer is a number, too.
            ("integer", if self.numbers == 0 { self.integers } else { 0 }),
            ("null", self.nulls),
            ("number", self.numbers),
            ("object", self.objects),
            ("string", self.texts),
        ];
        let types: Vec<&str> = types.into_iter().filter(|(_, times)| *times > 0).map(|(name, _)| name).collect();
        match types.as_slice() {
            [] => return json!({}),
            [one] => schema.insert("type".to_owned(), json!(one)),
            several => schema.insert("type".to_owned(), json!(several)),
        };
        if let Some(format) = self.format {
            schema.insert("format".to_owned(), json!(format));
        }
        if let Some(items) = &self.items {
            schema.insert("items".to_owned(), items.schema());
        }
        if self.objects > 0 {
            let fields: Map<String, Value> =
                self.fields.iter().map(|(name, seen)| (name.clone(), seen.schema())).collect();
            let required: Vec<&String> =
                self.fields.iter().filter(|(_, seen)| seen.times() == self.objects).map(|(name, _)| name).collect();
            if !required.is_empty() {
                schema.insert("required".to_owned(), json!(required));
            }
            schema.insert("properties".to_owned(), Value::Object(fields));
            if self.is_open {
                schema.insert("additionalProperties".to_owned(), json!(true));
            }
        }
        Value::Object(schema)
    }
}

/// The format of a text that is one (JSON Schema 2020-12 §7.3), by its looks.
fn format_of(text: &str) -> Option<&'static str> {
    if text.parse::<jiff::Timestamp>().is_ok() {
        Some("date-time")
    } else if text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok() {
        Some("date")
    } else if is_uuid(text) {
        Some("uuid")
    } else if is_email(text) {
        Some("email")
    } else if (text.starts_with("https://") || text.starts_with("http://")) && text.parse::<url::Url>().is_ok() {
        Some("uri")
    } else {
        None
    }
}

fn is_uuid(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    text.len() == 36
        && text.bytes().enumerate().all(
            |(at, byte)| {
                if dashes.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() }
            },
        )
}

fn is_email(text: &str) -> bool {
    let Some((user, domain)) = text.split_once('@') else { return false };
    let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
    is_plain(user) && is_plain(domain) && domain.contains('.') && !domain.starts_with('.') && !domain.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::schema::compile;

    #[test]
    fn several_samples_make_one_schema_that_fits_them_all() {
        let samples = [
            json!({ "id": 1, "email": "a@example.com", "at": "2026-11-23T10:00:00Z", "tags": ["a"], "total": 1,
                    "items": [{ "sku": "x", "price": 1.5 }, { "sku": "y" }], "address": { "city": "Bonn" } }),
            json!({ "id": 2, "email": "b@example.org", "at": "2026-11-23T10:00:00+01:00", "tags": [], "total": 2.5,
                    "items": [], "address": null, "extra": true }),
        ];
        let schema = schema_of(&samples);
        let expected = json!({
            "type": "object",
            "required": ["address", "at", "email", "id", "items", "tags", "total"],
            "properties": {
                "address": { "type": ["null", "object"], "required": ["city"], "properties": { "city": { "type": "string" } } },
                "at": { "type": "string", "format": "date-time" },
                "email": { "type": "string", "format": "email" },
                "extra": { "type": "boolean" },
                "id": { "type": "integer" },
                "items": { "type": "array", "items": {
                    "type": "object", "required": ["sku"],
                    "properties": { "price": { "type": "number" }, "sku": { "type": "string" } },
                } },
                "tags": { "type": "array", "items": { "type": "string" } },
                "total": { "type": "number" },
            },
        });
        assert_eq!(schema, expected);
        let compiled = jsonschema::validator_for(&schema).unwrap();
        assert!(samples.iter().all(|sample| compiled.is_valid(sample)));
        assert!(compile(&schema).is_ok());
    }

    #[test]
    fn texts_have_a_format_only_where_all_of_them_do() {
        let format = |texts: &[&str]| {
            let samples: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
            schema_of(&samples).get("format").and_then(Value::as_str).map(str::to_owned)
        };
        assert_eq!(format(&["2026-11-23", "2024-02-29"]).as_deref(), Some("date"));
        assert_eq!(format(&["0b4d5c0e-8a55-4c6b-9d2b-3a1f6f1f7d11"]).as_deref(), Some("uuid"));
        assert_eq!(format(&["https://example.com/a?b"]).as_deref(), Some("uri"));
        for mixed in [
            &["a@b.de", "none"] as &[&str],
            &["none", "a@b.de"],
            &["a@b.de", "2026-11-23"],
            &["2026-13-40"],
            &["a@b"],
            &[""],
        ] {
            assert_eq!(format(mixed), None, "{mixed:?}");
        }
    }

    #[test]
    fn whatever_the_samples_are_the_schema_stays_small() {
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!([{ "a": deep }]);
        }
        let many: Map<String, Value> = (0..5_000).map(|number| (format!("id-{number}"), json!(1))).collect();
        let wide: Map<String, Value> = (0..100).map(|number| (format!("g{number}"), json!(many))).collect();
        for sample in [deep, json!(many), json!(wide)] {
            let schema = schema_of(&[sample]);
            assert!(schema.to_string().len() < crate::workflow::schema::BYTES_MAX, "{}", schema.to_string().len());
            assert!(schema.to_string().contains("additionalProperties\":true") || schema.to_string().len() < 2_000);
        }
        assert_eq!(schema_of(&[]), json!({}));
    }
}
