//! What a guest asks of the host besides HTTP: one road for every service. Held against what was granted and against a budget, answered by the port (or by
//! the record, or for show), and recorded. The interfaces beside this file translate, and decide nothing.
//!
//! A call that asks for nothing has none of this: it is made when the plugin's manifest asks for a service, or when a guest first calls one.

mod admit;
mod rehearse;

use std::sync::Arc;

use flowcell_core::connection::{CredentialError, Remedy};
use flowcell_core::exchange::AnsweredBy;
use flowcell_core::host_call::{Caller, HostCall, HostError, HostRequest, HostServices};
use flowcell_core::time::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use self::rehearse::Overlay;
use crate::host::State;
use crate::json;

/// Host calls that are kept of one call beyond its budget: refusals cost a guest nothing, and it can ask in a loop.
const CALLS_BEYOND_BUDGET: usize = 20;

/// What the host calls of one call take up in the journal when they are kept whole. 192 KiB, as of exchanges; those that follow are shortened.
const WHOLE_BYTES_MAX: usize = 192 * 1024;

/// The host calls of one call.
pub(crate) struct Services {
    /// Who asks; none where the manifest asks for no service.
    caller: Option<Caller>,
    source: Source,
    reach: Reach,
    budget: u32,
    number: u32,
    nth: u32,
    calls: Vec<HostCall>,
    bytes: usize,
    dropped: u64,
    /// What is being asked, as it is recorded if the call ends meanwhile.
    under_way: Option<HostCall>,
}

/// Who answers.
pub(crate) enum Source {
    Live(Arc<dyn HostServices>),
    /// Reads are answered by the port, writes for show.
    Dry(Arc<dyn HostServices>, Overlay),
    /// The host calls of the call that is replayed, by number.
    Recorded(Vec<HostCall>),
    /// The manifest asks for nothing, so nothing is answered but facts.
    Nobody,
}

/// How far a call may go, whatever was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A step's.
    Everything,
    /// A trigger's: there is no step, and so no key under which an effect happens once.
    NoEffects,
    /// Choices for a form: it may be asked at every keystroke.
    ReadOnly,
}

impl Services {
    pub(crate) fn new(caller: Option<Caller>, source: Source, reach: Reach) -> Self {
        Self {
            caller,
            source,
            reach,
            budget: 0,
            number: 0,
            nth: 0,
            calls: Vec::new(),
            bytes: 0,
            dropped: 0,
            under_way: None,
        }
    }

    /// Of a dry run.
    pub(crate) fn dry(port: &Arc<dyn HostServices>) -> Source {
        Source::Dry(Arc::clone(port), Overlay::default())
    }

    /// What was asked, and how many more calls there were than are kept.
    pub(crate) fn into_calls(mut self) -> (Vec<HostCall>, u64) {
        if let Some(call) = self.under_way.take() {
            self.keep(call);
        }
        (self.calls, self.dropped)
    }

    fn begin(&mut self, request: &HostRequest, started_at: Timestamp) {
        self.number = self.number.saturating_add(1);
        let is_writing = request.is_writing();
        self.nth = self.nth.saturating_add(u32::from(is_writing));
        self.under_way = Some(HostCall {
            number: self.number,
            nth: if is_writing { self.nth } else { 0 },
            call: request.name().to_owned(),
            request: request.document(),
            outcome: Err(HostError::unavailable("the call ended before the host had answered")),
            started_at,
            duration_ms: 0,
            truncated: false,
            cut_off: true,
            answered_by: None,
        });
    }

    fn finish(&mut self, outcome: &Result<Value, HostError>, (duration_ms, by): (u64, Option<AnsweredBy>)) {
        if let Some(mut call) = self.under_way.take() {
            (call.outcome, call.duration_ms) = (outcome.clone(), duration_ms);
            (call.cut_off, call.answered_by) = (false, by);
            self.keep(call);
        }
    }

