use flowcell_sdk::ActionError;
use flowcell_sdk::http::{ErrorCode, Request};
use flowcell_sdk::test::{Answer, Harness, schemas};
use serde_json::{Value, json};

use super::request;

const URL: &str = "https://api.example.com/contacts";

/// What one call sent, when all went well.
fn sent(input: Value, method: &str, url: &str) -> Request {
    let host = Harness::new();
    host.expect(method, url, Answer::status(200));
    host.call(request, input).expect("it is sent");
    let sent = host.requests().remove(0);
    assert_eq!(sent.header_value("idempotency-key"), Some(host.context.idempotency_key.as_str()), "always");
    assert_eq!(
        sent.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-type")).count(),
        usize::from(!sent.body.is_empty())
    );
    sent
}

fn answered(input: Value, method: &str, answer: Answer) -> Result<Value, ActionError> {
    let host = Harness::new();
    host.expect(method, URL, answer);
    host.call(request, input)
}

/// Why nothing is sent, and the field at fault.
fn refused(input: Value) -> (String, String) {
    let host = Harness::new();
    let error = host.call(request, input).expect_err("it is refused");
    assert_eq!((error.code.as_ref(), error.retryable, host.requests().len()), ("invalid-input", false, 0));
    (error.details.get("field").and_then(Value::as_str).expect("a field").to_owned(), error.message)
}

#[test]
fn every_method_is_sent_with_the_steps_key() {
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] {
        sent(json!({"url": URL, "method": method}), method, URL);
    }
    sent(json!({"url": URL}), "POST", URL);
}

#[test]
fn query_and_headers_take_text_numbers_truth_values_and_lists() {
    let request = sent(
        json!({
            "method": "GET",
            "url": format!("{URL}?page=1"),
            "query": {"q": "Ä & Ö", "limit": 10, "tag": ["a", "b"], "all": true, "none": null},
            "headers": {"Accept": "application/json", "X-Number": 7},
        }),
        "GET",
        &format!("{URL}?page=1&all=true&limit=10&q=%C3%84+%26+%C3%96&tag=a&tag=b"),
    );
    assert_eq!(request.header_value("accept"), Some("application/json"));
    assert_eq!(request.header_value("x-number"), Some("7"));
    assert!(request.body.is_empty());
}

#[test]
fn json_is_sent_as_it_is() {
    let body = json!({"name": "Zoë", "nested": [[{"ü": null}]], "n": 12_345_678_901_234_567_u64});
    let request = sent(json!({"url": URL, "json": body}), "POST", URL);
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), body);
    assert_eq!(request.header_value("content-type"), Some("application/json"));
    for value in [json!([]), json!("text"), json!(false), json!(0)] {
        assert_eq!(sent(json!({"url": URL, "json": value}), "POST", URL).body, value.to_string().into_bytes());
    }
}

#[test]
fn a_form_is_encoded() {
    let request = sent(json!({"url": URL, "form": {"name": "Zoë & Co", "tag": [1, 2], "no": null}}), "POST", URL);
    assert_eq!(request.body, b"name=Zo%C3%AB+%26+Co&tag=1&tag=2");
    assert_eq!(request.header_value("content-type"), Some("application/x-www-form-urlencoded"));
}

#[test]
fn a_raw_body_is_text_or_base64_with_any_content_type() {
    let text = sent(json!({"url": URL, "raw": "grüße"}), "POST", URL);
    assert_eq!(
        (text.body.as_slice(), text.header_value("content-type")),
        ("grüße".as_bytes(), Some("text/plain; charset=utf-8"))
    );
    let xml = sent(json!({"url": URL, "raw": "<a/>", "content_type": "application/xml"}), "POST", URL);
    assert_eq!(xml.header_value("content-type"), Some("application/xml"));
    let binary = sent(json!({"url": URL, "raw": "AP8=", "raw_encoding": "base64"}), "POST", URL);
    assert_eq!(
        (binary.body.as_slice(), binary.header_value("content-type")),
        ([0, 255].as_slice(), Some("application/octet-stream"))
    );
    let patch = sent(json!({"url": URL, "json": [], "content_type": "application/json-patch+json"}), "POST", URL);
    assert_eq!(patch.header_value("content-type"), Some("application/json-patch+json"));
}

#[test]
fn what_the_host_kept_is_named_in_the_output() {
    let facts = r#"{"blob":"sha256:00","bytes":4,"content_type":"image/png"}"#;
    let answer = Answer::status(200).header("content-type", "image/png").header("flowcell-blob", facts);
    let output = answered(json!({"url": URL, "method": "GET"}), "GET", answer).unwrap();
    assert_eq!(
        (&output["body"], &output["body_encoding"]),
        (&json!({"blob": "sha256:00", "bytes": 4, "content_type": "image/png"}), &json!("blob"))
    );
    assert!(output["headers"].get("flowcell-blob").is_none());
}

