//! One poll: asks the plugin, and writes down what it said together with the runs that come of it.

use std::sync::PoisonError;
use std::time::Duration;

use flowcell_core::invoke::{InvokeError, PollCall, Polled, TriggerCall};
use flowcell_core::polling::{after_failure, after_success};
use flowcell_core::ports::{Hold, PageRequest, PollState, RunFilter, StoreError, TriggerFailure};
use flowcell_core::run::fold::RunStatus;
use flowcell_core::time::Timestamp;

use super::agenda::Entry;
use super::{PollOutcome, PolledTrigger, PollerConfig, PollerPorts, Published};
use crate::attempt::draw;
use crate::control::{Brought, ControlError, CreateError, PolledFor};
use crate::outside::OutsideError;
use crate::patience::Patience;
use crate::trigger_call::{REFUSED_WAIT, asked, failure, reconnecting, within};
use crate::workflows::WorkflowError;

/// How soon it is looked again whether a backlog has been worked off.
const BACKLOG_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Poll {
    pub(super) config: PollerConfig,
    pub(super) ports: PollerPorts,
    pub(super) published: Published,
    pub(super) entry: Entry,
    /// Somebody wants it now: what it waits for does not count.
    pub(super) is_asked: bool,
}

/// A poll that has ended.
pub(super) struct Ended {
    pub(super) trigger: PolledTrigger,
    /// As it is stored now; none: it is not known, and has to be read.
    pub(super) state: Option<PollState>,
    /// None: the store has stopped.
    pub(super) outcome: Option<PollOutcome>,
}

/// What is written after a poll.
struct After {
    /// When the plugin was asked; none: it was not.
    began: Option<Timestamp>,
    next_at: Timestamp,
    failure: Option<TriggerFailure>,
    hold: Option<Hold>,
}

impl Poll {
    pub(super) async fn make(self) -> Ended {
        let Entry { trigger, state } = &self.entry;
        let ended = |state, outcome| Ended { trigger: trigger.clone(), state, outcome: Some(outcome) };
        match self.attempt().await {
            Ok((state, outcome)) => ended(Some(state), outcome),
            Err(StoreError::Stopped) => Ended { trigger: trigger.clone(), state: None, outcome: None },
            Err(error) => {
                // It is asked again, from where the store says that it is.
                tracing::error!(workflow = %trigger.workflow, %error, "what a poll brought was not stored; it is asked for again");
                let now = self.now();
                let message = format!("what it brought was not stored: {error}");
                let failure = TriggerFailure { at: now, code: "store".to_owned(), message, field: None, details: None };
                let (workspace, workflow) = trigger.place();
                let stored = self.ports.polls.get(&workspace, &workflow).await.ok().flatten();
                let next_at = now + after_failure(trigger.every, state.failures + 1, None, self.jitter());
                let state = stored.map(|stored| PollState { next_at, failures: state.failures + 1, ..stored });
                ended(state, PollOutcome::Failed(failure))
            }
        }
    }

    async fn attempt(&self) -> Result<(PollState, PollOutcome), StoreError> {
        let Entry { trigger, state } = &self.entry;
        if let Some((hold, wait)) = self.hold().await? {
            let next_at = self.now() + wait;
            if state.hold.as_ref() == Some(&hold) {
                return Ok((PollState { next_at, ..state.clone() }, PollOutcome::Held(hold)));
            }
            let after = After { began: None, next_at, failure: state.error.clone(), hold: Some(hold.clone()) };
            return Ok((self.write(after, state.failures).await?, PollOutcome::Held(hold)));
        }
        let began = self.now();
        let deadline = began + self.config.timeout;
        let call = PollCall {
            trigger: TriggerCall {
                digest: trigger.digest,
                trigger: trigger.member.clone(),
                workspace: trigger.workspace.clone(),
                workflow: trigger.workflow.clone(),
                deadline,
                config: trigger.config.clone(),
                connection: trigger.connection.clone(),
            },
            cursor: state.cursor.clone(),
        };
        let core = &self.ports.control.0;
        let invocation = within(&*core.ports.clock, deadline, core.ports.invoker.poll(call)).await;
        core.quarantine.judge(trigger.digest, &invocation);
        match invocation.outcome {
            Ok(polled) => self.deliver(began, polled).await,
            Err(error) => self.fail(began, &error).await,
        }
    }

