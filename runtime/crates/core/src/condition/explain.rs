//! Why a condition held or did not: a tree that stands in the journal and is shown to people.

use serde::{Deserialize, Serialize};

use super::Comparison;

/// The answer to a condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub holds: bool,
    pub because: Explanation,
}

/// One condition of the tree and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Absent: it was not evaluated, because the answer was known before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
    #[serde(flatten)]
    pub asked: Asked,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    Expression(Shown),
    Compare {
        value: Shown,
        is: Comparison,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Shown>,
    },
    All(Vec<Explanation>),
    Any(Vec<Explanation>),
    Not(Box<Explanation>),
}

/// An operand: as it was written, and what it was at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub text: String,
    /// As JSON, cut to [`Shown::CHARACTERS_MAX`]; absent when it was not evaluated or is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl Shown {
    /// As much of a value as explains a decision; the whole is in the journal where it came from.
    pub const CHARACTERS_MAX: usize = 200;

    /// As much of a text as is kept.
    pub(super) fn cut(text: &str) -> String {
        match text.char_indices().nth(Self::CHARACTERS_MAX) {
            Some(_) => text.chars().take(Self::CHARACTERS_MAX - 1).chain(['…']).collect(),
            None => text.to_owned(),
        }
    }
}
