//! The examples: every folder under `examples/` has an expectation, and does what it says.

use flowcell_tests::{Receiver, Reply, Server, request, root};
use serde_json::Value;

#[test]
fn a_github_push_becomes_a_build_request() {
    let receiver = Receiver::answering(|_, _| {
        Reply::status(201).header("content-type", "application/json").body(r#"{"build":7}"#)
    });
    let server = Server::start();
    let folder = root().join("examples/push-to-build");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let workflow = String::from_utf8(read("workflow.yaml")).unwrap();
    let applied = server.apply(&workflow.replace("https://build.example.com", &receiver.origin()));

    let payload = read("push.json");
    assert!(payload.len() >= 8_000, "the payload has the size of a real one");
    let answer =
        request("POST", &applied.url, &[("content-type", "application/json"), ("x-github-event", "push")], &payload)
            .unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    let run = answer.json()["run_ids"][0].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), Some(format!("/api/v2/runs/{run}").as_str()));
    assert!(answer.json()["event_id"].as_str().is_some_and(|id| id.starts_with("evt_")));

    let expected: Value = serde_json::from_slice(&read("expected.json")).unwrap();
    let requests = receiver.wait_for(1);
    assert_eq!(requests[0].method, expected["request"]["method"]);
    assert_eq!(requests[0].target, expected["request"]["target"]);
    assert_eq!(requests[0].json(), expected["request"]["json"]);
    assert!(requests[0].header("idempotency-key").is_some());

    let shown = server.wait_for_run(&run, &["succeeded"]);
    assert_eq!(shown["workflow"]["id"], "push-to-build");
    assert_eq!(shown["workflow"]["version"], 1);
    let step = &shown["steps"][0];
    assert_eq!((step["id"].as_str(), step["status"].as_str()), (Some("build"), Some("succeeded")));
    assert_eq!(step["plugin"]["id"], "flowcell/custom-webhook");
    assert!(step["plugin"]["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")));
    let attempt = &step["attempts"][0];
    assert_eq!(attempt["number"], 1);
    assert_eq!(attempt["input"]["json"], expected["request"]["json"]);
    assert_eq!(attempt["output"]["status"], 201);
    assert!(attempt["output"]["duration_ms"].is_u64(), "{attempt}");
    assert_eq!(attempt["output"]["body"]["build"], 7);
    assert_eq!(attempt["http"][0]["request"]["method"], "POST");
    assert_eq!(attempt["http"][0]["response"]["status"], 201);
    for measured in ["duration_ms", "cpu_ms", "memory_bytes"] {
        assert!(attempt[measured].is_number(), "{measured}: {attempt}");
    }
}

#[test]
fn every_example_does_what_its_expectation_says() {
    let plugins = tempfile::tempdir().unwrap();
    std::fs::write(plugins.path().join("hello.wasm"), crate::guest("hello-plugin")).unwrap();
    let arguments = vec!["--plugins".into(), plugins.path().to_str().unwrap().into()];
    let server = Server::start_with(flowcell_tests::Options { arguments, ..Default::default() });
    let mut examples = 0;
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        let read = |name: &str| {
            std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name} of {folder:?}: {error}"))
        };
        let expected: Value = serde_json::from_slice(&read("expected.json")).unwrap();
        let receiver = Receiver::answering(|_, _| Reply::status(201));
        let workflow = String::from_utf8(read("workflow.yaml")).unwrap();
        let applied = server.apply(&workflow.replace("https://build.example.com", &receiver.origin()));
        let delivery = match &expected["delivery"] {
            Value::String(file) => serde_json::from_slice(&read(file)).unwrap(),
            delivery => delivery.clone(),
        };
        let run = server.trigger(&applied.url, &delivery);
        let shown = server.wait_for_run(&run, &["succeeded", "failed"]);
        assert_eq!(shown["status"], "succeeded", "{folder:?}: {shown:#}");
        for (member, value) in expected["output"].as_object().unwrap() {
            assert_eq!(&crate::last_attempt(&shown)["output"][member], value, "{folder:?}: {shown:#}");
        }
        if let Some(request) = expected.get("request") {
            let got = &receiver.requests()[0];
            assert_eq!(
                (&request["method"], &request["target"]),
                (&got.method.clone().into(), &got.target.clone().into())
            );
            assert_eq!(got.json(), request["json"]);
        }
        examples += 1;
    }
    assert!(examples >= 2, "the examples are there");
}
