//! The latest requests of each trigger with what became of them: what people look at while they connect a sender, and what a mapping is made
//! against. In memory alone, within limits of number and bytes for each trigger and for all; a restart begins anew. What is refused lies beside
//! what is taken, so that a flood of the one does not push out the other.

pub(crate) mod mask;
pub(crate) mod note;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64;
use flowcell_core::id::{EventId, RunId};
use flowcell_core::time::Timestamp;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::ingress::verify::Proof;

/// How much of a body is kept: webhooks stay below it, uploads are known by their beginning.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// The same when the memory for all triggers is used up.
const BODY_BYTES_SCARCE: usize = 1024;

/// What is kept for one trigger of either sort, in bytes: a few of the largest, or all of the usual size.
const TRIGGER_BYTES_MAX: usize = 1024 * 1024;

/// What an entry takes beside its texts, in bytes.
const ENTRY_BYTES: usize = 300;

/// How much is kept.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Requests of a trigger, of either sort.
    pub(crate) requests_max: usize,
    /// Bytes of all triggers together.
    pub(crate) bytes_max: usize,
    /// Bytes that are kept now.
    used: AtomicUsize,
}

impl Limits {
    pub(crate) fn new(requests_max: usize, bytes_max: usize) -> Self {
        Self { requests_max, bytes_max, used: AtomicUsize::new(0) }
    }
}

/// The requests of one trigger.
#[derive(Debug)]
pub(crate) struct Recent {
    limits: Arc<Limits>,
    kept: Mutex<Both>,
    /// The number of the latest one.
    latest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Both {
    taken: Ring,
    rejected: Ring,
    latest: u64,
}

#[derive(Debug, Default)]
struct Ring {
    requests: VecDeque<Arc<Kept>>,
    bytes: usize,
}

/// A request as it is kept: with its secrets masked.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Counts the requests of the trigger since the server started.
    pub(crate) number: u64,
    /// The request's id, as in the server's log and in the answer.
    pub(crate) id: String,
    pub(crate) at: Timestamp,
    pub(crate) method: Method,
    /// What follows the token.
    pub(crate) path: String,
    pub(crate) query: String,
    /// `name:value` in lines.
    headers: String,
    pub(crate) body: Box<[u8]>,
    /// Of the whole body.
    pub(crate) body_bytes: usize,
    /// The generation of the URL it came to, when that was replaced.
    pub(crate) former_url: Option<u32>,
    pub(crate) proof: Option<Proof>,
    pub(crate) outcome: Outcome,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Started {
        event_id: EventId,
        run_ids: Vec<RunId>,
    },
    Duplicate {
        event_id: EventId,
        run_ids: Vec<RunId>,
    },
    Filtered {
        event_id: EventId,
    },
    Ignored {
        reason: String,
    },
    /// By the trigger itself: a challenge.
    Answered {
        status: u16,
    },
    /// It came to a draft: no run.
    Test {
        events: usize,
    },
    Rejected {
        status: u16,
        code: String,
        reason: String,
    },
}

/// Which outcomes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sort {
    Started,
    Duplicate,
    Filtered,
    Ignored,
    Answered,
    Test,
    Rejected,
}

impl Outcome {
    fn sort(&self) -> Sort {
        match self {
            Self::Started { .. } => Sort::Started,
            Self::Duplicate { .. } => Sort::Duplicate,
            Self::Filtered { .. } => Sort::Filtered,
            Self::Ignored { .. } => Sort::Ignored,
            Self::Answered { .. } => Sort::Answered,
            Self::Test { .. } => Sort::Test,
            Self::Rejected { .. } => Sort::Rejected,
        }
    }
}

