use super::*;

const SETTINGS: BreakerSettings =
    BreakerSettings { consecutive: 3, rest: Duration::from_secs(10), rest_max: Duration::from_mins(1) };

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + seconds * 1_000)
}

fn sick() -> Verdict {
    Verdict::Sick { status: Some(503), error: "it answered 503".to_owned() }
}

/// With the longest rests.
fn told(now: Timestamp) -> Moment<'static> {
    Moment { now, settings: &SETTINGS, chance: 0.0 }
}

const WELL: Verdict = Verdict::Well { status: 200 };

impl Breaker {
    /// Makes one attempt, if it may.
    fn attempt(&mut self, seconds: u64, verdict: &Verdict) -> bool {
        let Ok(ticket) = self.admit(at(seconds)) else { return false };
        self.settle(ticket, verdict, told(at(seconds)));
        true
    }
    fn opened(seconds: u64) -> Self {
        let mut breaker = Self::new();
        for _ in 0..SETTINGS.consecutive {
            assert!(breaker.attempt(seconds, &sick()));
        }
        assert_eq!(breaker.state(), BreakerState::Open { until: at(seconds + 10) });
        breaker
    }
}

#[test]
fn it_opens_after_failures_in_a_row_and_not_before() {
    let mut breaker = Breaker::new();
    for verdict in [sick(), sick(), WELL, sick(), sick(), Verdict::Busy, WELL, Verdict::Gone] {
        assert!(breaker.attempt(0, &verdict));
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    let refusal = Breaker::opened(7).admit(at(8)).expect_err("open");
    assert_eq!((refusal.base, refusal.failing_since), (at(17), Some(at(7))));
    assert_eq!(refusal.last_error, "it answered 503");
}

#[test]
fn it_opens_when_most_attempts_fail_though_never_many_in_a_row() {
    let mut breaker = Breaker::new();
    let settings = BreakerSettings { consecutive: 5, ..SETTINGS };
    let mut made = 0;
    while breaker.state() == BreakerState::Closed && made < 200 {
        let ticket = breaker.admit(at(0)).expect("closed");
        let verdict = if made % 5 == 0 { WELL } else { sick() };
        breaker.settle(ticket, &verdict, Moment { settings: &settings, ..told(at(0)) });
        made += 1;
    }
    assert_eq!(made, REMEMBERED);
}

#[test]
fn one_probe_decides_and_a_success_lets_more_in_bit_by_bit() {
    let mut breaker = Breaker::opened(0);
    assert!(breaker.admit(at(9)).is_err());
    let probe = breaker.admit(at(10)).expect("a probe");
    let others: Vec<_> = (0..100).map(|_| breaker.admit(at(10)).expect_err("one probe")).collect();
    assert!(others.windows(2).all(|pair| pair[0].spread <= pair[1].spread), "more that wait come back over more time");
    assert_eq!(others[99].spread, SPREAD_EACH * 101);
    breaker.settle(probe, &WELL, told(at(11)));
    let mut at_a_time = Vec::new();
    while breaker.state() == BreakerState::Recovering {
        let tickets: Vec<_> = std::iter::from_fn(|| breaker.admit(at(12)).ok()).take(100).collect();
        at_a_time.push(tickets.len());
        for ticket in tickets {
            breaker.settle(ticket, &WELL, told(at(12)));
        }
    }
    assert_eq!(at_a_time, [2, 4, 8, 16]);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_flapping_receiver_is_left_alone_for_longer_and_longer() {
    let mut breaker = Breaker::opened(0);
    let (mut now, mut rests) = (0, Vec::new());
    for _ in 0..5 {
        let BreakerState::Open { until } = breaker.state() else { panic!("{breaker:?}") };
        rests.push(until.since(at(now)).as_secs());
        now = until.since(at(0)).as_secs();
        assert!(breaker.attempt(now, &WELL) && breaker.attempt(now, &sick()));
    }
    assert_eq!(rests, [10, 20, 40, 60, 60]);
}

#[test]
fn a_rest_is_shorter_by_chance() {
    let mut breaker = Breaker::new();
    for _ in 0..SETTINGS.consecutive {
        let ticket = breaker.admit(at(0)).expect("closed");
        breaker.settle(ticket, &sick(), Moment { chance: 0.5, ..told(at(0)) });
    }
    assert_eq!(breaker.state(), BreakerState::Open { until: at(8) });
}

#[test]
fn after_a_calm_the_first_rest_is_a_short_one_again() {
    let mut breaker = Breaker::opened(0);
    assert!(breaker.attempt(10, &sick()) && breaker.attempt(30, &WELL));
    while breaker.state() != BreakerState::Closed {
        assert!(breaker.attempt(31, &WELL));
    }
    for _ in 0..3 {
        assert!(breaker.attempt(31 + CALM.as_secs(), &sick()));
    }
    assert_eq!(breaker.state(), BreakerState::Open { until: at(31 + CALM.as_secs() + 10) });
}

#[test]
fn what_was_sent_before_it_opened_says_nothing_about_the_time_after() {
    let mut breaker = Breaker::new();
    let late = breaker.admit(at(0)).expect("closed");
    for _ in 0..3 {
        breaker.attempt(0, &sick());
    }
    breaker.settle(late, &WELL, told(at(1)));
    assert_eq!(breaker.state(), BreakerState::Open { until: at(10) });
    breaker.abandon(late, at(1));
    assert_eq!(breaker.state(), BreakerState::Open { until: at(10) });
}

#[test]
fn an_abandoned_probe_lets_the_next_one_be_the_probe() {
    let mut breaker = Breaker::opened(0);
    let probe = breaker.admit(at(10)).expect("a probe");
    assert!(breaker.admit(at(11)).is_err());
    breaker.abandon(probe, at(11));
    assert!(breaker.attempt(11, &WELL));
    let place = breaker.admit(at(12)).expect("recovering");
    breaker.abandon(place, at(12));
    assert_eq!(breaker.state, State::Recovering { places: 2, taken: 0 });
}

#[test]
fn a_receiver_that_only_asks_for_less_is_not_failing() {
    let mut breaker = Breaker::new();
    for _ in 0..100 {
        assert!(breaker.attempt(0, &Verdict::Busy));
    }
    let mut breaker = Breaker::opened(0);
    assert!(breaker.attempt(10, &Verdict::Busy));
    assert_eq!(breaker.state(), BreakerState::Open { until: at(20) });
}

#[test]
fn a_breaker_that_is_switched_off_never_opens_and_doubt_shortens_a_rest() {
    let mut breaker = Breaker::new();
    for _ in 0..100 {
        let ticket = breaker.admit(at(0)).expect("never open");
        breaker.settle(
            ticket,
            &sick(),
            Moment { settings: &BreakerSettings { consecutive: 0, ..SETTINGS }, ..told(at(0)) },
        );
    }
    let mut breaker = Breaker::opened(0);
    breaker.doubt(at(1));
    assert!(breaker.attempt(1, &WELL));
    let mut stored = Breaker::doubtful(at(0), Some(at(0)), "it answered 503".to_owned());
    assert!(stored.admit(at(0)).is_ok() && stored.admit(at(0)).is_err());
}

#[test]
fn what_it_learned_is_kept_while_it_matters() {
    let mut breaker = Breaker::new();
    assert!(breaker.is_idle(at(0)));
    assert!(breaker.attempt(0, &WELL) && breaker.is_idle(at(0)));
    assert!(breaker.attempt(0, &sick()) && breaker.attempt(0, &WELL));
    assert!(!breaker.is_idle(at(0)), "one of the last attempts failed");
    for _ in 0..REMEMBERED {
        assert!(breaker.attempt(1, &WELL));
    }
    assert!(breaker.is_idle(at(1)));
    let mut breaker = Breaker::opened(0);
    let mut seconds = 10;
    while breaker.state() != BreakerState::Closed {
        breaker.attempt(seconds, &WELL);
        seconds += 1;
    }
    assert!(!breaker.is_idle(at(seconds)), "the next time it rests for longer");
    assert!(breaker.is_idle(at(seconds) + CALM));
}
