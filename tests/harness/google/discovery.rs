//! Google's discovery documents: which requests there are, and what their parameters and bodies may hold.
//!
//! The documents come with Google's own client library (`tests/tools/requirements.txt`); none of it is copied here.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::Refusal;
use crate::Request;

/// A request that is as published.
#[derive(Debug)]
pub(crate) struct Call {
    /// As the document names it: `sheets.spreadsheets.get`.
    pub(crate) id: String,
    pub(crate) path: BTreeMap<String, String>,
    pub(crate) query: Vec<(String, String)>,
    /// `null` when there is none.
    pub(crate) body: Value,
    pub(crate) answer_schema: String,
}

impl Call {
    pub(crate) fn one<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
pub(crate) struct Discovery {
    methods: Vec<Method>,
    /// By API and name: `sheets/Spreadsheet`.
    schemas: BTreeMap<String, Value>,
    compiled: Mutex<HashMap<String, Arc<Validator>>>,
}

#[derive(Debug)]
struct Method {
    id: String,
    api: &'static str,
    verb: String,
    template: String,
    parameters: Map<String, Value>,
    request: Option<String>,
    response: String,
}

const DOCUMENTS: [(&str, &str); 2] = [("sheets", "sheets.v4.json"), ("drive", "drive.v3.json")];

impl Discovery {
    /// What Google publishes, read once.
    pub(crate) fn published() -> &'static Self {
        static READ: OnceLock<Discovery> = OnceLock::new();
        READ.get_or_init(Self::read_documents)
    }

