//! One try of one step: render its input, call its action with a deadline, and say what follows from the answer.
//!
//! What a failure means is decided by [`InvokeError::disposition`] alone, and when to try again by the step's retry policy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use flowcell_core::connection::{CredentialError, Remedy};
use flowcell_core::destination::{Destination, Disabled};
use flowcell_core::exchange::{LogLevel, LogLine};
use flowcell_core::expression::{ExpressionError, Filled, Scope};
use flowcell_core::id::{ConnectionName, Digest, StepRef};
use flowcell_core::invoke::{ActionCall, CallRecord, Disposition, Invocation, InvokeError, UNAUTHORIZED, field_of};
use flowcell_core::plugin::Uses;
use flowcell_core::ports::Entropy;
use flowcell_core::redact::Redactor;
use flowcell_core::run::event::{RunEvent, StepError};
use flowcell_core::run::fold::{Phase, Run, StepState};
use flowcell_core::run::place::locals;
use flowcell_core::run::plan::{may_repeat, why_parked};
use flowcell_core::run::retry::{RETRY_AFTER_MAX, RetryPolicy};
use flowcell_core::run::state::{NEEDS_RECONNECTING, QUARANTINED, REFUSALS_MAX, REFUSED};
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::compiled::CompiledKind;
use flowcell_core::workflow::{Action, Step};
use serde_json::{Value, json};

use crate::destinations::{Admission, Asking, Passage};
use crate::engine::{Core, Ports};
use crate::workflows::Prepared;

/// The sandbox ends a call at its deadline and tells what it did. Should the sandbox itself hang, the attempt ends this much later.
const BACKSTOP: Duration = Duration::from_secs(5);

/// What an input may measure: the contract's numbers (`wit/README.md`, promise 1). What exceeds them reaches neither plugin nor journal.
const INPUT_BYTES_MAX: usize = 1024 * 1024;
const INPUT_DEPTH_MAX: usize = 64;

/// The code by which an action says that it has time, together with when it wants to be called again: somebody's quiet hours, a digest that is open.
/// That is no failure, so the step's `retry` does not count it.
const DEFERRED: &str = "deferred";

/// So often in a row: quiet hours of people all around the world end within a day or two. Beyond it, the step's `retry` decides.
const DEFERRALS_MAX: u32 = 100;

/// The code of an attempt that was not made, because its destination is disabled.
const DESTINATION_DISABLED: &str = "destination-disabled";

/// An attempt that has ended.
pub(crate) struct Landed {
    pub(crate) step: StepRef,
    pub(crate) attempt: u32,
    input: Arc<Value>,
    invocation: Invocation<Value>,
}

/// Makes the attempt. It borrows nothing of the run, which goes on meanwhile.
pub(crate) async fn fly(core: &Core, ready: ReadyCall) -> Landed {
    let ReadyCall { call, notes, passage } = ready;
    let (step, attempt, digest, input, run) =
        (call.step.clone(), call.attempt, call.digest, Arc::new(call.input.clone()), call.run);
    let mut invocation = invoke(&core.ports, call).await;
    invocation.record.log.splice(0..0, notes);
    if let Some(passage) = passage {
        let told = passage.land(&core.ports, run, &invocation.record).await;
        invocation.record.log.extend(told.map(|message| LogLine { level: LogLevel::Warn, message }));
    }
    core.quarantine.judge(digest, &invocation);
    Landed { step, attempt, input, invocation }
}

