//! One workflow: from what stands at its provider to what is to stand there, step by step, each written down before the next.

use std::time::Duration;

use flowcell_core::id::{ConnectionName, WorkflowId};
use flowcell_core::invoke::{InvokeError, SubscribeCall, Subscription, TriggerCall, UnsubscribeCall};
use flowcell_core::polling::after_failure;
use flowcell_core::ports::{Registered, StoreError, SubscriptionState, Wanted};
use flowcell_core::time::Timestamp;

use super::{Settled, SubscriberPorts};
use crate::attempt::draw;
use crate::patience::Patience;
use crate::trigger_call::{REFUSED_WAIT, asked, failure, reconnecting, within};
use crate::worker::EngineStopped;

/// After so many tries, over more than half a day, a registration that cannot be taken away is left to its provider, and the log says so.
const UNSUBSCRIBE_TRIES_MAX: u32 = 20;

/// After so many tries a registration of which nobody knows whether it was made, and that nobody wants any more, is asked about no more.
const RESOLVE_TRIES_MAX: u32 = 10;

/// A registration is renewed when this part of its time is over: what is left is for failures.
const RENEW_AT: f64 = 0.8;

/// The first wait between two tries where a poll's interval would stand: none of its own.
const NO_INTERVAL: Duration = Duration::ZERO;

pub(super) struct Settling {
    pub(super) ports: SubscriberPorts,
    pub(super) workflow: WorkflowId,
    /// None: nothing is to stand at the provider.
    pub(super) desired: Option<Wanted>,
}

/// Whether there is more to do at once.
enum Next {
    Again,
    Done,
}

impl Settling {
    pub(super) async fn settle(self) -> Result<Settled, EngineStopped> {
        let settled = |next_at| Settled { workflow: self.workflow.clone(), next_at };
        loop {
            match self.step().await {
                Ok((Next::Again, _)) => {}
                Ok((Next::Done, state)) => return Ok(settled(state.next_at)),
                Err(StoreError::Stopped) => return Err(EngineStopped),
                Err(error) => {
                    tracing::error!(workflow = %self.workflow, %error, "a subscription is not looked after now; it is tried again");
                    return Ok(settled(Some(self.now() + after_failure(NO_INTERVAL, 1, None, self.jitter()))));
                }
            }
        }
    }

    async fn step(&self) -> Result<(Next, SubscriptionState), StoreError> {
        let stored = self.ports.subscriptions.get(&self.ports.workspace, &self.workflow).await?;
        let state =
            stored.unwrap_or_else(|| SubscriptionState::new(self.ports.workspace.clone(), self.workflow.clone()));
        if let Some(intent) = state.intent.clone() {
            return self.register(state, intent).await;
        }
        let stands = |wanted: &Wanted| state.current.as_ref().is_some_and(|current| current.wanted.is_same(wanted));
        match &self.desired {
            Some(wanted) if !stands(wanted) || Self::renewal(&state).is_some_and(|at| at <= self.now()) => {
                let intended = SubscriptionState { intent: Some(wanted.clone()), ..state };
                return Ok((Next::Again, self.put(intended).await?));
            }
            None if state.current.is_some() => {
                let mut ending = state;
                ending.retiring.extend(ending.current.take());
                return Ok((Next::Again, self.put(ending).await?));
            }
            _ => {}
        }
        if let Some(old) = state.retiring.first().cloned() {
            self.take_away(state, &old).await
        } else {
            let next_at = Self::renewal(&state);
            let settled = SubscriptionState { next_at, failures: 0, error: None, hold: None, ..state.clone() };
            let state = if settled == state { state } else { self.put(settled).await? };
            Ok((Next::Done, state))
        }
    }

    /// Makes a registration that was intended, or finds the one that an earlier try made.
    async fn register(
        &self,
        state: SubscriptionState,
        intent: Wanted,
    ) -> Result<(Next, SubscriptionState), StoreError> {
        let is_wanted = self.desired.as_ref().is_some_and(|wanted| wanted.is_same(&intent));
        let renewed = state.current.as_ref().filter(|current| current.wanted.is_same(&intent));
        let began = self.now();
        let trigger = self.call(&intent, began);
        let deadline = trigger.deadline;
        let call = SubscribeCall {
            trigger,
            callback_url: self.ports.source.callback_url(&self.workflow, &intent),
            registration: renewed.map(|current| current.registration.clone()),
        };
        let core = &self.ports.control.0;
        let invocation = within(&*core.ports.clock, deadline, core.ports.invoker.subscribe(call)).await;
        core.quarantine.judge(intent.digest, &invocation);
        let error = match invocation.outcome {
            Ok(Subscription { registration, renew_before_ms }) => {
                let expires_at = renew_before_ms.map(|ms| self.now() + Duration::from_millis(ms));
                let registered = Registered { wanted: intent, registration, at: self.now(), expires_at };
                let state = take_over(state, registered, is_wanted);
                return Ok((Next::Again, self.put(state).await?));
            }
            Err(error) => error,
        };
        // Where the provider said no, nothing was made; else nobody knows.
        let is_open = invocation.record.is_uncertain()
            || !matches!(error, InvokeError::Action(_) | InvokeError::InvalidInput { .. } | InvokeError::Connection(_));
        if !is_wanted && (!is_open || state.failures >= RESOLVE_TRIES_MAX) {
            if is_open {
                tracing::error!(workflow = %self.workflow, code = error.code(), "a registration of this trigger's URL may be left at its provider: nobody could ask about it ({error})");
            }
            let state = SubscriptionState { intent: None, failures: 0, ..state };
            return Ok((Next::Again, self.put(state).await?));
        }
        self.failed(state, (&error, intent.connection.as_ref()), began).await
    }

