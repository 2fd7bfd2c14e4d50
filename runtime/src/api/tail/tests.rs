use flowcell_core::id::RunId;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flowcell_core::ports::{Accepted, Append, Delivery, Durability, Journal, StoreError};
use flowcell_core::run::event::{Outcome, Recorded, RunEvent};
use flowcell_core::run::fold::Run;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::testing::Bench;

/// What came so far, message by message: event, id, data.
fn messages(text: &str) -> Vec<(String, Option<String>, Value)> {
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
    };
    text.split("\n\n")
        .filter_map(|block| {
            let data = serde_json::from_str(&field(block, "data")?).unwrap();
            Some((field(block, "event").unwrap(), field(block, "id"), data))
        })
        .collect()
}

async fn started(bench: &Bench) -> RunId {
    let hook = bench.apply_sample().await;
    let answer = bench.send("POST", &hook, &[], "{}").await;
    answer.json["run_ids"][0].as_str().unwrap().parse().unwrap()
}

async fn happens(bench: &Bench, run: RunId, events: Vec<RunEvent>) {
    let mut history = bench.app.ports.journal.load(run).await.unwrap();
    let at = history[0].at;
    let from = u32::try_from(history.len()).unwrap();
    let entries: Vec<_> = (from..).zip(events).map(|(seq, event)| Recorded { seq, at, event }).collect();
    history.extend(entries.clone());
    let summary = Run::fold(run, &history).unwrap().summary();
    let append = Append { run, entries, summary, durability: Durability::Synced };
    bench.app.ports.journal.append(append).await.unwrap();
}

fn whole_run() -> Vec<RunEvent> {
    let step: flowcell_core::id::StepId = "one".parse().unwrap();
    let call = serde_json::from_value(json!({ "log": [{ "level": "info", "message": "line\nbreak" }] })).unwrap();
    vec![
        RunEvent::StepStarted { step: step.clone().into(), attempt: 1 },
        RunEvent::StepSucceeded {
            step: step.into(),
            attempt: 1,
            output: json!(1).into(),
            input: json!(null).into(),
            call,
        },
        RunEvent::Finished { outcome: Outcome::Succeeded, output: json!(null) },
    ]
}

#[tokio::test]
async fn a_run_is_told_from_its_beginning_to_its_end_and_a_client_goes_on_where_it_was() {
    let bench = Bench::new();
    let run = started(&bench).await;
    happens(&bench, run, whole_run()).await;
    let told = bench.api("GET", &format!("/runs/{run}/events"), "").await;
    assert_eq!((told.status, told.headers["content-type"].as_bytes()), (200, &b"text/event-stream"[..]));
    let told = messages(told.json.as_str().unwrap());
    let shape: Vec<_> = told.iter().map(|(event, id, _)| (event.as_str(), id.as_deref())).collect();
    let entry = |id| ("entry", Some(id));
    assert_eq!(shape, [entry("0"), entry("1"), ("log", None), entry("2"), entry("3"), ("end", None)]);
    assert_eq!(told[2].2["message"], "line\nbreak");
    assert_eq!((&told[2].2["step"], &told[3].2["entry"]["type"]), (&json!("one"), &json!("step-succeeded")));

    let authorization = "Bearer fcat_a-token-for-tests";
    let headers = [("authorization", authorization), ("last-event-id", "2")];
    let rest = bench.send("GET", &format!("/api/v2/runs/{run}/events"), &headers, "").await;
    let rest = messages(rest.json.as_str().unwrap());
    assert_eq!(rest.iter().map(|(event, ..)| event.as_str()).collect::<Vec<_>>(), ["entry", "end"]);
}

