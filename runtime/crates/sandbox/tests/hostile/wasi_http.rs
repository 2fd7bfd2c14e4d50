//! The same attempts through `wasi:http` and the rest of WASI: the same door, the same limits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use flowcell_core::capability::{Grant, HttpGrant, Origin, StepScope, UrlScope};
use flowcell_core::invoke::InvokeError;
use flowcell_core::ports::{Invoker as _, NoBlobs};
use flowcell_sandbox::egress::EgressConfig;
use flowcell_sandbox::{NoCredentials, NoServices, Ports, Sandbox, SandboxConfig, StaticGrants};
use serde::Deserialize;
use serde_json::json;

use crate::network::{Answer, Canary, Lab, Receiver};
use crate::support::{Plugins, Random, RealClock, World, call, compiler, fixture};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wasi_http_ends_in_the_same_door() {
    let world = World::new().await;
    let answer = world.act(world.wasi_http, "send", json!({ "url": "http://granted.test/ok" })).await;
    let output = answer.outcome.unwrap();
    assert_eq!((&output["status"], &output["body_bytes"]), (&json!(200), &json!(2)), "{output}");
    assert_eq!(answer.record.http.len(), 1);
    let before = world.network.connections.load(Relaxed);

    for (url, codes) in [
        ("http://elsewhere.test/", &["HttpRequestDenied"][..]),
        ("https://granted.test/", &["HttpRequestDenied"]),
        ("http://granted.test:81/", &["HttpRequestDenied"]),
        ("http://u:p@granted.test/", &["HttpRequestDenied", "HttpRequestUriInvalid", "authority"]),
    ] {
        let answer = world.act(world.wasi_http, "send", json!({ "url": url })).await;
        let output = answer.outcome.unwrap();
        assert!(codes.iter().any(|code| output["error"].as_str().unwrap().contains(code)), "{url}: {output}");
    }
    // The guest sees a code; the run's page has the sentence.
    let answer = world.act(world.wasi_http, "send", json!({ "url": "https://granted.test/" })).await;
    let error = answer.record.http[0].error.clone().unwrap();
    assert!(error.code == "denied" && error.message.contains("[[grants]]"), "{error:?}");
    assert_eq!(world.network.connections.load(Relaxed), before, "nothing was dialled");
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wasi_http_floods_meet_the_same_budgets() {
    let world = World::new().await;
    let url = json!({ "url": "http://granted.test/ok" });
    let output = world.act(world.wasi_http, "request-flood", url.clone()).await.outcome.unwrap();
    assert_eq!(output, json!({ "answered": 5, "refused": 95 }));

    let output = world.act(world.wasi_http, "credential-header", url.clone()).await.outcome.unwrap();
    for (header, answer) in output.as_object().unwrap() {
        assert!(answer["error"].as_str().is_some_and(|error| error.contains("Forbidden")), "{header}: {answer}");
    }
    let error = world.attack(world.wasi_http, "header-flood", url.clone()).await;
    assert!(
        matches!(&error, InvokeError::LimitExceeded { message } if message.contains("65536 bytes of headers")),
        "{error}"
    );
    let output = world.act(world.wasi_http, "unread-body", url).await.outcome.unwrap();
    assert_eq!(output["status"], 200);
    let output =
        world.act(world.wasi_http, "unread-body", json!({ "url": "http://granted.test/large" })).await.outcome.unwrap();
    assert_eq!(output["error"], "HttpResponseBodySize");
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hoarding_and_waiting_through_wasi_have_ends() {
    let world = World::new().await;
    let error = world.attack(world.wasi_http, "handle-flood", json!({})).await;
    assert!(
        matches!(&error, InvokeError::LimitExceeded { message } if message.contains("1000 WASI resources")),
        "{error}"
    );
    let error = world.attack(world.wasi_http, "random-flood", json!({})).await;
    assert!(
        matches!(&error, InvokeError::LimitExceeded { message } if message.contains("65536 random bytes")),
        "{error}"
    );
    for (action, url) in [
        ("sleep", "http://granted.test/ok"),
        ("unfinished-body", "http://granted.test/ok"),
        ("unread-body", "http://granted.test/drip"),
    ] {
        let started = Instant::now();
        match world.act(world.wasi_http, action, json!({ "url": url })).await.outcome {
            Err(InvokeError::DeadlineExceeded { .. }) => {}
            Ok(output) => {
                assert!(output["error"].as_str().is_some_and(|error| error.contains("Timeout")), "{action}: {output}");
            }
            Err(error) => panic!("{action}: {error:?}"),
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{action}: {:?}", started.elapsed());
    }
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_finds_nothing_around_it() {
    let world = World::new().await;
    let output = world.act(world.wasi_http, "surroundings", json!({})).await.outcome.unwrap();
    assert_eq!(
        (&output["environment"], &output["arguments"], &output["directories"]),
        (&json!(0), &json!(0), &json!(0))
    );
    for (attempt, code) in [("connect", "access-denied"), ("resolve", "permanent-resolver-failure")] {
        assert!(output[attempt].as_str().is_some_and(|error| error.contains(code)), "{output}");
    }
    assert_eq!(world.network.connections.load(Relaxed), 0);

    let output = world.act(world.wasi_http, "clock-and-random", json!({})).await.outcome.unwrap();
    assert!(output["seconds"].as_u64().unwrap() > 1_700_000_000 && output["random"] != json!(0), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_guest_wrote_to_stderr_explains_its_crash() {
    let world = World::new().await;
    let error = world.attack(world.wasi_http, "stderr-and-panic", json!({})).await;
    assert!(
        matches!(&error, InvokeError::Trapped { message } if message.contains("Traceback: the moon is full")),
        "{error:?}"
    );
    world.still_serves().await;
}

/// As in `ssrf/corpus.rs`.
#[derive(Deserialize)]
struct Case {
    name: String,
    url: String,
    expect: String,
    #[serde(default)]
    resolves: HashMap<String, Vec<String>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_case_of_the_corpus_gets_out_through_wasi_http() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../../../../tests/corpus/ssrf.json")).unwrap();
    let (canary, receiver) = (Canary::start().await, Receiver::start(Answer::Ok).await);
    let lab = Lab::new(EgressConfig::default(), receiver.address);
    for (name, addresses) in cases.iter().flat_map(|case| &case.resolves) {
        lab.names.set(name, &[&addresses.iter().map(String::as_str).collect::<Vec<_>>()]);
    }
    let (directory, catalog) = (tempfile::tempdir().unwrap(), Arc::new(Plugins::default()));
    let digest = catalog.add(fixture("fixture-wasi-http"));
    let grant =
        Grant { plugin: "fixture/wasi-http".parse().unwrap(), http: vec![HttpGrant::FromInput], services: vec![] };
    let ports = Ports {
        catalog: catalog as _,
        door: lab.door.clone(),
        grants: Arc::new(StaticGrants::new(vec![grant])),
        credentials: Arc::new(NoCredentials),
        blobs: Arc::new(NoBlobs),
        services: Arc::new(NoServices),
        clock: Arc::new(RealClock),
        entropy: Arc::new(Random),
    };
    let sandbox = Sandbox::new(SandboxConfig::new(directory.path().join("code"), compiler()), ports).unwrap();

    let (mut wrong, mut at_the_door, mut controls) = (Vec::new(), 0, 0);
    for case in cases {
        let url = case.url.replace("{canary}", &canary.port.to_string());
        let origin = url::Url::parse(&url).ok().and_then(|url| Origin::of(&url));
        let urls = origin.map(|origin| ("url".to_owned(), UrlScope::Fixed { origin })).into_iter().collect();
        let call = call(digest, "send", json!({ "url": url }));
        lab.recorder.dialled.lock().unwrap().clear();
        let answer = sandbox.invoke(flowcell_core::invoke::ActionCall { scope: StepScope { urls }, ..call }).await;
        let passed = answer.outcome.as_ref().is_ok_and(|output| output["status"] == 200);
        let refused = answer.outcome.as_ref().is_ok_and(|output| output["error"].is_string());
        let code = answer.record.http.first().and_then(|exchange| Some(exchange.error.as_ref()?.code.as_str()));
        let dialled = lab.recorder.dialled.lock().unwrap().clone();
        // The interface itself refuses some of what is no URL, and takes none that is relative: then there is no exchange.
        let right = if case.expect == "ok" {
            passed || (refused && answer.record.http.is_empty())
        } else {
            refused
                && dialled.is_empty()
                && code.is_none_or(|code| [case.expect.as_str(), "invalid-request"].contains(&code))
        };
        if !right {
            let outcome = &answer.outcome;
            wrong.push(format!(
                "{}: {url:.80}: expected {}: {code:?}, {dialled:?}, {outcome:?}",
                case.name, case.expect
            ));
        }
        controls += usize::from(passed);
        at_the_door += usize::from(code == Some(case.expect.as_str()));
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(at_the_door >= 150 && controls >= 10, "{at_the_door} refused by the door, {controls} controls passed");
    assert_eq!(canary.visits().await, 0);
}
