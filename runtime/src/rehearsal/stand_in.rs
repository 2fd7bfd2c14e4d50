//! What stands in for plugins and peers: an invoker that lets nothing out.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flowcell_core::exchange::AnsweredBy;
use flowcell_core::id::WorkflowId;
use flowcell_core::invoke::{
    ActionCall, ActionError, CallRecord, Invocation, InvokeError, WebhookCall, WebhookOutcome,
};
use flowcell_core::ports::{Invoker, Rehearsal};
use flowcell_core::record::{Answer, Answers};
use flowcell_core::testcase::{Pinned, PinnedError, Pins};
use serde_json::Value;

pub(super) struct StandIn {
    pub(super) plugins: Arc<dyn Rehearsal>,
    /// The workflow whose steps the pins name.
    pub(super) workflow: WorkflowId,
    pub(super) pins: Pins,
    pub(super) answers: SharedAnswers,
    /// Calls that are under way: while there are some, time stands still.
    pub(super) in_flight: Arc<AtomicUsize>,
}

#[async_trait]
impl Invoker for StandIn {
    async fn invoke(&self, call: ActionCall) -> Invocation<Value> {
        let pinned = if call.workflow == self.workflow { self.pins.attempt(&call.step, call.attempt) } else { None };
        let own = match pinned {
            Some(Pinned::Output(output)) => return without_call(Ok(output.clone())),
            Some(Pinned::Error(error)) => return without_call(Err(failure(error))),
            Some(Pinned::Http(answers)) => answers.as_slice(),
            // These stand in for waits.
            Some(Pinned::Event { .. } | Pinned::Resume { .. }) | None => &[],
        };
        let (answers, shared) = self.answers.behind(own);
        let _flying = Flying::begin(&self.in_flight);
        let invocation = self.plugins.dry_run(call, &answers).await;
        self.answers.take(&invocation.record, &answers, &shared);
        invocation
    }

    async fn on_webhook(&self, call: WebhookCall) -> Invocation<WebhookOutcome> {
        let _flying = Flying::begin(&self.in_flight);
        self.plugins.dry_run_webhook(call, &Answers::default()).await
    }
}

fn without_call(outcome: Result<Value, InvokeError>) -> Invocation<Value> {
    Invocation { outcome, record: CallRecord::default() }
}

fn failure(pinned: &PinnedError) -> InvokeError {
    let PinnedError { code, message, retryable, details } = pinned.clone();
    let message = if message.is_empty() { format!("the pinned error `{code}`") } else { message };
    InvokeError::Action(ActionError { code, message, retryable, retry_after_ms: None, details })
}

/// Counts a call for as long as it goes on, however it ends.
struct Flying<'c>(&'c AtomicUsize);

impl<'c> Flying<'c> {
    fn begin(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The answers that hold for every step. One that a call has used is used for all that follow.
#[derive(Default)]
pub(super) struct SharedAnswers {
    all: Vec<Answer>,
    used: Mutex<BTreeSet<usize>>,
}

impl SharedAnswers {
    pub(super) fn new(all: Vec<Answer>) -> Self {
        Self { all, used: Mutex::default() }
    }

    /// A call's answers: its own, then the shared ones, unused ones first and of the others the last ones first. With them which shared one
    /// each of the latter is.
    fn behind(&self, own: &[Answer]) -> (Answers, Vec<Option<usize>>) {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let unused = (0..self.all.len()).filter(|index| !used.contains(index));
        let order: Vec<usize> = unused.chain(used.iter().rev().copied()).collect();
        let shared = order.iter().filter_map(|index| self.all.get(*index).cloned());
        let places = own.iter().map(|_| None).chain(order.iter().copied().map(Some)).collect();
        let http = own.iter().cloned().chain(shared).collect();
        (Answers { http }, places)
    }

    /// Takes note of the answers that a call has used: each request took the first unused one that fits.
    fn take(&self, record: &CallRecord, answers: &Answers, places: &[Option<usize>]) {
        let mut taken = BTreeSet::new();
        for exchange in record.http.iter().filter(|exchange| exchange.answered_by == Some(AnsweredBy::Pinned)) {
            let sent = &exchange.request;
            let fitting =
                |(index, answer): &(usize, &Answer)| !taken.contains(index) && answer.fits(&sent.method, &sent.url);
            let first = answers.http.iter().enumerate().find(fitting).map(|(index, _)| index);
            taken.extend(first);
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.extend(taken.into_iter().filter_map(|index| places.get(index).copied().flatten()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(status: u16) -> Answer {
        Answer { url: Some("https://a/*".to_owned()), status: Some(status), ..Answer::default() }
    }

    fn statuses(answers: &Answers) -> Vec<u16> {
        answers.http.iter().filter_map(|answer| answer.status).collect()
    }

    #[test]
    fn an_answer_that_one_step_has_used_is_used_for_the_next_and_the_last_stays() {
        let shared = SharedAnswers::new(vec![answer(201), answer(202)]);
        let record: CallRecord = serde_json::from_value(json!({ "http": [{
            "number": 1, "started_at": "2026-01-05T09:00:00Z", "duration_ms": 0, "answered_by": "pinned",
            "request": { "method": "POST", "url": "https://a/1", "headers": [], "body": { "bytes": 0 } },
        }]}))
        .unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let (answers, places) = shared.behind(&[]);
            seen.push(statuses(&answers));
            shared.take(&record, &answers, &places);
        }
        assert_eq!(seen, [vec![201, 202], vec![202, 201], vec![202, 201]]);
        let (answers, places) = shared.behind(&[answer(500)]);
        assert_eq!(
            (statuses(&answers), places),
            (vec![500, 202, 201], vec![None, Some(1), Some(0)]),
            "a step's own go first"
        );
    }
}
