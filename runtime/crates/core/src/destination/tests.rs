use super::*;
use crate::exchange::{Exchange, ExchangeError, ReceivedResponse, RecordedBody, SentRequest};

fn url(authored: &str) -> Option<(String, bool)> {
    Destination::from_authored(authored).map(|destination| (destination.url(), destination.is_literal))
}

#[test]
fn a_destination_is_the_authors_url_without_query_and_data() {
    for (authored, expected, is_literal) in [
        ("https://Hooks.Example.com/a/b", "https://hooks.example.com/a/b", true),
        ("https://hooks.example.com:443", "https://hooks.example.com/", true),
        ("http://h.example:8080/a?key=secret#x", "http://h.example:8080/a", true),
        ("https://h.example/a/../b", "https://h.example/b", true),
        ("https://h.example/users/{{ trigger.id }}/notes", "https://h.example/users/{…}/notes", false),
        ("https://h.example/{{ a ? '?' : b }}/x?y={{ c }}", "https://h.example/{…}/x", false),
        ("https://h.example/a?id={{ trigger.id }}", "https://h.example/a", false),
        (" https://h.example/a ", "https://h.example/a", true),
    ] {
        assert_eq!(url(authored), Some((expected.to_owned(), is_literal)), "{authored}");
    }
    for nowhere in ["{{ trigger.url }}", "https://{{ host }}/x", "https://h.example{{ x }}", "ftp://a.example/", "x"] {
        assert_eq!(url(nowhere), None, "{nowhere}");
    }
}

#[test]
fn a_destination_is_named_by_its_id_or_by_its_url_as_it_is_written_or_shown() {
    for authored in ["https://h.example/users/{{ trigger.id }}", "https://h.example/a?key=1"] {
        let destination = Destination::from_authored(authored).expect("fixed");
        let id = destination.id();
        for name in [id.to_string(), destination.url(), authored.to_owned()] {
            assert_eq!(DestinationId::named(&name), Some(id), "{name}");
        }
    }
    assert_eq!(DestinationId::named("somewhere"), None);
}

#[test]
fn long_urls_are_cut_and_stay_apart() {
    let long = |end: &str| Destination::from_authored(&format!("https://h.example/{}{end}", "a".repeat(3_000)));
    let (one, other) = (long("1").expect("fixed"), long("2").expect("fixed"));
    assert!(one.url().chars().count() <= URL_CHARS_MAX && one.id() != other.id());
    let id = one.id();
    assert_eq!(id.to_string().parse::<DestinationId>(), Ok(id));
    for bad in ["dst_", "dst_00", "run_00000000000000000000", "dst_0000000000000000000g", "dst_+0000000000000000000"] {
        assert!(bad.parse::<DestinationId>().is_err(), "{bad}");
    }
}

fn exchange(url: &str, outcome: Result<u16, &str>) -> Exchange {
    Exchange {
        number: 1,
        started_at: Timestamp::from_millis(0),
        duration_ms: 1,
        request: SentRequest {
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: RecordedBody::default(),
        },
        address: None,
        response: outcome.ok().map(|status| ReceivedResponse {
            status,
            headers: Vec::new(),
            body: RecordedBody::default(),
        }),
        error: outcome.err().map(|code| ExchangeError { code: code.to_owned(), message: format!("no {code}") }),
        possibly_sent: false,
        answered_by: None,
        credentials: None,
    }
}

