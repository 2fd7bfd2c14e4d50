//! Calling a plugin again, or for show, without letting anything out: the record a replay stands on, the answers a dry run is given, and what went
//! differently. Data and comparison only; [`crate::ports::Rehearsal`] makes the calls. `docs/record.md` says what is recorded and what is not.

mod answers;
mod difference;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::InvalidId;
use crate::invoke::{ActionCall, CallRecord, InvokeError};
use crate::serde_text::serde_as_text;
use crate::time::Timestamp;

pub use answers::{Answer, Answers, InvalidAnswer};
pub use difference::{Difference, first_difference};

/// What a guest could see of time and chance. Its clock starts at `began_at` and moves on only while it waits for the host, so the readings follow
/// from this and the exchanges; its random numbers follow from the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ambient {
    pub began_at: Timestamp,
    /// What the guest was told of its deadline.
    pub deadline: Timestamp,
    pub seed: Seed,
}

/// What the random numbers of one call are drawn from; 64 hexadecimal digits in text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}
impl FromStr for Seed {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // A seed is as many hexadecimal digits as a digest, and read like one.
        let digits: crate::id::Digest = format!("sha256:{text}")
            .parse()
            .map_err(|_| InvalidId { text: text.to_owned(), expected: "a seed (64 hexadecimal digits)" })?;
        Ok(Self(*digits.as_bytes()))
    }
}
serde_as_text!(Seed);

/// A call that was made: what went in, what came out, and what the host answered meanwhile. The journal has all of it: the attempt's input, its
/// output or error, its [`CallRecord`], and the digest its run is pinned to.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The deadline counts for nothing: a replay has the plugin's own time limits.
    pub call: ActionCall,
    pub outcome: Result<Value, RecordedFailure>,
    pub record: CallRecord,
}

/// How a recorded call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFailure {
    pub code: String,
    pub message: String,
}

/// What came of calling again with the recorded answers.
#[derive(Debug)]
pub struct Replay {
    pub outcome: Result<Value, InvokeError>,
    /// What the replay did: its requests were answered from the record.
    pub record: CallRecord,
    /// The first thing that went differently; `None` when all is the same.
    pub difference: Option<Difference>,
}