/// What the end of an attempt means: [`RunEvent::StepSucceeded`], [`RunEvent::StepFailed`] or, when the effect of a step that must not be
/// repeated is unknown, its plugin has just been quarantined or its connection waits for its owner, [`RunEvent::StepParked`].
pub(crate) fn conclude(core: &Core, workflow: &Prepared, run: &Run, landed: Landed) -> RunEvent {
    let Landed { step, attempt, input, invocation: Invocation { outcome, mut record } } = landed;
    redact(workflow, run, (&step, &input, outcome.as_ref().ok()), &mut record);
    let record = Arc::new(record);
    let error = match outcome {
        Ok(output) => {
            return RunEvent::StepSucceeded { step, attempt, output: Arc::new(output), input, call: record };
        }
        Err(error) => error,
    };
    let Some(action) = workflow.compiled.workflow.step(step.id()).and_then(Step::action) else {
        let error = StepError::permanent(error.code(), error.to_string());
        return RunEvent::StepFailed {
            step,
            attempt,
            error,
            retry_at: None,
            input: Some(input),
            origin: None,
            call: record,
        };
    };
    let failures = run.steps.get(&step).map_or(0, StepState::failures) + 1;
    let must_be_parked = is_uncertain(&error, &record) && !may_repeat(action, run);
    let digest = run.pins.get(&action.uses).map(|pin| pin.digest);
    let is_quarantined = digest.is_some_and(|digest| core.quarantine.holds(&digest));
    let refusals = run.steps.get(&step).map_or(0, StepState::refusals);
    let reconnecting = needs_reconnecting(&error, action.connection.as_ref(), refusals);
    let retry = match workflow.compiled.steps.get(step.id()).map(|step| &step.kind) {
        Some(CompiledKind::Action { retry, .. }) => retry.clone(),
        _ => RetryPolicy::default(),
    };
    let (mut error, retry_at) = judge(&core.ports, &retry, error, failures);
    if error.code == UNAUTHORIZED && refusals >= REFUSALS_MAX {
        let again = format!(
            " (its connection was refused {refusals} times before, whatever its owner did, so it is not waited for any longer)"
        );
        error.message.push_str(&again);
    }
    place(&mut error, workflow, &step);
    let input = Some(input);
    if let Some(digest) = digest.filter(|_| is_quarantined && !must_be_parked) {
        let (reason, error) = quarantined(digest, &action.uses, &error.message);
        return RunEvent::StepParked { step, attempt, reason, error: Some(error), input, call: Some(record) };
    }
    if let Some(error) = reconnecting.filter(|_| !must_be_parked) {
        let (reason, error) = (error.message.clone(), Some(error));
        return RunEvent::StepParked { step, attempt, reason, error, input, call: Some(record) };
    }
    if must_be_parked {
        let reason = why_parked(action, &format!("step `{step}` was left without an answer ({})", error.code));
        return RunEvent::StepParked { step, attempt, reason, error: Some(error), input, call: Some(record) };
    }
    RunEvent::StepFailed { step, attempt, error, retry_at, input, origin: None, call: record }
}

/// Why a step of a quarantined plugin is parked.
fn quarantined(digest: Digest, uses: &Uses, last: &str) -> (String, StepError) {
    let reason = format!(
        "the plugin of `{uses}` is quarantined, because the sandbox had to end its calls again and again: {last}. Put a repaired plugin there, or release this one; the run goes on then"
    );
    let details = Some(json!({ "digest": digest }));
    let error = StepError { code: QUARANTINED.to_owned(), message: reason.clone(), retryable: true, details };
    (reason, error)
}

/// Says in an error which line of the workflow it is about, where it names a field of the step's input.
fn place(error: &mut StepError, workflow: &Prepared, step: &StepRef) {
    let Some(field) = field_of(error.details.as_ref()).map(str::to_owned) else { return };
    let placed = workflow.compiled.workflow.all_steps().find(|placed| placed.step.id == *step.id());
    let Some(placed) = placed else { return };
    let place = workflow.place(&format!("{}/with{field}", placed.pointer));
    error.message = format!("{} ({place})", error.message);
    if let Some(details) = error.details.as_mut().and_then(Value::as_object_mut) {
        details.insert("at".to_owned(), json!(place.path));
        details.insert("line".to_owned(), json!(place.line));
    }
}

