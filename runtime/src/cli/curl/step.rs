//! A request as a step of a workflow. Credentials do not come along: the step names a connection, and a command says how to store it.

use std::fmt::Write as _;

use flowcell_core::id::StepId;
use serde_json::{Map, Value, json};
use url::Url;

use super::arguments::{Asked, Field, Login};

pub(super) struct Imported {
    /// As it would be parsed from the text.
    pub(super) step: Value,
    pub(super) connection: Option<Needed>,
    pub(super) notes: Vec<String>,
}

/// A connection that has to be stored first.
#[derive(Debug, serde::Serialize)]
pub(super) struct Needed {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) options: String,
    pub(super) host: String,
}

impl Needed {
    pub(super) fn command(&self) -> String {
        let Self { name, kind, options, host } = self;
        format!("flowcell connection add {name} --kind {kind}{options} --host {host} --plugin flowcell/custom-webhook")
    }
}

/// Header names that carry keys.
const KEY_HEADERS: [&str; 8] = [
    "x-api-key",
    "api-key",
    "apikey",
    "x-auth-token",
    "x-access-token",
    "private-token",
    "x-auth-key",
    "x-shopify-access-token",
];

/// Query parameters that carry keys.
const KEY_PARAMETERS: [&str; 9] =
    ["api_key", "apikey", "api-key", "key", "token", "access_token", "auth_token", "auth", "secret"];

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

pub(super) fn of(mut asked: Asked, id: &StepId) -> Result<Imported, String> {
    let mut url = asked.url.take().ok_or("the command names no URL")?;
    let mut notes = std::mem::take(&mut asked.notes);
    let has_data = !asked.data.is_empty() || !asked.parts.is_empty();
    let method = match asked.method.take() {
        Some(method) => method,
        None if has_data && !asked.data_in_query => "POST".to_owned(),
        None => "GET".to_owned(),
    };
    if !METHODS.contains(&method.as_str()) {
        return Err(format!("a step cannot send {method}; its methods are {}", METHODS.join(", ")));
    }
    let host = url.origin().ascii_serialization();
    let name = connection_name(&url);
    let mut connection = asked.login.take().map(|login| match login {
        Login::Basic { username } => ("basic", format!(" --username {}", quoted(&username))),
        Login::Bearer => ("bearer", String::new()),
    });
    let (query, key) = take_query(&mut url, &mut asked, &mut notes);
    connection = connection.or(key);
    let mut with = Map::from_iter([("method".to_owned(), json!(method)), ("url".to_owned(), literal(url.as_str()))]);
    let mut put = |field: &str, value: Value| drop(with.insert(field.to_owned(), value));
    if !query.is_empty() {
        put("query", Value::Object(query));
    }
    let mut headers = Map::new();
    let mut content_type = None;
    for (name, value) in std::mem::take(&mut asked.headers) {
        match name.as_str() {
            "authorization" | "proxy-authorization" => connection = connection.or(Some(of_authorization(&value))),
            name if KEY_HEADERS.contains(&name) => {
                connection = connection.or_else(|| Some(("api-key", format!(" --header {name}"))));
            }
            "cookie" => notes.push("cookies were left out: use an API key or token of the service".to_owned()),
            "content-type" => content_type = Some(value),
            "host" | "content-length" | "connection" | "transfer-encoding" | "accept-encoding" | "idempotency-key" => {
                notes.push(format!("the header {name} was left out: Flowcell sets it itself"));
            }
            _ => drop(headers.insert(name, literal(&value))),
        }
    }
    if asked.is_json && !headers.contains_key("accept") {
        headers.insert("accept".to_owned(), json!("application/json"));
    }
    if !headers.is_empty() {
        put("headers", Value::Object(headers));
    }
    body(&asked, content_type, &mut put, &mut notes);
    if let Some(timeout_ms) = asked.timeout_ms {
        put("timeout_ms", json!(timeout_ms.min(600_000)));
    }
    let connection = connection.map(|(kind, options)| Needed { name, kind, options, host });
    let mut step = Map::new();
    step.insert("id".to_owned(), json!(id));
    step.insert("uses".to_owned(), json!("flowcell/custom-webhook/request@1"));
    if let Some(connection) = &connection {
        step.insert("connection".to_owned(), json!(connection.name));
    }
    step.insert("with".to_owned(), Value::Object(with));
    Ok(Imported { step: Value::Object(step), connection, notes })
}

type Credential = (&'static str, String);

/// Takes the query out of the URL, and a key out of the query.
fn take_query(url: &mut Url, asked: &mut Asked, notes: &mut Vec<String>) -> (Map<String, Value>, Option<Credential>) {
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if asked.data_in_query {
        for text in std::mem::take(&mut asked.data) {
            pairs.extend(url::form_urlencoded::parse(text.as_bytes()).into_owned());
        }
    }
    url.set_query(None);
    let mut key = None;
    let mut query = Map::new();
    for (name, value) in pairs {
        if key.is_none() && KEY_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) {
            notes.push(format!(
                "`{name}` looks like a credential in the query, where servers and proxies write it into their logs; if the service takes it in a header, prefer that"
            ));
            key = Some(("api-key", format!(" --query {}", quoted(&name))));
        } else {
            add(&mut query, name, literal(&value));
        }
    }
    (query, key)
}

