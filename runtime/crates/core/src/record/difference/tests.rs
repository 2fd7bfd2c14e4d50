use serde_json::json;

use super::*;
use crate::exchange::{BodyPolicy, ReceivedResponse, SentRequest};
use crate::time::Timestamp;

const POLICY: BodyPolicy = BodyPolicy { whole_bytes_max: 16, excerpt_bytes_max: 4 };

fn exchange(number: u32, method: &str, url: &str, sent: &str) -> Exchange {
    Exchange {
        number,
        started_at: Timestamp::from_millis(0),
        duration_ms: 3,
        request: SentRequest {
            method: method.into(),
            url: url.into(),
            headers: vec![("accept".into(), "*/*".into())],
            body: RecordedBody::within(sent.as_bytes(), POLICY),
        },
        address: None,
        response: Some(ReceivedResponse {
            status: 200,
            headers: Vec::new(),
            body: RecordedBody::within(b"ok", POLICY),
        }),
        error: None,
        possibly_sent: false,
        answered_by: None,
        credentials: None,
    }
}

fn found(recorded: &[Exchange], now: &[Exchange]) -> String {
    requests(recorded, now).map_or_else(|| "same".to_owned(), |difference| difference.to_string())
}

#[test]
fn the_first_request_that_differs_is_named_with_its_part() {
    let one = || exchange(1, "POST", "https://a.example/x", "{\"n\":1}");
    let two = || exchange(2, "GET", "https://a.example/y", "");
    assert_eq!(found(&[one(), two()], &[one(), two()]), "same");
    assert_eq!(
        found(&[one()], &[exchange(1, "PUT", "https://a.example/x", "{\"n\":1}")]),
        "request 1 differs in its method: recorded POST, now PUT"
    );
    assert_eq!(
        found(&[one(), two()], &[one(), exchange(2, "GET", "https://a.example/z", "")]),
        "request 2 differs in its url: recorded https://a.example/y, now https://a.example/z"
    );
    assert_eq!(
        found(&[one()], &[exchange(1, "POST", "https://a.example/x", "{\"n\":2}")]),
        "request 1 differs in its body: recorded {\"n\":1} (7 bytes), now {\"n\":2} (7 bytes)"
    );
    let mut other = one();
    other.request.headers.push(("x-new".into(), "1".into()));
    assert_eq!(found(&[one()], &[other]), "request 1 differs in its headers: recorded no such header, now x-new: 1");
    assert_eq!(found(&[one(), two()], &[one()]), "request 2 is no longer made; recorded was GET https://a.example/y");
    assert_eq!(found(&[one()], &[one(), two()]), "request 2 is new: GET https://a.example/y");
}

#[test]
fn bodies_are_told_apart_by_their_digest_where_they_were_cut() {
    let long = "a body that is longer than what is kept";
    let cut = exchange(1, "POST", "https://a.example/", long);
    assert!(cut.request.body.truncated);
    assert_eq!(found(std::slice::from_ref(&cut), &[exchange(1, "POST", "https://a.example/", long)]), "same");
    let other = exchange(1, "POST", "https://a.example/", &long.replace("kept", "cut!"));
    assert!(found(&[cut], &[other]).starts_with("request 1 differs in its body"));
}

#[test]
fn an_answer_that_was_not_kept_ends_the_comparison() {
    let mut recorded = exchange(1, "GET", "https://a.example/", "");
    let now = recorded.clone();
    if let Some(response) = &mut recorded.response {
        response.body = RecordedBody::within(&[b'x'; 17], POLICY);
    }
    assert!(matches!(requests(&[recorded], &[now]), Some(Difference::NotKept { number: 1, .. })));
}

#[test]
fn outputs_and_errors_differ_at_a_place() {
    let failed = |code: &str| Err(RecordedFailure { code: code.into(), message: "no".into() });
    let trapped = || Err(InvokeError::Trapped { message: "it gave up".into() });
    let said = |recorded, now| outcomes(&recorded, &now).map_or_else(|| "same".to_owned(), |found| found.to_string());
    assert_eq!(said(Ok(json!({ "a": [1, 2] })), Ok(json!({ "a": [1, 2] }))), "same");
    assert_eq!(
        said(Ok(json!({ "a": [1, 2] })), Ok(json!({ "a": [1, 3] }))),
        "the output differs at /a/1: recorded 2, now 3"
    );
    assert_eq!(said(Ok(json!({ "a": 1 })), Ok(json!({}))), "the output differs at /a: recorded 1, now nothing");
    assert_eq!(said(Ok(json!("x")), Ok(json!("y"))), "the output differs: recorded \"x\", now \"y\"");
    assert_eq!(said(failed("plugin-crashed"), trapped()), "same");
    assert!(said(failed("http-timeout"), trapped()).starts_with("it ended otherwise: recorded was the error `http-"));
    assert!(said(Ok(json!(1)), trapped()).contains("recorded was the output 1, now the error `plugin-crashed`"));
    assert!(said(failed("http-timeout"), Ok(json!(1))).ends_with("now the output 1"));
}
