//! A circuit breaker, one for each workspace and origin: a receiver that fails again and again is left alone for a while, asked by one attempt,
//! and then given more and more. Pure: it is told the time.
//!
//! Closed: everybody may. Open: nobody may before a time. Half-open: one attempt is under way as a probe. Recovering: a few at a time, and more
//! with each success, so that those that have waited do not knock the receiver over again.

use std::time::Duration;

use flowcell_core::destination::Verdict;
use flowcell_core::time::Timestamp;

/// When a receiver counts as failing, and for how long it is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// After so many failures in a row; 0: never.
    pub consecutive: u32,
    /// The first rest. It doubles each time the receiver fails again soon after.
    pub rest: Duration,
    pub rest_max: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            // More than one step's own quick retries (three), so that one bad delivery stops nobody; few enough that a thousand waiting ones
            // do not each spend an attempt.
            consecutive: 10,
            // About what a service takes to restart.
            rest: Duration::from_secs(15),
            // A receiver that is back is noticed within five minutes, and one that stays away costs twelve attempts an hour.
            rest_max: Duration::from_mins(5),
        }
    }
}

/// Of so many attempts the last ones are remembered, and if this many failed the breaker opens, whatever came between: a receiver that answers one
/// of four is not one to send everything to.
const REMEMBERED: u32 = 40;
const FAILED_OF_REMEMBERED: u32 = 30;

/// A receiver that has worked for so long starts anew: its next rest is a short one.
const CALM: Duration = Duration::from_mins(10);

/// How long the others wait for a probe, and for a place while the receiver recovers, at least: about what an attempt takes.
const PROBE_WAIT: Duration = Duration::from_secs(2);
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// With so many at a time the receiver counts as recovered.
const PLACES_MAX: u32 = 32;

/// By so much of itself a rest may be shorter.
const REST_JITTER: f64 = 0.4;

/// Those that wait come back spread over this much time each: at most twenty a second at a receiver that has just come back.
const SPREAD_EACH: Duration = Duration::from_millis(50);
const SPREAD_MIN: Duration = Duration::from_secs(1);
const SPREAD_MAX: Duration = Duration::from_mins(2);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breaker {
    state: State,
    /// Counts the times it opened: what was sent before says nothing about the time after.
    epoch: u64,
    consecutive: u32,
    /// The last attempts, the newest in the lowest bit; 1: failed.
    remembered: u64,
    count: u32,
    /// Times it opened without a calm between.
    trips: u32,
    failing_since: Option<Timestamp>,
    last_error: String,
    closed_at: Option<Timestamp>,
    /// Refusals since it opened.
    waiting: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Timestamp },
    HalfOpen,
    Recovering { places: u32, taken: u32 },
}

/// Leave for one attempt. It has to be settled or abandoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    epoch: u64,
}

/// When something is told, and what counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment<'m> {
    pub(crate) now: Timestamp,
    pub(crate) settings: &'m BreakerSettings,
    /// Drawn from 0 to 1.
    pub(crate) chance: f64,
}

/// Why an attempt is not made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Not before.
    pub(crate) base: Timestamp,
    /// To be added by chance, from nothing to this.
    pub(crate) spread: Duration,
    pub(crate) failing_since: Option<Timestamp>,
    pub(crate) last_error: String,
}

