//! What is recorded of a call, and that it suffices to make the call again: with the same answers, the same clock, the same randomness.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use flowcell_core::exchange::AnsweredBy;
use flowcell_core::id::Digest;
use flowcell_core::invoke::{ActionCall, CallRecord, Invocation, InvokeError};
use flowcell_core::ports::{Invoker as _, Rehearsal};
use flowcell_core::record::{Answers, Difference, RecordedFailure, Recording};
use flowcell_sandbox::{DryRun, SeedKey};
use serde_json::{Value, json};

use crate::support::{World, call};

const OK: &str = "http://granted.test/ok";

/// Makes the call and writes down what a journal would have of it, through its text.
async fn record(world: &World, call: ActionCall) -> (Recording, Invocation<Value>) {
    let answer = world.sandbox.invoke(call.clone()).await;
    let outcome = answer
        .outcome
        .clone()
        .map_err(|error| RecordedFailure { code: error.code().to_owned(), message: error.to_string() });
    let record: CallRecord = serde_json::from_str(&serde_json::to_string(&answer.record).unwrap()).unwrap();
    (Recording { call, outcome, record }, answer)
}

async fn ambient(world: &World, change: impl FnOnce(&mut ActionCall)) -> Invocation<Value> {
    let mut call = call(world.wasi_http, "ambient", json!({}));
    change(&mut call);
    world.sandbox.invoke(call).await
}