/// Why a step is parked whose connection waits for its owner; nothing for other failures. `named` is the connection that the step names,
/// `refusals` how often it was waited for in vain.
fn needs_reconnecting(error: &InvokeError, named: Option<&ConnectionName>, refusals: u32) -> Option<StepError> {
    let (name, reason, remedy, refused) = match (error, named) {
        (InvokeError::Connection(CredentialError::NeedsReconnecting { name, reason, remedy }), _) => {
            (name, reason.clone(), Some(*remedy), false)
        }
        (error, Some(name)) if error.is_unauthorized() && refusals < REFUSALS_MAX => {
            (name, format!("the other side refuses it ({error})"), None, true)
        }
        _ => return None,
    };
    let rotate = Remedy::Secret.command(name);
    let does = match remedy {
        Some(Remedy::Consent) => format!("Consent again, in a browser, with `{}`", Remedy::Consent.command(name)),
        Some(Remedy::Secret) => format!("Give it a new secret with `{rotate}`"),
        // Its kind is not known here.
        None => format!("Give it a new secret with `{rotate}`, or consent again"),
    };
    let message = format!("connection `{name}` needs its owner: {reason}. {does}; the run goes on then");
    let details =
        Some(if refused { json!({ "connection": name, REFUSED: true }) } else { json!({ "connection": name }) });
    Some(StepError { code: NEEDS_RECONNECTING.to_owned(), message, retryable: true, details })
}

/// Leaves out of the record of a call what the rules hide. Nothing of the run depends on it; a replay of the call is then without it, too.
fn redact(workflow: &Prepared, run: &Run, call: (&StepRef, &Value, Option<&Value>), record: &mut CallRecord) {
    if workflow.redaction.is_empty() {
        return;
    }
    let mut redactor = Redactor::new(Arc::clone(&workflow.redaction));
    redactor.learn_run(run);
    redactor.learn_call(call);
    redactor.redact_call(record);
}

/// A call that can be made.
pub(crate) struct ReadyCall {
    pub(crate) call: ActionCall,
    /// What was noticed while its input was rendered; they stand first in the attempt's log.
    notes: Vec<LogLine>,
    /// Leave to send to its destination, where it has one.
    passage: Option<Passage>,
}

/// What becomes of an attempt before it is made.
pub(crate) enum Readied {
    Call(Box<ReadyCall>),
    /// It cannot be made, or must not.
    End(Box<RunEvent>),
    /// It is made later, and none is used up: [`RunEvent::StepDeferred`].
    Later(Box<RunEvent>),
}

/// Renders the input and decides whether the attempt is made.
pub(crate) fn ready(core: &Core, workflow: &Prepared, run: &Run, step: &StepRef, attempt: u32) -> Readied {
    let action = workflow.compiled.workflow.step(step.id()).and_then(Step::action);
    if let Some((action, pin)) = action.and_then(|action| Some((action, run.pins.get(&action.uses)?)))
        && core.quarantine.holds(&pin.digest)
    {
        let (reason, error) = quarantined(pin.digest, &action.uses, "it is not called at all now");
        let (step, error) = (step.clone(), Some(error));
        let parked = RunEvent::StepParked { step, attempt, reason, error, input: None, call: None };
        return Readied::End(Box::new(parked));
    }
    let error = match prepare(core, workflow, run, step, attempt) {
        Ok(mut ready) => match admit(core, workflow, run, step) {
            None => return Readied::Call(Box::new(ready)),
            Some((_, Admission::Go(passage))) => {
                ready.passage = Some(passage);
                return Readied::Call(Box::new(ready));
            }
            Some((_, Admission::Later { until, reason })) => {
                return Readied::Later(Box::new(RunEvent::StepDeferred { step: step.clone(), until, reason }));
            }
            Some((destination, Admission::Disabled(disabled))) => is_disabled(destination, &disabled),
        },
        Err(error) => error,
    };
    let mut error = error;
    place(&mut error, workflow, step);
    let (step, call) = (step.clone(), Arc::default());
    let failed = RunEvent::StepFailed { step, attempt, error, retry_at: None, input: None, origin: None, call };
    Readied::End(Box::new(failed))
}

/// Asks whether the step's receiver is to be sent to now; `None` where run data decides who that is.
fn admit<'w>(core: &Core, workflow: &'w Prepared, run: &Run, step: &StepRef) -> Option<(&'w Destination, Admission)> {
    let CompiledKind::Action { destination: Some(destination), .. } = &workflow.compiled.steps.get(step.id())?.kind
    else {
        return None;
    };
    let deferred_since = match run.steps.get(step).map(|state| &state.phase) {
        Some(Phase::Deferred { since, .. }) => Some(*since),
        _ => None,
    };
    let asking = Asking { now: core.ports.clock.now(), deferred_since, chance: draw(&*core.ports.entropy) };
    Some((destination, core.destinations.admit(&run.workspace, destination, asking)))
}

