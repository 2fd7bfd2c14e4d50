use super::*;
use crate::testing::Bench;

const URL: &str = "/destinations/https%3A%2F%2Fhooks.example.com%2Fin";

#[tokio::test]
async fn a_destination_is_disabled_and_enabled_by_its_url_or_id() {
    let bench = Bench::new();
    assert_eq!(bench.api("GET", "/destinations", "").await.json, json!({ "destinations": [] }));
    assert_eq!(bench.api("GET", URL, "").await.status, 404);
    assert_eq!(bench.api("POST", &format!("{URL}/enable"), "").await.status, 404);

    let disabled = bench.api("POST", &format!("{URL}/disable"), r#"{"reason":"they moved"}"#).await;
    assert_eq!((disabled.status, &disabled.json["status"]), (200, &json!("disabled")), "{disabled:?}");
    assert_eq!(disabled.json["disabled"]["reason"], "they moved");
    assert_eq!(disabled.json["url"], "https://hooks.example.com/in");
    let id = disabled.json["id"].as_str().unwrap().to_owned();
    let listed = bench.api("GET", "/destinations?status=disabled", "").await;
    assert_eq!(listed.json["destinations"][0]["id"], id.as_str());
    assert_eq!(bench.api("GET", "/destinations?status=ready", "").await.json["destinations"], json!([]));

    let enabled = bench.api("POST", &format!("/destinations/{id}/enable"), "").await;
    assert_eq!((&enabled.json["status"], &enabled.json["disabled"]), (&json!("ready"), &Value::Null), "{enabled:?}");
    assert_eq!(enabled.json["hours"], json!([]));
    let shown = bench.api("GET", &format!("/destinations/{id}"), "").await;
    assert_eq!(shown.json, enabled.json);
}

#[tokio::test]
async fn what_is_no_destination_is_said() {
    let bench = Bench::new();
    for (method, path, status, says) in [
        ("GET", "/destinations?status=well", 400, "write ready, failing or disabled"),
        ("GET", "/destinations/somewhere", 400, "neither the id of a destination nor its URL"),
        ("POST", "/destinations/dst_00000000000000000000/disable", 404, "Nothing is known of"),
        ("GET", "/dead-letters?destination=somewhere", 400, "neither the id"),
        ("GET", "/dead-letters?limit=0", 400, "from 1 to 200"),
        ("GET", "/dead-letters?cursor=x", 400, "no cursor"),
        ("GET", "/dead-letters?colour=red", 400, "colour"),
        ("POST", "/dead-letters/recover", 400, "Say from when on"),
        ("POST", "/dead-letters/replay-missing", 400, "Say from when on"),
    ] {
        let answer = bench.api(method, path, "").await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.json["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{path}: {answer:?}");
    }
    let order = r#"{"from":"2026-01-01T00:00:00Z","error":"x"}"#;
    let answer = bench.api("POST", "/dead-letters/replay-missing", order).await;
    assert!(answer.json["detail"].as_str().is_some_and(|detail| detail.contains("leave it out")), "{answer:?}");
    let empty = bench.api("GET", "/dead-letters", "").await;
    assert_eq!(empty.json, json!({ "dead_letters": [], "next_cursor": null }));
}