fn nanos(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_a_guest_sees_is_the_recorded_one() {
    let world = World::new().await;
    let call = call(world.wasi_http, "ambient", json!({ "url": OK }));
    let answer = world.sandbox.invoke(call).await;
    let (output, record) = (answer.outcome.unwrap(), answer.record);
    let ambient = record.ambient.expect("a guest that looked at the clock leaves where it stood");
    assert_eq!(nanos(&output["began"]), ambient.began_at.as_millis() * 1_000_000, "to the millisecond, and no finer");
    assert_eq!(nanos(&output["deadline_ms"]), ambient.deadline.as_millis());
    let readings = [&output["began"], &output["readings"][0], &output["readings"][1]].map(nanos);
    assert_eq!(
        [readings[1] - readings[0], readings[2] - readings[1]],
        [1_000, 1_000],
        "a reading takes 1 µs: {output}"
    );
    assert_eq!(nanos(&output["slept"]) - readings[2], 40_000_000 + 1_000, "a sleep takes what it was to take");
    let waited = nanos(&output["answered"]) - nanos(&output["slept"]);
    assert_eq!(waited, record.http[0].duration_ms * 1_000_000 + 1_000, "a request takes what is recorded");

    let plain = world.act(world.hostile, "behave", json!({})).await.record;
    assert_eq!(plain.ambient, None, "who asks for neither time nor chance leaves no trace of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attempt_draws_its_own_randomness_and_the_same_attempt_the_same() {
    let world = World::with(|config| config.seed_key = Some(SeedKey::from_bytes([7; 32]))).await;
    let first = call(world.wasi_http, "ambient", json!({}));
    let drawn = |answer: Invocation<Value>| {
        let output = answer.outcome.unwrap();
        ["random", "insecure", "hash_seed"].map(|kind| output[kind].clone())
    };
    let (run, step) = (first.run, first.step.clone());
    let same_place = |call: &mut ActionCall| (call.run, call.step) = (run, step.clone());
    let once = drawn(world.sandbox.invoke(first).await);
    assert_ne!(once[0][0], once[0][1], "two draws of one call differ");
    let again = drawn(ambient(&world, same_place).await);
    assert_eq!(once, again, "the same attempt of the same step draws the same");
    let second = |call: &mut ActionCall| {
        same_place(call);
        call.attempt = 2;
    };
    let other_key = |call: &mut ActionCall| {
        same_place(call);
        call.idempotency_key = "key-2".into();
    };
    for other in [drawn(ambient(&world, second).await), drawn(ambient(&world, other_key).await)] {
        assert!(once.iter().zip(&other).all(|(once, other)| once != other), "{once:?} {other:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_asks_for_the_same_and_returns_the_same_without_a_network() {
    let world = World::new().await;
    for call in [
        call(world.hostile, "post", json!({ "url": OK, "say": "hello" })),
        call(world.hostile, "post", json!({ "url": "http://elsewhere.test/", "say": "denied" })),
        call(world.hostile, "panic", json!({})),
        call(world.wasi_http, "ambient", json!({ "url": OK })),
        call(world.wasi_http, "send", json!({ "url": OK })),
    ] {
        let (recording, live) = record(&world, call).await;
        let before = world.network.connections.load(Relaxed);
        let replay = world.sandbox.replay(&recording).await;
        assert_eq!(replay.difference, None, "{recording:?}\n{replay:?}");
        assert_eq!(replay.outcome, live.outcome);
        assert_eq!(replay.record.ambient, live.record.ambient);
        assert_eq!(replay.record.http.len(), live.record.http.len());
        assert!(replay.record.http.iter().all(|exchange| exchange.answered_by == Some(AnsweredBy::Recorded)));
        assert_eq!(world.network.connections.load(Relaxed), before, "nothing was dialled");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_difference_of_a_replay_is_explained() {
    let world = World::new().await;
    let (recording, _) = record(&world, call(world.hostile, "post", json!({ "url": OK, "say": "hello" }))).await;
    let difference = |change: fn(&mut Recording)| {
        let (world, mut changed) = (&world, recording.clone());
        change(&mut changed);
        async move { world.sandbox.replay(&changed).await.difference.map(|difference| difference.to_string()) }
    };
    assert_eq!(
        difference(|recording| recording.call.input["say"] = json!("goodbye")).await.as_deref(),
        Some("request 1 differs in its body: recorded hello (5 bytes), now goodbye (7 bytes)")
    );
    let other_answer = |recording: &mut Recording| {
        recording.record.http[0].response.as_mut().unwrap().body.text = Some("no".into());
    };
    assert_eq!(
        difference(other_answer).await.as_deref(),
        Some("request 2 differs in its body: recorded ok (2 bytes), now no (2 bytes)")
    );
    let cut = difference(|recording| recording.record.http[0].response.as_mut().unwrap().body.shorten(0)).await;
    assert!(
        cut.as_ref().is_some_and(|said| said.contains("request 1 (POST http://granted.test/ok) was not kept whole"))
    );
    let more = difference(|recording| drop(recording.record.http.pop())).await;
    assert_eq!(more.as_deref(), Some("request 2 is new: POST http://granted.test/ok"));
    let other_output = difference(|recording| recording.outcome.as_mut().unwrap()["status"] = json!(201)).await;
    assert_eq!(other_output.as_deref(), Some("the output differs at /status: recorded 201, now 200"));
    let gone = |recording: &mut Recording| recording.call.digest = Digest::of(b"nobody has this");
    assert!(difference(gone).await.is_some_and(|said| said.contains("no longer made")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_records_the_requests_and_sends_none() {
    let world = World::new().await;
    let answers: Answers = serde_json::from_value(json!({ "http": [
        { "method": "POST", "url": "http://granted.test/*", "status": 201, "text": "pinned" },
        { "url": OK, "error": "timeout" },
    ]}))
    .unwrap();
    let post = || call(world.hostile, "post", json!({ "url": OK, "say": "hello" }));
    let answer = world.sandbox.dry_run(post(), &answers).await;
    let expected = json!({ "first": "pinned", "status": 201, "took": 0, "second": "timeout: true" });
    assert_eq!(answer.outcome.unwrap(), expected);
    let sent: Vec<_> = answer.record.http.iter().map(|exchange| exchange.request.body.text.as_deref()).collect();
    assert_eq!(sent, [Some("hello"), Some("pinned")]);
    assert!(answer.record.http.iter().all(|exchange| exchange.answered_by == Some(AnsweredBy::Pinned)));
    assert!(!answer.record.is_uncertain(), "what was not sent has had no effect");

    // Without an answer: 200 and an empty object, and the record says that nobody gave it. Through the engine's port this time.
    let World { sandbox, network, hostile, wasi_http, .. } = world;
    let dry = DryRun::new(Arc::new(sandbox), |_: &ActionCall| Answers::default());
    let answer = dry.invoke(call(hostile, "post", json!({ "url": OK, "say": "hello" }))).await;
    assert_eq!(answer.outcome.unwrap(), json!({ "first": "{}", "status": 200, "took": 0, "second": "{}" }));
    assert!(answer.record.http.iter().all(|exchange| exchange.answered_by == Some(AnsweredBy::StandIn)));
    let headers = &answer.record.http[0].request.headers;
    assert!(headers.iter().any(|(name, value)| name == "user-agent" && value.starts_with("flowcell/")), "{headers:?}");

    // What would be denied is denied, and the budget counts.
    let answer = dry.invoke(call(hostile, "send", json!({ "url": "http://elsewhere.test/" }))).await;
    assert_eq!(answer.outcome.unwrap()["error"], "denied");
    let answer = dry.invoke(call(hostile, "request-flood", json!({ "url": OK }))).await;
    assert_eq!(answer.outcome.unwrap(), json!({ "answered": 5, "refused": 195 }));

    // Nobody waits, whichever interface is used.
    let started = Instant::now();
    assert_eq!(dry.invoke(call(wasi_http, "sleep", json!({}))).await.outcome, Ok(Value::Null), "an hour");
    let answer = dry.invoke(call(wasi_http, "send", json!({ "url": OK }))).await;
    assert_eq!(answer.outcome.unwrap()["status"], 200);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(network.connections.load(Relaxed), 0, "nothing was dialled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fuel_is_counted_the_same_each_time_and_has_an_end() {
    let world = World::with(|config| config.limits.fuel = 20_000_000).await;
    let count = async |to: u64| world.act(world.hostile, "count", json!({ "to": to })).await;
    let (once, again, twice) = (count(10_000).await, count(10_000).await, count(20_000).await);
    let fuel = once.record.fuel;
    assert_eq!(fuel, again.record.fuel, "the same call uses the same fuel");
    let each = (twice.record.fuel - fuel) / 10_000;
    assert!((2..20).contains(&each), "{each} instructions for each turn of the loop");

    let error = count(1_000_000_000).await;
    assert_eq!(error.outcome, Err(InvokeError::FuelExhausted { limit: 20_000_000 }));
    assert_eq!(error.record.fuel, 20_000_000);
    let message = error.outcome.unwrap_err().to_string();
    assert!(message.contains("20000000 WebAssembly instructions") && message.contains("limits.fuel"), "{message}");
    world.still_serves().await;
}

#[test]
fn a_difference_reads_as_data_too() {
    let difference = Difference::NewRequest { number: 2, now: "GET https://a.example/".into() };
    assert_eq!(
        serde_json::to_value(&difference).unwrap(),
        json!({ "kind": "new-request", "number": 2, "now": "GET https://a.example/" })
    );
}
