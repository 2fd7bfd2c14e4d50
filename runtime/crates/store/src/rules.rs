//! What every backend checks before it writes, so that no backend is more lenient than another. Pure.

use std::collections::HashSet;
use std::time::Duration;

use flowcell_core::blob::RUN_BYTES_MAX;
use flowcell_core::connection::StoredConnection;
use flowcell_core::id::{Digest, EventId, RunId, WorkflowId};
use flowcell_core::people::StoredPerson;
use flowcell_core::ports::{
    Append, DedupeTerms, Delivery, HookBinding, PollState, StoreError, WorkflowHead, WorkflowVersion,
};
use flowcell_core::run::event::RunEvent;
use flowcell_core::time::Timestamp;

/// How long a delivery's key is remembered, whatever its terms say.
pub const DEDUPE_WINDOW: Duration = DedupeTerms::WINDOW_MAX;

/// The most summaries one page of a list holds; a longer page is cut. 1,000 summaries are some 300 KiB of JSON, what an
/// answer of the API may weigh.
pub(crate) const PAGE_RUNS_MAX: usize = 1_000;

/// The most contacts one page of a search holds; with their fields as much as a page of summaries.
pub(crate) const PAGE_CONTACTS_MAX: usize = 200;

/// An earlier delivery with the key of a new one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Earlier {
    pub(crate) event: EventId,
    pub(crate) at: Timestamp,
    pub(crate) body: Option<Digest>,
}

/// Whether the key of a delivery at `first` is still looked at.
pub(crate) fn is_remembered(first: Timestamp, now: Timestamp) -> bool {
    now.since(first) < DEDUPE_WINDOW
}

/// Whether a delivery at `now` repeats the earlier one. Where both say what their body was, it has to be the same.
pub(crate) fn repeats(earlier: Earlier, now: Timestamp, terms: &DedupeTerms) -> Result<bool, StoreError> {
    if now.since(earlier.at) >= terms.window.min(DEDUPE_WINDOW) {
        return Ok(false);
    }
    match (earlier.body, terms.body) {
        (Some(first), Some(second)) if first != second => Err(StoreError::OtherBody { event: earlier.event }),
        _ => Ok(true),
    }
}

/// Refuses a delivery whose runs do not begin as a run must.
pub(crate) fn check_delivery(delivery: &Delivery) -> Result<(), StoreError> {
    for run in &delivery.runs {
        let begins = run.created.seq == 0 && matches!(run.created.event, RunEvent::Created { .. });
        let fits = run.summary.id == run.id
            && run.summary.workspace == delivery.workspace
            && run.summary.event == delivery.event
            && run.summary.events == 1;
        if !begins || !fits {
            return Err(refused(format!("{} does not begin as a run of {} must", run.id, delivery.event)));
        }
    }
    Ok(())
}

/// Refuses deliveries of a poll that are not of its workspace, do not begin right, or share an id.
pub(crate) fn check_polled(poll: &PollState, deliveries: &[Delivery]) -> Result<(), StoreError> {
    let (mut events, mut runs) = (HashSet::new(), HashSet::new());
    for delivery in deliveries {
        check_delivery(delivery)?;
        let is_own = delivery.workspace == poll.workspace;
        if !is_own || !events.insert(delivery.event) || !delivery.runs.iter().all(|run| runs.insert(run.id)) {
            return Err(refused(format!(
                "{} does not belong among what a poll of `{}` brought",
                delivery.event, poll.workflow
            )));
        }
    }
    Ok(())
}

/// Refuses a state of a trigger that is not the next after `stored` (0: there is none yet).
pub(crate) fn check_trigger_revision(workflow: &WorkflowId, revision: u64, stored: u64) -> Result<(), StoreError> {
    if revision == stored.saturating_add(1) {
        return Ok(());
    }
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Err(StoreError::Conflict {
        what: format!("what is kept about the trigger of `{workflow}`"),
        expected: small(revision.saturating_sub(1)),
        actual: small(stored),
    })
}

/// Refuses entries that are not consecutive, or a summary that does not count them. Returns the first entry's `seq`.
pub(crate) fn check_append(append: &Append) -> Result<u32, StoreError> {
    let Some(first) = append.entries.first() else {
        return Err(refused(format!("an append to {} without entries", append.run)));
    };
    let mut next = first.seq;
    for entry in &append.entries {
        if entry.seq != next || next == 0 {
            return Err(refused(format!("entry {} of {} is out of turn", entry.seq, append.run)));
        }
        next = next.saturating_add(1);
    }
    if append.summary.id != append.run || append.summary.events != next {
        return Err(refused(format!("the summary of {} does not belong to its entries", append.run)));
    }
    Ok(first.seq)
}

