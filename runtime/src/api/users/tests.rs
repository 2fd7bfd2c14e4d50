use serde_json::json;

use crate::testing::Bench;

#[tokio::test]
async fn a_user_is_added_changed_listed_and_removed() {
    let bench = Bench::new();
    let ana = json!({
        "id": "ana", "name": "Ana", "email": "ana@example.com", "phone": "+49 30 901820", "roles": ["support"],
        "quiet_hours": { "from": "22:00", "to": "07:00", "timezone": "Europe/Berlin" }, "channels": ["in-app", "email"],
    });
    let added = bench.api("POST", "/users", &ana.to_string()).await;
    assert_eq!((added.status, &added.json["phone"]), (201, &json!("+4930901820")), "{added:?}");
    assert_eq!(added.json["quiet_hours"]["from"], "22:00");
    let again = bench.api("POST", "/users", &ana.to_string()).await;
    assert_eq!(again.status, 409, "{again:?}");
    assert_eq!(bench.api("POST", "/users", r#"{"id": "ben"}"#).await.json["name"], "ben");

    let changed =
        bench.api("PATCH", "/users/ana", r#"{"email": null, "roles": ["on-call"], "quiet_hours": null}"#).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!((&changed.json["email"], &changed.json["name"]), (&json!(null), &json!("Ana")));
    assert_eq!(bench.api("GET", "/users/ana", "").await.json, changed.json);
    let page = bench.api("GET", "/users?limit=1", "").await;
    assert_eq!((&page.json["users"][0]["id"], &page.json["next_cursor"]), (&json!("ana"), &json!("ana")));
    assert_eq!(bench.api("GET", "/users?cursor=ana", "").await.json["users"][0]["id"], "ben");
    assert_eq!(bench.api("DELETE", "/users/ana", "").await.status, 200);
    assert_eq!(bench.api("DELETE", "/users/ana", "").await.status, 404);
    assert_eq!(bench.api("GET", "/users/ana", "").await.status, 404);
}

#[tokio::test]
async fn what_is_wrong_with_a_user_is_said_field_by_field() {
    let bench = Bench::new();
    let wrong = json!({
        "id": "ana", "name": "a\nb", "email": "ana@", "phone": "12", "channels": ["pigeon"], "rolls": [],
        "quiet_hours": { "from": "22:00", "to": "22:00", "timezone": "UTC" },
    });
    let refused = bench.api("POST", "/users", &wrong.to_string()).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let pointers: Vec<&str> =
        refused.json["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/rolls", "/name", "/email", "/phone", "/quiet_hours", "/channels"]);
    for email in ["ana@example.com\r\nBcc: eve@example.com", "Ana <ana@example.com>", "a b@example.com"] {
        let refused = bench.api("POST", "/users", &json!({ "id": "ana", "email": email }).to_string()).await;
        assert_eq!(refused.status, 400, "{email}");
    }
    for id in ["Ana", "a b", "", "1a"] {
        assert_eq!(bench.api("POST", "/users", &json!({ "id": id }).to_string()).await.status, 400, "{id}");
    }
}
