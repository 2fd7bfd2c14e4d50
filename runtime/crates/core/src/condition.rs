//! Conditions: what `when`, `filter` and `match` ask, and the explanation of the answer.

mod compare;
mod compiled;
mod explain;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use compiled::CompiledCondition;
pub use explain::{Asked, Explanation, Shown, Verdict};

/// A condition as its author wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Condition {
    /// One expression, with or without its braces; what it yields is true or false by the rules of the language.
    Expression(String),
    Group(Group),
    Compare(Compare),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Every one of them.
    All(Vec<Condition>),
    /// At least one of them.
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

/// `{ value, is, to }`: a value measured against another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    pub value: Value,
    pub is: Comparison,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// How a value is measured; in the text `equal`, `not-equal`, … The rules are in `compare.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    AtLeast,
    Less,
    AtMost,
    Contains,
    NotContains,
    StartsWith,
    EndsWith,
    In,
    Matches,
    Exists,
    Missing,
    Empty,
    NotEmpty,
    True,
    False,
    Before,
    After,
}

impl Comparison {
    const NAMES: [(Self, &'static str, &'static str); 20] = [
        (Self::Equal, "equal", "is equal to"),
        (Self::NotEqual, "not-equal", "is not equal to"),
        (Self::Greater, "greater", "is greater than"),
        (Self::AtLeast, "at-least", "is at least"),
        (Self::Less, "less", "is less than"),
        (Self::AtMost, "at-most", "is at most"),
        (Self::Contains, "contains", "contains"),
        (Self::NotContains, "not-contains", "does not contain"),
        (Self::StartsWith, "starts-with", "starts with"),
        (Self::EndsWith, "ends-with", "ends with"),
        (Self::In, "in", "is one of"),
        (Self::Matches, "matches", "matches"),
        (Self::Exists, "exists", "exists"),
        (Self::Missing, "missing", "is missing"),
        (Self::Empty, "empty", "is empty"),
        (Self::NotEmpty, "not-empty", "is not empty"),
        (Self::True, "true", "is true"),
        (Self::False, "false", "is false"),
        (Self::Before, "before", "is before"),
        (Self::After, "after", "is after"),
    ];

    /// Whether it has an answer for a value that is not there.
    pub fn takes_missing(self) -> bool {
        matches!(self, Self::Exists | Self::Missing | Self::Empty | Self::NotEmpty)
    }

    /// Whether the value is measured against another one.
    pub fn takes_operand(self) -> bool {
        !self.takes_missing() && !matches!(self, Self::True | Self::False)
    }

    /// The comparison in a sentence: "is greater than".
    pub fn verb(self) -> &'static str {
        Self::NAMES.iter().find(|(is, ..)| *is == self).map_or("is", |(_, _, verb)| verb)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES.iter().find(|(is, ..)| is == self).map_or("", |(_, name, _)| name))
    }
}

impl FromStr for Comparison {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(_, name, _)| *name == text);
        found.map(|(is, ..)| *is).ok_or_else(|| format!("`{text}` is no comparison"))
    }
}

impl Serialize for Comparison {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// YAML reads `is: true` as a truth value.
impl<'de> Deserialize<'de> for Comparison {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}
