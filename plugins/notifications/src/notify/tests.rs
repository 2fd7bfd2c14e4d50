use flowcell_sdk::HostError;
use flowcell_sdk::connection::Facts;
use flowcell_sdk::test::{Answer, Harness};
use serde_json::{Value, json};

use super::*;

fn host(kind: &str) -> Harness {
    let host = Harness::new();
    if !kind.is_empty() {
        let account = Some("AC0".to_owned());
        host.set_connection(Facts {
            name: "conn".to_owned(),
            kind: Some(kind.to_owned()),
            account,
            ..Facts::default()
        });
    }
    host
}

fn people(host: &Harness) {
    host.add_person(json!({"id": "ana", "name": "Ana", "email": "ana@example.com", "roles": ["support"], "channels": ["email", "in-app"]}));
    host.add_person(json!({"id": "ben", "name": "Ben", "roles": ["support"]}));
    host.add_person(json!({"id": "cem", "name": "Cem", "email": "cem@example.com", "quiet_for_ms": 3_600_000, "channels": ["email"]}));
}

#[test]
fn each_is_told_by_the_first_channel_that_works_and_what_was_tried_is_said() {
    let host = host("smtp");
    people(&host);
    host.refuse_mail_to("zoe@example.com");
    let output = host
        .call(notify, json!({"roles": ["support"], "addresses": ["zoe@example.com", "+4930901820"], "title": "Paid", "text": "7 EUR", "link": "https://a.example/7", "channels": ["in-app", "email"]}))
        .unwrap();
    let told = |id: &str| output["told"].as_array().unwrap().iter().find(|report| report["id"] == id).unwrap().clone();
    assert_eq!(told("ana"), json!({"id": "ana", "channel": "email", "tried": []}), "her own order goes before");
    assert_eq!(told("ben")["channel"], "in-app");
    let unreached = output["unreached"].as_array().unwrap();
    assert_eq!(unreached[0]["tried"][1]["why"], "the mail server does not take zoe@example.com: 550 no such user");
    assert_eq!(unreached[1]["tried"][1]["why"], "there is no e-mail address");
    let mail = &host.mails()[0];
    assert_eq!((mail.subject.as_str(), mail.text.as_deref()), ("Paid", Some("7 EUR\n\nhttps://a.example/7")));
    assert_eq!(mail.key.as_deref(), Some("email/ana"));
    assert_eq!(host.notifications()[0]["key"], "in-app/ben");
}

#[test]
fn a_channel_that_fails_gives_way_to_the_next_and_who_was_told_is_not_told_again() {
    let host = host("smtp");
    people(&host);
    let call = json!({"users": ["ana", "ben"], "title": "T", "channels": ["in-app", "email"]});
    // The notes are read, and who there is; the mail server is down for Ana, and the inbox takes it.
    host.fail_after(2, HostError { retryable: true, ..HostError::new("unavailable", "down") });
    let output = host.call(notify, call.clone()).unwrap();
    assert_eq!(output["told"][0]["channel"], "in-app");
    assert_eq!(output["told"][0]["tried"][0], json!({"channel": "email", "why": "down"}));
    let sent = (host.mails().len(), host.notifications().len());
    let again = host.call(notify, call).unwrap();
    assert_eq!((again["told"].as_array().unwrap().len(), (host.mails().len(), host.notifications().len())), (2, sent));
}

#[test]
fn quiet_hours_are_waited_for_unless_it_is_urgent_or_silent() {
    let host = host("smtp");
    people(&host);
    let call = |priority: &str, channels: Value| json!({"users": ["cem"], "title": "T", "priority": priority, "channels": channels});
    let waits = host.call(notify, call("high", json!(["email", "in-app"]))).unwrap_err();
    assert_eq!((waits.code.as_ref(), waits.retryable, waits.retry_after_ms), ("deferred", true, Some(3_600_000)));
    assert!(host.mails().is_empty() && host.notifications().is_empty());
    assert_eq!(host.call(notify, call("urgent", json!(["email"]))).unwrap()["told"][0]["channel"], "email");
    let host = {
        drop(host);
        self::host("")
    };
    people(&host);
    assert_eq!(host.call(notify, call("low", json!(["in-app"]))).unwrap()["told"][0]["channel"], "in-app");
}