impl Recent {
    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        Self { limits, kept: Mutex::default(), latest: watch::Sender::new(0) }
    }

    /// Keeps a request, and lets go of the oldest ones that it takes the room of.
    fn push(&self, mut kept: Kept) {
        let used = &self.limits.used;
        if used.load(Ordering::Relaxed).saturating_add(kept.bytes()) > self.limits.bytes_max {
            kept.cut_body(BODY_BYTES_SCARCE);
        }
        let bytes = kept.bytes();
        let is_rejected = kept.outcome.sort() == Sort::Rejected;
        let mut both = self.lock();
        both.latest += 1;
        kept.number = both.latest;
        let latest = both.latest;
        let ring = if is_rejected { &mut both.rejected } else { &mut both.taken };
        ring.requests.push_back(Arc::new(kept));
        ring.bytes += bytes;
        let mut all = used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Dropped when the lock is given back.
        let mut gone = Vec::new();
        while ring.requests.len() > self.limits.requests_max
            || ring.bytes > TRIGGER_BYTES_MAX
            || (all > self.limits.bytes_max && ring.requests.len() > 1)
        {
            let Some(oldest) = ring.requests.pop_front() else { break };
            ring.bytes -= oldest.bytes();
            all = used.fetch_sub(oldest.bytes(), Ordering::Relaxed) - oldest.bytes();
            gone.push(oldest);
        }
        drop(both);
        drop(gone);
        if self.latest.receiver_count() > 0 {
            self.latest.send_replace(latest);
        }
    }

    /// The newest first.
    pub(crate) fn list(&self, sort: Option<Sort>, limit: usize) -> Vec<Arc<Kept>> {
        let mut all = self.after(0);
        all.retain(|kept| sort.is_none_or(|sort| kept.outcome.sort() == sort));
        all.reverse();
        all.truncate(limit);
        all
    }

    /// Those with a number beyond this one, the oldest first.
    pub(crate) fn after(&self, number: u64) -> Vec<Arc<Kept>> {
        let both = self.lock();
        let rings = both.taken.requests.iter().chain(&both.rejected.requests);
        let mut all: Vec<_> = rings.filter(|kept| kept.number > number).cloned().collect();
        drop(both);
        all.sort_by_key(|kept| kept.number);
        all
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Kept>> {
        self.after(0).into_iter().find(|kept| kept.id == id)
    }

    /// The number of the latest request, and where to wait for the next one.
    pub(crate) fn follow(&self) -> (u64, watch::Receiver<u64>) {
        let receiver = self.latest.subscribe();
        (self.lock().latest, receiver)
    }

    fn lock(&self) -> MutexGuard<'_, Both> {
        // No code that holds the lock can panic half-way through a change.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.headers.len() + self.path.len() + self.query.len() + self.body.len()
    }

    fn cut_body(&mut self, bytes_max: usize) {
        if let Some(beginning) = self.body.get(..bytes_max) {
            self.body = beginning.into();
        }
    }

    /// Whether the whole body is here.
    pub(crate) fn is_whole(&self) -> bool {
        self.body.len() == self.body_bytes
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.lines().filter_map(|line| line.split_once(':'))
    }

    /// For the API.
    pub(crate) fn view(&self) -> Value {
        let headers: Vec<Value> = self.headers().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let mut document = json!({
            "id": self.id,
            "at": self.at,
            "method": self.method.as_str(),
            "path": self.path,
            "query": self.query,
            "headers": headers,
            "body_bytes": self.body_bytes,
            "outcome": self.outcome,
        });
        if let Some(fields) = document.as_object_mut() {
            self.add_body(fields);
            if let Some(generation) = self.former_url {
                fields.insert("former_url".to_owned(), generation.into());
            }
            if let Some(proof) = self.proof {
                fields.insert("verified_by".to_owned(), proof.name().into());
            }
        }
        document
    }

    fn add_body(&self, fields: &mut Map<String, Value>) {
        match std::str::from_utf8(&self.body) {
            Ok(text) => fields.insert("body".to_owned(), text.into()),
            // A text that was cut within a character is a text yet.
            Err(error) if error.error_len().is_none() && !self.is_whole() => {
                fields.insert("body".to_owned(), String::from_utf8_lossy(&self.body).into())
            }
            Err(_) => fields.insert("body_base64".to_owned(), BASE64.encode(&self.body).into()),
        };
        if !self.is_whole() {
            fields.insert("body_cut".to_owned(), true.into());
        }
    }
}

#[cfg(test)]
mod tests;
