use flowcell_core::exchange::{LogLevel, LogLine};
use flowcell_core::invoke::{ActionError, InvokeError, WebhookOutcome};
use serde_json::json;

use super::*;
use crate::testing::{Bench, event, hook_path, sample_workflow};

#[test]
fn the_token_and_the_rest_of_the_path_are_told_apart() {
    for (path, token, rest) in [
        ("/hooks/abc", "abc", "/"),
        ("/hooks/abc/", "abc", "/"),
        ("/hooks/abc/d/e", "abc", "/d/e"),
        ("/hooks/", "", "/"),
    ] {
        assert_eq!(split_path(path), (token, rest), "{path}");
    }
}

#[tokio::test]
async fn a_delivery_is_answered_with_its_runs_and_the_trigger_sees_the_request() {
    let bench = Bench::new();
    let hook = bench.apply_sample().await;
    let answer = bench.send("POST", &format!("{hook}/orders?x=1"), &[("content-type", "text/plain")], "grün").await;
    assert_eq!(answer.status, 202);
    let run = answer.json["run_ids"][0].as_str().unwrap();
    assert!(answer.json["event_id"].as_str().unwrap().starts_with("evt_"));
    assert_eq!(answer.headers["location"], format!("/api/v2/runs/{run}"));
    assert!(answer.json.get("duplicate").is_none());
    let shown = bench.api("GET", &format!("/runs/{run}"), "").await;
    assert_eq!(shown.json["trigger"], json!({ "body": "grün", "path": "/orders" }));
}

#[tokio::test]
async fn the_trigger_gets_its_configuration_and_the_whole_request() {
    let bench = Bench::new();
    let text = sample_workflow("A").replace("inbound@1\n", "inbound@1\n  with: { secret: 7 }\n");
    let hook = hook_path(&bench.api("POST", "/workflows", &text).await.json);
    bench.trigger.answer(|call| {
        assert_eq!((&call.config, call.trigger.as_str()), (&json!({ "secret": 7 }), "inbound"));
        let request = &call.request;
        assert_eq!((request.method.as_str(), request.path.as_str(), request.query.as_str()), ("PUT", "/", "a=b&c"));
        assert!(request.headers.contains(&("x-thing".to_owned(), "1".to_owned())));
        Ok(WebhookOutcome::Ignore { reason: "seen".to_owned() })
    });
    let answer = bench.send("PUT", &format!("{hook}?a=b&c"), &[("X-Thing", "1")], "").await;
    assert_eq!((answer.status, answer.json), (202, json!({ "ignored": "seen" })));
}

