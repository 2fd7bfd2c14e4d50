use flowcell_sdk::Plugin as _;
use flowcell_sdk::test::{Harness, schemas};
use flowcell_sdk::trigger::{Outcome, Reply, WebhookRequest};
use serde_json::{Value, json};

use super::inbound;

fn post(content_type: Option<&str>, body: impl Into<Vec<u8>>) -> WebhookRequest {
    let headers = content_type.map(|value| ("content-type".to_owned(), value.to_owned()));
    WebhookRequest {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query: String::new(),
        headers: headers.into_iter().collect(),
        body: body.into(),
    }
}

fn ask(config: Value, request: WebhookRequest) -> Outcome<Value> {
    Harness::new().request(inbound, config, request).expect("this trigger answers; it does not fail")
}

fn payload(config: Value, request: WebhookRequest) -> Value {
    match ask(config, request) {
        Outcome::Events(events) => events.into_iter().next().expect("one event").payload,
        other => panic!("no event: {other:?}"),
    }
}

fn reply(config: Value, request: WebhookRequest) -> (Reply, Value) {
    match ask(config, request) {
        Outcome::Reply(reply) => {
            let problem = serde_json::from_slice(&reply.body).expect("a problem is JSON");
            assert_eq!(reply.headers[0], ("content-type".to_owned(), "application/problem+json".to_owned()));
            (reply, problem)
        }
        other => panic!("no reply: {other:?}"),
    }
}

