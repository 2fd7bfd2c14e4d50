//! What one call into a plugin may do at the door: its rights, its scope, its budget, its deadline, and the record of what it did.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flowcell_core::blob::Blob;
use flowcell_core::capability::{Denial, DeniedBy, Rights, StepScope};
use flowcell_core::connection::{Authorizer, ConnectionFacts, CredentialError};
use flowcell_core::exchange::Exchange;
use flowcell_core::record::Answers;
use flowcell_core::time::Timestamp;
use http::HeaderName;

use super::blobs::CallBlobs;
use super::credentials::CallCredentials;
use super::error::SendError;
use super::record;
use super::rehearse::{Pinned, Source};
use super::request::is_forbidden_header;
use crate::ambient::GuestClock;

/// What one call may send and take in all. A manifest may ask for less or more; the assembly cuts it to the operator's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub requests: u32,
    pub bytes_out: u64,
    pub bytes_in: u64,
}

impl Default for Budget {
    /// 100 requests: a page of a list and a request for each entry. 16 MiB out and 32 MiB in: some of the largest bodies.
    fn default() -> Self {
        Self { requests: 100, bytes_out: 16 * 1024 * 1024, bytes_in: 32 * 1024 * 1024 }
    }
}

/// Exchanges that are kept of one call beyond its budget of requests: denials cost no budget, and a guest can ask in a loop.
const EXCHANGES_BEYOND_BUDGET: usize = 20;

/// What the exchanges of one call take up in the journal, and so in memory while the call lasts. 256 KiB: a quarter of the largest result
/// of a step, and 32 MiB for 128 calls at once.
const RECORD_BYTES_MAX: usize = 256 * 1024;

/// Of which so much may be exchanges with headers and the beginnings of bodies: some twenty of the largest ordinary ones. Those that follow are
/// kept in outline, 80 with the longest texts; what does not fit then is counted.
const WHOLE_BYTES_MAX: usize = 192 * 1024;

/// The pass of one call. Shared by the requests of the call, used up with it.
#[derive(Debug)]
pub struct CallPass {
    rights: Arc<Rights>,
    scope: StepScope,
    deadline: Timestamp,
    budget: Budget,
    credentials: Option<CallCredentials>,
    is_read_only: bool,
    source: Source,
    clock: GuestClock,
    requests: AtomicU64,
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
    record: Mutex<Record>,
    blobs: Option<CallBlobs>,
    /// Bodies that were kept from the guest; its budget of bytes bounds them.
    kept: Mutex<Vec<Blob>>,
}

#[derive(Debug, Default)]
struct Record {
    begun: u32,
    exchanges: Vec<Exchange>,
    /// What `exchanges` take up in the journal, as far as it was counted.
    bytes: usize,
    /// The exchanges that were not: counting means writing them once more, and while nothing is near a limit an upper bound will do.
    uncounted: usize,
    uncounted_bytes_max: usize,
    dropped: u64,
}

impl Record {
    /// Counts what was only bounded so far.
    fn count(&mut self) {
        let counted = self.exchanges.len().saturating_sub(self.uncounted);
        self.bytes += self.exchanges.iter().skip(counted).map(record::bytes_of).sum::<usize>();
        (self.uncounted, self.uncounted_bytes_max) = (0, 0);
    }
}

impl CallPass {
    /// `deadline` is the call's: no exchange outlives it.
    pub fn new(rights: Arc<Rights>, scope: StepScope, deadline: Timestamp, budget: Budget) -> Self {
        Self {
            rights,
            scope,
            deadline,
            budget,
            credentials: None,
            is_read_only: false,
            source: Source::Network,
            clock: GuestClock::new(Timestamp::default()),
            requests: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            record: Mutex::default(),
            blobs: None,
            kept: Mutex::default(),
        }
    }

    /// The requests of this call go with what `authorizer` adds. `message_id` is the same for every attempt of the call.
    #[must_use]
    pub fn with_authorizer(mut self, authorizer: Arc<dyn Authorizer>, message_id: impl Into<String>) -> Self {
        self.credentials = Some(CallCredentials::new(authorizer, message_id.into()));
        self
    }

    /// Only requests that change nothing may leave (RFC 9110 §9.2.1).
    #[must_use]
    pub(crate) fn read_only(mut self) -> Self {
        self.is_read_only = true;
        self
    }

    /// Sets the guest's clock and who answers in the network's place.
    pub(crate) fn with_ambient(mut self, clock: GuestClock, source: Source) -> Self {
        (self.clock, self.source) = (clock, source);
        self
    }

    /// The requests of this call may have these inserted.
    pub(crate) fn with_blobs(mut self, blobs: CallBlobs) -> Self {
        self.blobs = Some(blobs);
        self
    }

    pub(super) fn blobs(&self) -> Option<&CallBlobs> {
        self.blobs.as_ref()
    }

