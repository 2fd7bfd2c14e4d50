//! Values within a run by which it is found: `trigger.body.email`, `steps.create.output.id`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::StepId;
use crate::run::event::RunEvent;

/// The longest path, in bytes: an index repeats it with every block, and nobody types more.
const PATH_BYTES_MAX: usize = 128;

/// Segments of a path: deeper documents are found by a shorter path's parent, if at all.
const SEGMENTS_MAX: usize = 16;

/// How much of a value an index keeps: enough for the prefixes people search by, and no copy of the data.
const START_BYTES: usize = 16;

/// Where a value stands: in what the trigger brought, or in the output of a step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath {
    text: String,
    root: Root,
    segments: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Root {
    Trigger,
    Output(StepId),
}

/// Why a text names no field, or no field and value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {problem}")]
pub struct InvalidField {
    pub text: String,
    pub problem: &'static str,
}

impl FieldPath {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scalar that this entry brings at the path, as text. A list of them is not looked into.
    pub fn scalar_in(&self, event: &RunEvent) -> Option<String> {
        let root = match (event, &self.root) {
            (RunEvent::Created { trigger, .. }, Root::Trigger) => &**trigger,
            (RunEvent::StepSucceeded { step, output, .. }, Root::Output(id)) if step.id() == id => &**output,
            (RunEvent::Left { step, output } | RunEvent::Handled { step, output }, Root::Output(id))
                if step.id() == id =>
            {
                output
            }
            _ => return None,
        };
        let found = self.segments.iter().try_fold(root, |value, segment| match value {
            Value::Object(fields) => fields.get(segment),
            Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
            _ => None,
        })?;
        match found {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(held) => Some(held.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl FromStr for FieldPath {
    type Err = InvalidField;
    fn from_str(text: &str) -> Result<Self, InvalidField> {
        let invalid = |problem| InvalidField { text: text.chars().take(PATH_BYTES_MAX).collect(), problem };
        if text.len() > PATH_BYTES_MAX {
            return Err(invalid("is too long for a field; 128 bytes are the most"));
        }
        let mut segments: Vec<String> = text.split('.').map(str::to_owned).collect();
        if segments.len() > SEGMENTS_MAX || segments.iter().any(String::is_empty) {
            return Err(invalid("is no path of up to 16 names with single dots between them"));
        }
        let root = match segments.as_slice() {
            [root, _, ..] if root == "trigger" => {
                segments.drain(..1);
                Root::Trigger
            }
            [root, step, output, _, ..] if root == "steps" && output == "output" => {
                let step = step.parse().map_err(|_| invalid("names no step after `steps.`"))?;
                segments.drain(..3);
                Root::Output(step)
            }
            _ => return Err(invalid("is no field; write `trigger.body.email` or `steps.<id>.output.<name>`")),
        };
        Ok(Self { text: text.to_owned(), root, segments })
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl Serialize for FieldPath {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}
impl<'de> Deserialize<'de> for FieldPath {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A field and what its value has to be. In text `path=value`, or `path^=start`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMatch {
    pub path: FieldPath,
    pub test: FieldTest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldTest {
    Equals(String),
    StartsWith(String),
}

impl FieldMatch {
    /// Whether the entry brings such a value.
    pub fn is_met_by(&self, event: &RunEvent) -> bool {
        self.path.scalar_in(event).is_some_and(|value| match &self.test {
            FieldTest::Equals(wanted) => value == *wanted,
            FieldTest::StartsWith(start) => value.starts_with(start.as_str()),
        })
    }
}

impl FromStr for FieldMatch {
    type Err = InvalidField;
    fn from_str(text: &str) -> Result<Self, InvalidField> {
        let Some((path, value)) = text.split_once('=') else {
            let problem = "lacks a value; write `trigger.body.email=anna@example.com`, or `^=` for its beginning";
            return Err(InvalidField { text: text.chars().take(PATH_BYTES_MAX).collect(), problem });
        };
        Ok(match path.strip_suffix('^') {
            Some(path) => Self { path: path.parse()?, test: FieldTest::StartsWith(value.to_owned()) },
            None => Self { path: path.parse()?, test: FieldTest::Equals(value.to_owned()) },
        })
    }
}

/// What an index keeps of a value: a hash, and its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldValue {
    /// The first four bytes of the SHA-256 of the text.
    pub hash: [u8; 4],
    /// At most sixteen bytes; they need not end where a character does.
    pub start: Box<[u8]>,
}

impl FieldValue {
    /// Whether a start of this length is the whole value.
    pub fn is_whole(start: &[u8]) -> bool {
        start.len() < START_BYTES
    }

    pub fn of(text: &str) -> Self {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(text.as_bytes());
        let hash = digest.first_chunk::<4>().copied().unwrap_or_default();
        Self { hash, start: text.as_bytes().iter().take(START_BYTES).copied().collect() }
    }
}
