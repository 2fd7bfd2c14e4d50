use std::collections::BTreeSet;
use std::sync::Arc;

use flowcell_core::id::RunId;
use flowcell_core::ports::{Append, Durability};
use flowcell_core::run::event::{Recorded, RunEvent};
use flowcell_core::run::fold::Run;
use serde_json::json;

use crate::testing::{Bench, hook_path, sample_workflow};

#[tokio::test]
async fn every_route_asks_for_the_token_and_unknown_ones_too() {
    let bench = Bench::new();
    for path in ["/api/v2/runs", "/api/v2/workflows", "/api/v2/plugins", "/api/v2/server", "/api/v2/nothing"] {
        for headers in [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", "Basic YTpi")]] {
            let answer = bench.send("GET", path, headers, "").await;
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert_eq!(answer.headers["flowcell-api"], "2", "{path}");
        }
    }
    let server = bench.api("GET", "/server", "").await;
    assert_eq!((&server.json["api"], server.headers["flowcell-api"].as_bytes()), (&json!("v2"), &b"2"[..]));
    assert_eq!(bench.api("GET", "/nothing", "").await.status, 404);
    assert_eq!(bench.api("DELETE", "/runs", "").await.status, 405);
    assert_eq!(bench.send("GET", "/healthz", &[], "").await.status, 200);
}

#[tokio::test]
async fn applying_the_same_text_again_is_the_same_version() {
    let bench = Bench::new();
    let first = bench.api("POST", "/workflows", &sample_workflow("A")).await;
    assert_eq!((first.status, &first.json["version"], &first.json["status"]), (201, &json!(1), &json!("published")));
    assert_eq!(first.headers["location"], "/api/v2/workflows/sample");
    let again = bench.api("POST", "/workflows", &sample_workflow("A")).await;
    assert_eq!((again.status, &again.json["version"]), (200, &json!(1)));
    let changed = bench.api("POST", "/workflows", &sample_workflow("B")).await;
    assert_eq!((changed.status, &changed.json["version"]), (201, &json!(2)));
    assert_eq!(hook_path(&changed.json), hook_path(&first.json), "the URL stays");
    let shown = bench.api("GET", "/workflows/sample?version=1", "").await;
    assert_eq!(shown.json["source"], sample_workflow("A"));
    assert_eq!(bench.api("GET", "/workflows/sample?version=9", "").await.status, 404);
    assert_eq!(bench.api("GET", "/workflows", "").await.json["workflows"][0]["version"], 2);
}

#[tokio::test]
async fn a_new_plugin_version_makes_a_new_workflow_version_of_the_same_text() {
    let bench = Bench::new();
    bench.apply_sample().await;
    bench.catalog.install(flowcell_testkit::sample::tools("1.1.0"));
    let again = bench.api("POST", "/workflows", &sample_workflow("A sample")).await;
    assert_eq!((again.status, &again.json["version"]), (201, &json!(2)));
    let shown = bench.api("GET", "/workflows/sample", "").await;
    assert_eq!(shown.json["plugins"][0]["version"], "1.1.0");
}