    async fn take_away(
        &self,
        mut state: SubscriptionState,
        old: &Registered,
    ) -> Result<(Next, SubscriptionState), StoreError> {
        let began = self.now();
        let trigger = self.call(&old.wanted, began);
        let deadline = trigger.deadline;
        let call = UnsubscribeCall { trigger, registration: old.registration.clone() };
        let core = &self.ports.control.0;
        let invocation = within(&*core.ports.clock, deadline, core.ports.invoker.unsubscribe(call)).await;
        core.quarantine.judge(old.wanted.digest, &invocation);
        let is_gone = match &invocation.outcome {
            Ok(()) => true,
            // It ended by itself, or an earlier call took it away and nobody was told.
            Err(error) => error.code() == "not-found" || old.expires_at.is_some_and(|at| at <= began),
        };
        match invocation.outcome {
            Err(error) if !is_gone && state.failures < UNSUBSCRIBE_TRIES_MAX => {
                self.failed(state, (&error, old.wanted.connection.as_ref()), began).await
            }
            outcome => {
                if let (Err(error), false) = (outcome, is_gone) {
                    tracing::error!(workflow = %self.workflow, registration = %old.registration, "a registration of this trigger's URL is left at its provider, because it cannot be taken away: {error}");
                }
                state.retiring.retain(|one| one != old);
                let state = SubscriptionState { failures: 0, error: None, hold: None, ..state };
                Ok((Next::Again, self.put(state).await?))
            }
        }
    }

    async fn failed(
        &self,
        state: SubscriptionState,
        (error, connection): (&InvokeError, Option<&ConnectionName>),
        began: Timestamp,
    ) -> Result<(Next, SubscriptionState), StoreError> {
        let failures = state.failures.saturating_add(1);
        let hold = reconnecting(error, connection, began);
        let wait = after_failure(NO_INTERVAL, failures, asked(error), self.jitter());
        let wait = if hold.is_some() { wait.max(REFUSED_WAIT) } else { wait };
        let failure = failure(error, self.now());
        tracing::warn!(workflow = %self.workflow, code = failure.code, failures, "a subscription of a trigger failed: {}", failure.message);
        let next_at = Some(self.now() + wait);
        let state = SubscriptionState { failures, error: Some(failure), hold, next_at, ..state };
        Ok((Next::Done, self.put(state).await?))
    }

    /// When the registration that stands is made anew.
    fn renewal(state: &SubscriptionState) -> Option<Timestamp> {
        let current = state.current.as_ref()?;
        Some(current.at + current.expires_at?.since(current.at).mul_f64(RENEW_AT))
    }

    fn call(&self, wanted: &Wanted, began: Timestamp) -> TriggerCall {
        TriggerCall {
            digest: wanted.digest,
            trigger: wanted.member.clone(),
            workspace: self.ports.workspace.clone(),
            workflow: self.workflow.clone(),
            deadline: began + self.ports.timeout,
            config: wanted.config.clone(),
            connection: wanted.connection.clone(),
        }
    }

    /// Writes the state as the one that follows; returns it as it is stored.
    async fn put(&self, state: SubscriptionState) -> Result<SubscriptionState, StoreError> {
        let next = SubscriptionState { revision: state.revision + 1, ..state };
        let mut patience = Patience::new(&*self.ports.control.0.ports.clock);
        loop {
            match self.ports.subscriptions.put(next.clone()).await {
                Ok(()) => return Ok(next),
                Err(error) if Patience::covers(&error) => patience.pause("noting a subscription", &error).await,
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

/// The state once a registration is there. What it takes the place of is to go; what nobody wants any more as well.
fn take_over(mut state: SubscriptionState, registered: Registered, is_wanted: bool) -> SubscriptionState {
    state.intent = None;
    (state.failures, state.error, state.hold) = (0, None, None);
    if !is_wanted {
        // Unless it is the very one that stands already.
        let stands = state.current.as_ref().is_some_and(|current| current.registration == registered.registration);
        if !stands {
            state.retiring.push(registered);
        }
        return state;
    }
    // A provider that knows one registration for each URL changes it in place: the new one then is the old one.
    let is_other = |old: &Registered| old.registration != registered.registration;
    state.retiring.extend(state.current.take().filter(is_other));
    state.retiring.retain(is_other);
    state.current = Some(registered);
    state
}