    /// Why the plugin is not called now, and how long nobody looks again.
    async fn hold(&self) -> Result<Option<(Hold, Duration)>, StoreError> {
        let Entry { trigger, state } = &self.entry;
        let core = &self.ports.control.0;
        if core.quarantine.holds(&trigger.digest) {
            return Ok(Some((Hold::Quarantined { digest: trigger.digest }, trigger.every)));
        }
        // Only where there may be one: it costs a look at every unfinished run.
        if self.is_asked || !(state.more || matches!(state.hold, Some(Hold::Backlog { .. }))) {
            return Ok(None);
        }
        let runs = self.backlog().await?;
        let is_full = runs >= self.config.backlog_max.max(1);
        Ok(is_full.then(|| (Hold::Backlog { runs }, trigger.every.min(BACKLOG_WAIT))))
    }

    /// Runs of the workflow that are queued or being executed, up to the limit.
    async fn backlog(&self) -> Result<u64, StoreError> {
        let trigger = &self.entry.trigger;
        let mut runs = 0;
        for status in [RunStatus::Queued, RunStatus::Running] {
            let filter =
                RunFilter { workflow: Some(trigger.workflow.clone()), status: Some(status), ..RunFilter::default() };
            let limit = usize::try_from(self.config.backlog_max).unwrap_or(usize::MAX);
            let index = &self.ports.control.0.ports.index;
            runs +=
                index.search(&trigger.workspace, &filter, PageRequest { before: None, limit }).await?.runs.len() as u64;
        }
        Ok(runs)
    }

    /// Stores what was brought, for the workflow as it is published now.
    async fn deliver(&self, began: Timestamp, polled: Polled) -> Result<(PollState, PollOutcome), StoreError> {
        let Entry { trigger, state } = &self.entry;
        let current = self.published.lock().unwrap_or_else(PoisonError::into_inner).get(&trigger.place()).cloned();
        let Some(current) = current.filter(|current| current.source == trigger.source) else {
            return Ok((state.clone(), PollOutcome::Superseded));
        };
        let Polled { events, cursor, more } = polled;
        // Without a step forward, "more" would come round for ever.
        let more = more && (!events.is_empty() || cursor != state.cursor);
        let now = self.now();
        let regular = began + after_success(current.every, self.jitter());
        let mut counts = state.counts;
        counts.polls += 1;
        let next = PollState {
            revision: state.revision + 1,
            cursor,
            next_at: if more { now } else { regular.max(now) },
            more,
            failures: 0,
            error: None,
            hold: None,
            last_at: Some(began),
            last_success_at: Some(now),
            counts,
            ..state.clone()
        };
        let mut patience = Patience::new(&*self.ports.control.0.ports.clock);
        loop {
            let polled = PolledFor { polls: &*self.ports.polls, trigger: &current, state: next.clone() };
            match self.ports.control.deliver_polled(polled, &events).await {
                Ok((state, brought)) => return Ok((state, answered(brought, more))),
                Err(error) => match of_store(error) {
                    Ok(error) if Patience::covers(&error) => {
                        patience.pause("storing what a poll brought", &error).await;
                    }
                    Ok(StoreError::Refused { message }) => {
                        return self
                            .refuse(
                                began,
                                "event-refused",
                                format!("an event of this poll cannot be stored: {message}"),
                            )
                            .await;
                    }
                    Ok(error) => return Err(error),
                    Err(error) => {
                        let message = format!(
                            "{error}; nothing of this poll is stored, and nothing is lost: mend the workflow and apply it"
                        );
                        return self.refuse(began, code(&error), message).await;
                    }
                },
            }
        }
    }

