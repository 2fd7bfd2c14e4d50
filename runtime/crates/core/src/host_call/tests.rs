use super::*;
use crate::exchange::AnsweredBy;

fn set() -> HostRequest {
    HostRequest::KeyValue(key_value::Request::Set {
        namespace: key_value::Namespace::Workflow,
        key: "last".to_owned(),
        value: json!({"n": 1}),
        ttl_ms: None,
        expected: key_value::Expected::Version(3),
    })
}

fn recorded(request: &HostRequest, outcome: Result<Value, HostError>) -> HostCall {
    HostCall {
        number: 2,
        nth: 1,
        call: request.name().to_owned(),
        request: request.document(),
        outcome,
        started_at: Timestamp::from_millis(0),
        duration_ms: 3,
        truncated: false,
        cut_off: false,
        answered_by: None,
    }
}

#[test]
fn a_record_says_what_was_asked_and_answered_and_is_read_again() {
    let call = recorded(&set(), Ok(json!(4)));
    let written = serde_json::to_value(&call).expect("writes");
    assert_eq!(
        written,
        json!({
            "number": 2, "nth": 1, "call": "key-value.set", "answer": 4, "started_at": "1970-01-01T00:00:00.000Z", "duration_ms": 3,
            "request": {"namespace": "workflow", "key": "last", "value": {"n": 1}, "expected": {"version": 3}},
        })
    );
    assert_eq!(serde_json::from_value::<HostCall>(written).expect("reads"), call);

    let failed = HostCall {
        nth: 0,
        answered_by: Some(AnsweredBy::Recorded),
        ..recorded(&HostRequest::Connection, Err(HostError::denied("no")))
    };
    let written = serde_json::to_value(&failed).expect("writes");
    assert_eq!(written["error"], json!({"code": "denied", "message": "no"}));
    assert_eq!(serde_json::from_value::<HostCall>(written).expect("reads"), failed);
}

#[test]
fn a_shortened_record_still_tells_whether_the_same_was_asked() {
    let mut call = recorded(&set(), Ok(json!("x".repeat(1_000))));
    assert!(call.is_same_request(&set()) && !call.is_same_request(&HostRequest::Connection));
    call.shorten();
    assert!(call.is_same_request(&set()) && call.truncated);
    assert!(serde_json::to_string(&call).expect("writes").len() < 600);
}

#[test]
fn attachments_leave_their_size_and_digest() {
    let message = HostRequest::Mail(mail::Message {
        sender: None,
        to: vec!["a@example.com".to_owned()],
        cc: vec![],
        bcc: vec![],
        reply_to: None,
        subject: "s".to_owned(),
        text: Some("t".to_owned()),
        html: None,
        attachments: vec![mail::Attachment::new("a.txt", "text/plain", b"secret".to_vec())],
        key: None,
    });
    let document = message.document();
    assert_eq!(document["attachments"][0]["bytes"], json!(6));
    assert!(!document.to_string().contains("secret") && !format!("{message:?}").contains("secret"));
}

#[test]
fn only_writing_calls_of_steps_are_remembered() {
    let plugin: PluginId = "acme/p".parse().expect("an id");
    let caller = |nth, key: &str| Caller {
        workspace: WorkspaceId::default_workspace(),
        workflow: None,
        run: None,
        step: None,
        attempt: 1,
        idempotency_key: key.to_owned(),
        nth,
        plugin: plugin.clone(),
        digest: Digest::of(b""),
        connection: None,
        deadline: Timestamp::default(),
        rights: Arc::new(Rights::new(plugin.clone(), vec![], &[])),
    };
    assert_eq!(caller(2, "k").ledger_key().as_deref(), Some("k/2"));
    assert_eq!((caller(0, "k").ledger_key(), caller(1, "").ledger_key()), (None, None));
    assert!(set().is_writing() && !HostRequest::Connection.is_writing());
}