    fn keep(&mut self, mut call: HostCall) {
        // Counting does not fail; what cannot be written must not be kept either.
        let bytes_of = |call: &HostCall| serde_json::to_vec(call).map_or(usize::MAX, |text| text.len());
        let mut bytes = bytes_of(&call);
        if self.bytes.saturating_add(bytes) > WHOLE_BYTES_MAX {
            call.shorten();
            bytes = bytes_of(&call);
        }
        // Refusals alone are only counted: what had an effect has cost budget, which bounds it.
        if call.outcome.is_err() && !call.cut_off && self.calls.len() >= self.budget as usize + CALLS_BEYOND_BUDGET {
            self.dropped += 1;
            return;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.calls.push(call);
    }
}

impl State {
    /// Asks the host for something.
    pub(crate) async fn ask(&mut self, request: HostRequest) -> Result<Value, HostError> {
        let pass = Arc::clone(&self.outbound.pass);
        let (budget, now) = (self.limits.host_calls, self.outbound.door.now());
        let services =
            self.services.get_or_insert_with(|| Box::new(Services::new(None, Source::Nobody, Reach::Everything)));
        services.budget = budget;
        let (asked, begun) = (pass.clock().passed(), Instant::now());
        services.begin(&request, now);
        let (outcome, by, took_ms) = match &services.source {
            Source::Recorded(recorded) => rehearse::replay(recorded, services.number, &request),
            _ => {
                if let Err(error) = services.admit(&request, pass.rights()) {
                    (Err(error), None, Some(0))
                } else {
                    let (outcome, by) = services.answer(request, &pass).await;
                    (outcome, by, by.map(|_| 0))
                }
            }
        };
        let took_ms = took_ms.unwrap_or_else(|| u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        pass.clock().advance_to(asked.saturating_add(std::time::Duration::from_millis(took_ms)));
        services.finish(&outcome, (took_ms, by));
        outcome
    }

    /// A JSON document that goes in. `what` names it for the guest's author.
    pub(crate) fn document(&self, what: &str, text: &str) -> Result<Value, HostError> {
        json::parse(text, self.limits.input_bytes, self.limits.json_depth)
            .map_err(|problem| HostError::invalid_input("", format!("{what}: {problem}")))
    }

    /// What the guest did not even ask in a form that can be asked: refused, and recorded by name and size only.
    pub(crate) fn misread(&mut self, request: &HostRequest, error: HostError) -> HostError {
        let now = self.outbound.door.now();
        let services =
            self.services.get_or_insert_with(|| Box::new(Services::new(None, Source::Nobody, Reach::Everything)));
        services.budget = self.limits.host_calls;
        services.begin(request, now);
        services.finish(&Err(error.clone()), (0, None));
        error
    }
}

impl Services {
    /// Answers what may be asked.
    async fn answer(
        &mut self,
        request: HostRequest,
        pass: &crate::egress::CallPass,
    ) -> (Result<Value, HostError>, Option<AnsweredBy>) {
        if request == HostRequest::Connection {
            let facts = pass.connection_facts().await;
            return (Ok(facts.and_then(|facts| serde_json::to_value(facts).ok()).unwrap_or_default()), None);
        }
        let Some(caller) = &mut self.caller else {
            // `admit` has refused it: without a caller the manifest asks for nothing.
            return (Err(HostError::denied("the plugin's manifest asks for no service")), None);
        };
        caller.nth = self.under_way.as_ref().map_or(0, |call| call.nth);
        let contacts = match &request {
            HostRequest::Contacts(_) => caller.rights.services.asked.contacts.clone(),
            _ => None,
        };
        let (mut outcome, by) = match &mut self.source {
            Source::Live(port) => (port.call(caller, request).await, None),
            Source::Dry(port, overlay) => overlay.answer(&**port, caller, request).await,
            Source::Recorded(_) | Source::Nobody => (Err(HostError::unavailable("nobody answers here")), None),
        };
        if let (Err(error), Some(name)) = (&outcome, &caller.connection)
            && error.code == "unauthorized"
        {
            // Whatever the guest makes of it: the run waits for whoever the connection belongs to.
            let (name, reason) = (name.clone(), error.message.clone());
            pass.note_credential_error(CredentialError::NeedsReconnecting { name, reason, remedy: Remedy::Secret });
        }
        if let (Ok(answer), Some(contacts)) = (&mut outcome, &contacts) {
            admit::filter(contacts, answer);
        }
        (outcome, by)
    }
}

#[cfg(test)]
mod tests;
