//! Byte for byte: receivers are written against these.

use flowcell_sdk::test::{Answer, Harness, context};
use serde_json::{Value, json};

use super::super::send;

const URL: &str = "https://hooks.example.com/contacts";

/// What a call with this input posts.
fn posted(mut input: Value) -> String {
    let host = Harness::new();
    host.expect("POST", URL, Answer::status(200));
    input["url"] = json!(URL);
    host.call(send, input).unwrap();
    let body = host.requests()[0].body.clone();
    String::from_utf8(body).unwrap().replace(&host.context.idempotency_key, "KEY")
}

fn zoe() -> Value {
    json!({
        "id": "con_1", "first_name": "Zoë", "last_name": "Ng", "email": "zoe@example.com", "phone": "+4930123456",
        "tags": ["vip", "berlin"], "country": "DE", "created_at": "2026-11-23T16:00:00Z", "type": "lead",
        "address": { "line1": "Allee 1", "city": "Berlin", "state": "BE", "postal_code": "10115" },
        "fields": { "Shoe size": 38, "email": "other@example.com", "Interests": ["a", "b"] },
    })
}

#[test]
fn highlevels_names_field_for_field() {
    let location = json!({ "id": "loc_7", "name": "Shop", "address": "Weg 2", "city": "Bonn", "state": "NW", "country": "DE", "postal_code": "53111" });
    let body = posted(json!({
        "preset": "highlevel", "contact": zoe(), "location": location, "workflow_name": "Welcome",
        "trigger": { "form": 3 }, "data": { "plan": "gold" },
    }));
    let expected = concat!(
        r#"{"contact_id":"con_1","first_name":"Zoë","last_name":"Ng","full_name":"Zoë Ng","email":"zoe@example.com","#,
        r#""phone":"+4930123456","tags":"vip,berlin","country":"DE","date_created":"2026-11-23T16:00:00Z","#,
        r#""full_address":"Allee 1, Berlin, BE 10115","contact_type":"lead","#,
        r#""location":{"name":"Shop","address":"Weg 2","city":"Bonn","state":"NW","country":"DE","postalCode":"53111","#,
        r#""fullAddress":"Weg 2, Bonn, NW 53111","id":"loc_7"},"workflow":{"id":"WORKFLOW","name":"Welcome"},"#,
        r#""triggerData":{"form":3},"customData":{"plan":"gold"},"Interests":["a","b"],"Shoe size":38}"#,
    );
    assert_eq!(body, expected.replace("WORKFLOW", &context().workflow));
}

#[test]
fn highlevels_names_are_there_when_nothing_is_known() {
    let body: Value = serde_json::from_str(&posted(json!({ "preset": "highlevel" }))).unwrap();
    for name in ["contact_id", "full_name", "email", "tags", "full_address", "date_created"] {
        assert_eq!(body[name], "", "{name}");
    }
    assert_eq!((&body["triggerData"], &body["customData"]), (&json!({}), &json!({})));
    assert_eq!(body["location"]["id"], context().workspace);
    assert_eq!(body["workflow"]["name"], body["workflow"]["id"]);
}

#[test]
fn the_clean_preset_puts_run_contact_and_trigger_around_the_data() {
    let body = posted(json!({
        "preset": "clean", "contact": { "id": "con_1" }, "trigger": { "n": 1.50 }, "data": { "plan": "gold" },
    }));
    let told = context();
    let expected = concat!(
        r#"{"id":"KEY","workspace":"WORKSPACE","workflow":{"id":"WORKFLOW","name":"WORKFLOW"},"run":{"id":"RUN"},"step":"STEP","#,
        r#""contact":{"id":"con_1"},"trigger":{"n":1.5},"data":{"plan":"gold"}}"#,
    );
    let expected = expected.replace("WORKSPACE", &told.workspace).replace("WORKFLOW", &told.workflow);
    assert_eq!(body, expected.replace("RUN", &told.run).replace("STEP", &told.step));
}

#[test]
fn what_the_preset_would_not_send_is_refused() {
    let host = Harness::new();
    for field in ["contact", "trigger", "location"] {
        let error = host.call(send, json!({ "url": URL, field: {} })).expect_err("not sent");
        assert_eq!(error.details.get("field"), Some(&json!(format!("/{field}"))));
    }
    assert!(host.requests().is_empty());
}

#[test]
fn a_field_cannot_take_a_standard_name_and_the_log_says_so() {
    let host = Harness::new();
    host.expect("POST", URL, Answer::status(200));
    host.call(send, json!({ "url": URL, "preset": "highlevel", "contact": zoe() })).unwrap();
    let body: Value = serde_json::from_slice(&host.requests()[0].body).unwrap();
    assert_eq!(body["email"], "zoe@example.com");
    assert!(host.lines().iter().any(|(_, line)| line.contains("`email`")), "{:?}", host.lines());
}