#[tokio::test]
async fn a_draft_leaves_the_published_version_as_it_is() {
    let bench = Bench::new();
    let draft = bench.api("POST", "/workflows?draft=true", &sample_workflow("A")).await;
    assert_eq!((&draft.json["status"], &draft.json["published_version"]), (&json!("draft"), &json!(null)));
    let published = bench.api("POST", "/workflows", &sample_workflow("B")).await;
    assert_eq!(published.json["published_version"], 2);
    let draft = bench.api("POST", "/workflows?draft=true", &sample_workflow("C")).await;
    assert_eq!((&draft.json["version"], &draft.json["published_version"]), (&json!(3), &json!(2)));
    for field in ["name", "updated_at"] {
        assert_eq!(draft.json[field], published.json[field], "what runs is still called so: {field}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_applies_get_versions_of_their_own() {
    let bench = Arc::new(Bench::new());
    let mut applying = tokio::task::JoinSet::new();
    for number in 0..8 {
        let bench = Arc::clone(&bench);
        applying.spawn(async move { bench.api("POST", "/workflows", &sample_workflow(&format!("N{number}"))).await });
    }
    let answers = applying.join_all().await;
    let versions: BTreeSet<_> = answers.iter().filter_map(|answer| answer.json["version"].as_u64()).collect();
    assert_eq!(versions, (1..=8).collect(), "{answers:?}");
}

#[tokio::test]
async fn a_bad_workflow_is_refused_with_its_places_and_nothing_is_stored() {
    let bench = Bench::new();
    let text = sample_workflow("A").replace("test/tools/send@1", "test/tools/sent@1");
    let refused = bench.api("POST", "/workflows", &text).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json["type"], "https://flowcell.dev/problems/invalid-workflow");
    let fault = &refused.json["errors"][0];
    assert!(fault["line"].as_u64().is_some_and(|line| line > 1), "{fault}");
    assert!(fault.to_string().contains("send"), "it suggests: {fault}");
    let stored = bench.app.ports.definitions.list(&bench.app.workspace).await.unwrap();
    assert!(stored.is_empty());
}

#[tokio::test]
async fn a_plugin_that_cannot_be_loaded_is_an_error_now_and_not_at_run_time() {
    let bench = Bench::new();
    *bench.trigger.broken.lock().unwrap() = Some("it is built to be expensive".to_owned());
    let refused = bench.api("POST", "/workflows", &sample_workflow("A")).await;
    assert_eq!(refused.status, 422);
    assert!(refused.json["detail"].as_str().unwrap().contains("test/tools"), "{}", refused.json);
    assert!(refused.json["detail"].as_str().unwrap().contains("expensive"), "{}", refused.json);
    assert!(bench.app.ports.definitions.list(&bench.app.workspace).await.unwrap().is_empty());
}

#[tokio::test]
async fn other_content_types_and_queries_are_refused_by_name() {
    let bench = Bench::new();
    let authorization = "Bearer fcat_a-token-for-tests";
    let headers = [("authorization", authorization), ("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(bench.send("POST", "/api/v2/workflows", &headers, "a=b").await.status, 415);
    for path in [
        "/runs?limit=0",
        "/runs?limit=x",
        "/runs?status=asleep",
        "/runs?wrokflow=a",
        "/runs/run_nonsense",
        "/workflows/No",
    ] {
        let answer = bench.api("GET", path, "").await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
    let told = bench.api("GET", "/runs/run_x", "").await;
    assert_eq!(told.json["detail"], "`run_x` is no run id; `flowcell run list` prints them.");
    let told = bench.api("GET", "/runs?status=asleep", "").await;
    assert!(told.json["detail"].as_str().unwrap().contains("asleep"), "{}", told.json);
}

#[tokio::test]
async fn runs_are_listed_in_pages_and_shown_with_their_steps() {
    let bench = Bench::new();
    let hook = bench.apply_sample().await;
    let mut accepted = Vec::new();
    for _ in 0..3 {
        let answer = bench.send("POST", &hook, &[], "{}").await;
        accepted.push(answer.json["run_ids"][0].as_str().unwrap().to_owned());
    }
    accepted.sort();
    let first = bench.api("GET", "/runs?limit=2&workflow=sample", "").await;
    assert_eq!(first.json["runs"].as_array().map(Vec::len), Some(2));
    let cursor = first.json["next_cursor"].as_str().unwrap();
    let second = bench.api("GET", &format!("/runs?limit=2&cursor={cursor}"), "").await;
    assert_eq!((second.json["runs"].as_array().map(Vec::len), &second.json["next_cursor"]), (Some(1), &json!(null)));
    assert_eq!(bench.api("GET", "/runs?status=failed", "").await.json["runs"], json!([]));

    let shown = bench.api("GET", &format!("/runs/{}", accepted[0]), "").await;
    assert_eq!(shown.json["status"], "queued");
    assert_eq!(shown.json["workflow"], json!({ "id": "sample", "version": 1 }));
    let step = &shown.json["steps"][0];
    assert_eq!((&step["id"], &step["status"], &step["attempts"]), (&json!("one"), &json!("pending"), &json!([])));
    assert_eq!(step["plugin"]["id"], "test/tools");
    assert_eq!(bench.api("GET", "/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV", "").await.status, 404);
}

#[tokio::test]
async fn plugins_are_listed_and_shown_with_their_manifest() {
    let bench = Bench::new();
    let listed = bench.api("GET", "/plugins", "").await;
    assert_eq!(listed.json["plugins"][0]["actions"][0]["uses"], "test/tools/send@1");
    let shown = bench.api("GET", "/plugins/test/tools", "").await;
    assert_eq!(shown.json["versions"][0]["manifest"]["title"], "Tools");
    assert_eq!(bench.api("GET", "/plugins/test/none", "").await.status, 404);
}

#[tokio::test]
async fn an_attempt_without_an_end_shows_the_input_it_was_made_with() {
    let bench = Bench::new();
    let text = sample_workflow("A").trim_end().to_owned() + "\n    with: { told: \"{{ trigger.body }}\" }\n";
    let applied = bench.api("POST", "/workflows", &text).await;
    assert_eq!(applied.status, 201, "{applied:?}");
    let accepted = bench.send("POST", &hook_path(&applied.json), &[], "hello").await;
    let id: RunId = accepted.json["run_ids"][0].as_str().unwrap().parse().unwrap();
    let mut entries = bench.app.ports.journal.load(id).await.unwrap();
    let started = RunEvent::StepStarted { step: "one".parse().unwrap(), attempt: 1 };
    let started = Recorded { seq: 1, at: entries[0].at, event: started };
    entries.push(started.clone());
    let summary = Run::fold(id, &entries).unwrap().summary();
    let append = Append { run: id, entries: vec![started], summary, durability: Durability::Synced };
    bench.app.ports.journal.append(append).await.unwrap();
    let shown = bench.api("GET", &format!("/runs/{id}"), "").await;
    let attempt = &shown.json["steps"][0]["attempts"][0];
    assert_eq!((&attempt["ended_at"], &attempt["input"]), (&json!(null), &json!({ "told": "hello" })));
}
