//! What code inside a good component can try, through Flowcell's own interfaces.

use std::time::{Duration, Instant};

use flowcell_core::exchange::LogLevel;
use flowcell_core::invoke::{Disposition, InvokeError};
use flowcell_core::ports::Invoker as _;
use serde_json::json;

use crate::support::{RealClock, World, call};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_call_is_answered_and_accounted_for() {
    let world = World::new().await;
    assert!(world.sandbox.prepare([world.hostile]).await.is_empty());
    let answer = world.act(world.hostile, "behave", json!({ "say": "grüezi" })).await;
    assert_eq!(answer.outcome.unwrap(), json!({ "echo": "grüezi", "key": "key-1" }));
    let record = answer.record;
    assert!(record.cpu_ms > 0.0 && record.cpu_ms < 100.0, "{record:?}");
    assert!(record.memory_bytes >= 64 << 10 && record.memory_bytes <= 48 << 20, "{record:?}");
    assert!(record.http.is_empty() && record.log.is_empty() && record.log_lines_dropped == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spinning_guest_is_stopped_at_its_processor_limit() {
    let world = World::new().await;
    world.still_serves().await;
    for action in ["infinite-loop", "spin-in-host-calls"] {
        let answer = world.act(world.hostile, action, json!({})).await;
        let Err(InvokeError::CpuExhausted { used_ms, limit_ms: 300 }) = answer.outcome else { panic!("{answer:?}") };
        assert!((300..400).contains(&used_ms), "{action} used {used_ms} ms");
        assert!(answer.record.cpu_ms >= 300.0);
        world.still_serves().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spinning_guest_is_stopped_at_the_deadline_of_the_call() {
    let world = World::new().await;
    world.still_serves().await;
    let deadline = Duration::from_millis(60);
    let mut late = Vec::new();
    for _ in 0..5 {
        let mut spin = call(world.hostile, "infinite-loop", json!({}));
        let started = Instant::now();
        spin.deadline = flowcell_core::ports::Clock::now(&RealClock) + deadline;
        let answer = world.sandbox.invoke(spin).await;
        late.push(started.elapsed().saturating_sub(deadline));
        assert!(matches!(answer.outcome, Err(InvokeError::DeadlineExceeded { limit_ms: 1..=60 })), "{answer:?}");
    }
    // FEATURES K4; the best of five leaves the machine's own delays out.
    assert!(late.iter().min().unwrap() < &Duration::from_millis(10), "{late:?}");
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_calls_go_on_beside_a_spinning_guest() {
    let world = World::new().await;
    world.still_serves().await;
    let spin = || world.act(world.hostile, "infinite-loop", json!({}));
    let spinners = async { tokio::join!(spin(), spin(), spin(), spin()) };
    let neighbour = async {
        for _ in 0..20 {
            world.still_serves().await;
        }
    };
    tokio::pin!(neighbour);
    tokio::select! {
        () = &mut neighbour => {}
        ended = spinners => panic!("twenty good calls took longer than four guests' time: {ended:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_stack_have_ends() {
    let world = World::new().await;
    let answer = world.act(world.hostile, "memory-bomb", json!({})).await;
    assert_eq!(answer.outcome, Err(InvokeError::MemoryExhausted { limit_bytes: 48 << 20 }));
    assert!((40 << 20..=48 << 20).contains(&answer.record.memory_bytes), "{}", answer.record.memory_bytes);
    world.still_serves().await;

    let error = world.attack(world.hostile, "recursion", json!({ "depth": 4_000_000_000_u64 })).await;
    assert!(
        matches!(&error, InvokeError::LimitExceeded { message } if message.contains("call stack may have 512 KiB")),
        "{error}"
    );
    assert!(world.act(world.hostile, "recursion", json!({ "depth": 1_000 })).await.outcome.is_ok());
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_flood_is_cut_and_counted() {
    let world = World::new().await;
    let answer = world.act(world.hostile, "log-flood", json!({})).await;
    let record = answer.record;
    let bytes: usize = record.log.iter().map(|line| line.message.len()).sum();
    assert!(record.log.iter().all(|line| line.message.len() <= 4096 && line.level == LogLevel::Info));
    assert!(bytes <= 256 << 10 && record.log.len() <= 500, "{bytes} bytes, {} lines", record.log.len());
    if answer.outcome.is_ok() {
        assert_eq!(record.log.len() as u64 + record.log_lines_dropped, 100_000);
    } else {
        // A slow machine stops it for its processor time first; what it wrote until then is counted all the same.
        assert!(record.log_lines_dropped > 0, "{:?}", answer.outcome);
    }
    world.still_serves().await;

    let error = world.attack(world.hostile, "log-monster", json!({})).await;
    assert!(is_too_much_to_carry(&error), "{error}");
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_that_break_the_contract_are_named() {
    let world = World::new().await;
    for (action, input, part) in [
        ("giant-result", json!({ "bytes": 2 << 20 }), "at most 1048576 may cross"),
        ("bad-json", json!({}), "not a JSON document"),
        ("repeated-key", json!({}), "`echo` is there twice"),
        ("deep-json", json!({}), "more than 64 levels"),
        ("wrong-shape", json!({}), "at `/echo`"),
    ] {
        let error = world.attack(world.hostile, action, input).await;
        assert!(
            matches!(&error, InvokeError::InvalidOutput { message } if message.contains(part)),
            "{action}: {error}"
        );
        assert_eq!(error.disposition(), Disposition::Permanent);
    }
    // Beyond 8 MiB the result is not even copied.
    for (action, input) in [("giant-result", json!({ "bytes": 9 << 20 })), ("giant-error", json!({}))] {
        let error = world.attack(world.hostile, action, input).await;
        assert!(is_too_much_to_carry(&error), "{error}");
    }
    world.still_serves().await;
}

fn is_too_much_to_carry(error: &InvokeError) -> bool {
    matches!(error, InvokeError::LimitExceeded { message } if message.contains("one call may carry 8388608 bytes out of it"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_reported_with_the_last_words() {
    let world = World::new().await;
    let error = world.attack(world.hostile, "panic", json!({})).await;
    let InvokeError::Trapped { message } = &error else { panic!("{error:?}") };
    assert!(message.contains("gave up") && message.contains("the moon is full"), "{message}");
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typed_error_is_taken_but_bounded() {
    let world = World::new().await;
    let error = world.attack(world.hostile, "typed-error", json!({})).await;
    assert_eq!(error.disposition(), Disposition::Transient { after_ms: Some(1_500) });
    let InvokeError::Action(error) = error else { panic!("{error:?}") };
    assert_eq!((error.code.as_str(), error.message.len()), ("failed", 4096));
    assert_eq!(error.details, Some(json!({ "field": "/url" })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_that_does_not_fit_never_reaches_the_guest() {
    let world = World::new().await;
    let error = world.attack(world.hostile, "behave", json!({ "url": 7 })).await;
    assert!(matches!(&error, InvokeError::InvalidInput { pointer, .. } if pointer == "/url"), "{error:?}");
    let error = world.attack(world.hostile, "behave", json!({ "say": "x".repeat(2 << 20) })).await;
    assert!(
        matches!(&error, InvokeError::InvalidInput { message, .. } if message.contains("at most 1048576")),
        "{error:?}"
    );
    let error = world.attack(world.hostile, "dance", json!({})).await;
    assert!(
        matches!(&error, InvokeError::Unavailable { message, .. } if message.contains("fixture/hostile 1.0.0 has no action `dance`"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_outside_the_grant_are_denied_with_the_grant_to_add() {
    let world = World::new().await;
    let answer = world.act(world.hostile, "send", json!({ "url": "http://granted.test/ok" })).await;
    assert_eq!(answer.outcome.unwrap()["status"], 200);
    assert_eq!(answer.record.http.len(), 1);
    let before = world.network.connections.load(std::sync::atomic::Ordering::Relaxed);

    for url in [
        "http://elsewhere.test/",
        "https://granted.test/",
        "http://granted.test:81/",
        "ftp://granted.test/",
        "http://u:p@granted.test/",
    ] {
        let answer = world.act(world.hostile, "send", json!({ "url": url })).await;
        let output = answer.outcome.unwrap();
        assert!(output["error"] == "denied" || output["error"] == "invalid-request", "{url}: {output}");
        assert_eq!(answer.record.http.len(), 1, "the denial is on the run's page");
    }
    // The manifest asks for https as well; only the workspace has not granted it.
    let output = world.act(world.hostile, "send", json!({ "url": "https://granted.test/" })).await.outcome.unwrap();
    let message = output["message"].as_str().unwrap();
    assert!(message.contains("[[grants]]") && message.contains("https://granted.test"), "{message}");
    assert_eq!(world.network.connections.load(std::sync::atomic::Ordering::Relaxed), before, "nothing was dialled");
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outbound_floods_meet_their_budgets() {
    let world = World::new().await;
    let url = json!({ "url": "http://granted.test/ok" });
    let answer = world.act(world.hostile, "request-flood", url.clone()).await;
    assert_eq!(answer.outcome.unwrap(), json!({ "answered": 5, "refused": 195 }));
    assert!(answer.record.http.len() <= 25, "{} exchanges kept", answer.record.http.len());

    let output = world.act(world.hostile, "header-flood", url.clone()).await.outcome.unwrap();
    assert_eq!(output["error"], "too-large", "{output}");
    for (path, code) in [("/large", "too-large"), ("/headers", "too-large")] {
        let output = world
            .act(world.hostile, "send", json!({ "url": format!("http://granted.test{path}") }))
            .await
            .outcome
            .unwrap();
        assert_eq!(output["error"], code, "{path}: {output}");
    }
    let output = world.act(world.hostile, "credential-header", url).await.outcome.unwrap();
    let answers = output.as_object().unwrap();
    assert_eq!(answers.len(), 9);
    for (header, answer) in answers {
        assert_eq!(answer["error"], "invalid-request", "{header}: {answer}");
    }
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outbound_bytes_have_a_budget_both_ways() {
    let world = World::with(|config| config.limits.http_received_bytes = 5).await;
    let url = json!({ "url": "http://granted.test/ok" });
    let answers = world.act(world.hostile, "body-flood", url.clone()).await.outcome.unwrap();
    // Three bodies of 7 MiB: the third would make more than 16.
    let [first, second, third] = [0, 1, 2].map(|index| answers[index].clone());
    assert_eq!((&first["status"], &second["status"]), (&json!(200), &json!(200)), "{answers}");
    assert!(third["message"].as_str().is_some_and(|said| said.contains("may send 16777216 bytes")), "{third}");

    // Two bytes each: the third answer is one byte too many.
    let answer = world.act(world.hostile, "request-flood", url).await;
    let (read, refused) = answer.record.http.iter().partition::<Vec<_>, _>(|exchange| exchange.error.is_none());
    assert_eq!(read.len(), 2);
    let error = refused[0].error.as_ref().unwrap();
    assert!(error.code == "budget" && error.message.contains("may receive 5 bytes"), "{error:?}");
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_ends_with_the_call() {
    let world = World::new().await;
    for path in ["/never", "/drip"] {
        let started = Instant::now();
        let answer =
            world.act(world.hostile, "wait-for-ever", json!({ "url": format!("http://granted.test{path}") })).await;
        match &answer.outcome {
            Err(InvokeError::DeadlineExceeded { limit_ms }) => assert!((1_900..=2_000).contains(limit_ms)),
            Ok(output) => assert_eq!(output["error"], "timeout", "{output}"),
            Err(error) => panic!("{error:?}"),
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert_eq!(answer.record.http.len(), 1, "what was under way is on the run's page");
    }
    world.still_serves().await;
}
