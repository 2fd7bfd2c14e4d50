use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::testing::{Bench, hook_path, sample_workflow};

/// Makes the connection `name` one with these secrets, the current one first.
async fn set(bench: &Bench, name: &str, secrets: &[&str]) {
    bench.api("DELETE", &format!("/connections/{name}"), "").await;
    let secrets: Vec<Value> = secrets
        .iter()
        .enumerate()
        .map(|(index, value)| match index {
            0 => json!({ "value": value }),
            _ => json!({ "value": value, "valid_until": "2999-01-01T00:00:00Z" }),
        })
        .collect();
    let document = json!({ "name": name, "kind": "webhook-secret", "secret": { "secrets": secrets } });
    let added = bench.api("POST", "/connections", &document.to_string()).await;
    assert_eq!(added.status, 201, "{added:?}");
}

async fn github(bench: &Bench) -> String {
    set(bench, "hub", &["It's a Secret to Everybody"]).await;
    sample_workflow("A sample").replace("inbound@1\n", "inbound@1\n  verify: { scheme: github, secret: hub }\n")
}

const SIGNED: (&str, &str) =
    ("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");

async fn requests(bench: &Bench, query: &str) -> Vec<Value> {
    let answer = bench.api("GET", &format!("/workflows/sample/requests{query}"), "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json["requests"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_request_that_is_not_signed_reaches_no_plugin_and_is_kept_with_the_reason() {
    let bench = Bench::new();
    let hook = hook_path(&bench.api("POST", "/workflows", &github(&bench).await).await.json);
    bench.trigger.answer(|call| {
        assert_eq!(call.request.body, b"Hello, World!", "the plugin sees verified requests only");
        Ok(flowcell_core::invoke::WebhookOutcome::Events(vec![crate::testing::event(json!({}), None)]))
    });
    assert_eq!(bench.send("POST", &hook, &[SIGNED], "Hello, World!").await.status, 202);
    let missing = bench.send("POST", &hook, &[], "Hello, World!").await;
    let altered = bench.send("POST", &hook, &[SIGNED], "Hello, World?").await;
    for refused in [&missing, &altered] {
        assert_eq!((refused.status, refused.headers["www-authenticate"].as_bytes()), (401, &b"Signature"[..]));
        assert_eq!(refused.json["type"], "https://flowcell.dev/problems/unverified");
    }
    assert_eq!(missing.json["detail"], altered.json["detail"], "a sender is not told what was wrong");

    let rejected = requests(&bench, "?outcome=rejected").await;
    let codes: Vec<_> = rejected.iter().map(|request| request["outcome"]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["signature-mismatch", "signature-missing"]);
    assert_eq!(rejected[0]["id"], altered.json["instance"], "the answer names the request");
    assert_eq!(rejected[0]["body"], "Hello, World?");
    let signature = rejected[0]["headers"].as_array().unwrap().iter().find(|header| header["name"] == SIGNED.0);
    assert_eq!(signature.unwrap()["value"], "•••");
    let started = requests(&bench, "?outcome=started").await;
    assert_eq!((started.len(), &started[0]["verified_by"]), (1, &json!("current-secret")));
    let shown = bench.api("GET", "/workflows/sample/trigger", "").await.json;
    assert_eq!((&shown["verified"], &shown["counts"]["rejected"]), (&json!("github"), &json!(2)));
    assert_eq!(shown["last_rejected"][0]["code"], "signature-mismatch");
}

#[tokio::test]
async fn without_its_secret_a_trigger_takes_nothing_and_is_not_published() {
    let bench = Bench::new();
    let text = github(&bench).await;
    let hook = hook_path(&bench.api("POST", "/workflows", &text).await.json);
    bench.api("DELETE", "/connections/hub", "").await;
    let refused = bench.send("POST", &hook, &[SIGNED], "Hello, World!").await;
    assert_eq!((refused.status, refused.headers["retry-after"].as_bytes()), (503, &b"30"[..]), "{refused:?}");
    assert_eq!(requests(&bench, "").await[0]["outcome"]["code"], "connection-unknown");

    let again = text.replace("A sample", "Another");
    let refused = bench.api("POST", "/workflows", &again).await;
    assert_eq!((refused.status, &refused.json["errors"][0]["pointer"]), (422, &json!("/trigger/verify/secret")));
    assert!(refused.json["errors"][0]["help"].as_str().unwrap().contains("verify: unsigned"), "{refused:?}");
    let draft = bench.api("POST", "/workflows?draft=true", &again).await;
    assert_eq!((draft.status, draft.json["warnings"].as_array().map(Vec::len)), (201, Some(1)), "{draft:?}");
    let unsigned = again.replace("{ scheme: github, secret: hub }", "unsigned");
    assert_eq!(bench.api("POST", "/workflows", &unsigned).await.status, 201);
    assert_eq!(bench.api("GET", "/workflows/sample/trigger", "").await.json["verified"], "unsigned");
    assert_eq!(bench.send("POST", &hook, &[], "x").await.status, 202);
    let broken =
        again.replace("{ scheme: github, secret: hub }", "{ scheme: standard-webhooks, public_key: nonsense }");
    let refused = bench.api("POST", "/workflows", &broken).await;
    assert_eq!(refused.json["errors"][0]["pointer"], "/trigger/verify/public_key", "{refused:?}");
}

#[tokio::test]
async fn slacks_question_is_answered_once_it_is_verified() {
    let bench = Bench::new();
    set(&bench, "slack", &["shh"]).await;
    let text = github(&bench).await.replace("{ scheme: github, secret: hub }", "{ scheme: slack, secret: slack }");
    let hook = hook_path(&bench.api("POST", "/workflows", &text).await.json);
    bench.trigger.answer(|_| panic!("no plugin is asked"));
    let body = r#"{"type":"url_verification","challenge":"3eZb"}"#;
    assert_eq!(bench.send("POST", &hook, &[], body).await.status, 401);
    let at = (bench.app.ports.clock.now().as_millis() / 1_000).to_string();
    let signature = crate::ingress::verify::signed_for_slack(b"shh", &at, body.as_bytes());
    let headers = [("x-slack-signature", signature.as_str()), ("x-slack-request-timestamp", &at)];
    let answer = bench.send("POST", &hook, &headers, body).await;
    assert_eq!((answer.status, answer.json), (200, json!("3eZb")));
    assert_eq!(requests(&bench, "?limit=1").await[0]["outcome"], json!({ "is": "answered", "status": 200 }));
}

#[tokio::test]
async fn a_draft_takes_requests_to_look_at_and_starts_no_run() {
    let bench = Bench::new();
    let draft = bench.api("POST", "/workflows?draft=true", &sample_workflow("A sample")).await;
    let hook = hook_path(&draft.json);
    let answer = bench.send("POST", &format!("{hook}/orders?a=1&token=s"), &[("cookie", "c")], "hi").await;
    assert_eq!(
        (answer.status, &answer.json["test"], &answer.json["events"]),
        (202, &json!(true), &json!(1)),
        "{answer:?}"
    );
    assert_eq!(bench.api("GET", "/runs", "").await.json["runs"], json!([]));
    let kept = &requests(&bench, "?outcome=test").await[0];
    assert_eq!(kept["id"], answer.json["request_id"]);
    assert_eq!((&kept["path"], &kept["query"]), (&json!("/orders"), &json!("a=1&token=•••")));
    let shown = bench.api("GET", "/workflows/sample/trigger", "").await.json;
    assert_eq!((&shown["is_draft"], &shown["verified"]), (&json!(true), &json!("url-only")));
    bench.api("POST", "/workflows", &sample_workflow("A sample")).await;
    assert!(bench.send("POST", &hook, &[], "hi").await.json.get("run_ids").is_some(), "published, it starts runs");
}

#[tokio::test]
async fn a_saved_request_is_what_expressions_are_measured_against() {
    let bench = Bench::new();
    let draft = bench.api("POST", "/workflows?draft=true", &sample_workflow("A sample")).await;
    let hook = hook_path(&draft.json);
    bench.trigger.answer(|call| {
        let body: Value = serde_json::from_slice(&call.request.body).unwrap();
        let headers: serde_json::Map<String, Value> =
            call.request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        Ok(flowcell_core::invoke::WebhookOutcome::Events(vec![crate::testing::event(
            json!({ "body": body, "headers": headers }),
            None,
        )]))
    });
    assert_eq!(bench.api("GET", "/workflows/sample/reference", "").await.status, 404);
    assert_eq!(bench.api("POST", "/workflows/sample/reference", "").await.status, 404, "nothing came yet");
    bench.send("POST", &hook, &[("authorization", "Bearer s")], r#"{"email":"a@b.de","total":1}"#).await;
    bench.send("POST", &hook, &[], r#"{"email":"c@d.de"}"#).await;
    let saved = bench.api("POST", "/workflows/sample/reference", r#"{"latest": 2}"#).await;
    assert_eq!(saved.status, 200, "{saved:?}");
    let body = &saved.json["schema"]["properties"]["body"];
    assert_eq!((&body["required"], &body["properties"]["email"]["format"]), (&json!(["email"]), &json!("email")));
    assert_eq!(saved.json["samples"][1]["headers"]["authorization"], "•••", "secrets are in no reference");
    assert_eq!(bench.api("GET", "/workflows/sample/reference", "").await.json, saved.json);
    let unknown = bench.api("POST", "/workflows/sample/reference", r#"{"requests": ["req_x"]}"#).await;
    assert!(unknown.status == 404 && unknown.json["detail"].as_str().unwrap().contains("req_x"), "{unknown:?}");
    assert_eq!(bench.api("POST", "/workflows/sample/reference", r#"{"latest": 21}"#).await.status, 400);

    let reading = |path: &str| {
        sample_workflow("A sample")
            + &format!(
                "  - id: s\n    set: {{ v: \"{{{{ {path} }}}}\" }}\n  - id: e\n    stop: {{ message: \"{{{{ steps.s.output.v }}}}\" }}\n"
            )
    };
    let applied = bench.api("POST", "/workflows", &reading("trigger.body.emial")).await;
    assert_eq!(applied.json["warnings"][0]["help"], "did you mean `trigger.body.email`?", "{applied:?}");
    let applied = bench.api("POST", "/workflows", &reading("trigger.body.email")).await;
    assert_eq!(applied.json["warnings"], json!([]), "{applied:?}");
}

#[tokio::test]
async fn requests_are_told_as_they_come() {
    let bench = Bench::new();
    let hook = bench.apply_sample().await;
    bench.send("POST", &hook, &[], "before").await;
    let mut body = bench.stream("/api/v2/workflows/sample/requests/tail").await;
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "retry: 1000\n\n");
    bench.send("POST", &hook, &[], "now").await;
    let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let text = std::str::from_utf8(&piece).unwrap();
    assert!(text.starts_with("event: request\nid: 2\ndata: {") && text.contains("\"body\":\"now\""), "{text}");
    let mut body = bench.stream_after("/api/v2/workflows/sample/requests/tail", "1").await;
    let again = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(again.ends_with(piece.as_ref()), "it goes on behind the one that came last");
    bench.app.closing.cancel();
    assert!(body.frame().await.is_none());
    assert_eq!(bench.api("GET", "/workflows/nothing/requests", "").await.status, 404);
    assert_eq!(bench.api("GET", "/workflows/sample/requests?outcome=lost", "").await.status, 400);
}

#[tokio::test]
async fn a_former_url_counts_for_as_long_as_was_said_and_its_callers_are_counted() {
    let bench = Bench::new();
    let hook = bench.apply_sample().await;
    bench.send("POST", &hook, &[], "1").await; // now the route is in memory
    let rotated = bench.api("POST", "/workflows/sample/trigger/rotate-url", r#"{"keep_old": "7d"}"#).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let new = rotated.json["url"].as_str().unwrap().strip_prefix("http://flowcell.test").unwrap().to_owned();
    assert_ne!(new, hook);
    for url in [&hook, &new, &hook] {
        assert_eq!(bench.send("POST", url, &[], "2").await.status, 202, "{url}");
    }
    let shown = bench.api("GET", "/workflows/sample/trigger", "").await.json;
    let former = &shown["former_urls"][0];
    assert_eq!((&former["count"], &former["is_valid"], former["last_at"].is_string()), (&json!(2), &json!(true), true));
    assert!(former["url"].as_str().unwrap().ends_with(&hook));
    assert_eq!(requests(&bench, "?limit=1").await[0]["former_url"], 1);
    crate::ingress::late::write(&bench.app).await;
    let again = bench.api("GET", "/workflows/sample/trigger", "").await.json;
    assert_eq!(again["former_urls"], shown["former_urls"], "written, it is the same");
    // A new version changes nothing of it.
    bench.api("POST", "/workflows", &sample_workflow("Changed")).await;
    assert_eq!(bench.send("POST", &hook, &[], "3").await.status, 202);

    let at_once = bench.api("POST", "/workflows/sample/trigger/rotate-url", "").await;
    assert_eq!(bench.send("POST", &new, &[], "4").await.status, 404, "replaced at once");
    assert_eq!(bench.send("POST", &hook, &[], "4").await.status, 202, "this one counts yet");
    let newest = at_once.json["url"].as_str().unwrap().strip_prefix("http://flowcell.test").unwrap();
    assert_eq!(bench.send("POST", newest, &[], "4").await.status, 202);
    let wrong = bench.api("POST", "/workflows/sample/trigger/rotate-url", r#"{"keep_old": "93d"}"#).await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
}

#[tokio::test]
async fn requests_signed_with_the_previous_secret_are_counted() {
    let bench = Bench::new();
    let hook = hook_path(&bench.api("POST", "/workflows", &github(&bench).await).await.json);
    set(&bench, "hub", &["new", "It's a Secret to Everybody"]).await;
    assert_eq!(bench.send("POST", &hook, &[SIGNED], "Hello, World!").await.status, 202);
    let shown = bench.api("GET", "/workflows/sample/trigger", "").await.json;
    assert_eq!(shown["previous_secret"]["count"], 1);
    assert_eq!(requests(&bench, "").await[0]["verified_by"], "previous-secret");
    set(&bench, "hub", &["new"]).await;
    assert_eq!(bench.send("POST", &hook, &[SIGNED], "Hello, World!").await.status, 401, "it has ended");
}
