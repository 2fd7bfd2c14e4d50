use serde_json::json;

use super::*;

const BACKOFF: Backoff = Backoff { attempts: 5, initial_ms: 1_000, max_ms: 10_000 };
const POLICY: RetryPolicy = RetryPolicy::Backoff(BACKOFF);
const TRANSIENT: Disposition = Disposition::Transient { after_ms: None };

fn asked(ms: u64) -> Disposition {
    Disposition::Transient { after_ms: Some(ms) }
}

/// The whole seconds of all waits, with the least or the greatest jitter.
fn waits(policy: &RetryPolicy, jitter: f64) -> Vec<u64> {
    (1..).map_while(|failures| policy.next_delay(TRANSIENT, failures, jitter)).map(|wait| wait.as_secs()).collect()
}

#[test]
fn waits_double_up_to_the_cap_and_end_with_the_budget() {
    let waits: Vec<_> =
        (1..=5).map(|failures| POLICY.next_delay(TRANSIENT, failures, 1.0).map(|d| d.as_millis())).collect();
    assert_eq!(waits, [Some(1_000), Some(2_000), Some(4_000), Some(8_000), None]);
    let long = RetryPolicy::Backoff(Backoff { attempts: 100, ..BACKOFF });
    assert_eq!(long.next_delay(TRANSIENT, 99, 1.0), Some(Duration::from_secs(10)));
}

#[test]
fn jitter_spreads_from_zero_and_the_server_may_ask_for_more() {
    assert_eq!(POLICY.next_delay(TRANSIENT, 1, 0.0), Some(Duration::ZERO));
    assert_eq!(POLICY.next_delay(asked(30_000), 1, 1.0), Some(Duration::from_secs(30)));
    assert_eq!(POLICY.next_delay(asked(25 * 3_600_000), 1, 1.0), None);
}

#[test]
fn permanent_failures_are_not_retried() {
    assert_eq!(POLICY.next_delay(Disposition::Permanent, 1, 0.5), None);
    assert_eq!(RetryPolicy::from(ScheduleName::Webhook).next_delay(Disposition::Permanent, 1, 0.5), None);
}

#[test]
fn the_webhook_schedule_is_that_of_the_promise_and_its_jitter_only_adds() {
    let webhook = RetryPolicy::from(ScheduleName::Webhook);
    let exact = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];
    assert_eq!(waits(&webhook, 0.0), exact);
    assert_eq!(waits(&webhook, 1.0), exact.map(|wait| wait + wait / 5));
    assert_eq!(webhook.attempts(), 8);
    assert_eq!(webhook.next_delay(asked(60_000), 1, 0.0), Some(Duration::from_mins(1)), "Retry-After may lengthen");
    assert_eq!(webhook.next_delay(asked(1_000), 1, 0.0), Some(Duration::from_secs(5)), "and not shorten");
    for name in ScheduleName::ALL {
        assert_eq!(serde_json::to_value(name).expect("JSON"), name.as_str());
    }
}

#[test]
fn a_list_of_ones_own_gives_one_more_attempt_than_it_has_waits() {
    let policy: RetryPolicy = serde_json::from_value(json!({ "schedule": ["1s", "2m", "3h"] })).expect("reads");
    assert_eq!((waits(&policy, 0.0), policy.attempts()), (vec![1, 120, 10_800], 4));
    assert_eq!(serde_json::to_value(&policy).expect("JSON"), json!({ "schedule": ["1s", "2m", "3h"] }));
}

#[test]
fn what_is_written_is_read_again_and_mixtures_are_refused() {
    for text in [
        json!({ "attempts": 5, "initial": "2s", "max": "5m" }),
        json!({ "schedule": "webhook" }),
        json!({ "schedule": "days" }),
    ] {
        let policy: RetryPolicy = serde_json::from_value(text.clone()).expect("reads");
        assert_eq!(serde_json::to_value(policy).expect("JSON"), text);
    }
    assert_eq!(serde_json::from_value::<RetryPolicy>(json!({})).expect("reads"), RetryPolicy::default());
    for (text, says) in [
        (json!({ "schedule": "webhook", "attempts": 2 }), "leave `attempts`"),
        (json!({ "schedule": [] }), "has 0 waits"),
        (json!({ "schedule": vec!["1s"; 21] }), "has 21 waits"),
        (json!({ "schedule": "hourly" }), "did not match"),
        (json!({ "tries": 1 }), "unknown field `tries`"),
    ] {
        let error = serde_json::from_value::<RetryPolicy>(text).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// Every policy, jitter and wish: no wait is below what the server asks for or above the cap, they end, and they are as long as promised.
#[test]
fn every_wait_keeps_its_bounds() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: u64| {
        // xorshift64 (Marsaglia 2003): the same numbers in every run.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..20_000 {
        let policy = match draw(4) {
            0 => RetryPolicy::from(ScheduleName::Webhook),
            1 => RetryPolicy::from(ScheduleName::Days),
            2 => RetryPolicy::Schedule(Schedule::Own((0..=draw(20)).map(|_| Wait(draw(D))).collect())),
            _ => RetryPolicy::Backoff(Backoff {
                attempts: 1 + u32::try_from(draw(100)).expect("small"),
                initial_ms: draw(H),
                max_ms: draw(D),
            }),
        };
        let failures = u32::try_from(draw(110)).expect("small") + 1;
        let jitter = f64::from(u32::try_from(draw(1_001)).expect("small")) / 1_000.0;
        let wish = (draw(2) == 0).then(|| draw(2 * D));
        let delay = policy.next_delay(Disposition::Transient { after_ms: wish }, failures, jitter);
        let wish = Duration::from_millis(wish.unwrap_or(0));
        assert_eq!(delay.is_some(), failures < policy.attempts() && wish <= RETRY_AFTER_MAX, "{policy:?} {failures}");
        let Some(delay) = delay else { continue };
        let longest = match &policy {
            RetryPolicy::Backoff(backoff) => Duration::from_millis(backoff.max_ms),
            RetryPolicy::Schedule(schedule) => {
                let wait = Duration::from_millis(schedule.wait(failures).expect("there is one"));
                assert!(delay >= wait);
                wait.mul_f64(1.0 + SCHEDULE_JITTER)
            }
        };
        assert!(delay >= wish && delay <= longest.max(wish), "{policy:?} {failures} {wish:?}: {delay:?}");
    }
}