#[test]
fn who_cannot_be_told_now_does_not_keep_the_others_waiting() {
    let host = host("smtp");
    people(&host);
    let everyone = json!({"everyone": true, "title": "T", "channels": ["email", "in-app"]});
    let waits = host.call(notify, everyone.clone()).unwrap_err();
    assert_eq!((waits.code.as_ref(), &waits.details["told"]), ("deferred", &json!(2)));
    assert_eq!((host.mails().len(), host.notifications().len()), (1, 1));
    assert_eq!(host.call(notify, everyone).unwrap_err().details["told"], 2);
    assert_eq!((host.mails().len(), host.notifications().len()), (1, 1), "nobody twice");
}

#[test]
fn sms_and_slack_reach_people_too() {
    let host = host("basic");
    host.expect(
        "POST",
        "https://api.twilio.com/2010-04-01/Accounts/AC0/Messages.json",
        Answer::status(201).json(&json!({"sid": "SM1"})),
    );
    let output =
        host.call(notify, json!({"addresses": ["+4915112345678"], "title": "T", "from": "+4930901820"})).unwrap();
    assert_eq!(output["told"][0]["channel"], "sms");
    drop(host);
    let host = self::host("bearer");
    host.expect(
        "GET",
        "https://slack.com/api/users.lookupByEmail?email=ana%40example.com",
        Answer::status(200).json(&json!({"ok": true, "user": {"id": "U1"}})),
    );
    host.expect("POST", "https://slack.com/api/chat.postMessage", Answer::status(200).json(&json!({"ok": true})));
    let output = host.call(notify, json!({"addresses": ["ana@example.com"], "title": "T"})).unwrap();
    assert_eq!(output["told"][0]["channel"], "slack");
    let body: Value = serde_json::from_slice(&host.requests()[1].body).unwrap();
    assert_eq!(body["channel"], "U1");
}

#[test]
fn a_step_that_reaches_nobody_fails_and_says_why() {
    let host = host("");
    let error = host.call(notify, json!({"addresses": ["ana@example.com"], "title": "T"})).unwrap_err();
    assert_eq!((error.code.as_ref(), error.retryable), ("unreached", false));
    assert!(error.message.contains("email: the step has no connection for it"), "{error}");
    assert_eq!(host.call(notify, json!({"title": "T"})).unwrap_err().details["field"], "/users");
    let wrong = host.call(notify, json!({"addresses": ["ana"], "title": "T"})).unwrap_err();
    assert_eq!(wrong.details["field"], "/addresses/0");
}

fn collect(host: &mut Harness, step: &str) -> Result<Value, ActionError> {
    host.context.idempotency_key = step.to_owned();
    host.call(
        notify,
        json!({"users": ["ben"], "title": format!("News of {step}"), "text": "more", "channels": ["in-app"], "digest": {"key": "daily", "minutes": 60}}),
    )
}

#[test]
fn a_digest_waits_and_is_sent_once_with_everything_that_came() {
    let mut host = host("");
    people(&host);
    let opened = collect(&mut host, "a").unwrap_err();
    assert_eq!((opened.code.as_ref(), opened.retry_after_ms), ("deferred", Some(3_600_000)));
    assert_eq!(collect(&mut host, "b").unwrap()["digest"], "joined");
    assert_eq!(collect(&mut host, "b").unwrap()["digest"], "joined", "a repetition says nothing new");
    host.advance(Duration::from_hours(1));
    let sent = collect(&mut host, "a").unwrap();
    assert_eq!((&sent["digest"], &sent["messages"]), (&json!("sent"), &json!(2)));
    let message = &host.notifications()[0];
    assert_eq!(message["title"], "2 messages: News of a …");
    assert_eq!(message["body"], "• News of a\n  more\n• News of b\n  more");
    assert_eq!(collect(&mut host, "a").unwrap()["messages"], 2);
    assert_eq!(host.notifications().len(), 1);
    assert_eq!(collect(&mut host, "c").unwrap_err().code, "deferred", "and the next is opened");
}

#[test]
fn a_digest_whose_step_is_gone_is_taken_over() {
    let mut host = host("");
    people(&host);
    collect(&mut host, "a").unwrap_err();
    host.advance(Duration::from_mins(76));
    assert_eq!(collect(&mut host, "b").unwrap_err().code, "deferred");
    assert_eq!(
        collect(&mut host, "a").unwrap()["digest"],
        "joined",
        "it came back too late, and its message went along"
    );
    let sent = collect(&mut host, "b").unwrap();
    assert_eq!(sent["messages"], 2);
    assert_eq!(host.notifications().len(), 1);
}
