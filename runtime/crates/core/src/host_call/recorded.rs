//! What the journal keeps of a host call.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{HostError, HostRequest};
use crate::exchange::AnsweredBy;
use crate::id::Digest;
use crate::time::Timestamp;

/// In the details of an error: the other side may have done it all the same.
pub const UNCERTAIN: &str = "uncertain";

/// One host call of an attempt. Documents, not types: a record is read for years.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostCall {
    /// Among all host calls of the attempt, from 1.
    pub number: u32,
    /// Among its writing calls, from 1; 0 for one that only reads.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nth: u32,
    /// `key-value.set`.
    pub call: String,
    /// What was asked.
    pub request: Value,
    #[serde(flatten, with = "outcome")]
    pub outcome: Result<Value, HostError>,
    pub started_at: Timestamp,
    pub duration_ms: u64,
    /// Whether its request or its answer was too large to be kept whole: such a call cannot be replayed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Whether the call ended before its answer was there, so that nobody knows what became of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_off: bool,
    /// Who answered in the host's place: then nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<AnsweredBy>,
}

impl HostCall {
    /// Whether it may have had an effect outside that nobody was told of. What Flowcell itself keeps is written once whatever happens; mail is not.
    pub fn is_uncertain(&self) -> bool {
        let says_so = |error: &HostError| {
            error.details.as_ref().and_then(|details| details.get(UNCERTAIN)).is_some_and(|uncertain| uncertain == true)
        };
        self.call == "mail.send" && (self.cut_off || self.outcome.as_ref().err().is_some_and(says_so))
    }

    /// Whether both asked for the same, as far as it was kept.
    pub fn is_same_request(&self, request: &HostRequest) -> bool {
        self.call == request.name()
            && (self.request == request.document() || self.request == outline(&request.document()))
    }

    /// Leaves the sizes and digests of what was asked and answered: for a record that is full.
    pub fn shorten(&mut self) {
        self.truncated = true;
        self.request = outline(&self.request);
        match &mut self.outcome {
            Ok(answer) => *answer = outline(answer),
            Err(error) => error.details = None,
        }
    }
}

fn outline(document: &Value) -> Value {
    let text = document.to_string();
    json!({ "bytes": text.len(), "digest": Digest::of(text.as_bytes()) })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

mod outcome {
    //! `"answer": …` or `"error": {…}`.

    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    use crate::host_call::HostError;

    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    enum Written<'a> {
        Answer(&'a Value),
        Error(&'a HostError),
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Read {
        Answer(Value),
        Error(HostError),
    }

    pub(super) fn serialize<S: Serializer>(
        outcome: &Result<Value, HostError>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match outcome {
            Ok(answer) => Written::Answer(answer),
            Err(error) => Written::Error(error),
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Result<Value, HostError>, D::Error> {
        Ok(match Read::deserialize(deserializer)? {
            Read::Answer(answer) => Ok(answer),
            Read::Error(error) => Err(error),
        })
    }
}