#[test]
fn a_blob_is_left_for_the_host_to_insert_as_the_body_or_in_its_part() {
    let blob = json!({"blob": "sha256:00", "bytes": 4, "content_type": "image/png", "filename": "a.png"});
    let request = sent_with_blob(json!({"url": URL, "blob": blob}));
    assert_eq!(request.header_value("flowcell-insert-blobs"), Some("0=sha256:00"));
    assert_eq!((request.header_value("content-type"), request.body.len()), (Some("image/png"), 0));

    let parts =
        json!([{"name": "title", "value": "x"}, {"name": "photo", "blob": blob}, {"name": "last", "value": "y"}]);
    let request = sent_with_blob(json!({"url": URL, "multipart": parts}));
    let (at, digest) =
        request.header_value("flowcell-insert-blobs").and_then(|text| text.split_once('=')).expect("a place");
    assert_eq!(digest, "sha256:00");
    let mut whole = request.body.clone();
    let at: usize = at.parse().unwrap();
    whole.splice(at..at, *b"\x89PNG");
    let boundary = flowcell_sdk::multipart::boundary_of(request.header_value("content-type").unwrap()).unwrap();
    let read = flowcell_sdk::multipart::decode(&whole, &boundary).unwrap();
    assert_eq!(
        (read[1].name.as_str(), read[1].filename.as_deref(), read[1].body.as_slice()),
        ("photo", Some("a.png"), b"\x89PNG".as_slice())
    );
    assert_eq!((read[0].body.as_slice(), read[2].body.as_slice()), (b"x".as_slice(), b"y".as_slice()));

    let twice = json!([{"name": "photo", "blob": blob, "value": "x"}]);
    assert_eq!(refused(json!({"url": URL, "multipart": twice})).0, "/multipart/0/blob");
    assert_eq!(refused(json!({"url": URL, "blob": blob, "raw": ""})).0, "/blob");
    assert_eq!(
        refused(json!({"url": URL, "headers": {"Flowcell-Insert-Blobs": "0=sha256:00"}})).0,
        "/headers/Flowcell-Insert-Blobs"
    );
}

/// What one call sent whose body the host completes.
fn sent_with_blob(input: Value) -> Request {
    let host = Harness::new();
    host.expect("POST", URL, Answer::status(200));
    host.call(request, input).expect("it is sent");
    host.requests().remove(0)
}

