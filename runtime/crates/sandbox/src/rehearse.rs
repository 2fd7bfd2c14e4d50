//! Calls that let nothing out: dry runs with given answers, replays with recorded ones. The call itself is the same as any other.

use std::sync::Arc;

use async_trait::async_trait;
use flowcell_core::invoke::{ActionCall, Invocation, WebhookCall, WebhookOutcome};
use flowcell_core::ports::{Invoker, Rehearsal};
use flowcell_core::record::{Answers, Recording, Replay, first_difference};
use flowcell_core::time::Timestamp;
use serde_json::Value;

use crate::Sandbox;
use crate::invoke::Mode;

/// A replay has only the limits of the plugin: a deadline that no manifest reaches.
const NO_DEADLINE: std::time::Duration = std::time::Duration::from_hours(1);

#[async_trait]
impl Rehearsal for Sandbox {
    async fn dry_run(&self, call: ActionCall, answers: &Answers) -> Invocation<Value> {
        self.invoke_in(Mode::Dry(answers), &call).await
    }

    async fn dry_run_webhook(&self, call: WebhookCall, answers: &Answers) -> Invocation<WebhookOutcome> {
        self.on_webhook_in(Mode::Dry(answers), call).await
    }

    async fn replay(&self, recording: &Recording) -> Replay {
        let deadline: Timestamp = self.ports.clock.now() + NO_DEADLINE;
        let call = ActionCall { deadline, ..recording.call.clone() };
        let Invocation { outcome, record } = self.invoke_in(Mode::Replay(&recording.record), &call).await;
        let difference = first_difference(recording, &outcome, &record);
        Replay { outcome, record, difference }
    }
}

/// Finds the answers for a call of a dry run.
type FindAnswers = dyn Fn(&ActionCall) -> Answers + Send + Sync;

/// An invoker that lets nothing out, so that a whole workflow can be run for show: the engine works as ever.
pub struct DryRun {
    rehearsal: Arc<dyn Rehearsal>,
    answers: Box<FindAnswers>,
}

impl std::fmt::Debug for DryRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DryRun")
    }
}

impl DryRun {
    /// `answers` is asked once for each call of an action; triggers are called without any.
    pub fn new(
        rehearsal: Arc<dyn Rehearsal>,
        answers: impl Fn(&ActionCall) -> Answers + Send + Sync + 'static,
    ) -> Self {
        Self { rehearsal, answers: Box::new(answers) }
    }
}

#[async_trait]
impl Invoker for DryRun {
    async fn invoke(&self, call: ActionCall) -> Invocation<Value> {
        let answers = (self.answers)(&call);
        self.rehearsal.dry_run(call, &answers).await
    }

    async fn on_webhook(&self, call: WebhookCall) -> Invocation<WebhookOutcome> {
        self.rehearsal.dry_run_webhook(call, &Answers::default()).await
    }
}