#[test]
fn the_last_exchange_with_the_destination_tells() {
    let destination = Destination::from_authored("https://h.example/hook").expect("fixed");
    let of = |http: Vec<Exchange>| Verdict::of(&destination, &CallRecord { http, ..CallRecord::default() });
    let here = |outcome| exchange("https://h.example/hook?x=•••", outcome);
    assert_eq!(of(vec![]), None);
    assert_eq!(of(vec![exchange("https://other.example/", Ok(500))]), None);
    assert_eq!(of(vec![here(Err("denied"))]), None, "nothing was sent");
    for status in [200, 204, 302, 400, 401, 404] {
        assert_eq!(of(vec![here(Ok(status))]), Some(Verdict::Well { status }), "{status}");
    }
    for status in [408, 425, 500, 503, 599] {
        let sick = Verdict::Sick { status: Some(status), error: format!("it answered {status}") };
        assert_eq!(of(vec![here(Ok(200)), here(Ok(status))]), Some(sick), "{status}");
    }
    assert_eq!(of(vec![here(Ok(429))]), Some(Verdict::Busy));
    assert_eq!(of(vec![here(Ok(410))]), Some(Verdict::Gone));
    for code in ["dns", "connect", "tls", "protocol"] {
        let sick = Verdict::Sick { status: None, error: format!("no {code}") };
        assert_eq!(of(vec![here(Err(code)), exchange("https://other.example/", Ok(200))]), Some(sick), "{code}");
    }
}

#[test]
fn a_timeout_shorter_than_a_receiver_may_take_says_nothing_about_it() {
    let destination = Destination::from_authored("https://h.example/hook").expect("fixed");
    let after = |duration_ms| {
        let timeout = Exchange { duration_ms, ..exchange("https://h.example/hook", Err("timeout")) };
        Verdict::of(&destination, &CallRecord { http: vec![timeout], ..CallRecord::default() })
    };
    assert_eq!((after(1), after(PATIENCE_MS - 1)), (None, None));
    assert_eq!(after(PATIENCE_MS), Some(Verdict::Sick { status: None, error: "no timeout".to_owned() }));
}

#[test]
fn gone_is_said_by_the_authors_url_and_by_no_other_of_its_server() {
    let destination = Destination::from_authored("https://h.example/hook").expect("fixed");
    let of = |http: Vec<Exchange>| Verdict::of(&destination, &CallRecord { http, ..CallRecord::default() });
    let (here, beside) =
        (exchange("https://h.example/hook?a=1", Ok(410)), exchange("https://h.example/other", Ok(200)));
    assert_eq!(of(vec![here.clone(), beside.clone()]), Some(Verdict::Gone), "whatever came after it");
    let gone_beside = exchange("https://h.example/other", Ok(410));
    assert_eq!(
        of(vec![exchange("https://h.example/hook", Ok(200)), gone_beside.clone()]),
        Some(Verdict::Well { status: 200 })
    );
    assert_eq!(of(vec![gone_beside]), Some(Verdict::Well { status: 410 }), "of another resource");
}

#[test]
fn health_counts_by_the_hour_and_keeps_two_days() {
    let at = |hour: u64| Timestamp::from_millis(1_767_225_600_000 + hour * 3_600_000 + 59_000);
    let sick = Verdict::Sick { status: Some(503), error: "it answered 503".to_owned() };
    let mut health = Health::default();
    for hour in 0..60 {
        health.note(&Verdict::Well { status: 200 }, at(hour));
        health.note(&sick, at(hour));
    }
    assert_eq!(health.hours.len(), HOURS_MAX);
    assert!(health.hours.iter().all(|hour| (hour.succeeded, hour.failed) == (1, 1)));
    assert_eq!((health.consecutive_failures, health.failing_since), (1, Some(at(59))));
    health.note(&sick, at(60));
    health.note(&Verdict::Busy, at(61));
    assert_eq!((health.consecutive_failures, health.failing_since), (2, Some(at(59))));
    assert_eq!((health.last_status, health.last_at()), (Some(429), Some(at(61))));
    health.note(&Verdict::Well { status: 201 }, at(3)); // the clock was set back
    assert_eq!((health.consecutive_failures, health.failing_since, health.hours.len()), (0, None, HOURS_MAX));
    let text = serde_json::to_string(&health).expect("JSON");
    assert_eq!(serde_json::from_str::<Health>(&text).expect("reads"), health);
    let record = DestinationRecord {
        health,
        disabled: Some(Disabled { since: at(1), run: None, reason: "r".repeat(200) }),
        ..DestinationRecord::new(WorkspaceId::default_workspace(), "u".repeat(4 * URL_CHARS_MAX))
    };
    let bytes = serde_json::to_vec(&record).expect("JSON").len();
    assert!(bytes < 4_096, "the store keeps it within one record: {bytes} bytes");
}
