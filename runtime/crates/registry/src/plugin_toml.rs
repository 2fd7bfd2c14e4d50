//! `plugin.toml`: the manifest as its author writes it. Every mistake is named with its line, all of them at once.
//!
//! It has the manifest's own words; `input`, `output` and `config` may be missing where the SDK's section brings them, and may be JSON in a
//! string, because TOML has no `null`.

mod locate;

use std::fmt;

use flowcell_core::manifest::lint::{Severity, lint};
use flowcell_core::manifest::{self, Manifest};
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::package::schemas::{Kind, Schema};
use crate::suggest::nearest;
use locate::Place;

/// The largest `plugin.toml` that is read: as much as the manifest it becomes.
pub const BYTES_MAX: usize = manifest::BYTES_MAX;

/// One mistake in a `plugin.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin.toml:{}:{}: {}", self.line, self.column, self.message)
    }
}

/// Which keys each table has. A test compares this with what [`Manifest`] reads.
const KEYS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "id",
            "version",
            "api",
            "title",
            "description",
            "icon",
            "changelog",
            "actions",
            "triggers",
            "capabilities",
            "connections",
            "limits",
        ],
    ),
    ("changelog", &["version", "changes"]),
    ("actions", &["id", "title", "description", "idempotent", "connection", "retry", "input", "output"]),
    ("actions.connection", &["kinds", "required", "default", "reason"]),
    ("triggers", &["id", "title", "description", "kind", "subscribes", "interval", "connection", "config", "output"]),
    ("triggers.connection", &["kinds", "required", "default", "reason"]),
    ("capabilities", &["http", "key-value", "mail", "inbox", "contacts", "files"]),
    ("capabilities.key-value", &["reason", "quota-kib"]),
    ("capabilities.mail", &["reason"]),
    ("capabilities.inbox", &["reason"]),
    ("capabilities.contacts", &["reason", "read", "write", "delete"]),
    ("capabilities.files", &["reason", "quota-mib"]),
    ("capabilities.http", &["reason", "from-input", "hosts"]),
    ("connections", &["id", "title", "description", "fields", "hosts", "inject"]),
    ("limits", &["memory_mib", "cpu_ms", "wall_ms", "http_requests", "host_calls", "fuel"]),
];

/// Reads `plugin.toml` and completes it with the schemas the code brought along.
pub fn parse(text: &str, schemas: &[Schema]) -> Result<Manifest, Vec<Mistake>> {
    if text.len() > BYTES_MAX {
        let message = format!("the file has {} bytes; at most {BYTES_MAX} are read", text.len());
        return Err(vec![Mistake { line: 1, column: 1, message }]);
    }
    let place = Place::new(text);
    let root = DeTable::parse(text)
        .map_err(|error| vec![place.mistake(error.span().map_or(0, |span| span.start), error.message().to_owned())])?;
    let mut reader = Reader { place, root: root.get_ref(), mistakes: Vec::new() };
    reader.unknown_keys("", root.get_ref());
    let mut document = json_table(root.get_ref(), &mut reader);
    if reader.mistakes.is_empty() {
        document.entry("api").or_insert_with(|| manifest::API.into());
        reader.merge(&mut document, schemas);
    }
    reader.finish(document)
}