    pub(super) fn keep_blob(&self, blob: Blob) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(blob);
    }

    /// Takes the bodies that were kept from the guest.
    pub(crate) fn take_blobs(&self) -> Vec<Blob> {
        std::mem::take(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets nothing out: `answers` stand in for the network, and requests are recorded as they would have been sent.
    #[must_use]
    pub fn rehearsed(mut self, answers: &Answers) -> Self {
        self.source = Source::Pinned(Pinned::new(answers));
        self
    }

    /// Whether guests may not set this header on a request: what a `wasi:http` forbidden-header filter asks. `content-length`
    /// may stand there, because its clients always set it; [`super::Door::send_http`] refuses a wrong one and sends its own.
    pub fn forbids_header(&self, name: &HeaderName) -> bool {
        (is_forbidden_header(name.as_str()) && name != http::header::CONTENT_LENGTH) || self.credential_header(name)
    }

    /// Takes the exchanges recorded so far, by number, and how many more there were than are kept.
    pub fn take_exchanges(&self) -> (Vec<Exchange>, u64) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let mut exchanges = std::mem::take(&mut record.exchanges);
        exchanges.sort_by_key(|exchange| exchange.number);
        (exchanges, std::mem::take(&mut record.dropped))
    }

    /// The guest's clock: exchanges move it on.
    pub(crate) fn clock(&self) -> &GuestClock {
        &self.clock
    }

    /// Whether nothing leaves and nobody waits.
    pub(crate) fn is_rehearsal(&self) -> bool {
        !matches!(self.source, Source::Network)
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }
    pub(crate) fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }
    /// Facts about the call's connection.
    pub(crate) async fn connection_facts(&self) -> Option<ConnectionFacts> {
        match &self.credentials {
            Some(credentials) => Some(credentials.facts().await),
            None => None,
        }
    }
    pub(super) fn admits_method(&self, method: &str) -> Result<(), SendError> {
        if self.is_read_only && !matches!(method, "GET" | "HEAD") {
            return Err(SendError::from(Denial {
                rule: DeniedBy::Method,
                message: format!("`{method}` is denied: choices for a form may only read, so only GET and HEAD leave"),
                grant_to_add: None,
            }));
        }
        Ok(())
    }
    pub(super) fn scope(&self) -> &StepScope {
        &self.scope
    }
    pub(super) fn deadline(&self) -> Timestamp {
        self.deadline
    }

    pub(super) fn credentials(&self) -> Option<&CallCredentials> {
        self.credentials.as_ref()
    }

    /// A service of the host could not use the step's connection.
    pub(crate) fn note_credential_error(&self, error: CredentialError) {
        if let Some(credentials) = &self.credentials {
            credentials.note_error(error);
        }
    }

    /// Why credentials could not be had, if that happened in this call.
    pub fn take_credential_error(&self) -> Option<CredentialError> {
        self.credentials.as_ref()?.take_error()
    }

    pub(super) fn credential_header(&self, name: &HeaderName) -> bool {
        self.credentials.as_ref().is_some_and(|credentials| credentials.owns_header(name.as_str()))
    }

    /// `bytes` with the call's secrets masked; `None` where none stands in them.
    pub(super) fn masked(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.credentials.as_ref()?.masked(bytes)
    }

    pub(super) fn spend_request(&self, body_bytes: usize) -> Result<(), SendError> {
        if self.requests.fetch_add(1, Ordering::Relaxed) >= u64::from(self.budget.requests) {
            return Err(SendError::budget(format!("this call has used its {} requests", self.budget.requests)));
        }
        spend(&self.bytes_out, body_bytes, self.budget.bytes_out, "send")
    }

    pub(super) fn spend_received(&self, bytes: usize) -> Result<(), SendError> {
        spend(&self.bytes_in, bytes, self.budget.bytes_in, "receive")
    }

    /// Numbers an exchange, from 1.
    pub(super) fn number(&self) -> u32 {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.begun = record.begun.saturating_add(1);
        record.begun
    }

    /// Records an exchange: whole, in outline or only counted, as there is room.
    pub(super) fn keep(&self, mut exchange: Exchange) {
        let at_most = record::bytes_at_most(&exchange);
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let exchanges_max = self.budget.requests as usize + EXCHANGES_BEYOND_BUDGET;
        let bound = record.bytes.saturating_add(record.uncounted_bytes_max).saturating_add(at_most);
        if bound <= WHOLE_BYTES_MAX && record.exchanges.len() < exchanges_max {
            record.uncounted += 1;
            record.uncounted_bytes_max += at_most;
            record.exchanges.push(exchange);
            return;
        }
        record.count();
        let mut bytes = record::bytes_of(&exchange);
        for shorten in [record::excerpt, record::outline] {
            if record.bytes.saturating_add(bytes) > WHOLE_BYTES_MAX {
                shorten(&mut exchange);
                bytes = record::bytes_of(&exchange);
            }
        }
        let bytes = record.bytes.saturating_add(bytes);
        let has_room = record.exchanges.len() < exchanges_max && bytes <= RECORD_BYTES_MAX;
        // What may have had an effect is never only counted; it has cost budget, which bounds it.
        if has_room || exchange.possibly_sent {
            record.bytes = bytes;
            record.exchanges.push(exchange);
        } else {
            record.dropped += 1;
        }
    }
}

fn spend(used: &AtomicU64, bytes: usize, limit: u64, what: &str) -> Result<(), SendError> {
    let bytes = bytes as u64;
    if used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > limit {
        return Err(SendError::budget(format!("this call may {what} {limit} bytes in all, and this is more")));
    }
    Ok(())
}
