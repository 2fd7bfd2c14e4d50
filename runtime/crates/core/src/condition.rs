//! Conditions: what `when`, `filter` and `match` ask, and the explanation of the answer.

mod compare;
mod compiled;
mod explain;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// Whether it has an answer for a value that is not there.
    pub fn takes_missing(self) -> bool {
        matches!(self, Self::Exists | Self::Missing | Self::Empty | Self::NotEmpty)
    }
}