    fn read_documents() -> Self {
        let mut all = Self { methods: Vec::new(), schemas: BTreeMap::new(), compiled: Mutex::default() };
        for (api, file) in DOCUMENTS {
            let path = folder().join(file);
            let document = std::fs::read(&path)
                .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask tools` first", path.display()));
            let document: Value = serde_json::from_slice(&document).unwrap();
            let base = document.pointer("/servicePath").and_then(Value::as_str).unwrap_or_default();
            all.collect(api, base, &document, &document);
            for (name, schema) in document.pointer("/schemas").and_then(Value::as_object).into_iter().flatten() {
                all.schemas.insert(format!("{api}/{name}"), converted(api, schema));
            }
        }
        // `{id}:batchUpdate` before `{id}`.
        all.methods.sort_by_key(|method| std::cmp::Reverse(method.template.len()));
        all
    }

    fn collect(&mut self, api: &'static str, base: &str, resource: &Value, document: &Value) {
        let text = |of: &Value, pointer: &str| of.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        for method in resource.get("methods").and_then(Value::as_object).into_iter().flat_map(Map::values) {
            let mut parameters = document.get("parameters").and_then(Value::as_object).cloned().unwrap_or_default();
            parameters.extend(method.get("parameters").and_then(Value::as_object).cloned().unwrap_or_default());
            self.methods.push(Method {
                id: text(method, "/id").unwrap_or_default(),
                api,
                verb: text(method, "/httpMethod").unwrap_or_default(),
                template: format!("/{base}{}", text(method, "/path").unwrap_or_default()),
                parameters,
                request: text(method, "/request/$ref"),
                response: text(method, "/response/$ref").unwrap_or_default(),
            });
        }
        for inner in resource.get("resources").and_then(Value::as_object).into_iter().flat_map(Map::values) {
            self.collect(api, base, inner, document);
        }
    }

    /// The request that this is, if it is one.
    pub(crate) fn read(&self, request: &Request) -> Result<Call, Refusal> {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let mut known = self.methods.iter().filter(|method| method.verb == request.method);
        let (method, path) = known
            .find_map(|method| Some((method, matched(&method.template, path)?)))
            .ok_or_else(|| Refusal::of(404, &format!("there is no {} {path}", request.method)))?;
        let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        for (name, value) in &query {
            let parameter = method.parameters.get(name).ok_or_else(|| {
                Refusal::invalid(format!(
                    "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query parameter."
                ))
            })?;
            check_parameter(name, value, parameter)?;
            let is_repeated = query.iter().filter(|(other, _)| other == name).count() > 1;
            if is_repeated && parameter.get("repeated") != Some(&json!(true)) {
                return Err(Refusal::invalid(format!("{name} is given twice")));
            }
        }
        let body = match (&method.request, request.body.is_empty()) {
            (None, true) => Value::Null,
            (None, false) => return Err(Refusal::invalid(format!("{} takes no body", method.id))),
            (Some(_), true) => json!({}),
            (Some(_), false) => serde_json::from_slice(&request.body)
                .map(without_nulls)
                .map_err(|error| Refusal::invalid(format!("Invalid JSON payload received. {error}")))?,
        };
        if let Some(schema) = &method.request {
            let schema = format!("{}/{schema}", method.api);
            self.check(&schema, &body)
                .map_err(|problem| Refusal::invalid(format!("Invalid JSON payload received. {problem}")))?;
        }
        let answer_schema = format!("{}/{}", method.api, method.response);
        Ok(Call { id: method.id.clone(), path, query, body, answer_schema })
    }

    /// Holds a document against a schema.
    pub(crate) fn check(&self, schema: &str, document: &Value) -> Result<(), String> {
        let problems: Vec<String> = self
            .validator(schema)
            .iter_errors(document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .take(3)
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(format!("{schema}: {}", problems.join("; "))) }
    }

    fn validator(&self, schema: &str) -> Arc<Validator> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let made = compiled.entry(schema.to_owned()).or_insert_with(|| {
            let reference = schema.replace('/', ".");
            let all: Map<String, Value> =
                self.schemas.iter().map(|(name, schema)| (name.replace('/', "."), schema.clone())).collect();
            let whole = json!({ "$ref": format!("#/$defs/{reference}"), "$defs": all });
            Arc::new(jsonschema::validator_for(&whole).unwrap())
        });
        Arc::clone(made)
    }
}

/// A schema of a discovery document as JSON Schema. Unknown members are refused, which Google's servers do, too.
fn converted(api: &str, schema: &Value) -> Value {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return json!({ "$ref": format!("#/$defs/{api}.{name}") });
    }
    let mut made = Map::new();
    match schema.get("type").and_then(Value::as_str) {
        None | Some("any") => {}
        Some(kind) => drop(made.insert("type".to_owned(), json!(kind))),
    }
    if let Some(values) = schema.get("enum") {
        made.insert("enum".to_owned(), values.clone());
    }
    if let Some(items) = schema.get("items") {
        made.insert("items".to_owned(), converted(api, items));
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let properties: Map<String, Value> =
            properties.iter().map(|(name, inner)| (name.clone(), converted(api, inner))).collect();
        made.insert("properties".to_owned(), Value::Object(properties));
        made.insert("additionalProperties".to_owned(), json!(false));
    }
    if let Some(others) = schema.get("additionalProperties") {
        made.insert("additionalProperties".to_owned(), converted(api, others));
    }
    Value::Object(made)
}

/// Google's servers take a member that is null for one that is not there (ProtoJSON).
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let there = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(there.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

fn check_parameter(name: &str, value: &str, parameter: &Value) -> Result<(), Refusal> {
    let refused = |wanted: &str| Err(Refusal::invalid(format!("Invalid value at '{name}' ({wanted}), \"{value}\"")));
    if let Some(allowed) = parameter.get("enum").and_then(Value::as_array)
        && !allowed.iter().any(|one| one == value)
    {
        return refused(&Value::from(allowed.clone()).to_string());
    }
    match parameter.get("type").and_then(Value::as_str) {
        Some("boolean") if !matches!(value.to_ascii_lowercase().as_str(), "true" | "false") => refused("TYPE_BOOL"),
        Some("integer") if value.parse::<i64>().is_err() => refused("TYPE_INT32"),
        _ => Ok(()),
    }
}

/// The variables of a template such as `/v4/spreadsheets/{spreadsheetId}:batchUpdate`, decoded.
fn matched(template: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let (wanted, given): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    if wanted.len() != given.len() {
        return None;
    }
    let mut variables = BTreeMap::new();
    for (wanted, given) in wanted.into_iter().zip(given) {
        let Some((name, suffix)) = wanted.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
            if wanted == given {
                continue;
            }
            return None;
        };
        let value = given.strip_suffix(suffix).filter(|value| !value.is_empty())?;
        variables.insert(name.to_owned(), percent_encoding::percent_decode_str(value).decode_utf8().ok()?.into_owned());
    }
    Some(variables)
}

/// Where the client library keeps the documents.
fn folder() -> PathBuf {
    let libraries = crate::root().join("target/tools/python/lib");
    let versions = std::fs::read_dir(&libraries)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask tools` first", libraries.display()));
    let found = versions
        .filter_map(Result::ok)
        .map(|version| version.path().join("site-packages/googleapiclient/discovery_cache/documents"))
        .find(|documents| documents.is_dir());
    found.unwrap_or_else(|| panic!("no discovery documents below {}: run `cargo xtask tools`", libraries.display()))
}