/// What others see of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    Open { until: Timestamp },
    HalfOpen,
    Recovering,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Closed,
            epoch: 0,
            consecutive: 0,
            remembered: 0,
            count: 0,
            trips: 0,
            failing_since: None,
            last_error: String::new(),
            closed_at: None,
            waiting: 0,
        }
    }

    /// As after a restart of a process that had seen the receiver fail: one probe decides.
    pub(crate) fn doubtful(now: Timestamp, failing_since: Option<Timestamp>, last_error: String) -> Self {
        Self { state: State::Open { until: now }, epoch: 1, trips: 1, failing_since, last_error, ..Self::new() }
    }

    /// Whether nothing would be lost with it.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        let is_calm = self.closed_at.is_none_or(|closed| closed + CALM <= now);
        self.state == State::Closed && self.consecutive == 0 && self.remembered == 0 && is_calm
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { until } => BreakerState::Open { until },
            State::HalfOpen => BreakerState::HalfOpen,
            State::Recovering { .. } => BreakerState::Recovering,
        }
    }

    /// Asks for leave to make one attempt.
    pub(crate) fn admit(&mut self, now: Timestamp) -> Result<Ticket, Refusal> {
        let ticket = Ticket { epoch: self.epoch };
        let base = match &mut self.state {
            State::Closed => return Ok(ticket),
            State::Open { until } if *until <= now => {
                self.state = State::HalfOpen;
                return Ok(ticket);
            }
            State::Open { until } => *until,
            State::HalfOpen => now + PROBE_WAIT,
            State::Recovering { places, taken } if *taken < *places => {
                *taken += 1;
                self.waiting = self.waiting.saturating_sub(1);
                return Ok(ticket);
            }
            State::Recovering { .. } => now + PLACE_WAIT,
        };
        if !matches!(self.state, State::Recovering { .. }) {
            self.waiting = self.waiting.saturating_add(1);
        }
        let spread = SPREAD_EACH.saturating_mul(self.waiting).clamp(SPREAD_MIN, SPREAD_MAX);
        Err(Refusal { base, spread, failing_since: self.failing_since, last_error: self.last_error.clone() })
    }

    /// Takes in what an attempt told.
    pub(crate) fn settle(&mut self, ticket: Ticket, verdict: &Verdict, at: Moment<'_>) {
        let Moment { now, settings, .. } = at;
        if ticket.epoch != self.epoch {
            return;
        }
        match (verdict, self.state) {
            (Verdict::Sick { error, .. }, state) => {
                self.failing_since.get_or_insert(now);
                self.last_error.clone_from(error);
                self.remember(true);
                self.consecutive = self.consecutive.saturating_add(1);
                let is_bad = self.consecutive >= settings.consecutive
                    || (self.count >= REMEMBERED && self.remembered.count_ones() >= FAILED_OF_REMEMBERED);
                if settings.consecutive > 0 && (state != State::Closed || is_bad) {
                    self.open(at);
                }
            }
            // It asks for less, and says in its answer when: a probe of it does not tell more.
            (Verdict::Busy, State::HalfOpen) => self.state = State::Open { until: now + settings.rest },
            (Verdict::Busy, _) => self.leave(),
            (Verdict::Well { .. } | Verdict::Gone, state) => {
                self.consecutive = 0;
                self.remember(false);
                match state {
                    State::Closed => self.failing_since = None,
                    State::HalfOpen => self.state = State::Recovering { places: 2, taken: 0 },
                    State::Recovering { places, .. } if places + 1 >= PLACES_MAX => self.close(now),
                    State::Recovering { places, taken } => {
                        self.state = State::Recovering { places: places + 1, taken: taken.saturating_sub(1) };
                    }
                    State::Open { .. } => {}
                }
            }
        }
    }

    /// The attempt was not made, or told nothing.
    pub(crate) fn abandon(&mut self, ticket: Ticket, now: Timestamp) {
        if ticket.epoch == self.epoch {
            if self.state == State::HalfOpen {
                self.state = State::Open { until: now };
            }
            self.leave();
        }
    }

    /// Somebody says that it works again: the next attempt finds out.
    pub(crate) fn doubt(&mut self, now: Timestamp) {
        if let State::Open { until } = &mut self.state {
            *until = (*until).min(now);
        }
    }

    fn leave(&mut self) {
        if let State::Recovering { taken, .. } = &mut self.state {
            *taken = taken.saturating_sub(1);
        }
    }

    fn open(&mut self, Moment { now, settings, chance }: Moment<'_>) {
        if self.closed_at.is_some_and(|closed| closed + CALM <= now) {
            self.trips = 0;
        }
        let rest = settings.rest.saturating_mul(1 << self.trips.min(16)).min(settings.rest_max);
        self.trips = self.trips.saturating_add(1);
        self.epoch += 1;
        self.waiting = 0;
        (self.remembered, self.count, self.closed_at) = (0, 0, None);
        // By chance, lest a receiver that fails at regular times is always asked at the wrong one.
        self.state = State::Open { until: now + rest.mul_f64(1.0 - REST_JITTER * chance.clamp(0.0, 1.0)) };
    }

    fn close(&mut self, now: Timestamp) {
        self.state = State::Closed;
        self.closed_at = Some(now);
        self.failing_since = None;
        self.waiting = 0;
    }

    fn remember(&mut self, failed: bool) {
        self.remembered = ((self.remembered << 1) | u64::from(failed)) & ((1 << REMEMBERED) - 1);
        self.count = (self.count + 1).min(REMEMBERED);
    }
}

#[cfg(test)]
mod tests;
