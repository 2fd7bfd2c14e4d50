//! What stands in for a step, or for the world it asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::id::StepRef;
use crate::record::Answer;
use crate::workflow::duration;

/// What is pinned, by place. A step's id alone stands for each of its iterations.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(transparent)]
pub struct Pins(pub BTreeMap<StepRef, Pin>);

/// What stands in, one after another: the first for the first attempt, the last for all that follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Pin(Vec<Pinned>);

/// One thing that stands in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub enum Pinned {
    /// The plugin, or the called workflow, is not asked; this is what the step returns.
    Output(Value),
    /// The plugin is not asked; the attempt fails.
    Error(PinnedError),
    /// The plugin works as ever; these are the answers to its requests.
    Http(Vec<Answer>),
    /// The event that a `wait` is for, so long after the step has begun to wait.
    Event { payload: Value, after_ms: u64 },
    /// Somebody opens the resume link, so long after the step has begun to wait.
    Resume { payload: Value, after_ms: u64 },
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedError {
    pub code: String,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub retryable: bool,
    #[serde(default)]
    pub details: Option<Value>,
}

/// One, or a list of them. By hand, so that what is wrong with one is said.
impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = match Value::deserialize(deserializer)? {
            Value::Array(all) => all,
            one => vec![one],
        };
        let pinned = written.into_iter().map(serde_json::from_value).collect::<Result<_, _>>();
        pinned.map(Self).map_err(serde::de::Error::custom)
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Written {
    #[serde(deserialize_with = "given")]
    output: Option<Value>,
    error: Option<PinnedError>,
    http: Option<Vec<Answer>>,
    #[serde(deserialize_with = "given")]
    event: Option<Value>,
    #[serde(deserialize_with = "given")]
    resume: Option<Value>,
    #[serde(with = "duration::optional")]
    after: Option<u64>,
}

/// Null is a value like any other.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl TryFrom<Written> for Pinned {
    type Error = &'static str;
    fn try_from(written: Written) -> Result<Self, &'static str> {
        let Written { output, error, http, event, resume, after } = written;
        let after_ms = after.unwrap_or(0);
        let kinds = [
            output.map(Self::Output),
            error.map(Self::Error),
            http.map(Self::Http),
            event.map(|payload| Self::Event { payload, after_ms }),
            resume.map(|payload| Self::Resume { payload, after_ms }),
        ];
        let mut kinds = kinds.into_iter().flatten();
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) => Ok(kind),
            _ => Err("exactly one of output, error, http, event, resume is needed"),
        }
    }
}

impl Pins {
    /// These, and of `others` those for other places.
    #[must_use]
    pub(super) fn before(mut self, others: &Self) -> Self {
        for (step, pin) in &others.0 {
            self.0.entry(step.clone()).or_insert_with(|| pin.clone());
        }
        self
    }

    /// What stands in for this attempt, counted from 1.
    pub fn attempt(&self, step: &StepRef, attempt: u32) -> Option<&Pinned> {
        let place = self.0.get(step).or_else(|| self.0.get(&StepRef::from(step.id().clone())))?;
        let index = usize::try_from(attempt).unwrap_or(usize::MAX).saturating_sub(1);
        place.0.get(index).or(place.0.last())
    }
}