/// Refuses an append at `first_seq` to a journal of `length` entries.
pub(crate) fn check_length(append: &Append, first_seq: u32, length: u32) -> Result<(), StoreError> {
    if first_seq == length {
        return Ok(());
    }
    Err(StoreError::Conflict { what: format!("the journal of {}", append.run), expected: first_seq, actual: length })
}

/// What an append to a run that has ended gets: nothing may happen after the end.
pub(crate) fn finished(append: &Append) -> StoreError {
    refused(format!("{} has finished; nothing can be appended", append.run))
}

/// Refuses what a run would keep in blobs beyond its limit.
pub(crate) fn check_blobs(run: RunId, bytes: u64) -> Result<(), StoreError> {
    if bytes <= RUN_BYTES_MAX {
        return Ok(());
    }
    Err(refused(format!(
        "{run} would keep {bytes} bytes in blobs, and {RUN_BYTES_MAX} are allowed; fetch less in one run, or start one for each part with `call`"
    )))
}

/// Refuses a version, head and hook that are not of one workflow.
pub(crate) fn check_definition(
    version: &WorkflowVersion,
    head: &WorkflowHead,
    binding: &HookBinding,
) -> Result<(), StoreError> {
    let same = version.workspace == head.workspace
        && version.id == head.id
        && version.version == head.latest
        && binding.hook.workspace == head.workspace
        && binding.hook.workflow == head.id
        && head.published.is_none_or(|published| published <= head.latest);
    if same {
        Ok(())
    } else {
        Err(refused(format!("the version, head and hook of `{}` do not belong together", head.id)))
    }
}

/// Refuses a version that is not the next after `latest` (0: there is none yet).
pub(crate) fn check_version(version: &WorkflowVersion, latest: u32) -> Result<(), StoreError> {
    if version.version == latest.saturating_add(1) {
        return Ok(());
    }
    Err(StoreError::Conflict {
        what: format!("workflow `{}`", version.id),
        expected: version.version.saturating_sub(1),
        actual: latest,
    })
}

/// Refuses a version whose head knows an older URL of the trigger than the stored one.
pub(crate) fn check_url(head: &WorkflowHead, stored: u32) -> Result<(), StoreError> {
    if head.hook_generation >= stored {
        return Ok(());
    }
    Err(StoreError::Conflict {
        what: format!("the trigger URL of `{}`", head.id),
        expected: head.hook_generation,
        actual: stored,
    })
}

/// Refuses a rotation that was not made from what is stored.
pub(crate) fn check_rotation(
    head: &WorkflowHead,
    binding: &HookBinding,
    stored: Option<&WorkflowHead>,
) -> Result<(), StoreError> {
    let Some(stored) = stored else { return Err(StoreError::NotFound { what: format!("workflow `{}`", head.id) }) };
    if binding.hook.workspace != head.workspace || binding.hook.workflow != head.id {
        return Err(refused(format!("the head and hook of `{}` do not belong together", head.id)));
    }
    let conflict = |what: &str, expected, actual| {
        Err(StoreError::Conflict { what: format!("{what} of `{}`", head.id), expected, actual })
    };
    if head.hook_generation != stored.hook_generation.saturating_add(1) {
        return conflict("the trigger URL", head.hook_generation.saturating_sub(1), stored.hook_generation);
    }
    if (head.latest, head.published) != (stored.latest, stored.published) {
        return conflict("the newest version", head.latest, stored.latest);
    }
    Ok(())
}

/// Refuses a write of a connection that is not the next after `revision` (0: there is none).
pub(crate) fn check_revision(connection: &StoredConnection, revision: u32) -> Result<(), StoreError> {
    if connection.revision == revision.saturating_add(1) {
        return Ok(());
    }
    Err(StoreError::Conflict {
        what: format!("connection `{}`", connection.connection.name),
        expected: connection.revision.saturating_sub(1),
        actual: revision,
    })
}

/// The same of a user.
pub(crate) fn check_person(stored: &StoredPerson, revision: u32) -> Result<(), StoreError> {
    if stored.revision == revision.saturating_add(1) {
        return Ok(());
    }
    Err(StoreError::Conflict {
        what: format!("user `{}`", stored.person.id),
        expected: stored.revision.saturating_sub(1),
        actual: revision,
    })
}

/// What a hook that another workflow owns gets.
pub(crate) fn hook_taken(head: &WorkflowHead) -> StoreError {
    refused(format!("the trigger URL of `{}` already leads to another workflow", head.id))
}

/// What a delivery or run whose id is taken gets: it must never replace the earlier one.
pub(crate) fn already_there(delivery: &Delivery) -> StoreError {
    exists(&delivery.event.to_string())
}

pub(crate) fn exists(what: &str) -> StoreError {
    refused(format!("{what} is there already"))
}

/// No repetition makes it acceptable.
fn refused(message: String) -> StoreError {
    StoreError::Refused { message }
}