struct Reader<'a> {
    place: Place<'a>,
    root: &'a DeTable<'a>,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn mistake(&mut self, offset: usize, message: impl Into<String>) {
        self.mistakes.push(self.place.mistake(offset, message.into()));
    }

    fn mistake_at(&mut self, pointer: &str, message: impl Into<String>) {
        let offset = locate::offset(self.root, pointer);
        self.mistake(offset, message);
    }

    /// Compares the keys of `table` and of the tables in it with [`KEYS`].
    fn unknown_keys(&mut self, path: &str, table: &DeTable<'_>) {
        let Some((_, known)) = KEYS.iter().find(|(name, _)| *name == path) else { return };
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let hint = nearest(name, known.iter().copied()).map_or_else(
                    || format!("; there are: {}", known.join(", ")),
                    |near| format!("; did you mean `{near}`?"),
                );
                let table = if path.is_empty() { "at the top level".to_owned() } else { format!("in `{path}`") };
                self.mistake(key.span().start, format!("there is no `{name}` {table}{hint}"));
                continue;
            }
            let inner = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            match value.get_ref() {
                DeValue::Table(table) => self.unknown_keys(&inner, table),
                DeValue::Array(items) => {
                    for item in items {
                        if let DeValue::Table(table) = item.get_ref() {
                            self.unknown_keys(&inner, table);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Puts each schema into the entry with its id. What only one side knows, and what both say differently, is a mistake.
    fn merge(&mut self, document: &mut Map<String, Value>, schemas: &[Schema]) {
        for kind in [Kind::Action, Kind::Trigger] {
            let list = kind.list();
            let mut entries = match document.get_mut(list) {
                Some(Value::Array(entries)) => std::mem::take(entries),
                _ => Vec::new(),
            };
            let mut misspelt = Vec::new();
            for (index, entry) in entries.iter_mut().enumerate() {
                if let Value::Object(entry) = entry {
                    misspelt.extend(self.merge_entry(&format!("/{list}/{index}"), kind, entry, schemas));
                }
            }
            for schema in schemas.iter().filter(|schema| schema.kind == kind) {
                let is_listed = entries.iter().any(|entry| entry.get("id").and_then(Value::as_str) == Some(&schema.id));
                if !is_listed && nearest(&schema.id, misspelt.iter().map(String::as_str)).is_none() {
                    let id = &schema.id;
                    self.mistake(
                        0,
                        format!("`{id}` is registered in the code, but there is no `[[{list}]]` with `id = \"{id}\"`; add one with `id` and `title`"),
                    );
                }
            }
            if !entries.is_empty() {
                document.insert(list.to_owned(), Value::Array(entries));
            }
        }
    }

    /// Gives the id back if the code has nothing by this name, which is a mistake with its own line.
    fn merge_entry(
        &mut self,
        at: &str,
        kind: Kind,
        entry: &mut Map<String, Value>,
        schemas: &[Schema],
    ) -> Option<String> {
        let id = entry.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let found = schemas.iter().find(|schema| schema.kind == kind && schema.id == id);
        for field in kind.fields() {
            let from_code = found.and_then(|schema| schema.field(field));
            let pointer = format!("{at}/{field}");
            let written = match entry.remove(*field) {
                Some(Value::String(text)) => match serde_json::from_str(&text) {
                    Ok(schema) => Some(schema),
                    Err(error) => {
                        self.mistake_at(&pointer, format!("`{field}` is a string, so it must hold JSON: {error}"));
                        continue;
                    }
                },
                written => written,
            };
            let schema = match (written, from_code) {
                (Some(written), Some(from_code)) if written != *from_code => {
                    self.mistake_at(
                        &pointer,
                        format!("the code of `{id}` brings another schema for `{field}` than this one; remove it here, and describe it in the code"),
                    );
                    continue;
                }
                (Some(schema), _) => schema,
                (None, Some(schema)) => schema.clone(),
                (None, None) => {
                    let others: Vec<&str> =
                        schemas.iter().filter(|schema| schema.kind == kind).map(|schema| schema.id.as_str()).collect();
                    let message = if others.is_empty() {
                        format!(
                            "`{id}` has no `{field}`: the module brings no schemas, so write it here as a JSON Schema, such as \
                             `{field} = {{ type = \"object\" }}`"
                        )
                    } else {
                        let hint = nearest(&id, others.iter().copied()).map_or_else(
                            || format!("; it registers: {}", others.join(", ")),
                            |near| format!("; did you mean `{near}`?"),
                        );
                        format!("the code registers no {} `{id}`{hint}", kind.word())
                    };
                    self.mistake_at(&format!("{at}/id"), message);
                    // One sentence about the entry says it for its other field, too.
                    return Some(id);
                }
            };
            entry.insert((*field).to_owned(), schema);
        }
        None
    }

    fn finish(mut self, document: Map<String, Value>) -> Result<Manifest, Vec<Mistake>> {
        if self.mistakes.is_empty() {
            match serde_path_to_error::deserialize::<_, Manifest>(Value::Object(document)) {
                Ok(manifest) => {
                    for finding in lint(&manifest).into_iter().filter(|finding| finding.severity == Severity::Error) {
                        self.mistake_at(&finding.pointer, finding.message);
                    }
                    if self.mistakes.is_empty() {
                        return Ok(manifest);
                    }
                }
                Err(error) => {
                    let pointer = locate::pointer(error.path());
                    self.mistake_at(&pointer, error.into_inner().to_string());
                }
            }
        }
        self.mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        Err(self.mistakes)
    }
}

fn json_table(table: &DeTable<'_>, reader: &mut Reader<'_>) -> Map<String, Value> {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value, reader))).collect()
}

fn json(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(yes) => Value::Bool(*yes),
        DeValue::Integer(number) => {
            if let Ok(number) = i64::from_str_radix(number.as_str(), number.radix()) {
                return number.into();
            }
            reader.mistake(value.span().start, "this number does not fit 64 bits");
            Value::Null
        }
        DeValue::Float(number) => {
            if let Some(number) = number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
                return Value::Number(number);
            }
            reader.mistake(value.span().start, "JSON has no infinite numbers");
            Value::Null
        }
        DeValue::Datetime(_) => {
            reader.mistake(value.span().start, "JSON has no dates; write it in quotes");
            Value::Null
        }
        DeValue::Array(items) => Value::Array(items.iter().map(|item| json(item, reader)).collect()),
        DeValue::Table(table) => Value::Object(json_table(table, reader)),
    }
}

#[cfg(test)]
mod tests;
