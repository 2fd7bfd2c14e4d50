//! What is to be done about the times that have come since somebody last looked: one of them, a second ago, or three days of them.

use std::time::Duration;

use super::{Missed, Schedule};
use crate::time::Timestamp;

/// How late an occurrence is still on time: what a restart takes, with room. Later it was missed.
pub const ON_TIME: Duration = Duration::from_mins(1);

/// The most that is made up for under [`Missed::All`]: what a store writes in a few seconds, and ten days of an hourly schedule four
/// times over. Of more, the newest.
pub const CAUGHT_UP_MAX: usize = 1_000;

/// What to do at some moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CatchUp {
    /// The occurrences to act on, in order.
    pub fire: Vec<Timestamp>,
    /// Those that are passed over.
    pub passed_over: Option<PassedOver>,
    /// Up to here, and with it, everything is decided; `after` when nothing has come.
    pub decided: Timestamp,
}

/// The first and the last occurrence that is passed over, the same when it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedOver {
    pub first: Timestamp,
    pub last: Timestamp,
}

impl Schedule {
    /// Decides about the occurrences after `after` and not after `now`.
    ///
    /// As long as none is later than [`ON_TIME`], all are acted on. Otherwise the schedule's rule decides: `skip` acts on the newest
    /// if that is on time, `last` on the newest, `all` on every one, at most [`CAUGHT_UP_MAX`].
    pub fn catch_up(&self, after: Timestamp, now: Timestamp) -> CatchUp {
        let Some(first) = self.next_after(after).filter(|first| *first <= now) else {
            return CatchUp { decided: after, ..CatchUp::default() };
        };
        let newest = self.last_between(after, now).unwrap_or(first);
        let is_on_time = |at: Timestamp| now.since(at) <= ON_TIME;
        let fire = match self.missed {
            _ if is_on_time(first) => self.newest(after, newest),
            Missed::All => self.newest(after, newest),
            Missed::Skip if !is_on_time(newest) => Vec::new(),
            Missed::Skip | Missed::Last => vec![newest],
        };
        let passed_over = match fire.first() {
            None => Some(PassedOver { first, last: newest }),
            Some(fired) if *fired == first => None,
            Some(fired) => {
                let just_before = Timestamp::from_millis(fired.as_millis().saturating_sub(1));
                self.last_between(after, just_before).map(|last| PassedOver { first, last })
            }
        };
        CatchUp { fire, passed_over, decided: newest }
    }

    /// The newest occurrences after `after` and not after `to`, in order.
    fn newest(&self, after: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let mut found = self.occurrences(after, to, CAUGHT_UP_MAX);
        if found.last().is_some_and(|last| *last == to) {
            return found;
        }
        // There are more: from the newest backwards.
        found.clear();
        let mut end = to;
        while found.len() < CAUGHT_UP_MAX
            && let Some(at) = self.last_between(after, end)
        {
            found.push(at);
            end = Timestamp::from_millis(at.as_millis().saturating_sub(1));
        }
        found.reverse();
        found
    }
}
