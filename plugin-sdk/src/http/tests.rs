use std::io;

use serde::ser::Error as _;

use super::*;
use crate::test::{Answer, Harness};

#[test]
fn a_query_joins_what_the_url_has_and_stays_before_the_fragment() {
    for (url, expected) in [
        ("https://a.example/x", "https://a.example/x?q=a%26b&n=%C3%BC+1"),
        ("https://a.example/x?", "https://a.example/x?q=a%26b&n=%C3%BC+1"),
        ("https://a.example/x?z=1", "https://a.example/x?z=1&q=a%26b&n=%C3%BC+1"),
        ("https://a.example/x#top", "https://a.example/x?q=a%26b&n=%C3%BC+1#top"),
    ] {
        assert_eq!(Request::get(url).query([("q", "a&b"), ("n", "ü 1")]).url, expected);
    }
    assert_eq!(Request::get("https://a.example").query([("", ""); 0]).url, "https://a.example");
}

#[test]
fn a_body_brings_its_content_type_unless_the_author_gave_one() {
    assert_eq!(Request::post("u").json(&1).header_value("Content-Type"), Some("application/json"));
    assert_eq!(Request::post("u").form([("a", "b")]).body, b"a=b");
    let own = Request::post("u").header("Content-Type", "application/vnd.api+json").json(&1);
    assert_eq!(own.headers.len(), 1);
}

#[test]
fn a_body_without_json_form_is_an_error_and_nothing_is_sent() {
    struct Unwritable;
    impl Serialize for Unwritable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom(io::Error::other("no")))
        }
    }
    let host = Harness::new();
    let error = Request::post("https://a.example").json(&Unwritable).send().expect_err("it cannot be written");
    assert_eq!((error.code, host.requests().len()), (ErrorCode::InvalidRequest, 0));
}

#[test]
fn the_network_passes_and_a_denial_stays() {
    for (code, retryable, text) in [
        (ErrorCode::Denied, false, "http-denied"),
        (ErrorCode::AddressDenied, false, "http-address-denied"),
        (ErrorCode::InvalidRequest, false, "http-invalid-request"),
        (ErrorCode::Dns, true, "http-dns"),
        (ErrorCode::Connect, true, "http-connect"),
        (ErrorCode::Tls, false, "http-tls"),
        (ErrorCode::Timeout, true, "http-timeout"),
        (ErrorCode::TooLarge, false, "http-too-large"),
        (ErrorCode::Budget, false, "http-budget"),
        (ErrorCode::Protocol, false, "http-protocol"),
    ] {
        let host = Harness::new();
        host.expect("GET", "https://a.example", Answer::fails(code, "what the host says"));
        let error = ActionError::from(Request::get("https://a.example").send().expect_err("it fails"));
        assert_eq!(
            (error.code.as_ref(), error.retryable, error.message.as_str()),
            (text, retryable, "what the host says")
        );
    }
    let insistent = SendError { code: ErrorCode::Denied, message: String::new(), retryable: true };
    assert!(!ActionError::from(insistent).retryable, "a denial is never worth a repetition");
}

fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Response { status, headers, body: body.as_bytes().to_vec(), duration_ms: 0 }
}

#[test]
fn a_status_says_whether_to_try_again() {
    for (status, retryable) in [
        (400, false),
        (401, false),
        (404, false),
        (408, true),
        (409, false),
        (425, true),
        (429, true),
        (500, true),
        (503, true),
    ] {
        let error =
            response(status, &[("retry-after", "2")], "so sorry").error_for_status().expect_err("not a success");
        assert_eq!((error.retryable, error.retry_after_ms), (retryable, retryable.then_some(2000)), "{status}");
        assert_eq!(error.details.get("status"), Some(&status.into()));
        assert_eq!(error.message, format!("the server answered {status}: so sorry"));
    }
    assert!(response(204, &[], "").error_for_status().is_ok());
    let moved = response(301, &[("location", "https://b.example")], "").status_error();
    assert!(!moved.retryable && moved.message.contains("https://b.example"), "{}", moved.message);
}

#[test]
fn retry_after_is_seconds_or_a_date_counted_from_the_answers_own() {
    let date = ("date", "Sun, 06 Nov 1994 08:49:30 GMT");
    for (headers, expected) in [
        (vec![("retry-after", " 120 ")], Some(120_000)),
        (vec![("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), date], Some(7000)),
        (vec![("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT"), date], Some(0)),
        (vec![("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], None),
        (vec![("retry-after", "soon")], None),
        (vec![("retry-after", "99999999999999999999")], None),
        (vec![("retry-after", "18446744073709551615")], None),
        (vec![], None),
    ] {
        assert_eq!(response(429, &headers, "").retry_after_ms(), expected, "{headers:?}");
    }
}

#[test]
fn an_excerpt_is_short_and_never_breaks_a_letter() {
    let error = response(500, &[], &"ü".repeat(1000)).status_error();
    assert_eq!(error.message.chars().count(), "the server answered 500: ".len() + 301);
    let binary = Response { body: vec![0xff, 0xfe], ..response(500, &[], "") };
    assert_eq!(binary.status_error().message, "the server answered 500");
}

#[test]
fn a_response_is_saved_as_what_it_is() {
    use serde_json::{Value, json};
    for (content_type, body, expected, encoding) in [
        (Some("application/json"), r#"{"größe":1.50}"#.as_bytes(), json!({"größe": 1.5}), "json"),
        (Some("application/problem+json"), b"[]", json!([]), "json"),
        (Some("application/json"), b"{oops", json!("{oops"), "text"),
        (Some("application/json"), b"\xff", json!("/w=="), "base64"),
        (Some("text/html; charset=utf-8"), b"<p>", json!("<p>"), "text"),
        (Some("image/png"), b"\x89PNG", json!("iVBORw=="), "base64"),
        (None, b"abc", json!("YWJj"), "base64"),
        (Some("application/json"), b"", Value::Null, "none"),
    ] {
        let headers = content_type.map(|value| ("content-type".to_owned(), value.to_owned()));
        let response =
            Response { status: 200, headers: headers.into_iter().collect(), body: body.to_vec(), duration_ms: 0 };
        let saved = serde_json::to_value(response.save()).expect("JSON");
        assert_eq!((&saved["body"], &saved["body_encoding"]), (&expected, &json!(encoding)), "{content_type:?}");
    }
    let twice = response(200, &[("set-cookie", "a"), ("x", "1"), ("set-cookie", "b")], "").save();
    assert_eq!(twice.headers.get("set-cookie").map(String::as_str), Some("a, b"));
}
