use std::sync::Arc;

use flowcell_core::inbox::Message;
use serde_json::{Value, json};

use crate::services::inbox::{Inboxes, Sender};
use crate::testing::Bench;

async fn notify(bench: &Bench, message: Value, key: Option<&str>) -> Result<Value, String> {
    let ports = &bench.app.ports;
    let inboxes = Inboxes {
        people: Arc::clone(&ports.people),
        inbox: Arc::clone(&ports.inbox),
        clock: Arc::clone(&ports.clock),
        entropy: Arc::clone(&ports.entropy),
    };
    let sender = Sender { workspace: &bench.app.workspace, from: None, key: key.map(str::to_owned) };
    let message: Message = serde_json::from_value(message).unwrap();
    let sent = inboxes.notify(sender, message).await;
    sent.map(|delivered| serde_json::to_value(delivered).unwrap()).map_err(|error| error.to_string())
}

async fn with_users() -> Bench {
    let bench = Bench::new();
    for user in [json!({ "id": "ana", "roles": ["support"] }), json!({ "id": "ben" })] {
        assert_eq!(bench.api("POST", "/users", &user.to_string()).await.status, 201);
    }
    bench
}

#[tokio::test]
async fn a_message_comes_once_and_is_read_and_deleted_by_each_for_themselves() {
    let bench = with_users().await;
    let hello = json!({ "to": { "everyone": true }, "title": "Paid", "link": "/runs/x", "priority": "high" });
    let first = notify(&bench, hello.clone(), Some("k/1")).await.unwrap();
    assert_eq!((&first["recipients"], &first["repeated"]), (&json!(["ana", "ben"]), &json!(false)));
    let again = notify(&bench, hello, Some("k/1")).await.unwrap();
    assert_eq!((&again["id"], &again["repeated"]), (&first["id"], &json!(true)));
    // They are sorted by when they came, to the millisecond.
    let came = bench.app.ports.clock.now();
    bench.app.ports.clock.sleep_until(came + std::time::Duration::from_millis(2)).await;
    notify(&bench, json!({ "to": { "roles": ["support"] }, "title": "Second" }), Some("k/2")).await.unwrap();

    let inbox = bench.api("GET", "/notifications?user=ana&limit=1", "").await;
    assert_eq!((inbox.status, &inbox.json["unread"]), (200, &json!(2)), "{inbox:?}");
    assert_eq!(inbox.json["notifications"][0]["title"], "Second");
    let next = inbox.json["next_cursor"].as_str().unwrap();
    let rest = bench.api("GET", &format!("/notifications?user=ana&cursor={next}"), "").await;
    assert_eq!(rest.json["notifications"][0]["link"], "/runs/x");
    assert_eq!((&rest.json["notifications"][0]["priority"], &rest.json["next_cursor"]), (&json!("high"), &json!(null)));

    let id = first["id"].as_str().unwrap();
    let read = bench.api("POST", &format!("/notifications/{id}/read?user=ana"), "").await;
    assert_eq!(read.json, json!({ "changed": 1, "unread": 1 }));
    let unread = bench.api("GET", "/notifications?user=ana&unread=true", "").await;
    assert_eq!(unread.json["notifications"].as_array().unwrap().len(), 1);
    assert_eq!(bench.api("GET", "/notifications?user=ben", "").await.json["unread"], 1);
    let unread = bench.api("POST", &format!("/notifications/{id}/unread?user=ana"), "").await;
    assert_eq!(unread.json["unread"], 2);
    let up_to = bench.api("POST", &format!("/notifications/read?user=ana&up_to={id}"), "").await;
    assert_eq!(up_to.json, json!({ "changed": 1, "unread": 1 }));
    assert_eq!(bench.api("POST", "/notifications/read?user=ana", "").await.json["unread"], 0);
    assert_eq!(bench.api("DELETE", &format!("/notifications/{id}?user=ana"), "").await.status, 200);
    assert_eq!(bench.api("DELETE", &format!("/notifications/{id}?user=ana"), "").await.status, 404);
    assert_eq!(bench.api("POST", &format!("/notifications/{id}/read?user=ana"), "").await.status, 404);
    assert_eq!(bench.api("DELETE", "/notifications?user=ana", "").await.json, json!({ "deleted": 1 }));
    assert_eq!(bench.api("GET", "/notifications?user=ben", "").await.json["notifications"][0]["id"], id);
}

#[tokio::test]
async fn whose_inbox_and_which_message_have_to_be_said() {
    let bench = with_users().await;
    for (method, path, status) in [
        ("GET", "/notifications", 400),
        ("GET", "/notifications?user=nobody", 404),
        ("GET", "/notifications?user=ana&limit=0", 400),
        ("GET", "/notifications?user=ana&cursor=x", 400),
        ("GET", "/notifications?user=ana&colour=red", 400),
        ("POST", "/notifications/ntf_00000000000000000000000000/read?user=ana", 404),
        ("POST", "/notifications/x/read?user=ana", 400),
        ("POST", "/notifications/read?user=nobody", 404),
        ("DELETE", "/notifications?user=nobody", 404),
    ] {
        let answer = bench.api(method, path, "").await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    let unknown = notify(&bench, json!({ "to": { "users": ["anna"] }, "title": "T" }), None).await.unwrap_err();
    assert!(unknown.contains("did you mean `ana`"), "{unknown}");
    let nobody = notify(&bench, json!({ "to": { "roles": ["pilots"] }, "title": "T" }), None).await.unwrap();
    assert_eq!(nobody["recipients"], json!([]));
}
