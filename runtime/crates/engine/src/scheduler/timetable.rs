//! Which schedule comes next: every schedule with its cursor, by the time of its next occurrence.

use std::collections::{BTreeMap, HashMap};

use flowcell_core::ports::ScheduleCursor;
use flowcell_core::time::Timestamp;

use super::{Halt, ScheduledTrigger, Scheduler};
use crate::shutdown::Shutdown;

/// A schedule and how far it has come.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) trigger: ScheduledTrigger,
    pub(super) cursor: ScheduleCursor,
}

/// Entries that have a next occurrence, by its time and then in the order they came in.
#[derive(Debug, Default)]
pub(super) struct Timetable {
    entries: BTreeMap<(Timestamp, u64), Entry>,
    arrivals: u64,
}

impl Timetable {
    /// An entry whose next occurrence has come.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Entry> {
        let first = self.entries.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// An entry with nothing more to come is dropped.
    pub(super) fn put_back(&mut self, entry: Entry) {
        if let Some(next) = entry.trigger.schedule.next_after(entry.cursor.decided) {
            self.arrivals += 1;
            self.entries.insert((next, self.arrivals), entry);
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.entries.keys().next().map(|(at, _)| *at)
    }
}

impl Scheduler {
    /// Every schedule there is now, with its cursor; new ones get one, and those of schedules that are gone are closed.
    pub(super) async fn timetable(&self, shutdown: &Shutdown) -> Result<Timetable, Halt> {
        let ports = &self.ports;
        let triggers = self.patiently("reading the schedules", shutdown, || ports.source.schedules()).await?;
        let stored = self.patiently("reading how far schedules have come", shutdown, || ports.schedules.list()).await?;
        let mut stored: HashMap<_, _> = stored.into_iter().map(|cursor| (cursor.place(), cursor)).collect();
        let mut timetable = Timetable::default();
        for trigger in triggers {
            let place = (trigger.workspace.clone(), trigger.workflow.clone(), trigger.trigger.clone());
            let known = stored.remove(&place);
            let schedule = trigger.schedule.digest();
            let cursor = match known.filter(|cursor| cursor.schedule == schedule && !cursor.is_ended) {
                Some(cursor) => cursor,
                None => self.begin(&trigger, shutdown).await?,
            };
            self.warn_of_clock(&cursor);
            timetable.put_back(Entry { trigger, cursor });
        }
        for gone in stored.into_values().filter(|cursor| !cursor.is_ended) {
            self.note(&ScheduleCursor { is_ended: true, ..gone }, shutdown).await?;
        }
        Ok(timetable)
    }

    /// The cursor of a schedule that is new, has changed or has come back.
    async fn begin(&self, trigger: &ScheduledTrigger, shutdown: &Shutdown) -> Result<ScheduleCursor, Halt> {
        let cursor = ScheduleCursor {
            workspace: trigger.workspace.clone(),
            workflow: trigger.workflow.clone(),
            trigger: trigger.trigger.clone(),
            schedule: trigger.schedule.digest(),
            // A clock that was wrong when the workflow was published must not silence the schedule until it is right again.
            decided: trigger.since.min(self.ports.clock.now()),
            fired: None,
            is_ended: false,
        };
        self.note(&cursor, shutdown).await?;
        Ok(cursor)
    }

    fn warn_of_clock(&self, cursor: &ScheduleCursor) {
        let now = self.ports.clock.now();
        if cursor.decided > now {
            tracing::warn!(
                workflow = %cursor.workflow, decided_until = %cursor.decided, clock = %now,
                "the clock is behind what a schedule has acted on, so it starts nothing until then; if the clock was wrong before, apply the workflow with a changed schedule"
            );
        }
    }
}