fn of_authorization(value: &str) -> Credential {
    match value.split_once(' ') {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("bearer") => ("bearer", String::new()),
        Some((scheme, login)) if scheme.eq_ignore_ascii_case("basic") => {
            let decoded = data_encoding::BASE64.decode(login.trim().as_bytes()).unwrap_or_default();
            let decoded = String::from_utf8(decoded).unwrap_or_default();
            let username = decoded.split(':').next().unwrap_or_default().to_owned();
            ("basic", format!(" --username {}", quoted(&username)))
        }
        Some((scheme, _)) => ("api-key", format!(" --header authorization --prefix {}", quoted(&format!("{scheme} ")))),
        None => ("api-key", " --header authorization".to_owned()),
    }
}

fn body(asked: &Asked, content_type: Option<String>, put: &mut impl FnMut(&str, Value), notes: &mut Vec<String>) {
    if !asked.parts.is_empty() {
        let part = |field: &Field| json!({ "name": field.name, "value": literal(&field.value) });
        put("multipart", asked.parts.iter().map(part).collect());
        return;
    }
    if asked.data.is_empty() {
        if let Some(content_type) = content_type {
            put("content_type", literal(&content_type));
        }
        return;
    }
    let text = asked.data.join("&");
    let essence = content_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
    let says_json = asked.is_json || essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json");
    let parsed = serde_json::from_str::<Value>(&text).ok().filter(|value| value.is_object() || value.is_array());
    match parsed {
        Some(json) if says_json || content_type.is_none() => {
            if !says_json {
                notes.push("the body was taken for JSON; curl would have called it a form".to_owned());
            }
            put("json", escaped(json));
            if let Some(content_type) = content_type.filter(|_| !essence.eq_ignore_ascii_case("application/json")) {
                put("content_type", literal(&content_type));
            }
        }
        _ if content_type.is_none() || essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") => {
            let mut form = Map::new();
            for (name, value) in url::form_urlencoded::parse(text.as_bytes()).into_owned() {
                add(&mut form, name, literal(&value));
            }
            put("form", Value::Object(form));
        }
        _ => {
            put("raw", literal(&text));
            if let Some(content_type) = content_type {
                put("content_type", literal(&content_type));
            }
        }
    }
}

/// A name that comes several times has a list.
fn add(object: &mut Map<String, Value>, name: String, value: Value) {
    match object.get_mut(&name) {
        None => drop(object.insert(name, value)),
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// A text that expressions leave alone.
fn literal(text: &str) -> Value {
    let has_expression = ["{{", "{%", "{#"].iter().any(|open| text.contains(open));
    json!(if has_expression { format!("{{% raw %}}{text}{{% endraw %}}") } else { text.to_owned() })
}

/// The same for every text in it.
fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => literal(&text),
        Value::Array(items) => items.into_iter().map(escaped).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, escaped(value))).collect(),
        other => other,
    }
}

/// `api-example-com`.
fn connection_name(url: &Url) -> String {
    let host = url.host_str().unwrap_or("service").to_ascii_lowercase();
    let name: String = host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(60).collect();
    let name = name.trim_matches('-').to_owned();
    if name.starts_with(|c: char| c.is_ascii_lowercase()) { name } else { format!("api-{name}") }
}

/// An argument as a shell reads it back.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

impl Imported {
    /// One item of `steps`: a field each line, what is inside as JSON, which YAML reads too.
    pub(super) fn yaml(&self) -> String {
        let mut text = String::new();
        let mut line = |indent: &str, name: &str, value: &Value| {
            let plain = value.as_str().filter(|text| {
                let fits = |c: char| c.is_ascii_alphanumeric() || "-_/@.".contains(c);
                text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(fits)
            });
            let value = plain.map_or_else(|| value.to_string(), str::to_owned);
            let _ = writeln!(text, "{indent}{name}: {value}");
        };
        let get = |name: &str| self.step.get(name);
        for (indent, name) in [("- ", "id"), ("  ", "uses"), ("  ", "connection")] {
            if let Some(value) = get(name) {
                line(indent, name, value);
            }
        }
        let with = get("with").and_then(Value::as_object);
        text.push_str("  with:\n");
        let mut line = |name: &str, value: &Value| {
            let plain = name == "method" && value.is_string();
            let value = if plain { value.as_str().unwrap_or_default().to_owned() } else { value.to_string() };
            let _ = writeln!(text, "    {name}: {value}");
        };
        for name in ORDER {
            if let Some(value) = with.and_then(|with| with.get(name)) {
                line(name, value);
            }
        }
        text
    }
}

/// In the order people write them.
const ORDER: [&str; 10] =
    ["method", "url", "query", "headers", "json", "form", "multipart", "raw", "content_type", "timeout_ms"];
