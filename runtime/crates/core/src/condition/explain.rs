//! Why a condition held or did not: a tree that stands in the journal and is shown to people.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Comparison;
use crate::expression::has_expression;

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

/// A line for each condition, those of a group indented below it.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl Explanation {
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let answer = match self.holds {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not asked",
        };
        if depth > 0 {
            writeln!(f)?;
        }
        write!(f, "{:indent$}{answer}: ", "", indent = depth * 2)?;
        match &self.asked {
            Asked::Expression(shown) => shown.write(f, &Quote::Always),
            Asked::Compare { value, is, to } => {
                value.write(f, &Quote::Expressions)?;
                write!(f, " {}", is.verb())?;
                match to {
                    Some(to) => {
                        f.write_str(" ")?;
                        to.write(f, &Quote::Expressions)
                    }
                    None => Ok(()),
                }
            }
            Asked::All(of) => Self::write_group(f, "all of these", of, depth),
            Asked::Any(of) => Self::write_group(f, "one of these", of, depth),
            Asked::Not(of) => Self::write_group(f, "not this", std::slice::from_ref(of), depth),
        }
    }

    fn write_group(f: &mut fmt::Formatter<'_>, name: &str, of: &[Self], depth: usize) -> fmt::Result {
        f.write_str(name)?;
        of.iter().try_for_each(|inner| inner.write(f, depth + 1))
    }
}

/// Which operands are shown as they were written, with the value behind.
enum Quote {
    Always,
    /// Those that compute something: of a plain value, the value is enough.
    Expressions,
}

impl Shown {
    fn write(&self, f: &mut fmt::Formatter<'_>, quote: &Quote) -> fmt::Result {
        let is_computed = matches!(quote, Quote::Always) || has_expression(&self.text);
        match &self.value {
            Some(value) if is_computed => write!(f, "`{}` ({value})", self.text),
            Some(value) => f.write_str(value),
            None if is_computed => write!(f, "`{}`", self.text),
            None => f.write_str(&self.text),
        }
    }
}