/// Why nothing is sent to a destination, and what to do.
fn is_disabled(destination: &Destination, disabled: &Disabled) -> StepError {
    let (url, Disabled { since, run, reason }) = (destination.url(), disabled);
    let by = run.map_or_else(String::new, |run| format!(" in {run}"));
    let message = format!(
        "nothing was sent, because {url} has been disabled since {since}: {reason}{by}. When it takes deliveries again, \
         `flowcell destination enable {url}` allows them, and `flowcell dead-letter recover --destination {url}` sends this one again"
    );
    let details = Some(json!({ "destination": destination.id(), "url": url, "since": since }));
    StepError { code: DESTINATION_DISABLED.to_owned(), message, retryable: false, details }
}

/// Whether the attempt may have had an effect that nobody was told of, and would otherwise be made again: it was cut off, or it failed after
/// a request that may have reached its peer.
fn is_uncertain(error: &InvokeError, record: &CallRecord) -> bool {
    match error {
        InvokeError::DeadlineExceeded { .. } => true,
        error => matches!(error.disposition(), Disposition::Transient { .. }) && record.is_uncertain(),
    }
}

/// Builds the call from what the run is pinned to; the error is one that no repetition mends.
fn prepare(core: &Core, workflow: &Prepared, run: &Run, place: &StepRef, attempt: u32) -> Result<ReadyCall, StepError> {
    let unavailable = |message: String| StepError::permanent("plugin-unavailable", message);
    if let Some(problems) = &workflow.broken {
        return Err(unavailable(format!(
            "version {} of workflow `{}` cannot be prepared: {problems}; put the plugin's file back, or apply the workflow again",
            run.version, run.workflow
        )));
    }
    let definition = &workflow.compiled.workflow;
    let action = definition.step(place.id()).and_then(Step::action);
    let compiled = workflow.compiled.steps.get(place.id()).map(|step| &step.kind);
    let (Some(action), Some(CompiledKind::Action { input, scope, .. })) = (action, compiled) else {
        return Err(unavailable(format!(
            "version {} of workflow `{}` has no action `{place}`",
            run.version, run.workflow
        )));
    };
    let pin = run.pins.get(&action.uses).ok_or_else(|| {
        unavailable(format!(
            "the run has no plugin for `{}`; apply the workflow again and replay the event",
            action.uses
        ))
    })?;
    let locals = locals(&workflow.compiled, run, place);
    // The attempt begins now: its start is noted next, and its input with its end.
    let now = core.ports.clock.now();
    let seen = Scope::of(run, definition).with_custom_values(&core.config.custom_values);
    let seen = seen.with_resume_links(&core.config);
    let seen = seen.within(place.at(), &locals).now_is(now);
    let (input, notes) = match workflow.compiled.steps.get(place.id()).and_then(|step| step.missing.as_ref()) {
        None => (input.render(&seen).map_err(|error| expression_error(&error))?, Vec::new()),
        Some(policy) => {
            let rendered = input.render_with(&seen, policy).map_err(|error| expression_error(&error))?;
            (rendered.value, rendered.filled.iter().map(filled_in).collect())
        }
    };
    check_size(&input)?;
    let call = ActionCall {
        digest: pin.digest,
        action: pin.member.clone(),
        workspace: run.workspace.clone(),
        workflow: run.workflow.clone(),
        run: run.id,
        step: place.clone(),
        attempt,
        idempotency_key: core.config.instance_key.idempotency_key(run.origin.keys_of.unwrap_or(run.id), place),
        deadline: now + time_limit(core, action),
        input,
        scope: scope.clone(),
        connection: action.connection.clone(),
    };
    Ok(ReadyCall { call, notes, passage: None })
}

/// What the log says of a value that was missing.
fn filled_in(filled: &Filled) -> LogLine {
    let Filled { pointer, path, with } = filled;
    let message = format!("`{path}` is missing; `with{pointer}` takes {with} instead, as the step's `missing` says");
    LogLine { level: LogLevel::Warn, message }
}

