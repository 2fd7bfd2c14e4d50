//! What the calls of a trigger that no request caused have in common: a deadline that holds, and what a failure means for the next call.

use std::time::Duration;

use flowcell_core::connection::CredentialError;
use flowcell_core::id::ConnectionName;
use flowcell_core::invoke::{CallRecord, Disposition, Invocation, InvokeError};
use flowcell_core::ports::{Clock, Hold, TriggerFailure};
use flowcell_core::time::Timestamp;

/// The sandbox ends a call at its deadline. Should the sandbox itself hang, the call is given up this much later.
const BACKSTOP: Duration = Duration::from_secs(5);

/// What is kept of a message: enough to act on, and no copy of a peer's page.
const MESSAGE_BYTES_MAX: usize = 2_000;

/// How long a call that was refused for want of rights waits for the connection's owner before it is made again all the same: somebody may have
/// given the rights at the provider, of which nobody here is told.
pub(crate) const REFUSED_WAIT: Duration = Duration::from_hours(1);

/// Waits for a call, and not much longer than it may take.
pub(crate) async fn within<T>(
    clock: &dyn Clock,
    deadline: Timestamp,
    call: impl Future<Output = Invocation<T>>,
) -> Invocation<T> {
    let began = clock.now();
    tokio::select! {
        biased;
        invocation = call => invocation,
        () = clock.sleep_until(deadline + BACKSTOP) => {
            let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            Invocation {
                outcome: Err(InvokeError::DeadlineExceeded { limit_ms: millis(deadline.since(began)) }),
                record: CallRecord { duration_ms: millis(clock.now().since(began)), ..CallRecord::default() },
            }
        }
    }
}

/// What is written down about a call that failed at `at`.
pub(crate) fn failure(error: &InvokeError, at: Timestamp) -> TriggerFailure {
    let details = match error {
        InvokeError::Action(error) => error.details.clone(),
        _ => None,
    };
    let mut message = error.to_string();
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    TriggerFailure { at, code: error.code().to_owned(), message, field: error.field(), details }
}

/// The connection whose owner has to act before the call can succeed. `began` is when the refused call began.
pub(crate) fn reconnecting(error: &InvokeError, named: Option<&ConnectionName>, began: Timestamp) -> Option<Hold> {
    let connection = match (error, named) {
        (InvokeError::Connection(CredentialError::NeedsReconnecting { name, .. }), _) => name.clone(),
        (error, Some(name)) if error.is_unauthorized() => name.clone(),
        _ => return None,
    };
    Some(Hold::Reconnecting { connection, since: began })
}

/// What the other side asks for before the next call.
pub(crate) fn asked(error: &InvokeError) -> Option<Duration> {
    let after_ms = match (error.disposition(), error) {
        (Disposition::Transient { after_ms }, _) => after_ms,
        (Disposition::Permanent, InvokeError::Action(error)) => error.retry_after_ms,
        (Disposition::Permanent, _) => None,
    };
    after_ms.map(Duration::from_millis)
}