#[tokio::test]
async fn what_becomes_durable_reaches_whoever_follows_and_no_other_workflow_does() {
    let bench = Bench::new();
    let run = started(&bench).await;
    let mut streams = Vec::new();
    for path in ["/api/v2/events", "/api/v2/events?workflow=sample", "/api/v2/events?workflow=other"] {
        let mut body = bench.stream(path).await;
        let hello = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(&hello[..], b"retry: 1000\n\n");
        streams.push(body);
    }
    happens(&bench, run, whole_run()).await;
    for body in streams.iter_mut().take(2) {
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let told = messages(std::str::from_utf8(&piece).unwrap());
        let kinds: Vec<_> = told.iter().map(|(event, ..)| event.as_str()).collect();
        assert_eq!(kinds, ["entry", "log", "entry", "entry"]);
        assert_eq!(told.iter().filter(|(_, id, _)| id.is_some()).count(), 1, "the last one of the change");
    }
    bench.app.closing.cancel();
    assert!(streams[2].frame().await.is_none(), "it heard nothing, and ends with the server");
}

#[tokio::test]
async fn a_client_that_was_away_for_too_long_is_told_what_it_missed() {
    let bench = Bench::new();
    started(&bench).await;
    let mut body = bench.stream_after("/api/v2/events", "999.0").await;
    let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let told = messages(std::str::from_utf8(&piece).unwrap());
    assert_eq!((told[0].0.as_str(), &told[0].2["missed_after"]), ("cut", &json!("999.0")));
    let headers = [("authorization", "Bearer fcat_a-token-for-tests"), ("last-event-id", "yesterday")];
    let refused = bench.send("GET", "/api/v2/events", &headers, "").await;
    assert!(refused.status == 400 && refused.json["detail"].as_str().unwrap().contains("yesterday"), "{refused:?}");
}

#[tokio::test]
async fn followers_beyond_the_limit_are_asked_to_come_again() {
    let bench = Bench::new();
    let mut streams = Vec::new();
    for _ in 0..super::FOLLOWERS_MAX {
        streams.push(bench.stream("/api/v2/events").await);
    }
    let refused = bench.api("GET", "/events", "").await;
    assert!(refused.status == 503 && refused.headers.contains_key("retry-after"), "{refused:?}");
    streams.pop();
    drop(bench.stream("/api/v2/events").await);
}

/// Notes how much of a journal is asked for.
struct Counted {
    inner: Arc<dyn Journal>,
    /// The first entry that was wanted; 0 for a whole journal.
    asked: Arc<Mutex<Vec<u32>>>,
}

#[async_trait]
impl Journal for Counted {
    async fn accept(&self, delivery: Delivery) -> Result<Accepted, StoreError> {
        self.inner.accept(delivery).await
    }
    async fn append(&self, append: Append) -> Result<(), StoreError> {
        self.inner.append(append).await
    }
    async fn load(&self, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        self.asked.lock().unwrap().push(0);
        self.inner.load(run).await
    }
    async fn load_from(&self, run: RunId, seq: u32) -> Result<Vec<Recorded>, StoreError> {
        self.asked.lock().unwrap().push(seq);
        self.inner.load_from(run, seq).await
    }
}

#[tokio::test]
async fn whoever_follows_a_run_makes_the_server_read_only_what_is_new() {
    let asked: Arc<Mutex<Vec<u32>>> = Arc::default();
    let counted = Arc::clone(&asked);
    let bench = Bench::with_journal(move |inner| Arc::new(Counted { inner, asked: counted }));
    let run = started(&bench).await;
    let mut body = bench.stream(&format!("/api/v2/runs/{run}/events")).await;
    let mut told = Vec::new();
    let mut all = bench.stream("/api/v2/events").await;
    all.frame().await.unwrap().unwrap();
    let mut following = Vec::new();
    for event in [None].into_iter().chain(whole_run().into_iter().map(Some)) {
        if let Some(event) = event {
            happens(&bench, run, vec![event]).await;
        }
        asked.lock().unwrap().clear();
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        told.extend(messages(std::str::from_utf8(&piece).unwrap()).into_iter().filter_map(|(_, id, _)| id));
        following.extend(std::mem::take(&mut *asked.lock().unwrap()));
    }
    assert_eq!(told, ["0", "1", "2", "3"], "every entry once");
    assert_eq!(following, [0, 1, 2, 3], "and none is read twice");
    let piece = all.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(std::str::from_utf8(&piece).unwrap().contains("finished"));
    assert_eq!(*asked.lock().unwrap(), [1, 2, 3], "nor for those who follow everything");
}
