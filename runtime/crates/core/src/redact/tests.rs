use serde_json::json;

use super::*;
use crate::condition::{Asked, Explanation, Shown};
use crate::exchange::{Exchange, LogLevel, LogLine, ReceivedResponse, RecordedBody, SentRequest};
use crate::id::{EventId, StepRef, WorkspaceId};
use crate::run::event::{Detail, Origin, Outcome, StepError};
use crate::time::Timestamp;

fn rules(names: &[&str], paths: &[&str]) -> Arc<RedactionRules> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Arc::new(RedactionRules::new(&names, paths.iter().map(|path| path.parse().unwrap())))
}

fn created(trigger: Value) -> RunEvent {
    RunEvent::Created {
        workspace: WorkspaceId::default_workspace(),
        workflow: "w".parse().unwrap(),
        version: 1,
        event: EventId::from_bytes([1; 16]),
        pins: std::collections::BTreeMap::new(),
        trigger: trigger.into(),
        origin: Origin::default(),
    }
}

fn step(id: &str) -> StepRef {
    id.parse().unwrap()
}

fn call(body: &str, answer: RecordedBody) -> CallRecord {
    let body = RecordedBody { bytes: body.len() as u64, text: Some(body.to_owned()), ..RecordedBody::default() };
    let request = SentRequest {
        method: "POST".to_owned(),
        url: "https://api.example.com/pay?pin=p%C3%B6st+1&a=b".to_owned(),
        headers: vec![("X-Pin".to_owned(), "none".to_owned()), ("x-card".to_owned(), "4111111111111111".to_owned())],
        body,
    };
    let response = Some(ReceivedResponse { status: 200, headers: Vec::new(), body: answer });
    let exchange = Exchange {
        number: 1,
        started_at: Timestamp::from_millis(1),
        duration_ms: 1,
        request,
        address: None,
        response,
        error: None,
        possibly_sent: false,
        answered_by: None,
        credentials: None,
    };
    let log = vec![LogLine { level: LogLevel::Info, message: "paid with 4111111111111111".to_owned() }];
    CallRecord { http: vec![exchange], log, ..CallRecord::default() }
}

/// Everything that the entries say, redacted, after all of them were seen.
fn shown(rules: &Arc<RedactionRules>, events: &[RunEvent]) -> String {
    let mut redactor = Redactor::new(Arc::clone(rules));
    for event in events {
        redactor.learn(event);
    }
    let mut events = events.to_vec();
    for event in &mut events {
        redactor.redact(event);
    }
    serde_json::to_string(&events).unwrap()
}

/// A run through which a card's number and a password go, in every kind of place.
fn paid() -> Vec<RunEvent> {
    let number = "4111111111111111";
    let answer = RecordedBody::within(
        br#"{"token": "tok_1", "echo": "p\u00f6st 1", "ok": true}"#,
        crate::exchange::BodyPolicy { whole_bytes_max: 1000, excerpt_bytes_max: 100 },
    );
    vec![
        created(json!({
            "body": { "cards": [{ "number": 4_111_111_111_111_111_u64, "cvc": "12" }], "Password": "pöst 1", "name": "Ada" },
            "raw": "{\"Password\":\"p\\u00f6st 1\",\"name\":\"Ada\"}",
        })),
        RunEvent::Entered {
            step: step("which"),
            detail: Detail::Decided {
                branch: Some(0),
                name: None,
                because: vec![Explanation {
                    holds: Some(true),
                    asked: Asked::Expression(Shown {
                        text: "trigger.body".to_owned(),
                        value: Some(format!("{{\"number\":{number}}}")),
                    }),
                }],
            },
        },
        RunEvent::StepSucceeded {
            step: step("pay"),
            attempt: 1,
            input: json!({ "json": { "n": number, "list": [4_111_111_111_111_111_u64] }, "secret_of": "pöst 1" })
                .into(),
            output: json!({ "token": "tok_1", "charge": { "id": "ch_7" } }).into(),
            call: call("a=b&password=p%C3%B6st%201&c=d", answer).into(),
        },
        RunEvent::StepFailed {
            step: step("tell"),
            attempt: 1,
            error: StepError {
                code: "http-status".to_owned(),
                message: format!("card {number} was refused for ch_7"),
                retryable: false,
                details: Some(json!({ "password": { "deep": ["a", 1] } })),
            },
            retry_at: None,
            input: None,
            origin: None,
            call: call("{\"password\": \"p\\u00f6st 1\", \"truncat", RecordedBody::default()).into(),
        },
        RunEvent::Resumed { step: step("ask"), payload: json!({ "code": "9876", "yes": true }) },
        RunEvent::Finished {
            outcome: Outcome::Cancelled { reason: "code 9876".to_owned() },
            output: json!({ "id": "ch_7" }),
        },
    ]
}

#[test]
fn what_a_rule_names_is_hidden_wherever_it_turns_up_and_nothing_else_is() {
    let rules = rules(
        &["PASSWORD", "x-pin"],
        &[
            "trigger.body.cards.number",
            "trigger.body.cards.*.cvc",
            "steps.pay.output.charge.id",
            "steps.ask.output.payload.code",
        ],
    );
    let text = shown(&rules, &paid());
    for secret in [
        "4111111111111111",
        "pöst",
        "p%C3%B6st",
        "p\\\\u00f6st",
        "p\\u00f6st",
        "ch_7",
        "9876",
        "\"12\"",
        "none",
        "deep",
    ] {
        assert!(!text.contains(secret), "{secret} is shown:\n{text}");
    }
    for open in ["Ada", "tok_1", "card [redacted] was refused", "a=b", "http-status", "api.example.com", "\"yes\":true"]
    {
        assert!(text.contains(open), "{open} is not shown:\n{text}");
    }
}

