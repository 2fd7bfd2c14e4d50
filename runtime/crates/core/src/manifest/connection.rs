//! What a manifest says of connections: which an action works with, and kinds that no standard describes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::capability::HttpRule;
use crate::connection::Injection;
use crate::id::ConnectionName;

/// In the schema of a declared kind: `secret = true` on the fields that are sealed.
pub const SECRET_MARK: &str = "secret";

/// The connection that a step of an action may name: `connection = { kinds = ["bearer"], reason = "…" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionSlot {
    /// Kinds it works with, by their names or by the ids of `[[connections]]`. Empty: any that authenticates HTTP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Whether it can do nothing without one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// The connection that is taken when the step names none, and which is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<ConnectionName>,
    /// For the person who decides, in one sentence.
    pub reason: String,
}

/// A kind of connection that the plugin declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionKind {
    pub id: String,
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// JSON Schema (2020-12) of an object of texts; `secret = true` marks what is sealed.
    pub fields: Value,
    /// Where a connection of it is bound to, when its owner names no hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HttpRule>,
    /// What it adds to requests.
    pub inject: Vec<Injection>,
}

impl ConnectionKind {
    /// The fields and their schemas.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &Value)> {
        let properties = self.fields.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
    }

    /// Whether this field is sealed.
    pub fn is_secret(&self, field: &str) -> bool {
        let marked = |schema: &Value| schema.get(SECRET_MARK) == Some(&Value::Bool(true));
        self.properties().any(|(name, schema)| name == field && marked(schema))
    }

    /// The public and the secret fields apart.
    pub fn split(&self, fields: Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
        fields.into_iter().partition(|(name, _)| !self.is_secret(name))
    }

    /// The places in its templates, `secret.key` or `field.account`; the error names a template that does not read.
    pub fn places(&self) -> Result<Vec<&str>, &str> {
        let mut places = Vec::new();
        for injection in &self.inject {
            let mut rest = injection.value.as_str();
            while let Some((_, from)) = rest.split_once("{{") {
                let (place, after) = from.split_once("}}").ok_or(injection.value.as_str())?;
                places.push(place.trim());
                rest = after;
            }
        }
        Ok(places)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !*value
}