    /// The plugin answered, and the workflow can make nothing of it: it is asked for the same again later.
    async fn refuse(
        &self,
        began: Timestamp,
        code: &str,
        message: String,
    ) -> Result<(PollState, PollOutcome), StoreError> {
        let at = self.now();
        let failure = TriggerFailure { at, code: code.to_owned(), message, field: None, details: None };
        self.failed(began, failure, (None, None)).await
    }

    async fn fail(&self, began: Timestamp, error: &InvokeError) -> Result<(PollState, PollOutcome), StoreError> {
        let trigger = &self.entry.trigger;
        let hold = reconnecting(error, trigger.connection.as_ref(), began);
        let mut failure = failure(error, self.now());
        if let Some(field) = &failure.field {
            let core = &self.ports.control.0;
            let which = (&trigger.workflow, trigger.version);
            // A workflow that cannot be read has no lines to point at.
            if let Ok(prepared) = core.workflows.version(&core.ports, &trigger.workspace, which).await {
                failure.message = format!("{} ({})", failure.message, prepared.place(&format!("/trigger/with{field}")));
            }
        }
        self.failed(began, failure, (hold, asked(error))).await
    }

    async fn failed(
        &self,
        began: Timestamp,
        failure: TriggerFailure,
        (hold, asked): (Option<Hold>, Option<Duration>),
    ) -> Result<(PollState, PollOutcome), StoreError> {
        let Entry { trigger, state } = &self.entry;
        let failures = state.failures.saturating_add(1);
        let wait = after_failure(trigger.every, failures, asked, self.jitter());
        let wait = if hold.is_some() { wait.max(REFUSED_WAIT) } else { wait };
        let next_at = self.now() + wait;
        tracing::warn!(workflow = %trigger.workflow, code = failure.code, failures, %next_at, "a poll failed: {}", failure.message);
        let after = After { began: Some(began), next_at, failure: Some(failure.clone()), hold };
        Ok((self.write(after, failures).await?, PollOutcome::Failed(failure)))
    }

    /// Writes what stands without any events.
    async fn write(&self, after: After, failures: u32) -> Result<PollState, StoreError> {
        let state = &self.entry.state;
        let mut counts = state.counts;
        counts.failed += u64::from(failures > state.failures);
        let next = PollState {
            revision: state.revision + 1,
            next_at: after.next_at,
            failures,
            error: after.failure,
            hold: after.hold,
            last_at: after.began.or(state.last_at),
            counts,
            ..state.clone()
        };
        let mut patience = Patience::new(&*self.ports.control.0.ports.clock);
        loop {
            match self.ports.polls.record(next.clone(), Vec::new()).await {
                Ok(_) => return Ok(next),
                Err(error) if Patience::covers(&error) => patience.pause("noting how a poll went", &error).await,
                Err(error) => return Err(error),
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.ports.control.0.ports.clock.now()
    }

    fn jitter(&self) -> f64 {
        draw(&*self.ports.control.0.ports.entropy)
    }
}

fn answered(brought: Brought, more: bool) -> PollOutcome {
    let Brought { started, duplicate, skipped, filtered } = brought;
    PollOutcome::Answered { started, duplicate, skipped, filtered, more }
}

/// What the store says of itself; else what is wrong with the workflow.
fn of_store(error: ControlError) -> Result<StoreError, ControlError> {
    match error {
        ControlError::Create(CreateError::Store(error))
        | ControlError::Workflow(WorkflowError::Store(error))
        | ControlError::Outside(OutsideError::Store(error)) => Ok(error),
        error => Err(error),
    }
}

fn code(error: &ControlError) -> &'static str {
    match error {
        ControlError::Create(error) => error.code(),
        _ => "workflow-unavailable",
    }
}