#[test]
fn without_rules_everything_is_shown_but_the_secrets_of_resume_links() {
    let plain = serde_json::to_string(&paid()).unwrap();
    assert_eq!(shown(&rules(&[], &[]), &paid()), plain);
    let secret = "ab12".repeat(16);
    let link = format!("https://f.example/resume/run_1.ask.rs_{secret}?decision=approve and rs_12");
    let text = shown(&rules(&[], &[]), &[created(json!({ "text": link }))]);
    assert!(!text.contains(&secret) && text.contains("rs_[redacted]?decision=approve and rs_12"), "{text}");
}

#[test]
fn short_values_are_hidden_in_their_place_only() {
    let rules = rules(&[], &["trigger.pin"]);
    let text = shown(&rules, &[created(json!({ "pin": "123", "other": "123 456" }))]);
    assert!(text.contains("\"pin\":\"[redacted]\"") && text.contains("123 456"), "{text}");
    for pin in [json!(true), json!([1, 2]), json!({ "a": "b" })] {
        assert!(shown(&rules, &[created(json!({ "pin": pin }))]).contains("\"pin\":\"[redacted]\""), "{pin}");
    }
    assert!(shown(&rules, &[created(json!({ "pin": null }))]).contains("\"pin\":null"), "there is nothing to hide");
}

#[test]
fn the_beginning_of_a_secret_at_the_end_of_a_cut_text_is_hidden_too() {
    let rules = rules(&["key"], &[]);
    let secret = "s3cret-".repeat(40);
    let mut redactor = Redactor::new(rules);
    redactor.learn(&created(json!({ "key": secret })));
    let mut body = RecordedBody {
        text: Some(format!("see {}", &secret[..50])),
        truncated: true,
        bytes: 900,
        ..RecordedBody::default()
    };
    body.digest = Some(crate::id::Digest::of(b"x"));
    redactor.redact_body(&mut body);
    assert_eq!((body.text.as_deref(), body.digest), (Some("see [redacted]"), None));
    let mut shown = format!("\"{}…", &secret[..198]);
    redactor.redact_text(&mut shown);
    assert_eq!(shown, "\"[redacted]");
    let mut bytes = RecordedBody::within(
        &[b"\xff".as_slice(), secret.as_bytes()].concat(),
        crate::exchange::BodyPolicy { whole_bytes_max: 1000, excerpt_bytes_max: 10 },
    );
    redactor.redact_body(&mut bytes);
    assert_eq!(bytes.base64, None);
}

#[test]
fn places_that_could_not_be_are_refused() {
    for wrong in [
        "",
        "trigger",
        "contact",
        "body.card",
        "steps.pay",
        "steps.pay.output",
        "steps.pay.error.code",
        "trigger..a",
        "steps.?.output.a",
    ] {
        assert!(wrong.parse::<RedactedField>().is_err(), "{wrong}");
    }
    let covers = |place: &str, field: &str| place.parse::<RedactedField>().unwrap().covers(&field.parse().unwrap());
    assert!(covers("trigger.body.card", "trigger.body.card.number") && covers("trigger.*.card", "trigger.body.card"));
    assert!(!covers("trigger.body.card.number", "trigger.body.card") && !covers("trigger.body", "steps.a.output.body"));
}

#[test]
fn what_a_contact_has_is_hidden_by_name_and_by_place_wherever_it_is_used() {
    let document =
        json!({ "id": "con_1", "email": "ana@example.com", "fields": { "ssn": "078-05-1120", "plan": "gold" } });
    let succeeded = RunEvent::StepSucceeded {
        step: step("send"),
        attempt: 1,
        output: json!({ "said": "filed under 078-05-1120" }).into(),
        input: json!({ "tax_id": "078-05-1120", "to": "ana@example.com", "plan": "gold" }).into(),
        call: CallRecord::default().into(),
    };
    for (rules, hidden, shown) in [
        (rules(&["ssn"], &[]), vec!["078-05-1120"], vec!["ana@example.com", "gold"]),
        (rules(&[], &["contact.fields.ssn", "contact.email"]), vec!["078-05-1120", "ana@example.com"], vec!["gold"]),
        (rules(&[], &["contact.fields.*"]), vec!["078-05-1120", "gold"], vec!["ana@example.com"]),
    ] {
        let mut redactor = Redactor::new(rules);
        redactor.learn_contact(&document);
        let mut event = succeeded.clone();
        redactor.redact(&mut event);
        let text = serde_json::to_string(&event).unwrap();
        assert!(hidden.iter().all(|hidden| !text.contains(hidden)), "{text}");
        assert!(shown.iter().all(|shown| text.contains(shown)), "{text}");
        // A contact trigger brings the contact in its data.
        let mut brought = created(json!({ "event": "created", "contact": document }));
        redactor.redact(&mut brought);
        let text = serde_json::to_string(&brought).unwrap();
        assert!(hidden.iter().all(|hidden| !text.contains(hidden)), "{text}");
    }
}