#[test]
fn each_kind_of_body_becomes_what_expressions_can_read() {
    for (content_type, body, expected, raw, encoding) in [
        (Some("application/json"), r#"{"größe": 1}"#.as_bytes(), json!({"größe": 1}), r#"{"größe": 1}"#, "utf-8"),
        (Some("application/json"), b"\xef\xbb\xbf[1]", json!([1]), "\u{feff}[1]", "utf-8"),
        (Some("application/json"), b"", Value::Null, "", "utf-8"),
        (
            Some("application/x-www-form-urlencoded"),
            b"a=1&b=%C3%BC+x&a=2",
            json!({"a": ["1", "2"], "b": "ü x"}),
            "a=1&b=%C3%BC+x&a=2",
            "utf-8",
        ),
        (Some("application/x-www-form-urlencoded"), b"", json!({}), "", "utf-8"),
        (Some("text/plain; charset=utf-8"), "grüße".as_bytes(), json!("grüße"), "grüße", "utf-8"),
        (Some("application/xml"), b"<a/>", json!("<a/>"), "<a/>", "utf-8"),
        (Some("text/plain"), b"\xff", Value::Null, "/w==", "base64"),
        (Some("application/octet-stream"), b"\x00\x01", Value::Null, "AAE=", "base64"),
        (Some("image/png"), b"", Value::Null, "", "base64"),
        (None, b"{\"a\":1}", json!({"a": 1}), "{\"a\":1}", "utf-8"),
        (None, b"just text", json!("just text"), "just text", "utf-8"),
        (None, b"", Value::Null, "", "utf-8"),
        (None, b"\xfe", Value::Null, "/g==", "base64"),
    ] {
        let payload = payload(json!({}), post(content_type, body));
        assert_eq!(payload["body"], expected, "{content_type:?} {body:?}");
        assert_eq!(
            (&payload["raw"], &payload["raw_encoding"]),
            (&json!(raw), &json!(encoding)),
            "{content_type:?} {body:?}"
        );
    }
}

#[test]
fn a_form_with_files_becomes_an_object() {
    let body = concat!(
        "--b\r\ncontent-disposition: form-data; name=\"tag\"\r\n\r\nä\r\n",
        "--b\r\ncontent-disposition: form-data; name=\"tag\"\r\n\r\nb\r\n",
        "--b\r\ncontent-disposition: form-data; name=\"cv\"; filename=\"cv.txt\"\r\ncontent-type: text/plain\r\n\r\nHi\r\n--b--\r\n",
    );
    let file = json!({ "filename": "cv.txt", "content_type": "text/plain", "bytes": 2, "base64": "SGk=" });
    for kind in ["auto", "form"] {
        let form = post(Some("multipart/form-data; boundary=b"), body);
        let payload = payload(json!({ "body": kind, "raw": false }), form);
        assert_eq!(payload["body"], json!({ "tag": ["ä", "b"], "cv": file }), "{kind}");
    }
    let (reply, problem) = reply(json!({}), post(Some("multipart/form-data; boundary=b"), "--b"));
    assert_eq!(reply.status, 400);
    assert!(problem["detail"].as_str().unwrap().contains("neither a line break"), "{problem}");
}

#[test]
fn the_author_can_say_how_to_read_a_body_whatever_the_sender_calls_it() {
    let body = r#"{"a":1}"#;
    for (kind, expected) in [
        ("json", json!({"a": 1})),
        ("form", json!({"{\"a\":1}": ""})),
        ("text", json!(body)),
        ("binary", Value::Null),
        ("auto", json!(body)),
    ] {
        assert_eq!(payload(json!({"body": kind}), post(Some("text/plain"), body))["body"], expected, "{kind}");
    }
}

#[test]
fn numbers_keep_their_digits() {
    let request = post(Some("application/json"), "[12345678901234567890.10]");
    let outcome = crate::ThisPlugin::on_webhook("inbound", &flowcell_sdk::test::context(), "{\"raw\":false}", request);
    let Ok(Outcome::Events(events)) = outcome else { panic!("an event") };
    assert!(events[0].payload.contains("\"body\":[12345678901234567890.10]"), "{}", events[0].payload);
}

#[test]
fn headers_and_query_become_objects() {
    let mut request = post(None, "");
    request.query = "a=1&b=2&a=3&a=&%C3%A4=%F0%9F%8C%8D&flag".to_owned();
    request.headers = [("accept", "a"), ("x-one", "1"), ("accept", "b"), ("cookie", "s=1"), ("cookie", "t=2")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let payload = payload(json!({}), request);
    assert_eq!(payload["method"], "POST");
    assert_eq!(payload["query"], json!({"a": ["1", "3", ""], "b": "2", "ä": "🌍", "flag": ""}));
    assert_eq!(payload["headers"], json!({"accept": "a, b", "x-one": "1", "cookie": "s=1; t=2"}));
}

#[test]
fn malformed_json_is_answered_with_its_place() {
    for (body, place) in [
        ("{\"a\":\n 1,}", "line 2 column 4"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("nope", "line 1 column 2"),
        (r#"["\ud800"]"#, "line 1 column"),
        ("[1e999]", "number out of range at line 1"),
    ] {
        let (reply, problem) = reply(json!({}), post(Some("application/json"), body));
        assert_eq!((reply.status, &problem["status"]), (400, &json!(400)));
        assert_eq!(problem["title"], "Malformed JSON");
        assert!(problem["detail"].as_str().unwrap().contains(place), "{problem}");
    }
    let (_, problem) = reply(json!({}), post(Some("application/json"), b"[\"\xff\"]"));
    assert_eq!(problem["detail"], "The body is not JSON: byte 2 is not UTF-8.");
    let (_, problem) =
        reply(json!({}), post(Some("application/json"), format!("{}{}", "[".repeat(64), "]".repeat(64))));
    assert!(problem["detail"].as_str().unwrap().contains("nested too deeply"), "{problem}");
    assert_eq!(
        payload(json!({"raw": false}), post(Some("application/json"), format!("{}{}", "[".repeat(63), "]".repeat(63))))
            ["raw"],
        Value::Null
    );
}

#[test]
fn a_wrong_method_is_answered_with_those_that_are_allowed() {
    let mut request = post(None, "");
    request.method = "PUT".to_owned();
    let (answer, problem) = reply(json!({"methods": ["POST", "PATCH"]}), request.clone());
    assert_eq!(answer.status, 405);
    assert!(answer.headers.contains(&("allow".to_owned(), "POST, PATCH".to_owned())));
    assert_eq!(problem["detail"], "This URL does not take PUT. It takes: POST, PATCH.");
    assert_eq!(reply(json!({}), request.clone()).0.status, 405);
    assert_eq!(payload(json!({"methods": ["PUT"]}), request)["method"], "PUT");
}

#[test]
fn a_delivery_id_makes_a_repetition_known() {
    for (header, key) in [
        ("webhook-id", Some("webhook-id:msg_1")),
        ("idempotency-key", Some("idempotency-key:msg_1")),
        ("x-github-delivery", Some("x-github-delivery:msg_1")),
        ("x-request-id", None),
    ] {
        let mut request = post(None, "");
        request.headers.push((header.to_owned(), "msg_1".to_owned()));
        let Outcome::Events(events) = ask(json!({}), request) else { panic!("an event") };
        assert_eq!(events[0].dedupe_key.as_deref(), key, "{header}");
    }
    let mut request = post(None, "");
    request.headers.push(("webhook-id".to_owned(), "x".repeat(257)));
    assert_eq!(reply(json!({}), request).0.status, 400);
}

#[test]
fn a_body_that_no_event_can_hold_is_refused_while_the_sender_listens() {
    let half = format!("\"{}\"", "x".repeat(600 * 1024));
    let (answer, problem) = reply(json!({}), post(Some("application/json"), half.clone()));
    assert_eq!(answer.status, 413);
    assert!(problem["detail"].as_str().unwrap().contains("`raw: false`"), "{problem}");
    assert_eq!(payload(json!({"raw": false}), post(Some("application/json"), half))["raw"], Value::Null);
    let (_, problem) = reply(json!({"raw": false}), post(Some("text/plain"), "\n".repeat(600 * 1024)));
    assert!(!problem["detail"].as_str().unwrap().contains("raw"), "it would not help: {problem}");
}

#[test]
fn a_bad_config_is_named() {
    let host = Harness::new();
    for (config, words) in [
        (json!({"methods": ["FETCH"]}), "unknown variant `FETCH`"),
        (json!({"methods": []}), "name at least one"),
        (json!({"method": "POST"}), "unknown field `method`"),
    ] {
        let error = host.request(inbound, config, post(None, "")).expect_err("refused");
        assert!(error.message.contains(words), "{}", error.message);
    }
}

#[test]
fn a_push_with_names_from_everywhere_passes() {
    let push = json!({
        "ref": "refs/heads/hauptzweig",
        "after": "f95f852bd8fca8fcc58a9a2d6c842781e32a215e",
        "repository": {"name": "zellenfluß", "owner": {"login": "østergård", "name": null}},
        "commits": (0..40).map(|number| json!({
            "id": format!("{number:040x}"),
            "message": format!("Größe №{number}: 修正 🚀\n\nÅse’s “fix” \\ \u{7}"),
            "author": {"name": "Zoë Łukasiewicz", "email": "zoë@例え.jp"},
            "added": ["ünï/cödé.rs"], "removed": [], "modified": ["src/\u{1f9ea}.rs"],
        })).collect::<Vec<_>>(),
    });
    let body = serde_json::to_string_pretty(&push).unwrap();
    assert!(body.len() > 8192);
    let mut request = post(Some("application/json"), body.clone());
    request.headers.push(("x-github-event".to_owned(), "push".to_owned()));
    let payload = payload(json!({"methods": ["POST"]}), request);
    assert_eq!(payload["body"], push);
    assert_eq!(payload["raw"], json!(body));
    assert_eq!(payload["headers"]["x-github-event"], "push");
}

#[test]
fn the_schemas_say_what_the_types_do() {
    let schemas = schemas::<crate::ThisPlugin>();
    let trigger = schemas.iter().find(|line| line["id"] == "inbound").expect("registered");
    let config = &trigger["config"];
    assert_eq!(config["properties"]["methods"]["default"], json!(["POST"]));
    assert_eq!(config["properties"]["body"]["default"], "auto");
    assert_eq!(config["properties"]["raw"]["default"], true);
    assert_eq!((&config["required"], &config["additionalProperties"]), (&Value::Null, &json!(false)));
    assert_eq!(trigger["output"]["x-order"], json!(["method", "headers", "query", "body", "raw", "raw_encoding"]));
    let send = schemas.iter().find(|line| line["id"] == "send").expect("registered");
    assert_eq!(send["input"]["required"], json!(["url"]));
}