#[test]
fn the_whole_response_is_kept() {
    for (content_type, body, expected, encoding) in [
        ("application/json", br#"{"id":7}"#.as_slice(), json!({"id": 7}), "json"),
        ("application/json", b"{oops", json!("{oops"), "text"),
        ("text/plain", "grüße".as_bytes(), json!("grüße"), "text"),
        ("image/png", b"\x89PNG", json!("iVBORw=="), "base64"),
        ("application/json", b"", Value::Null, "none"),
    ] {
        let output =
            answered(json!({"url": URL}), "POST", Answer::status(201).body(content_type, body).after_ms(42)).unwrap();
        assert_eq!((&output["status"], &output["duration_ms"]), (&json!(201), &json!(42)));
        assert_eq!(output["headers"]["content-type"], content_type);
        assert_eq!((&output["body"], &output["body_encoding"]), (&expected, &json!(encoding)));
    }
}

#[test]
fn statuses_fail_by_kind_unless_the_author_counts_them_as_success() {
    for (status, retryable) in
        [(301, false), (400, false), (404, false), (408, true), (425, true), (429, true), (500, true), (503, true)]
    {
        let error = answered(json!({"url": URL}), "POST", Answer::status(status).header("retry-after", "5"))
            .expect_err("it fails");
        assert_eq!((error.retryable, error.retry_after_ms), (retryable, retryable.then_some(5000)), "{status}");
    }
    let any = json!({"url": URL, "success_statuses": ["2xx", "404", "500-503"]});
    for status in [200, 404, 502] {
        assert_eq!(answered(any.clone(), "POST", Answer::status(status)).unwrap()["status"], status);
    }
    assert!(answered(any, "POST", Answer::status(409)).is_err());
    let error = answered(json!({"url": URL, "success_statuses": ["201"]}), "POST", Answer::status(200))
        .expect_err("not wanted");
    assert_eq!(error.message, "the server answered 200, and only 201 counts as success here");
}

#[test]
fn the_host_has_the_last_word_on_failures() {
    for (code, retryable) in [
        (ErrorCode::Denied, false),
        (ErrorCode::AddressDenied, false),
        (ErrorCode::Timeout, true),
        (ErrorCode::Dns, true),
    ] {
        let error = answered(json!({"url": URL}), "POST", Answer::fails(code, "why")).expect_err("it fails");
        assert_eq!((error.code.as_ref(), error.retryable, error.message.as_str()), (code.as_str(), retryable, "why"));
    }
}

#[test]
fn a_timeout_is_handed_on() {
    assert_eq!(sent(json!({"url": URL, "timeout_ms": 1500}), "POST", URL).timeout_ms, Some(1500));
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_field() {
    for (input, field) in [
        (json!({"url": URL, "json": {}, "form": {}}), "/form"),
        (json!({"url": URL, "json": {}, "raw": ""}), "/raw"),
        (json!({"url": URL, "form": {}, "raw": ""}), "/raw"),
        (json!({"url": URL, "raw": "a", "raw_encoding": "base64"}), "/raw"),
        (json!({"url": URL, "query": {"a/b": {}}}), "/query/a~1b"),
        (json!({"url": URL, "form": {"a": [[1]]}}), "/form/a"),
        (json!({"url": URL, "headers": {"Idempotency-Key": "mine"}}), "/headers/Idempotency-Key"),
        (json!({"url": URL, "headers": {"content-type": "text/plain"}}), "/headers/content-type"),
        (json!({"url": URL, "success_statuses": ["2xx", "good"]}), "/success_statuses/1"),
        (json!({"url": URL, "method": "TRACE"}), ""),
        (json!({"url": URL, "body": {}}), ""),
        (json!({}), ""),
    ] {
        let (at, message) = refused(input.clone());
        assert_eq!(at, field, "{input}: {message}");
    }
}

#[test]
fn the_schema_says_what_the_types_do() {
    let [line] = <[Value; 1]>::try_from(schemas::<crate::ThisPlugin>()).expect("one action");
    assert_eq!((&line["kind"], &line["id"]), (&json!("action"), &json!("request")));
    let input = &line["input"];
    assert_eq!(input["required"], json!(["url"]));
    assert_eq!(input["properties"]["method"]["enum"], json!(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]));
    assert_eq!(input["properties"]["method"]["default"], "POST");
    assert_eq!(input["properties"]["success_statuses"]["default"], json!(super::only_2xx()));
    assert_eq!(input["properties"]["timeout_ms"]["maximum"], 600_000);
    assert_eq!(line["output"]["required"], json!(["status", "headers", "body", "body_encoding", "duration_ms"]));
}

#[test]
fn a_form_with_files_is_sent_the_same_on_each_attempt() {
    let parts = json!([
        { "name": "title", "value": "Zoë" },
        { "name": "pages", "value": 2 },
        { "name": "file", "filename": "a.bin", "content_type": "application/octet-stream", "base64": "AP8=" },
    ]);
    let sent: Vec<_> = (1..=2)
        .map(|attempt| {
            let mut host = Harness::new();
            host.context.attempt = attempt;
            host.expect("POST", URL, Answer::status(200));
            host.call(request, json!({ "url": URL, "multipart": parts })).unwrap();
            host.requests().remove(0)
        })
        .collect();
    assert_eq!(sent[0], sent[1]);
    let content_type = sent[0].header_value("content-type").unwrap();
    let boundary = flowcell_sdk::multipart::boundary_of(content_type).unwrap();
    let read = flowcell_sdk::multipart::decode(&sent[0].body, &boundary).unwrap();
    assert_eq!((read[0].body.as_slice(), read[1].body.as_slice()), ("Zoë".as_bytes(), &b"2"[..]));
    assert_eq!((read[2].filename.as_deref(), read[2].body.as_slice()), (Some("a.bin"), &b"\0\xff"[..]));
}

#[test]
fn what_cannot_be_a_part_is_named() {
    let host = Harness::new();
    for (part, field) in [
        (json!({ "name": "a", "value": {} }), "/multipart/0/value"),
        (json!({ "name": "a", "base64": "?" }), "/multipart/0/base64"),
        (json!({ "name": "a", "value": "x", "base64": "AA==" }), "/multipart/0/base64"),
    ] {
        let error = host.call(request, json!({ "url": URL, "multipart": [part] })).expect_err("refused");
        assert_eq!(error.details.get("field"), Some(&json!(field)));
    }
    let both = json!({ "url": URL, "multipart": [], "content_type": "multipart/form-data" });
    assert_eq!(host.call(request, both).expect_err("refused").details.get("field"), Some(&json!("/content_type")));
}
