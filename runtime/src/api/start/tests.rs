use serde_json::json;

use crate::testing::{Bench, hook_path, sample_workflow};

fn by_hand(trigger: &str) -> String {
    sample_workflow("By hand").replace("  uses: test/tools/inbound@1\n", &format!("  {trigger}\n"))
}

#[tokio::test]
async fn a_schedule_can_be_started_by_hand_and_a_webhook_only_with_an_input() {
    let bench = Bench::new();
    for (trigger, status) in [
        ("manual: true", 202),
        ("schedule: { every: 1h }", 202),
        ("event: order.paid", 409),
        ("error: true", 409),
        ("uses: test/tools/inbound@1", 409),
        ("uses: test/tools/inbound@1\ninput: { type: object }", 202),
    ] {
        let applied = bench.api("POST", "/workflows", &by_hand(trigger)).await;
        assert_eq!(applied.status, 201, "{trigger}: {applied:?}");
        let started = bench.api("POST", "/workflows/sample/runs", "").await;
        assert_eq!(started.status, status, "{trigger}: {started:?}");
    }
}

#[tokio::test]
async fn a_run_that_was_started_is_shown_with_its_input_and_counted() {
    let bench = Bench::new();
    bench.api("POST", "/workflows", &by_hand("manual: true\n  filter: trigger.n > 1")).await;
    let started = bench.api("POST", "/workflows/sample/runs", r#"{"n": 2}"#).await;
    let run = started.json["run_ids"][0].as_str().unwrap();
    assert_eq!(started.headers["location"], format!("/api/v2/runs/{run}"));
    assert_eq!(bench.api("GET", &format!("/runs/{run}"), "").await.json["trigger"], json!({ "n": 2 }));
    let filtered = bench.api("POST", "/workflows/sample/runs", r#"{"n": 1}"#).await;
    assert_eq!((filtered.status, &filtered.json["filtered"]), (202, &json!(true)), "{filtered:?}");
    assert_eq!(filtered.json["because"]["holds"], false, "whoever may read the workflow is told why: {filtered:?}");
    let shown = bench.api("GET", "/workflows/sample/trigger", "").await;
    assert_eq!((&shown.json["kind"], &shown.json["url"]), (&json!("manual"), &json!(null)));
    assert_eq!((&shown.json["counts"]["started"], &shown.json["counts"]["filtered"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_request_with_a_key_of_its_own_brings_all_its_events_or_none() {
    use flowcell_core::invoke::WebhookOutcome;
    let bench = Bench::new();
    let text = sample_workflow("A").replace("inbound@1\n", "inbound@1\n  dedupe: { header: X-Batch }\n");
    let hook = hook_path(&bench.api("POST", "/workflows", &text).await.json);
    bench.trigger.answer(|_| {
        let events = [1, 2].map(|number| crate::testing::event(json!(number), Some(&number.to_string())));
        Ok(WebhookOutcome::Events(events.into()))
    });
    let first = bench.send("POST", &hook, &[("x-batch", "7")], "").await;
    let again = bench.send("POST", &hook, &[("x-batch", "7")], "").await;
    assert_eq!(first.json["run_ids"].as_array().map(Vec::len), Some(2), "{first:?}");
    assert_eq!((&again.json["run_ids"], &again.json["duplicate"]), (&first.json["run_ids"], &json!(true)));
}