/// The step's timeout under the operator's ceiling.
fn time_limit(core: &Core, action: &Action) -> Duration {
    let asked = action.timeout_ms.map_or(core.config.step_timeout, Duration::from_millis);
    asked.min(core.config.step_timeout_max)
}

async fn invoke(ports: &Ports, call: ActionCall) -> Invocation<Value> {
    let started_at = ports.clock.now();
    let deadline = call.deadline;
    tokio::select! {
        biased;
        invocation = ports.invoker.invoke(call) => invocation,
        () = ports.clock.sleep_until(deadline + BACKSTOP) => {
            let duration_ms = millis(ports.clock.now().since(started_at));
            Invocation {
                outcome: Err(InvokeError::DeadlineExceeded { limit_ms: millis(deadline.since(started_at)) }),
                record: CallRecord { duration_ms, ..CallRecord::default() },
            }
        }
    }
}

/// What is written down about a failure, and when the step is tried again.
fn judge(ports: &Ports, retry: &RetryPolicy, error: InvokeError, failures: u32) -> (StepError, Option<Timestamp>) {
    let disposition = error.disposition();
    let delay = match (&error, disposition) {
        (InvokeError::Action(said), Disposition::Transient { after_ms: Some(ms) })
            if said.code == DEFERRED && failures <= DEFERRALS_MAX && Duration::from_millis(ms) <= RETRY_AFTER_MAX =>
        {
            Some(Duration::from_millis(ms))
        }
        _ => retry.next_delay(disposition, failures, draw(&*ports.entropy)),
    };
    let mut message = error.to_string();
    let mut retryable = false;
    if let Disposition::Transient { after_ms } = disposition {
        retryable = true;
        if delay.is_none() && after_ms.is_some_and(|ms| Duration::from_millis(ms) > RETRY_AFTER_MAX) {
            let hours = RETRY_AFTER_MAX.as_secs() / 3600;
            message =
                format!("{message} (it asks to be left alone for more than {hours} hours, so it is not tried again)");
        }
    }
    let code = error.code().to_owned();
    let details = match error {
        InvokeError::Action(error) => error.details,
        InvokeError::InvalidInput { pointer, .. } => Some(json!({ "field": pointer })),
        _ => None,
    };
    let retry_at = delay.map(|delay| ports.clock.now() + delay);
    (StepError { code, message, retryable, details }, retry_at)
}

fn expression_error(error: &ExpressionError) -> StepError {
    StepError {
        code: "expression".to_owned(),
        message: format!("the input cannot be built: {} (at `with{}`)", error.message, error.pointer),
        retryable: false,
        details: Some(json!({ "field": error.pointer })),
    }
}

/// Refuses an input that no plugin may get.
fn check_size(input: &Value) -> Result<(), StepError> {
    let problem = if !fits_depth(input, INPUT_DEPTH_MAX) {
        format!("is nested more than {INPUT_DEPTH_MAX} levels deep; pass on only the part that the step needs")
    } else if !fits_bytes(input, INPUT_BYTES_MAX) {
        format!("has more than {INPUT_BYTES_MAX} bytes of JSON; pass on only the part that the step needs")
    } else {
        return Ok(());
    };
    let message = format!("the input does not fit: it {problem}");
    Err(StepError { code: "invalid-input".to_owned(), message, retryable: false, details: None })
}

fn fits_depth(value: &Value, levels: usize) -> bool {
    let below = levels.checked_sub(1);
    match value {
        Value::Array(items) => below.is_some_and(|below| items.iter().all(|item| fits_depth(item, below))),
        Value::Object(members) => below.is_some_and(|below| members.values().all(|member| fits_depth(member, below))),
        _ => true,
    }
}

fn fits_bytes(value: &Value, bytes_max: usize) -> bool {
    /// Counts down instead of writing.
    struct Room(usize);
    impl io::Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Room(bytes_max), value).is_ok()
}

/// A number from 0 to 1, both included.
pub(crate) fn draw(entropy: &dyn Entropy) -> f64 {
    let mut bytes = [0; 4];
    entropy.fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