#[tokio::test]
async fn unknown_and_rotated_tokens_all_look_alike() {
    let bench = Bench::new();
    let hidden = bench.apply_sample().await;
    bench.api("POST", "/workflows/sample/trigger/rotate-url", "").await;
    let mut answers = Vec::new();
    for path in [hidden.as_str(), "/hooks/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "/hooks/x/y", "/hooks/%00"] {
        let mut answer = bench.send("POST", path, &[], "{}").await;
        answer.json["instance"] = json!(null);
        answers.push((answer.status, answer.json));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert_eq!(answers[0].0, 404);
}

#[tokio::test]
async fn new_runs_take_the_new_version_at_once() {
    let bench = Bench::new();
    let hook = bench.apply_sample().await;
    bench.send("POST", &hook, &[], "1").await; // now the route is in memory
    bench.api("POST", "/workflows", &sample_workflow("Changed")).await;
    let answer = bench.send("POST", &hook, &[], "2").await;
    let run = answer.json["run_ids"][0].as_str().unwrap();
    assert_eq!(bench.api("GET", &format!("/runs/{run}"), "").await.json["workflow"]["version"], 2);
}

#[tokio::test]
async fn the_same_delivery_twice_gives_one_run() {
    let bench = Bench::new();
    let hook = bench.apply_sample().await;
    bench.trigger.answer(|call| {
        let key = String::from_utf8_lossy(&call.request.body).into_owned();
        Ok(WebhookOutcome::Events(vec![event(json!({}), Some(&key))]))
    });
    let first = bench.send("POST", &hook, &[], "key-1").await;
    let again = bench.send("POST", &hook, &[], "key-1").await;
    let other = bench.send("POST", &hook, &[], "key-2").await;
    assert_eq!(again.json["duplicate"], true);
    assert_eq!((&again.json["event_id"], &again.json["run_ids"]), (&first.json["event_id"], &first.json["run_ids"]));
    assert_ne!(other.json["run_ids"], first.json["run_ids"]);
    assert_eq!(bench.api("GET", "/runs", "").await.json["runs"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn keys_of_one_workflow_say_nothing_about_another() {
    let bench = Bench::new();
    let one = bench.apply_sample().await;
    let other = sample_workflow("Other").replace("id: sample", "id: other");
    let other = hook_path(&bench.api("POST", "/workflows", &other).await.json);
    bench.trigger.answer(|_| Ok(WebhookOutcome::Events(vec![event(json!({}), Some("key"))])));
    let answers = [bench.send("POST", &one, &[], "").await, bench.send("POST", &other, &[], "").await];
    assert!(answers.iter().all(|answer| answer.json.get("duplicate").is_none()), "{answers:?}");
}

#[tokio::test]
async fn each_event_starts_a_run_and_too_many_are_refused_together() {
    let bench = Bench::new();
    let hook = bench.apply_sample().await;
    bench.trigger.answer(|call| {
        let count: usize = String::from_utf8_lossy(&call.request.body).parse().unwrap();
        let events = (0..count).map(|number| event(json!(number), (number == 1).then_some("one")));
        Ok(WebhookOutcome::Events(events.collect()))
    });
    let three = bench.send("POST", &hook, &[], "3").await;
    assert_eq!(three.json["run_ids"].as_array().map(Vec::len), Some(3));
    assert_eq!(bench.send("POST", &hook, &[], "0").await.json["ignored"], "the trigger found no event in the request");
    assert_eq!(bench.send("POST", &hook, &[], "101").await.status, 413);
    assert_eq!(bench.api("GET", "/runs", "").await.json["runs"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_trigger_answers_itself_or_its_failure_becomes_a_problem() {
    let bench = Bench::new();
    let hook = bench.apply_sample().await;
    bench.trigger.answer(|call| match call.request.method.as_str() {
        "GET" => Ok(WebhookOutcome::Reply {
            status: 405,
            headers: vec![("allow".into(), "POST".into()), ("set-cookie".into(), "a=b".into())],
            body: b"POST only".to_vec(),
        }),
        "PUT" => Err(InvokeError::Trapped { message: "a backtrace".into() }),
        _ => Err(InvokeError::Action(ActionError {
            code: "invalid-input".into(),
            message: "the body is not JSON: line 1".into(),
            retryable: false,
            retry_after_ms: None,
            details: None,
        })),
    });
    let reply = bench.send("GET", &hook, &[], "").await;
    assert_eq!((reply.status, reply.json), (405, json!("POST only")));
    assert_eq!(reply.headers["allow"], "POST");
    assert!(!reply.headers.contains_key("set-cookie"));
    let crash = bench.send("PUT", &hook, &[], "").await;
    assert_eq!(crash.status, 500);
    assert!(!crash.json.to_string().contains("backtrace"));
    let refusal = bench.send("POST", &hook, &[], "{").await;
    assert_eq!((refusal.status, refusal.json["detail"].as_str()), (400, Some("the body is not JSON: line 1")));
    let options = bench.send("OPTIONS", &hook, &[], "").await;
    assert_eq!((options.status, options.headers["allow"].to_str().unwrap()), (405, "GET, POST, PUT, PATCH, DELETE"));
}

#[test]
fn a_failure_shows_the_last_lines_that_the_plugin_logged() {
    let line = |number: usize| LogLine { level: LogLevel::Info, message: format!("line {number}") };
    let record = |count| CallRecord { log: (1..=count).map(line).collect(), ..CallRecord::default() };
    assert_eq!(last_lines(&record(7)), "line 3\nline 4\nline 5\nline 6\nline 7");
    assert_eq!(last_lines(&record(1)), "line 1");
    assert_eq!(last_lines(&record(0)), "");
}

#[tokio::test]
async fn a_triggers_own_problem_names_the_request() {
    let bench = Bench::new();
    let hook = bench.apply_sample().await;
    bench.trigger.answer(|_| {
        Ok(WebhookOutcome::Reply {
            status: 405,
            headers: vec![("content-type".into(), "application/problem+json".into())],
            body: br#"{"title":"POST only","status":405}"#.to_vec(),
        })
    });
    let answer = bench.send("GET", &hook, &[], "").await;
    assert_eq!(answer.json["instance"].as_str().map(str::as_bytes), Some(answer.headers["x-request-id"].as_bytes()));
    assert_eq!(answer.json["type"], "https://flowcell.dev/problems/method-not-allowed");
}

#[test]
fn what_a_trigger_did_is_in_the_log() {
    #[derive(Clone, Default)]
    struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let record = CallRecord {
        log: vec![LogLine { level: LogLevel::Warn, message: "odd\nforged line".to_owned() }],
        log_lines_dropped: 3,
        ..CallRecord::default()
    };
    tracing::subscriber::with_default(subscriber, || {
        log_record("req_1", &"sample".parse().unwrap(), &record);
    });
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("request=\"req_1\" workflow=sample level=Warn line=\"odd\\nforged line\""), "{text}");
    assert!(text.contains("dropped=3"), "{text}");
}

#[tokio::test]
async fn a_duplicate_whose_run_is_removed_is_told_that_it_came_before() {
    use flowcell_core::ports::{Append, Durability};
    use flowcell_core::run::event::{Outcome, Recorded, RunEvent};
    use flowcell_core::run::fold::Run;
    let bench = Bench::new();
    let text = sample_workflow("A").replace("inbound@1\n", "inbound@1\n  reply: { wait: 10s }\n");
    let text = text + "  - id: answer\n    respond: { status: 200 }\n";
    let hook = hook_path(&bench.api("POST", "/workflows", &text).await.json);
    bench.trigger.answer(|_| Ok(WebhookOutcome::Events(vec![event(json!({}), Some("key"))])));
    bench.app.waiting.stop(); // nobody is waited for
    let first = bench.send("POST", &hook, &[], "").await;
    let run = first.json["run_ids"][0].as_str().unwrap().parse().unwrap();

    let ports = &bench.app.ports;
    let mut history = ports.journal.load(run).await.unwrap();
    let finished = RunEvent::Finished { outcome: Outcome::Succeeded, output: json!(null) };
    let end = Recorded { seq: 1, at: history[0].at, event: finished };
    history.push(end.clone());
    let summary = Run::fold(run, &history).unwrap().summary();
    let append = Append { run, entries: vec![end], summary, durability: Durability::Synced };
    ports.journal.append(append).await.unwrap();
    ports.retention.remove(&bench.app.workspace, &[run]).await.unwrap();

    let again = bench.send("POST", &hook, &[], "").await;
    assert_eq!((again.status, &again.json["duplicate"]), (202, &json!(true)), "{again:?}");
    assert_eq!((&again.json["run_ids"], again.json.get("status")), (&first.json["run_ids"], None));
}
