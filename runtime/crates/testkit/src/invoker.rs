//! A plugin that answers as the test says, in simulated time, and remembers what it was asked: the receiver's side of every effect.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::exchange::{Exchange, ExchangeError, ReceivedResponse, RecordedBody, SentRequest};
use flowcell_core::id::{Digest, RunId};
use flowcell_core::invoke::{
    ActionCall, ActionError, CallRecord, Invocation, InvokeError, WebhookCall, WebhookOutcome,
};
use flowcell_core::ports::{Clock, Invoker};
use flowcell_core::time::Timestamp;
use serde_json::Value;

use crate::clock::SimClock;

/// What a call comes to.
#[derive(Debug, Clone)]
pub struct Answer {
    outcome: Result<Value, InvokeError>,
    /// Absent: it never comes.
    after: Option<Duration>,
    http: Vec<Exchange>,
}

impl Answer {
    pub fn ok(output: Value) -> Self {
        Self { outcome: Ok(output), after: Some(Duration::ZERO), http: Vec::new() }
    }
    pub fn error(error: InvokeError) -> Self {
        Self { outcome: Err(error), after: Some(Duration::ZERO), http: Vec::new() }
    }
    /// What a `503` becomes, with or without `Retry-After`.
    pub fn try_again(retry_after_ms: Option<u64>) -> Self {
        Self::error(InvokeError::Action(ActionError {
            code: "http-status".to_owned(),
            message: "the receiver answered 503".to_owned(),
            retryable: true,
            retry_after_ms,
            details: None,
        }))
    }
    /// What a `404` becomes.
    pub fn give_up() -> Self {
        Self::error(InvokeError::Action(ActionError {
            code: "http-status".to_owned(),
            message: "the receiver answered 404".to_owned(),
            retryable: false,
            retry_after_ms: None,
            details: None,
        }))
    }
    /// What a request to `url` becomes that is answered with `status`, as the webhook plugin takes it.
    pub fn answered(url: &str, status: u16) -> Self {
        let outcome = if (200..300).contains(&status) {
            Ok(serde_json::json!({ "status": status }))
        } else {
            Err(InvokeError::Action(ActionError {
                code: "http-status".to_owned(),
                message: format!("the receiver answered {status}"),
                retryable: matches!(status, 408 | 425 | 429 | 500..=599),
                retry_after_ms: None,
                details: None,
            }))
        };
        let mut exchange = post(url);
        exchange.response = Some(ReceivedResponse { status, headers: Vec::new(), body: RecordedBody::default() });
        Self { outcome, after: Some(Duration::ZERO), http: vec![exchange] }
    }
    /// What a connection becomes that is lost after a request of this method, `possibly_sent` or certainly not.
    pub fn lost(method: &str, possibly_sent: bool) -> Self {
        let error = ActionError {
            code: "http-connect".to_owned(),
            message: "the connection was lost".to_owned(),
            retryable: true,
            retry_after_ms: None,
            details: None,
        };
        let mut exchange = post("https://receiver.test/");
        method.clone_into(&mut exchange.request.method);
        exchange.error = Some(ExchangeError { code: "connect".to_owned(), message: error.message.clone() });
        exchange.possibly_sent = possibly_sent;
        Self { http: vec![exchange], ..Self::error(InvokeError::Action(error)) }
    }
    /// The call hangs for ever.
    pub fn never() -> Self {
        Self { outcome: Ok(Value::Null), after: None, http: Vec::new() }
    }
    /// As [`Self::after`], but what hangs goes on hanging.
    #[must_use]
    pub fn delayed(self, time: Duration) -> Self {
        Self { after: self.after.map(|_| time), ..self }
    }
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self { after: Some(time), ..self }
    }
}

/// A request that nobody has answered.
fn post(url: &str) -> Exchange {
    let request = SentRequest {
        method: "POST".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: RecordedBody::default(),
    };
    Exchange {
        number: 1,
        started_at: Timestamp::from_millis(0),
        duration_ms: 0,
        request,
        address: None,
        response: None,
        error: None,
        possibly_sent: false,
        answered_by: None,
        credentials: None,
    }
}

/// One call that arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub at: Timestamp,
    pub deadline: Timestamp,
    pub run: RunId,
    pub step: String,
    pub attempt: u32,
    pub key: String,
    pub digest: Digest,
    pub input: Value,
}

type Script = dyn Fn(&ActionCall) -> Answer + Send + Sync;

pub struct FakeInvoker {
    clock: Arc<SimClock>,
    script: Box<Script>,
    calls: Mutex<Vec<Call>>,
}

impl FakeInvoker {
    /// Answers each call with what `script` makes of it.
    pub fn new(clock: &Arc<SimClock>, script: impl Fn(&ActionCall) -> Answer + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { clock: Arc::clone(clock), script: Box::new(script), calls: Mutex::default() })
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().clone()
    }

    /// How often each idempotency key arrived: one key is one effect at a receiver that heeds keys.
    pub fn effects(&self) -> BTreeMap<String, usize> {
        let mut effects = BTreeMap::new();
        for call in self.lock().iter() {
            *effects.entry(call.key.clone()).or_default() += 1;
        }
        effects
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FakeInvoker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeInvoker").field("calls", &self.lock().len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Invoker for FakeInvoker {
    async fn invoke(&self, call: ActionCall) -> Invocation<Value> {
        let answer = (self.script)(&call);
        let at = self.clock.now();
        self.lock().push(Call {
            at,
            deadline: call.deadline,
            run: call.run,
            step: call.step.to_string(),
            attempt: call.attempt,
            key: call.idempotency_key,
            digest: call.digest,
            input: call.input,
        });
        match answer.after {
            Some(time) => self.clock.sleep_until(at + time).await,
            None => std::future::pending().await,
        }
        let duration_ms = u64::try_from(self.clock.now().since(at).as_millis()).unwrap_or(u64::MAX);
        Invocation {
            outcome: answer.outcome,
            record: CallRecord { duration_ms, http: answer.http, ..CallRecord::default() },
        }
    }

    /// Ignores every request: engines call actions only.
    async fn on_webhook(&self, _call: WebhookCall) -> Invocation<WebhookOutcome> {
        let reason = "the fake invoker has no triggers".to_owned();
        Invocation { outcome: Ok(WebhookOutcome::Ignore { reason }), record: CallRecord::default() }
    }
}
