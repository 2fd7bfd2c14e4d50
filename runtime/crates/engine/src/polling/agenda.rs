//! Whose turn it is: triggers by when they are due, and those that are being asked. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use flowcell_core::id::ConnectionName;
use flowcell_core::ports::{Hold, PollState};
use flowcell_core::time::Timestamp;
use tokio::sync::oneshot;

use super::{Place, PollOutcome, PolledTrigger};

/// A trigger and how far it has come.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) trigger: PolledTrigger,
    pub(super) state: PollState,
}

#[derive(Debug, Default)]
pub(super) struct Agenda {
    waiting: HashMap<Place, (Turn, Entry)>,
    /// By the time, then in the order they came in: who has more to tell comes behind everybody who is due.
    turns: BTreeMap<Turn, Place>,
    flying: HashSet<Place>,
    /// Who waits for the outcome of the next poll.
    asking: HashMap<Place, Vec<oneshot::Sender<PollOutcome>>>,
    arrivals: u64,
}

type Turn = (Timestamp, u64);

impl Agenda {
    pub(super) fn has(&self, place: &Place) -> bool {
        self.waiting.contains_key(place) || self.is_flying(place)
    }

    pub(super) fn is_flying(&self, place: &Place) -> bool {
        self.flying.contains(place)
    }

    /// Whether an entry is there that asks for the same; it goes on as `trigger` is now.
    pub(super) fn goes_on(&mut self, place: &Place, trigger: &PolledTrigger, now: Timestamp) -> bool {
        let Some((_, entry)) = self.waiting.get_mut(place) else { return false };
        if entry.state.source != trigger.source {
            return false;
        }
        let is_shorter = trigger.every < entry.trigger.every && entry.state.failures == 0;
        entry.trigger = trigger.clone();
        if is_shorter {
            self.make_due(place, now + trigger.every);
        }
        true
    }

    /// Over an earlier entry of the place.
    pub(super) fn put(&mut self, place: Place, entry: Entry) {
        self.remove(&place);
        self.arrivals += 1;
        let turn = (entry.state.next_at, self.arrivals);
        self.turns.insert(turn, place.clone());
        self.waiting.insert(place, (turn, entry));
    }

    fn remove(&mut self, place: &Place) -> Option<Entry> {
        let (turn, entry) = self.waiting.remove(place)?;
        self.turns.remove(&turn);
        Some(entry)
    }

    /// Leaves only those that are wanted; who asked for others is told that there is nobody to ask.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&Place) -> bool) {
        let gone: Vec<Place> = self.waiting.keys().filter(|place| !is_wanted(place)).cloned().collect();
        for place in gone {
            self.remove(&place);
            self.asking.remove(&place);
        }
    }

    /// One that is due, and whether somebody asked for it.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<(Entry, bool)> {
        let (turn, place) = self.turns.first_key_value()?;
        if turn.0 > now {
            return None;
        }
        let place = place.clone();
        let entry = self.remove(&place)?;
        let is_asked = self.asking.contains_key(&place);
        self.flying.insert(place);
        Some((entry, is_asked))
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.turns.keys().next().map(|(at, _)| *at)
    }

    /// It is being asked no more.
    pub(super) fn landed(&mut self, place: &Place, outcome: &PollOutcome) {
        self.flying.remove(place);
        for asking in self.asking.remove(place).into_iter().flatten() {
            drop(asking.send(outcome.clone())); // who has gone needs no answer
        }
    }

    /// Somebody wants it asked now. Dropping `reply` says that it is not polled.
    pub(super) fn ask(&mut self, place: &Place, now: Timestamp, reply: oneshot::Sender<PollOutcome>) {
        if !self.has(place) {
            return;
        }
        self.asking.entry(place.clone()).or_default().push(reply);
        self.make_due(place, now);
    }

    /// Those go on that were refused for a connection before `at`.
    pub(super) fn reconnected(&mut self, connection: &ConnectionName, at: Timestamp, now: Timestamp) {
        let waits = |entry: &Entry| matches!(&entry.state.hold, Some(Hold::Reconnecting { connection: named, since }) if named == connection && *since < at);
        let waiting = self.waiting.iter().filter(|(_, (_, entry))| waits(entry));
        let places: Vec<Place> = waiting.map(|(place, _)| place.clone()).collect();
        for place in places {
            self.make_due(&place, now);
        }
    }

    fn make_due(&mut self, place: &Place, now: Timestamp) {
        if let Some(mut entry) = self.remove(place) {
            entry.state.next_at = entry.state.next_at.min(now);
            self.put(place.clone(), entry);
        }
    }
}
